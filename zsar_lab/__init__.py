"""zsar_lab: a workbench for zero-shot action recognition.

`import zsar_lab as zl` is instant: what a person wants at a prompt (`zl.classify`, `zl.open_workspace`, ..., see zsar_lab/prompt.py) is imported
when it is first asked for, and each room by its name, for example `from zsar_lab.zeroshot.transfer import compose_prototypes`.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["classify", "embeddings", "export", "figures", "open_model", "open_workspace", "read_classes", "score"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'zsar_lab' has no attribute {name!r}; at a prompt it has {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module("zsar_lab.prompt"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
