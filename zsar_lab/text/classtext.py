"""Class texts: the exact strings a language model is given for each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from zsar_lab.artefacts import fingerprint


def readable_label(name: str) -> str:
    """The readable form of a dataset's class name.

    HandstandPushups -> "handstand pushups", climb_stairs -> "climb stairs", Run100mHurdles -> "run 100m hurdles",
    MMAFight -> "mma fight". Words are split at underscores, spaces, before a capital that follows a small letter, before the
    last capital of an abbreviation, and before a number; everything is put in lower case.

    Args:
        name: the class name as the dataset writes it.

    Returns:
        Lower-case words, one space between them.

    Raises:
        ValueError: the name holds no letter or digit.
    """
    characters = list(name)
    parts: list[str] = []
    for index, character in enumerate(characters):
        before = characters[index - 1] if index else " "
        after = characters[index + 1] if index + 1 < len(characters) else " "
        new_word = character.isupper() and (before.islower() or before.isdigit() or (before.isupper() and after.islower()))
        new_number = character.isdigit() and before.isalpha()
        parts.append(" " + character if new_word or new_number else character)
    label = " ".join("".join(parts).replace("_", " ").split()).lower()
    if not any(character.isalnum() for character in label):
        raise ValueError(f"a class name must hold at least one letter or digit, got {name!r}; rename the class")
    return label


@dataclass(frozen=True)
class ClassText:
    """The class text of each class: `texts[i]` is what the language model reads for `names[i]`.

    A text of several lines is several sentences, each read by itself; all texts of one scheme have equally many lines.
    """

    scheme: str
    names: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Hash of the names and the exact texts (the scheme's name does not enter)."""
        return fingerprint("class text", list(self.names), list(self.texts))


Scheme = Callable[[pd.DataFrame], list[str]]


def class_text(classes: pd.DataFrame, scheme: Scheme) -> ClassText:
    """Apply a scheme to a table of classes.

    Args:
        classes: one row a class; the column `name`, and what the scheme needs (`label`, `description`, `structure`).
        scheme: one of the functions below, or any function from such a table to one string a row.

    Returns:
        The class text; its `scheme` is the function's name.

    Raises:
        ValueError: the scheme needs a column that is missing or empty for a class.
    """
    return ClassText(scheme.__name__, tuple(classes["name"]), tuple(scheme(classes)))


def label(classes: pd.DataFrame) -> list[str]:
    """The readable label: the column `label` where it is filled, else made from the name."""
    given = classes["label"] if "label" in classes else [None] * len(classes)
    return [text.strip() if isinstance(text, str) and text.strip() else readable_label(name) for name, text in zip(classes["name"], given)]


def template(classes: pd.DataFrame) -> list[str]:
    """ "a video of a person <label>"."""
    return [f"a video of a person {text}" for text in label(classes)]


def description(classes: pd.DataFrame) -> list[str]:
    """One written sentence a class, from the column `description`."""
    return _filled(classes, "description")


def label_and_description(classes: pd.DataFrame) -> list[str]:
    """ "<label>: <description>"."""
    return [f"{name}: {text}" for name, text in zip(label(classes), description(classes))]


def structure(classes: pd.DataFrame) -> list[str]:
    """ "<label>: <posture>; <arms>; <legs>; <travel>; <prop>", a hand annotation, from the column `structure`."""
    return _filled(classes, "structure")


def description_and_parts(classes: pd.DataFrame) -> list[str]:
    """Six lines, each read by itself: the description, then posture, arms, legs, travel and prop out of the column `structure`.

    Raises:
        ValueError: a structure has not the form "<label>: <posture>; <arms>; <legs>; <travel>; <prop>".
    """
    lines = []
    for name, sentence, annotated in zip(classes["name"], description(classes), structure(classes)):
        parts = [part.strip() for part in annotated.partition(":")[2].split(";")]
        if len(parts) != 5 or not all(parts):
            raise ValueError(
                f"a structure must read '<label>: <posture>; <arms>; <legs>; <travel>; <prop>', that of {name!r} is {annotated!r}; mend classes.csv"
            )
        lines.append("\n".join([sentence, *parts]))
    return lines


SCHEMES: tuple[Scheme, ...] = (label, template, description, label_and_description, structure, description_and_parts)


def scheme_named(name: str) -> Scheme:
    """The scheme of that name, for settings that come from a file or the command line.

    Raises:
        ValueError: there is no such scheme.
    """
    for scheme in SCHEMES:
        if scheme.__name__ == name:
            return scheme
    raise ValueError(f"a class-text scheme must be one of {', '.join(s.__name__ for s in SCHEMES)}, got {name!r}")


def _filled(classes: pd.DataFrame, column: str) -> list[str]:
    values: Sequence = list(classes[column]) if column in classes else [None] * len(classes)
    empty = [name for name, text in zip(classes["name"], values) if not (isinstance(text, str) and text.strip())]
    if empty:
        raise ValueError(
            f"the scheme '{column}' needs a {column} for every class, missing for {len(empty)} of {len(values)}"
            f" ({', '.join(empty[:3])}{', ...' if len(empty) > 3 else ''}); add it to classes.csv or choose the scheme 'label'"
        )
    return [text.strip() for text in values]
