"""When two class names mean the same: one rule, and one matcher for every file that names classes."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SHOWN = 3  # names in a message
ACCENTS = str.maketrans("", "", "`\N{ACUTE ACCENT}")  # written as quotes; NFKC makes letters' accents of them
SIGNS = "~|\N{MINUS SIGN}"  # punctuation that Unicode counts as symbols
NUMBER = r"([+-]?)0*(\d+)(?:\.0*)?"
ID_FIRST, ID_LAST = r"(?P<id>\d+)[\W_]+(?P<name>.+)", r"(?P<name>.+?)[\W_]+(?P<id>\d+)"


def same(name: str) -> str:
    """What is left of a name when all is gone that files write in one way or another: equal for equal names.

    Case, spaces, hyphens, underscores, CamelCase, quotes, parentheses, apostrophes and other punctuation do
    not count, and letters are written in one way (NFKC). A number is its value ("1.0" and "01" are "1"), and
    digits that were parted stay so ("1.5" is not "15"). A name of punctuation alone is itself.

    >>> same("HandstandPushups") == same("handstand push-ups") == same("``Handstand'' (pushups)")
    True
    """
    folded = unicodedata.normalize("NFKC", name.translate(ACCENTS)).casefold().strip()
    number = re.fullmatch(NUMBER, folded)
    if number:
        return number[1].strip("+") + number[2]
    parts = re.split(r"(?<=\d)[\W_]+(?=\d)", unicodedata.normalize("NFKC", folded))
    return ".".join("".join(filter(_counts, part)) for part in parts) or name


def _counts(character: str) -> bool:
    """Letters, marks, digits and symbols do; punctuation, spaces, quotes and what is not seen do not."""
    return unicodedata.category(character)[0] in "LMNS" and character not in SIGNS


@dataclass(frozen=True)
class Matches:
    """The class that each name of a file means, by `match_names`; and the names that mean none."""

    class_of: dict[str, str]
    unknown: dict[str, str]  # with the class whose name is the nearest, "" where none is near

    @property
    def said(self) -> str:
        """The names that are written otherwise than their class, in words; "" where there are none."""
        other = [f"{name!r} is {meant!r}" for name, meant in self.class_of.items() if name != meant]
        more = f", ... ({len(other)} names)" * (len(other) > SHOWN)
        return f"matched but for spelling: {', '.join(other[:SHOWN])}{more}" if other else ""

    @property
    def lacking(self) -> str:
        """The names that mean no class, in words, each with the nearest class."""
        shown = [
            repr(name[:60]) + f" (near {near!r})" * bool(near)
            for name, near in list(self.unknown.items())[:SHOWN]
        ]
        return ", ".join(shown) + ", ..." * (len(self.unknown) > SHOWN)


def match_names(
    given: Iterable[str], classes: Iterable[str], also: Iterable[tuple[str, str]] = ()
) -> Matches:
    """Which class each name of a file means: by its very name, else by what is left of it in `same`.

    Where names have an id beside them ("12 Archery", "archery_12"), it is left out if one id goes with one
    class throughout, for two classes or more. A name that could mean two classes means none.

    Args:
        given: names as a file writes them.
        classes: names of the classes.
        also: other names of classes, such as labels and ids, each with its class; names go before them.
    """
    classes = list(classes)
    known = dict.fromkeys(classes)
    by_key = _unambiguous(also) | _unambiguous(zip(classes, classes))
    class_of: dict[str, str] = {}
    left: list[str] = []
    for name in dict.fromkeys(given):
        meant = name if name in known else by_key.get(same(name))
        if meant is None:
            left.append(name)
        else:
            class_of[name] = meant
    class_of |= _beside_ids(left, by_key)
    unknown = [name for name in left if name not in class_of]
    near = {name: difflib.get_close_matches(same(name), by_key, 1) for name in unknown[:SHOWN]}
    return Matches(class_of, {name: by_key[near[name][0]] if near.get(name) else "" for name in unknown})


def _unambiguous(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The class of each key that only one class has."""
    meant: dict[str, set[str]] = {}
    for name, of_class in named:
        meant.setdefault(same(name), set()).add(of_class)
    return {key: found.pop() for key, found in meant.items() if len(found) == 1}


def _beside_ids(names: list[str], by_key: Mapping[str, str]) -> dict[str, str]:
    """The classes of names with an id first, or last."""
    for form in (ID_FIRST, ID_LAST):
        parted = [(name, re.fullmatch(form, name.strip())) for name in names]
        rows = [(name, same(found["id"]), by_key.get(same(found["name"]))) for name, found in parted if found]
        rows = [row for row in rows if row[2] is not None]
        ids, meant = ({row[column] for row in rows} for column in (1, 2))
        agree = all(by_key.get(number, of_class) == of_class for _, number, of_class in rows)
        if agree and len(meant) > 1 and len(ids) == len(meant) == len({row[1:] for row in rows}):
            return {name: str(of_class) for name, _, of_class in rows}
    return {}


def refuse_same(names: Iterable[str]) -> None:
    """ValueError when two different names mean the same, see `same`."""
    first: dict[str, str] = {}
    pairs = []
    for name in dict.fromkeys(names):
        other = first.setdefault(same(name), name)
        if other != name:
            pairs.append(f"{other!r} and {name!r}")
    if pairs:
        more = ", ..." * (len(pairs) > SHOWN)
        but = "case, spaces or punctuation"
        raise ValueError(f"class names must differ in more than {but}, got {', '.join(pairs[:SHOWN])}{more}")
