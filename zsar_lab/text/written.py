"""Class texts by a language model that the user runs: the question, reading its answer, faults of form."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from zsar_lab.names import match_names, same
from zsar_lab.text.class_lists import TEXT_PARTS, Classes, has_word, read_classes, readable_label, stem
from zsar_lab.text.prompts import FORMS

FENCED = r"^[ \t]*```[^\n]*\n(.*?)(?:^[ \t]*```|\Z)"
CURLY = '(?:^|(?<=[,;\t]))\\s*[\u201c-\u201e]([^\u201c-\u201e"]*)[\u201c-\u201e]\\s*(?=$|[,;\t])'
MOST_WORDS, MOST_WORDS_A_PART, FEWEST_UNLIKE_PARTS, SHOWN = 30, 12, 2, 5
SIGNS = r"[.;:\"()\[\]!?\n]"  # that a part has not
SMALL_WORDS = frozenset(  # of a name, which its text may hold
    "the of a an in on with not up down to and or at by for from no off out over into one two do doing as be"
    " is it s t through using someone something other making getting".split()
)
ASKED = """\
Describe each of the {n} actions listed at the end as a viewer of a typical short video clip sees it.

Answer with csv in one fenced block. Its first line is
{header}
then one row an action, in the order of the list: the name exactly as listed (what stands behind a bar is only
how it is read), every other cell in double quotes, commas between them.

- {rule}
- Describe only what a camera sees, in this order: {parts}.
- Use no word of the action's own name in any form (for "jumping" no jump, jumps, jumped): paraphrase.
- Be concrete: one or both, upward or sideways, slowly or quickly, once or repeatedly. Plain English, present
  tense, no "he" or "she", no "typically" or "possibly".
- No two actions have the same words; similar ones differ in what the body does.
- Write at most {batch} rows an answer, each answer with the first line again; then wait until I say "next".

{listed}
"""
RULE = f"Each {{}} is one short sentence of at most {MOST_WORDS} words."
PARTS_RULE = (
    f"Each part is 1 to {MOST_WORDS_A_PART} words, lower case, no full stop, colon, brackets, quotes;"
    " what does not matter is said plainly (arms still, legs not visible, no object, any place)."
)


class TextsError(ValueError):
    """An answer that holds no class texts."""


def ask_for_texts(classes: Classes, form: str = "text", batch: int = 40) -> str:
    """Write the question that gets class texts, all of one form, out of a language model that you run.

    Examples:
        >>> import zsar_lab as zl
        >>> print(zl.ask_for_texts(["walking", "PlayingGuitar"]).splitlines()[-1])
        PlayingGuitar | playing guitar

    Args:
        classes: as of `read_classes`, one or more.
        form: "text" or "description", a sentence in such a column; "parts", a column for each of TEXT_PARTS.
        batch: rows that the model writes before it waits for "next".

    Raises:
        ValueError: another form, a batch below 1, or as `read_classes`.
    """
    if form not in FORMS or batch < 1:
        raise ValueError(f"form must be of {', '.join(FORMS)}, batch 1 or more, got {form!r} and {batch}")
    table = read_classes(classes, fewest=1)
    listed = [name if name == own else f"{name} | {own}" for name, own in zip(table["name"], table["label"])]
    return ASKED.format(
        n=len(table),
        header=",".join(("name", *FORMS[form])),
        rule=PARTS_RULE if form == "parts" else RULE.format(form),
        parts="; ".join(f"{part} ({says})" for part, says in TEXT_PARTS.items()),
        batch=batch,
        listed="\n".join(listed),
    )


def read_texts(answer: str | Sequence[str], classes: Classes) -> pd.DataFrame:
    r"""Read class texts out of what a language model answered, and warn of all that is wrong with them.

    Examples:
        >>> import zsar_lab as zl
        >>> answer = 'Sure!\n```csv\nname;text\nwalking;"Legs step in turn."\nyoga;Arms held up.\n```'
        >>> zl.read_texts(answer, ["walking", "yoga"])["text"].tolist()
        ['Legs step in turn.', 'Arms held up.']

    Where there are fenced blocks, only they are read. Cells are parted by commas, semicolons or tabs; quotes
    may be curly. Names are matched by `match_names`.

    Args:
        answer: one, or several in the order in which they came.
        classes: those that were asked for.

    Returns:
        A row a class, in their order: name, and text, or description, or the parts; "" where there are none.
        The warning counts and names classes that are missing, not asked for (with the nearest missing one),
        there again or written otherwise, lines that are no row, and faults of `text_faults`.

    Raises:
        TextsError: no first line of a form, of two forms, or no row of a class that was asked for.
    """
    table, texts = read_classes(classes, fewest=1), {}
    form, rows, joined, odd = _rows([answer] if isinstance(answer, str) else answer)
    names, strange, again = list(table["name"]), [], []
    found = match_names([row[0] for row in rows], names, zip(table["label"], names))
    for name, *cells in rows:
        meant = found.class_of.get(name)
        if meant is None:
            strange.append(name)
        elif len(cells) != len(form):
            odd.append(f"{name}, with {len(cells)} cells of {len(form)}")
        elif meant in texts:
            again.append(repr(meant))
        else:
            texts[meant] = cells
    missing = [name for name in names if not any(texts.get(name, ()))]
    if len(missing) == len(names):
        raise TextsError(f"an answer must have rows of the classes, got {[*strange, *odd][:SHOWN]}")
    made = [[name, *texts.get(name, [""] * len(form))] for name in names]
    result = pd.DataFrame(made, columns=["name", *form])
    faults = text_faults(result[~result["name"].isin(missing)], dict(zip(names, table["label"])))
    told = [" ".join(filter(None, fault)) for fault in faults.itertuples(index=False)]
    wrong = {
        "missing": list(map(repr, missing)),
        "not asked for": [match_names([name], missing).lacking or repr(name) for name in strange],
        "there again, the first is read": again,
        "with separators outside quotes, read as text": [repr(n) for n in joined if n in found.class_of],
        "lines that are no row": [repr(line[:60]) for line in odd],
    }
    said = [f"{len(of)} {what}: {', '.join(of)}" for what, of in wrong.items() if of]
    said += [f"{len(told)} faults (text_faults has all): {', '.join(told[:SHOWN])}"] * bool(told)
    if said := [*said, *filter(None, [found.said])]:
        n_read = f"{len(names) - len(missing)} of {len(names)}"
        warnings.warn(f"{n_read} classes read; {'; '.join(said)}", stacklevel=2)
    return result


def _rows(answers: Sequence[str]) -> tuple[tuple[str, ...], list[list[str]], list[str], list[str]]:
    """The form, rows of cells, names of those put together, lines that are no row; others are prose."""
    form: tuple[str, ...] = ()
    joined: list[str] = []
    sign, rows, odd = ",", [], []
    read = ("\n".join(re.findall(FENCED, one, re.M | re.S)) or one for one in answers)
    for line in "\n".join(read).splitlines():
        line = re.sub(CURLY, r'"\1"', line.strip())
        heads = {sign: re.sub(rf"[^\w{sign}]", "", line).lower().split(sign) for sign in ",;\t"}
        firsts = {own: sign for own in FORMS.values() for sign in heads if heads[sign] == ["name", *own]}
        if firsts:
            before, ((form, sign),) = form, firsts.items()
            if before not in ((), form):
                raise TextsError(f"answers must be of one form, got {', '.join(before)} and {line!r}")
        elif form and sign in line and has_word(line):
            try:
                (row,) = csv.reader([line], delimiter=sign, strict=True, skipinitialspace=True)
            except csv.Error:
                odd.append(line)
                continue
            name, *cells = map(str.strip, row)
            if len(cells) > len(form) == 1:  # a sentence whose commas are not quoted
                joined, cells = [*joined, name], [f"{sign} ".join(cells)]
            rows.append([name, *cells])
    if not form:
        forms = " or ".join(f"name,{','.join(own)}" for own in FORMS.values())
        got = "".join(answers)[:60]
        raise TextsError(f"an answer must hold a csv with the first line {forms}, got {got!r}")
    return form, rows, joined, odd


def text_faults(table: pd.DataFrame, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Find what breaks the form that `ask_for_texts` asks for; `zsar_lab.text.lint` looks at meaning.

    That is an empty text, one too long, one that holds a word of its class's name or label in any inflected
    form (but for SMALL_WORDS); a part with one of SIGNS; texts of two classes that differ in nothing but case
    and punctuation, or in one part alone.

    Returns:
        A row a fault: name, column ("" for all), fault. `table` is as of `read_texts`, labels by name.
    """
    columns = [column for form in FORMS.values() for column in form if column in table]
    names, found, in_parts = table["name"].to_list(), [], len(columns) > 1
    most, least = (MOST_WORDS_A_PART, FEWEST_UNLIKE_PARTS) if in_parts else (MOST_WORDS, 1)
    for row in table.astype(str).to_dict("records"):
        name = row["name"]
        of_name = _stems(f"{readable_label(name)} {(labels or {}).get(name, '')}").keys()
        for column in columns:
            text, n_words, own = row[column], len(row[column].split()), _stems(row[column])
            said = {f"has {n_words} words, not 1 to {most}": not 1 <= n_words <= most}
            said |= {f"holds {own[root]!r} of the name": True for root in sorted(of_name & own.keys())}
            said |= {f"has the sign {sign!r}": in_parts for sign in re.findall(SIGNS, text)}
            found += [(name, column, fault) for fault, is_so in said.items() if is_so]
    codes = [pd.factorize(table[column].astype(str).map(same))[0] for column in columns]
    unlike_CC = sum((code[:, None] != code for code in codes), np.zeros((len(names), len(names)), int))
    for i, j in np.argwhere(np.triu(unlike_CC < least, 1)):
        fault = f"differs from {names[i]!r} in {unlike_CC[i, j]} columns, must in {least}"
        found.append((names[j], "", fault))
    return pd.DataFrame(found, columns=["name", "column", "fault"])


def _stems(text: str) -> dict[str, str]:
    """The words of a text by their stem, but for small ones."""
    return {stem(word): word for word in re.findall(r"[^\W_]+", text.lower()) if word not in SMALL_WORDS}
