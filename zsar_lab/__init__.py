"""zsar_lab: a workbench for zero-shot action recognition.

`import zsar_lab as zl` is instant. What a person wants at a prompt (`zl.classify`, `zl.evaluate`, ...)
is imported when it is first asked for; each is described, with an example, in **`zsar_lab.api`**.

A study is asked with `zsar_lab.study` and lives in a folder that `zsar_lab.workspace` opens. What they are
made of is imported from its room, for example `from zsar_lab.methods.transfer import compose_prototypes`. The
rooms, each built on those before it (text not on data): `zsar_lab.data`, `zsar_lab.text`, `zsar_lab.models`,
`zsar_lab.train`, `zsar_lab.embed`, `zsar_lab.methods`, `zsar_lab.results`, `zsar_lab.infer`, `zsar_lab.viz`.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = [
    "Embeddings",
    "Study",
    "Workspace",
    "ask_for_texts",
    "classify",
    "embed_dataset",
    "evaluate",
    "export",
    "figures",
    "list_datasets",
    "list_methods",
    "list_models",
    "list_protocols",
    "load_model",
    "read_answers",
    "read_classes",
    "read_texts",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        known = ", ".join(__all__)
        raise AttributeError(f"module 'zsar_lab' has no attribute {name!r}; at a prompt it has {known}")
    import importlib

    return getattr(importlib.import_module("zsar_lab.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
