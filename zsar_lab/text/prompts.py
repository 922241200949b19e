"""Class texts: the exact strings a language model reads for each class, and the prompts that make them."""

from __future__ import annotations

import string
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pandas as pd

from zsar_lab.files import fingerprint, read_json, write_json


def readable_label(name: str) -> str:
    """The readable form of a dataset's class name.

    HandstandPushups -> "handstand pushups", climb_stairs -> "climb stairs", Run100mHurdles -> "run 100m
    hurdles", MMAFight -> "mma fight". Words are split at underscores, spaces, before a capital that follows a
    small letter, before the last capital of an abbreviation, and before a number; everything is put in lower
    case.

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
        new_word = character.isupper() and (
            before.islower() or before.isdigit() or (before.isupper() and after.islower())
        )
        new_number = character.isdigit() and before.isalpha()
        parts.append(" " + character if new_word or new_number else character)
    label = " ".join("".join(parts).replace("_", " ").split()).lower()
    if not any(character.isalnum() for character in label):
        raise ValueError(
            f"a class name must hold at least one letter or digit, got {name!r}; rename the class"
        )
    return label


@dataclass(frozen=True)
class ClassText:
    """The class text of each class: `texts[i]` is what the language model reads for `names[i]`.

    A text of several lines is several texts, each read by itself. Their embeddings are set side by side, then
    all texts of one prompt have equally many lines; or they are averaged (`averaged`), as with several
    templates.
    """

    prompt: str
    names: tuple[str, ...]
    texts: tuple[str, ...]
    averaged: bool = False

    @property
    def fingerprint(self) -> str:
        """Hash of the names, the exact texts, and how lines are combined (the prompt's name does not enter)."""
        return fingerprint(
            "class text", list(self.names), list(self.texts), *(["averaged"] if self.averaged else [])
        )

    def save(self, path: Path) -> None:
        """Write prompt, names and texts as json."""
        write_json(
            path,
            {
                "prompt": self.prompt,
                "averaged": self.averaged,
                "texts": dict(zip(self.names, self.texts, strict=True)),
            },
        )

    @staticmethod
    def load(path: Path) -> ClassText:
        """Read what `save` wrote; ValueError when the file is not that."""
        content = read_json(path)
        try:
            return ClassText(
                content["prompt"],
                tuple(content["texts"]),
                tuple(content["texts"].values()),
                content["averaged"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"'{path}' must hold class texts as this library writes them, but it does not ({error}); delete it"
            ) from error

    def edited(self, name: str, text: str) -> ClassText:
        """The same with another text for one class; its prompt is `<prompt>, edited`.

        Raises:
            ValueError: there is no such class, or the text is empty.
        """
        if name not in self.names:
            raise ValueError(
                f"the class to edit must be one of the {len(self.names)} that have a text, got {name!r}"
            )
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"a class text must hold a word, got {text!r} for {name!r}; write it")
        texts = tuple(
            text if own == name else before for own, before in zip(self.names, self.texts, strict=True)
        )
        return replace(self, prompt=self.prompt.removesuffix(EDITED) + EDITED, texts=texts)


EDITED = ", edited"
Prompt = Callable[[pd.DataFrame], list[str]]


def class_text(classes: pd.DataFrame, prompt: Prompt) -> ClassText:
    """Apply a prompt to a table of classes.

    Args:
        classes: one row a class; the column `name`, and what the prompt needs (`label`, `description`,
            `structure`).
        prompt: one of the functions below, a `Templates`, a `TextsFromFile`, or any function from such a
            table to one string a row; where it has an attribute `averaged` that is True, the lines of a
            string are averaged.

    Returns:
        The class text; its `prompt` is the function's name.

    Raises:
        ValueError: the prompt needs a column that is missing or empty for a class.
    """
    return ClassText(
        prompt.__name__, tuple(classes["name"]), tuple(prompt(classes)), getattr(prompt, "averaged", False)
    )


def label(classes: pd.DataFrame) -> list[str]:
    """The readable label: the column `label` where it is filled, else made from the name."""
    given = classes["label"] if "label" in classes else [None] * len(classes)
    return [
        text.strip() if isinstance(text, str) and text.strip() else readable_label(name)
        for name, text in zip(classes["name"], given)
    ]


def template(classes: pd.DataFrame) -> list[str]:
    """`a video of a person <label>`."""
    return [f"a video of a person {text}" for text in label(classes)]


def description(classes: pd.DataFrame) -> list[str]:
    """One written sentence a class, from the column `description`."""
    return _filled(classes, "description")


def label_and_description(classes: pd.DataFrame) -> list[str]:
    """`<label>: <description>`."""
    return [f"{name}: {text}" for name, text in zip(label(classes), description(classes))]


def structure(classes: pd.DataFrame) -> list[str]:
    """`<label>: <posture>; <arms>; <legs>; <travel>; <prop>`, a hand annotation, from the column `structure`."""
    return _filled(classes, "structure")


def description_and_parts(classes: pd.DataFrame) -> list[str]:
    """Six lines, each read by itself: the description, then posture, arms, legs, travel and prop out of the column `structure`.

    Raises:
        ValueError: a structure has not the form `<label>: <posture>; <arms>; <legs>; <travel>; <prop>`.
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


@dataclass(frozen=True)
class Templates:
    """A prompt of one or several templates whose embeddings are averaged: one line a template, its fields filled from the table.

    Attributes:
        patterns: such as "a video of {label}", "{label}: {description}"; a field is a column of the table.
        title: what the prompt is called in a score's provenance; the patterns themselves when empty.

    Raises:
        ValueError: no pattern, one without a field, or one that cannot be filled.
    """

    patterns: tuple[str, ...]
    title: str = ""
    averaged: ClassVar[bool] = True

    @property
    def __name__(self) -> str:
        return self.title or " | ".join(self.patterns)

    def __post_init__(self) -> None:
        if not self.patterns:
            raise ValueError("templates must be at least one text such as 'a video of {label}', got none")
        for pattern in self.patterns:
            self._fields(pattern)

    def __call__(self, classes: pd.DataFrame) -> list[str]:
        columns = {}
        for field in dict.fromkeys(field for pattern in self.patterns for field in self._fields(pattern)):
            if field not in ("label", "name", *classes.columns):
                known = ", ".join(
                    f"{{{column}}}" for column in dict.fromkeys(("name", "label", *classes.columns))
                )
                raise ValueError(
                    f"a template's field must be a column of classes.csv, got {{{field}}}; these are there: {known}"
                )
            columns[field] = (
                label(classes)
                if field == "label"
                else list(classes["name"])
                if field == "name"
                else _filled(classes, field)
            )
            columns[field] = [" ".join(value.split()) for value in columns[field]]  # one line a template
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return ["\n".join(pattern.format(**row) for pattern in self.patterns) for row in rows]

    @staticmethod
    def _fields(pattern: str) -> list[str]:
        try:
            parsed = [part for part in string.Formatter().parse(pattern) if part[1] is not None]
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"a template must be a text with fields such as {{label}}, got {pattern!r} ({error}); mend its braces"
            ) from error
        fields = [field for _, field, form, how in parsed if not form and not how]
        if (
            not fields
            or len(fields) < len(parsed)
            or "\n" in pattern
            or not all(field.isidentifier() for field in fields)
        ):
            raise ValueError(
                f"a template must be one line with a field such as {{label}} or {{description}}, got {pattern!r}; write"
                f" for example 'a video of {{label}}'"
            )
        return fields


templates = Templates(
    (
        "a video of a person {label}",
        "someone {label}",
        "people {label}",
        "a short clip that shows {label}",
        "the action of {label}",
        "this is how {label} looks",
        "a person is filmed while {label}",
        "a demonstration of {label}",
    ),
    "templates",
)

PROMPTS: tuple[Prompt, ...] = (
    label,
    template,
    templates,
    description,
    label_and_description,
    structure,
    description_and_parts,
)


def prompt_named(name: str | Sequence[str]) -> Prompt:
    """The prompt that a setting names, for settings that come from a file or the command line.

    Args:
        name: the name of one of PROMPTS; a template with a field in braces, or several of them; or the path
            of a csv file with the user's own texts.

    Raises:
        ValueError: there is no such prompt.
    """
    if not isinstance(name, str):
        if not isinstance(name, Sequence) or not all(isinstance(pattern, str) for pattern in name):
            raise ValueError(
                f"a class text must be the name of a prompt, a template, a tuple of templates, or a csv file, got {name!r}"
            )
        return Templates(tuple(name))
    if "{" in name:
        return Templates((name,))
    if name.lower().endswith(".csv"):
        return TextsFromFile(name)
    for prompt in PROMPTS:
        if prompt.__name__ == name:
            return prompt
    raise ValueError(
        f"a class-text prompt must be one of {', '.join(s.__name__ for s in PROMPTS)}, a template such as 'a video of {{label}}',"
        f" or a csv file, got {name!r}"
    )


def _filled(classes: pd.DataFrame, column: str) -> list[str]:
    values: Sequence = list(classes[column]) if column in classes else [None] * len(classes)
    empty = [
        name for name, text in zip(classes["name"], values) if not (isinstance(text, str) and text.strip())
    ]
    if empty:
        raise ValueError(
            f"the prompt '{column}' needs a {column} for every class, missing for {len(empty)} of {len(values)}"
            f" ({', '.join(empty[:3])}{', ...' if len(empty) > 3 else ''}); add it to classes.csv or choose the prompt 'label'"
        )
    return [text.strip() for text in values]


KNOWN_COLUMNS = ("dataset", "name", "label", "text")


@dataclass(frozen=True)
class TextsFromFile:
    """A prompt that reads a csv file with the columns name and text, one row a class; `dataset` and `label` may be there and are not read.

    A text may have several lines, which are read one by one and set side by side.

    Attributes:
        path: of the file, UTF-8.
    """

    path: str

    @property
    def __name__(self) -> str:
        return Path(self.path).name

    def __call__(self, classes: pd.DataFrame) -> list[str]:
        """The text of each class of the table, in its order.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no such table, a class is missing or given twice, or a text is empty.
        """
        table = self._table()
        names = list(classes["name"])
        more = sorted(set(table["name"]) - set(names))
        missing = [name for name in names if name not in set(table["name"])]
        if missing:
            beside = f", and has {len(more)} that the data have not ({_some(more)})" if more else ""
            raise ValueError(
                f"a file of class texts must have a row for every class, by the exact name, '{self.path}' lacks {len(missing)} of {len(names)}"
                f" ({_some(missing)}){beside}; add or rename them"
            )
        if more:
            classes_ = "class" if len(more) == 1 else "classes"
            warnings.warn(
                f"'{self.path}' has texts of {len(more)} {classes_} that the data have not ({_some(more)}); not read",
                stacklevel=2,
            )
        text_of = dict(zip(table["name"], table["text"], strict=True))
        return [text_of[name] for name in names]

    def check(self) -> None:
        """Check the file by itself, whatever the classes are; Raises as `__call__`."""
        self._table()

    def _table(self) -> pd.DataFrame:
        if not Path(self.path).is_file():
            raise FileNotFoundError(
                f"a file of class texts must be there, '{self.path}' is not; write it with the columns name and text"
            )
        try:
            table = pd.read_csv(self.path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"a file of class texts must be a UTF-8 csv table, '{self.path}' is not ({error}); save it as UTF-8"
            ) from error
        except (ValueError, OSError) as error:
            raise ValueError(self._no_table(str(error).strip())) from error
        if not isinstance(
            table.index, pd.RangeIndex
        ):  # pandas takes what stands before the named columns for row names
            raise ValueError(self._no_table("a row has more values than the first"))
        lacking = [column for column in ("name", "text") if column not in table]
        unknown = [column for column in table if column not in KNOWN_COLUMNS]
        if lacking or unknown:
            what = (
                f"has no {lacking[0]!r} (it has {_some(list(table))})"
                if lacking
                else f"has {_some(unknown)} too"
            )
            if len(table.columns) == 1 and any(mark in table.columns[0] for mark in ";\t"):
                what = "separates its columns by semicolons or tabs, not by commas"
            raise ValueError(
                f"a file of class texts must have the columns name and text, and may have dataset and label, '{self.path}' {what};"
                " mend its first row, or save it anew"
            )
        table = table.assign(name=table["name"].str.strip(), text=table["text"].str.strip())
        twice = table["name"][table["name"].duplicated()]
        if len(twice):
            raise ValueError(
                f"a file of class texts must have one row a class, '{self.path}' has {_some(sorted(set(twice)))} more than"
                " once; delete rows"
            )
        empty = table["name"][
            [not text or not all(line.strip() for line in text.split("\n")) for text in table["text"]]
        ]
        if len(empty):
            raise ValueError(
                f"a file of class texts must have a text in every row and line, '{self.path}' has none for"
                f" {_some(list(empty))}; write it"
            )
        return table

    def _no_table(self, why: str) -> str:
        return (
            f"a file of class texts must be a csv table with commas between the columns, '{self.path}' is not ({why});"
            " put texts with a comma in double quotes, or save it anew as csv"
        )


def _some(names: list[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")


def kept_text(path: Path, make: Callable[[], ClassText]) -> ClassText:
    """The class text that `path` keeps; made and kept there when it is not.

    Args:
        path: of the json file, see `ClassText.save`.
        make: gives the texts as they are now; where it finds no file to read them from, those kept are taken.

    Raises:
        ValueError: the texts are others now than those kept; or as `make`.
        FileNotFoundError: as `make`, when nothing is kept.
    """
    kept = ClassText.load(path) if path.is_file() else None
    try:
        now = make()
    except FileNotFoundError:
        if kept is None:
            raise
        return kept
    if kept is None:
        now.save(path)
    elif now.fingerprint != kept.fingerprint:
        before, after = (dict(zip(text.names, text.texts, strict=True)) for text in (kept, now))
        changed = [name for name in before | after if before.get(name) != after.get(name)]
        shown = ", ".join(map(repr, changed[:3])) + (", ..." if len(changed) > 3 else "")
        raise ValueError(
            f"the class texts of a study must stay as they were when it began, {len(changed)} differ from '{path}' ({shown}); put"
            " them back, or choose"
            " another folder"
        )
    return now
