"""How our objects show themselves: one line of their few facts, a small table in a notebook."""

from __future__ import annotations

from html import escape
from typing import Any

MOST_SIGNS = 100  # of a fact


class Shown:
    """What `_facts` gives, by name, is its repr and its table in a notebook."""

    def _facts(self) -> dict[str, Any]:
        raise NotImplementedError

    def __repr__(self) -> str:
        facts = {name: str(value) for name, value in self._facts().items()}
        said = (f"{name}: {v[:MOST_SIGNS]}{'...' * (len(v) > MOST_SIGNS)}" for name, v in facts.items())
        return f"{type(self).__name__}({'; '.join(said)})"

    def _repr_html_(self) -> str:
        rows = (f"<tr><th>{escape(n)}</th><td>{escape(str(v))}</td></tr>" for n, v in self._facts().items())
        return f"<table><caption>{type(self).__name__}</caption>{''.join(rows)}</table>"
