"""Class texts: the exact strings a language model reads for each class, and the prompts that make them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from zsar_lab.files import fingerprint, read_csv, read_json, write_json
from zsar_lab.names import match_names, refuse_same
from zsar_lab.shown import Shown
from zsar_lab.text.class_lists import TEXT_PARTS, label

# from a table of classes to one string a class; `averaged` on it says that the lines of a string are averaged
Prompt = Callable[[pd.DataFrame], list[str]]
EDITED = ", edited"
PARTS = ("posture", "arms", "legs", "travel", "prop")  # of a structure
MOST_WORDS_A_LINE = 30  # of a part, which is a phrase
SPACED = "spaced_name"  # a field of templates
FIELD = r"\{([^\W\d]\w*)\}"
FORMS = {"text": ("text",), "description": ("description",), "parts": tuple(TEXT_PARTS)}  # of written texts
BESIDE = ("name", "label", "dataset")  # further columns of a user's own texts; the last two are not read


@dataclass(frozen=True, repr=False)
class ClassText(Shown):
    """The class text of each class: `texts[i]` is what the language model reads for `names[i]`.

    A text of several lines is several texts, each read by itself. Their embeddings are set side by side, then
    all texts of one prompt have equally many lines; or they are averaged (`averaged`), as with several
    templates.
    """

    prompt: str
    names: tuple[str, ...]
    texts: tuple[str, ...]
    averaged: bool = False

    def _facts(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt,
            "classes": len(self.names),
            "such as": self.texts[0] if self.texts else "none",
        }

    @property
    def fingerprint(self) -> str:
        """Hash of the names, the exact texts, and how lines are combined; not of the prompt's name."""
        combined = ["averaged"] if self.averaged else []
        return fingerprint("class text", list(self.names), list(self.texts), *combined)

    def save(self, path: Path) -> None:
        """Write prompt, names and texts as json."""
        texts = dict(zip(self.names, self.texts, strict=True))
        write_json(path, {"prompt": self.prompt, "averaged": self.averaged, "texts": texts})

    @staticmethod
    def load(path: Path) -> ClassText:
        """Read what `save` wrote; ValueError when the file is not that."""
        content = read_json(path)
        try:
            texts = content["texts"]
            return ClassText(content["prompt"], tuple(texts), tuple(texts.values()), content["averaged"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"'{path}' must hold class texts as `save` writes them ({error})") from error

    def edited(self, name: str, text: str) -> ClassText:
        """The same with another text, not empty, for one class; its prompt is `<prompt>, edited`."""
        if name not in self.names:
            raise ValueError(f"the class to edit must be one of {len(self.names)}, got {name!r}")
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"a class text must hold a word, got {text!r} for {name!r}")
        texts = dict(zip(self.names, self.texts, strict=True)) | {name: text}
        return replace(self, prompt=self.prompt.removesuffix(EDITED) + EDITED, texts=tuple(texts.values()))


class TextTooLong(ValueError):
    """A text has more tokens than the encoder reads; `text` is that text."""

    def __init__(self, sentence: str, text: str) -> None:
        super().__init__(sentence)
        self.text = text


def class_text(classes: pd.DataFrame, prompt: Prompt) -> ClassText:
    """Apply a prompt to a table of classes; the class text's `prompt` is the function's name.

    The table has a row a class: the column `name`, and what the prompt needs (`label`, `description`,
    `structure`, the parts); ValueError when such a column is missing or empty for a class.
    """
    averaged = getattr(prompt, "averaged", False)
    return ClassText(prompt.__name__, tuple(classes["name"]), tuple(prompt(classes)), averaged)


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
    """`<label>: <posture>; <arms>; <legs>; <travel>; <prop>`, a hand annotation, from `structure`."""
    return _filled(classes, "structure")


def parts(classes: pd.DataFrame) -> list[str]:
    """A line a part: the columns of TEXT_PARTS, or the five parts of the column `structure`."""
    if "structure" not in classes or not (classes["structure"].fillna("") != "").any():
        table = pd.DataFrame({part: _filled(classes, part) for part in TEXT_PARTS}, list(classes["name"]))
        for (name, part), text in table.stack().items():
            if "\n" in text or len(text.split()) > MOST_WORDS_A_LINE:
                got = f"{part} of {name!r} has {len(text.split())} words"
                raise ValueError(f"a part must be a line of at most {MOST_WORDS_A_LINE} words, {got}")
        return table.agg("\n".join, axis=1).tolist()
    lines = []
    for name, annotated in zip(classes["name"], structure(classes)):
        found = [part.strip() for part in annotated.partition(":")[2].split(";")]
        if len(found) != len(PARTS) or not all(found):
            form = "'<label>: <posture>; <arms>; <legs>; <travel>; <prop>'"
            raise ValueError(f"a structure must read {form}, that of {name!r} is {annotated!r}")
        lines.append("\n".join(found))
    return lines


def parts_or_description(classes: pd.DataFrame) -> list[str]:
    """The parts of TEXT_PARTS; a class without any has its description in the place of each."""
    table = classes.reindex(columns=["name", *TEXT_PARTS, "description"], fill_value="").fillna("")
    without = (table[list(TEXT_PARTS)] == "").all(axis=1)
    return parts(table.assign(**{of: table[of].mask(without, table["description"]) for of in TEXT_PARTS}))


def description_and_parts(classes: pd.DataFrame) -> list[str]:
    """The description, then a line a part."""
    return [f"{sentence}\n{lines}" for sentence, lines in zip(description(classes), parts(classes))]


def line_names(text: ClassText) -> list[str]:
    """What each line of a class's text is: "description", "arms", ...; numbers where it is not known."""
    prompt, n_lines = text.prompt.removesuffix(EDITED), len(text.texts[0].split("\n"))
    first = ["description"] * (prompt == "description_and_parts")
    known = [[*first, *of] for of in (PARTS, TEXT_PARTS)] if prompt in IN_PARTS else []
    numbered = [f"line {number}" for number in range(1, n_lines + 1)]
    return next((of for of in known if len(of) == n_lines), numbered)


@dataclass(frozen=True)
class Templates:
    """A prompt of one or several templates whose embeddings are averaged: one line a template.

    `patterns` are such as "a video of {label}", "{label}: {description}"; a field is a column of the table,
    or spaced_name, the name with its underscores as spaces.
    `title` is what the prompt is called in a score's provenance; the patterns themselves when empty.
    ValueError when there is no pattern, one without a field, or one that cannot be filled.
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
        self._fields()

    def __call__(self, classes: pd.DataFrame) -> list[str]:
        """The filled patterns of each class, a line each."""
        columns = {}
        for field in self._fields():
            if field not in ("label", "name", SPACED, *classes.columns):
                raise ValueError(f"a template has no column {{{field}}}, only {', '.join(classes.columns)}")
            values = (
                label(classes) if field == "label" else _filled(classes, {SPACED: "name"}.get(field, field))
            )
            values = [value.replace("_", " ") for value in values] if field == SPACED else values
            columns[field] = [" ".join(value.split()) for value in values]  # one line a template
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return ["\n".join(pattern.format(**row) for pattern in self.patterns) for row in rows]

    def _fields(self) -> list[str]:
        """The fields of all patterns, each once, in their order."""
        fields: list[str] = []
        for pattern in self.patterns:
            bare = pattern.replace("{{", "").replace("}}", "")
            found, rest = re.findall(FIELD, bare), re.sub(FIELD, "", bare)
            if not found or "\n" in pattern or "{" in rest or "}" in rest:
                raise ValueError(f"a template must be a line with fields as {{label}}, got {pattern!r}")
            fields += found
        return list(dict.fromkeys(fields))


@dataclass(frozen=True)
class TextsFromFile:
    """A prompt that reads a csv file, a row a class: name, and text, description, or the parts of TEXT_PARTS.

    A text may have several lines, which are read one by one and set side by side; parts are such lines.
    """

    path: str

    @property
    def __name__(self) -> str:
        return Path(self.path).name

    def __call__(self, classes: pd.DataFrame) -> list[str]:
        """The text of each class of the table, in its order; ValueError when the file lacks one.

        Names are matched by `match_names`, and it is said where one is written otherwise.
        """
        text_of, names = self.check(), list(classes["name"])
        found = match_names(text_of, names)
        row_of = {of_class: name for name, of_class in found.class_of.items()}
        missing = [name for name in names if name not in row_of]
        if missing:
            beside = f", and has unknown ones ({found.lacking})" if found.unknown else ""
            lacks = f"it lacks {len(missing)} ({_some(missing)}){beside}"
            raise ValueError(f"'{self.path}' must have every class, {lacks}")
        more = f"{len(found.unknown)} classes that the data have not ({found.lacking})" * bool(found.unknown)
        if found.said or more:
            warnings.warn(f"'{self.path}': {'; '.join(filter(None, (found.said, more)))}", stacklevel=2)
        return [text_of[row_of[name]] for name in names]

    def check(self) -> dict[str, str]:
        """The texts by class; ValueError for another table, a class given twice or an empty text."""
        columns, rows = read_csv(Path(self.path), needed=("name",))
        form = next((own for own in FORMS.values() if {*own} <= {*columns}), FORMS["text"])
        odd = [one for one in columns if one not in (*BESIDE, *form) or columns.count(one) > 1]
        if odd or form[0] not in columns:
            must = f"the columns name and 'text', description or the parts {', '.join(TEXT_PARTS)}"
            raise ValueError(f"'{self.path}' must have {must}, got {_some(odd or columns)}")
        texts: dict[str, str] = {}
        for number, row in rows:
            if row["name"] in texts:
                raise ValueError(f"line {number} of '{self.path}': {row['name']!r} is there twice")
            text = "\n".join(row[column] for column in form)
            if not all(map(str.strip, text.split("\n"))):
                raise ValueError(f"line {number} of '{self.path}': {row['name']!r} has an empty text")
            texts[row["name"]] = text
        refuse_same(texts)
        return texts


OURS = """a video of a person {label}
someone {label}
people {label}
a short clip that shows {label}
the action of {label}
this is how {label} looks
a person is filmed while {label}
a demonstration of {label}"""
templates = Templates(tuple(OURS.splitlines()), "templates")
ALONE = (label, template, templates, description, label_and_description, structure)
LINE_BY_LINE = (parts, parts_or_description, description_and_parts)
IN_PARTS = tuple(prompt.__name__ for prompt in LINE_BY_LINE)
PROMPTS: dict[str, Prompt] = {prompt.__name__: prompt for prompt in (*ALONE, *LINE_BY_LINE)}


def prompt_named(name: str | Sequence[str]) -> Prompt:
    """The prompt that a setting names, for settings that come from a file or the command line.

    `name` is one of PROMPTS; a template with a field in braces, or several of them; or the path of a csv file
    with the user's own texts.
    """
    is_text = isinstance(name, str)
    if not is_text and isinstance(name, Sequence) and all(isinstance(part, str) for part in name):
        return Templates(tuple(name))
    if is_text and "{" in name:
        return Templates((str(name),))
    if isinstance(name, str) and name.lower().endswith(".csv"):
        return TextsFromFile(name)
    if not is_text or name not in PROMPTS:
        others = "a template such as 'a video of {label}', or a csv file"
        raise ValueError(f"a prompt must be one of {', '.join(PROMPTS)}, {others}, got {name!r}")
    return PROMPTS[str(name)]


def prompt_of(table: pd.DataFrame) -> str:
    """The prompt that reads all that a table of `read_classes` says: label_and_description, or label."""
    return "label_and_description" if (table["description"] != "").any() else "label"


def texts_of(table: pd.DataFrame, prompt: str) -> ClassText:
    """The class texts of a table of `read_classes` by a prompt; a text of the class's own goes before it.

    In label_and_description a class without a description has its label alone.

    Raises:
        ValueError: as the prompt, or two classes have the same text.
    """
    if prompt == "label_and_description":
        pairs = zip(label(table), table["description"])
        made = ClassText(prompt, tuple(table["name"]), tuple(": ".join(filter(None, pair)) for pair in pairs))
    else:
        made = class_text(table, prompt_named(prompt))
    if (table["text"] != "").any():
        texts = tuple(own or text for own, text in zip(table["text"], made.texts, strict=True))
        made = replace(made, prompt=prompt + EDITED, texts=texts)
    first: dict[str, str] = {}
    for name, text in zip(made.names, made.texts, strict=True):
        if (other := first.setdefault(text, name)) != name:
            raise ValueError(f"classes must have different texts, {other!r} and {name!r} both have {text!r}")
    return made


def kept_text(path: Path, make: Callable[[], ClassText]) -> ClassText:
    """The class text of a study as it was when it began: what `path` (json) holds, or `make` is saved there.

    Where `make` finds no file to read texts from, those saved are taken. ValueError when they are others now.
    """
    saved = ClassText.load(path) if path.is_file() else None
    try:
        now = make()
    except FileNotFoundError:
        if saved is None:
            raise
        return saved
    if saved is None:
        now.save(path)
    elif now.fingerprint != saved.fingerprint:
        before, after = (dict(zip(text.names, text.texts, strict=True)) for text in (saved, now))
        changed = [name for name in before | after if before.get(name) != after.get(name)]
        differ = f"{len(changed)} differ from '{path}' ({_some(changed)})"
        raise ValueError(f"a study's class texts must stay as they were, {differ}; put them back")
    return now


def _filled(classes: pd.DataFrame, column: str) -> list[str]:
    values: list[Any] = list(classes[column]) if column in classes else [None] * len(classes)
    named = zip(classes["name"], values)
    empty = [name for name, text in named if not (isinstance(text, str) and text.strip())]
    if empty:
        raise ValueError(f"the prompt needs {column}, missing for {len(empty)} ({_some(empty)})")
    return [text.strip() for text in values]


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
