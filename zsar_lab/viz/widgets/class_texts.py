"""The class-text inspector: how the encoder reads a class's text, and what another text does to the score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ipywidgets
import numpy as np
import pandas as pd
from markupsafe import Markup

from zsar_lab.data.catalog import Catalog
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.rescore import UNSEEN, VALIDATION, WARNINGS, Rescorer, TextChange
from zsar_lab.text import lint
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder import open_encoder
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.prompts import ClassText, line_names
from zsar_lab.viz.clips import GREY, message_box, render
from zsar_lab.viz.figures.style import labels_of, unlike
from zsar_lab.viz.widgets import Panel, row, wide

SCORED_ON = (("validation classes", VALIDATION), ("unseen classes", UNSEEN))
SEEN, NO_ROLE = "seen", "not in this split"
ROLE_SENTENCES = {
    SEEN: "is a seen class: its text acts on the score through what seen classes pass on to those scored.",
    VALIDATION: "is a validation class: on unseen classes its text acts only through the settings.",
    UNSEEN: "is an unseen class: its text plays no part in the score on validation classes.",
    NO_ROLE: "is not in this split: its text plays no part in the score.",
}
MOST_ROWS = 30


@dataclass(frozen=True)
class Inspected:
    """The split, the class, and whose clips are scored: "validation" or "unseen"."""

    split: str = ""
    name: str = ""
    on: str = VALIDATION


class Lines(ipywidgets.VBox):
    """A field for each line of a structured text, with what belongs there; `value` is the whole text."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__([ipywidgets.Text(description=name, **wide("98%", 80)) for name in names])

    @property
    def value(self) -> str:
        """The lines, one below the other."""
        return "\n".join(field.value.strip() for field in self.children)

    @value.setter
    def value(self, text: str) -> None:
        lines = text.split("\n") + [""] * len(self.children)
        for field, line in zip(self.children, lines):
            field.value = line


class ClassTextInspector(Panel):
    """Read a class's exact text as the encoder does, its nearest classes and flags; edit it and score again.

    Edits of several classes add up until they are put back. What is typed but not read waits with its class.

    Args:
        catalog: gives the labels.
        texts: the class texts to start from, `workspace.class_text(prompt)`.
        embed: of a workspace; it is called with all texts after every edit, so it should cache.
        files: of the same encoder, `workspace.encoder`.
        rescorers: the trained splits by name, `{split: Rescorer(workspace.embeddings(split),
            workspace.protocol(split))}`; without any, texts are read but not scored.
        method: the one scored by, see `Rescorer.score`.

    Attributes:
        edited_text: the class texts with all edits, for `workspace.embed(widget.edited_text)`.

    Raises:
        ValueError: as `embed` or `Rescorer.score`.
    """

    def __init__(
        self,
        catalog: Catalog,
        texts: ClassText,
        embed: Callable[[ClassText], ClassEmbeddings],
        files: EncoderFiles,
        rescorers: Mapping[str, Rescorer] | None = None,
        method: str = "transfer",
    ) -> None:
        self._rescorers, self._method = dict(rescorers or {}), method
        super().__init__("zsar-class-texts", Inspected(next(iter(self._rescorers), "")))
        self._labels, self._embed, self._encoder = labels_of(catalog), embed, open_encoder(files)
        self._before = self._after = embed(texts)
        self._flags = lint.flags_of(texts, self._labels, embed)
        self._typed: dict[str, str] = {}  # of classes left without reading
        self._in_area = ""
        self._saved: set[Path] = set()
        self._scored: tuple[str, str, ClassText] | None = None
        self._score = Markup("")
        self._make()
        self.choose()

    @property
    def edited_text(self) -> ClassText:
        """The class texts with all edits."""
        return self._after.class_text

    def _make(self) -> None:
        on = self.control("on", ipywidgets.ToggleButtons(options=SCORED_ON, style={"button_width": "150px"}))
        scored_on = ipywidgets.Label("score on", layout={"margin": "2px 4px 2px 16px"})
        chosen = [self.dropdown("name", "class", "400px")]
        if self._rescorers:
            chosen = [self.dropdown("split", "split", "210px"), *chosen, ipywidgets.HBox([scored_on, on])]
        lines = line_names(self._before.class_text)
        one = self._before.class_text.averaged or len(lines) == 1
        area = ipywidgets.Textarea(layout={"width": "98%"}) if one else Lines(lines)
        self.controls["text"] = area
        read = "Read and score" if self._rescorers else "Read"
        buttons = row(
            self.button("read", read, self._on_read, primary=True),
            self.button("put_back", "Put back", lambda: self._put_back([self.state.name])),
            self.button("put_all_back", "Put all back", lambda: self._put_back(list(self._before.names))),
        )
        saving = row(
            self.field("path", "file", "class_texts.csv", "300px", 30),
            self.button(
                "save", "Save all texts", self._on_save, tooltip="a csv that a study's prompt can name"
            ),
        )
        pages = [self.page(name) for name in ("message", "change", "reading", "edits")]
        self.lay_out(row(*chosen), area, buttons, *pages, saving)

    # what a user does

    def _on_read(self) -> None:
        name, texts = self.state.name, self._after.class_text
        text = "\n".join(line.strip() for line in self.controls["text"].value.strip().splitlines())
        before = _text(self._before, name)
        if not text:
            raise ValueError(f"the text of “{self._labels[name]}” must hold a word; write it, or put it back")
        got, wanted = ([line for line in lines.split("\n") if line] for lines in (text, before))
        if not texts.averaged and len(got) != len(wanted):
            of = f"a text of the prompt {self._before.class_text.prompt!r}"
            raise ValueError(f"{of} must have {len(wanted)} line{'s' * (len(wanted) > 1)}, got {len(got)}")
        back = lint.put_back(self._before.class_text, texts, name)
        self._take(back if text == before else texts.edited(name, text), [name])

    def _put_back(self, names: list[str]) -> None:
        texts = self._after.class_text
        for name in set(names) & set(lint.edited_names(self._before.class_text, texts)):
            texts = lint.put_back(self._before.class_text, texts, name)
        self._take(texts, names)

    def _take(self, texts: ClassText, names: list[str]) -> None:
        """Embed these texts; only when that went well they replace the present ones."""
        if texts != self._after.class_text:
            after = self._before if texts == self._before.class_text else self._embed(texts)
            self._after, self._flags = after, lint.flags_of(texts, self._labels, self._embed)
        for name in names:
            self._typed.pop(name, None)
        self._in_area = ""  # the area's text is read, or put back
        self.choose()

    def _on_save(self) -> None:
        path = Path(self.controls["path"].value.strip()).expanduser().resolve()
        lint.save_texts(self._after.class_text, path, overwrite=path in self._saved)
        self._saved.add(path)
        n_edited = len(lint.edited_names(self._before.class_text, self._after.class_text))
        said = f"{len(self._after.names)} texts, {n_edited} of them edited, are saved in '{path}'."
        self.html["message"].value = message_box(said, GREY)

    # what is shown

    def show(self) -> None:
        """Draw the chosen class: its text, how the encoder reads it, all edits, and the score."""
        before, after, labels = self._before.class_text, self._after.class_text, self._labels
        if self._rescorers:
            self.offer("split", list(self._rescorers))
        rescorer = self._rescorers.get(self.state.split)
        protocol = rescorer.protocol if rescorer else None
        self.offer("name", self._classes(protocol))
        name = self.state.name
        self._show_text(name)
        seen = protocol.seen if protocol else None
        read = lint.inspect_class(self._after, labels, name, self._encoder, self._flags, seen=seen)
        self.html["reading"].value = reading(read, labels, protocol)
        self.html["edits"].value = edits_html(before, after, labels)
        if rescorer is None or protocol is None:
            return
        asked = (self.state.split, self.state.on, after)
        if asked != self._scored:
            self._score, self._scored = self._scored_again(rescorer), asked
        about = role_sentence(labels[name], role_of(protocol, name), self.state.on)
        self.html["change"].value = message_box(about, "transparent") + self._score

    def _classes(self, protocol: Protocol | None) -> list[tuple[str, str]]:
        """Classes with flags first, then by label; with a sign for flags, one for edits, and the role."""
        flagged, labels = set(self._flags["name"]), self._labels
        edited = set(lint.edited_names(self._before.class_text, self._after.class_text))
        names = sorted(self._after.names, key=lambda one: (one not in flagged, labels[one].casefold(), one))
        roles = [f" ({role_of(protocol, name)})" if protocol else "" for name in names]
        return [
            (f"{'⚠ ' * (name in flagged)}{'✎ ' * (name in edited)}{label}{role}", name)
            for name, label, role in zip(names, unlike(labels, names), roles)
        ]

    def _show_text(self, name: str) -> None:
        """The text of the chosen class; what was typed for the former one waits."""
        area, former = self.controls["text"], self._in_area
        if former:
            self._typed.pop(former, None)
        if former and area.value.strip() != _text(self._after, former):
            self._typed[former] = area.value
        self._in_area = name
        area.value = self._typed.get(name, _text(self._after, name))
        if isinstance(area, ipywidgets.Textarea):
            area.rows = min(10, max(2, area.value.count("\n") + 1))

    def _scored_again(self, rescorer: Rescorer) -> Markup:
        on, edited = self.state.on, lint.edited_names(self._before.class_text, self._after.class_text)
        if not edited:
            score, warning = rescorer.score(self._before, self._method, on), WARNINGS[on] * (on == UNSEEN)
            said = f"{score.scored}: {100 * score.top1:.1f} %; no text is edited yet."
            return render("text_change.html", summary=said, warning=warning, settings="", idle=(), rows=None)
        roles = {name: role_of(rescorer.protocol, name) for name in edited}
        idle = [name for name, role in roles.items() if role not in (SEEN, VALIDATION, on)]
        change = rescorer.compare(self._before, self._after, self._method, on)
        return change_html(change, self._labels, [self._labels[name] for name in idle])


def role_of(protocol: Protocol, name: str) -> str:
    """What a class is in a split: "seen", "validation", "unseen" or "not in this split"."""
    groups = {SEEN: protocol.seen, VALIDATION: protocol.validation, UNSEEN: protocol.unseen}
    return next((role for role, names in groups.items() if name in names), NO_ROLE)


def role_sentence(label: str, role: str, on: str) -> str:
    """How the text of a class of this role acts on a score on validation or unseen classes."""
    return f"“{label}” " + (f"is one of the {on} classes scored." if role == on else ROLE_SENTENCES[role])


def reading(read: lint.ClassInspection, labels: Mapping[str, str], protocol: Protocol | None = None) -> str:
    """Html: the text word by word, its flags, and the nearest classes with what they are in the split."""
    role = (lambda name: role_of(protocol, name)) if protocol else None
    lines = [{"words": words_of(line), "n_tokens": line.n_tokens} for line in read.lines]
    unknown = dict.fromkeys(word for line in read.lines for word in line.unknown)
    split = dict.fromkeys(word for line in read.lines for word in line.heavily_split)
    legend = {
        "wavy underline, unknown to the encoder": ", ".join(unknown),
        "dashed underline, in three pieces or more, so hardly known": ", ".join(split),
    }
    return render("text_reading.html", read=read, labels=labels, role=role, lines=lines, legend=legend)


def words_of(line: lint.LineRead) -> list[tuple[str, str, str]]:
    """The parts of a line: text, underline ("wavy", "dashed" or ""), and what it means.

    A word has dots between its pieces, "po·mmel", unless the pieces are not written as the word is.
    """
    shown, place = [], 0
    for word in line.words:
        start, text = line.text.find(word.text, place), word.text
        shown.append((line.text[place:start], "", ""))
        place = start + len(text)
        pieces = [piece.removeprefix("##").strip("▁Ġ") for piece in word.pieces]
        underline, meaning = "dashed" if word.heavily_split else "", f"read in {len(pieces)} pieces: "
        meaning = meaning + " ".join(word.pieces) if underline else ""
        if word.unknown:
            underline, meaning = "wavy", "unknown to the encoder"
        elif sum(map(len, pieces)) == len(text):
            ends = np.cumsum([len(piece) for piece in pieces]).tolist()
            text = "·".join(text[start:end] for start, end in zip([0, *ends], ends))
        shown.append((text, underline, meaning))
    return [*shown, (line.text[place:], "", "")]


def change_html(change: TextChange, labels: Mapping[str, str], idle: Sequence[str] = ()) -> Markup:
    """Html: the score before and after an edit, what may be claimed, and each class that gained or lost.

    Args:
        change: of `Rescorer.compare`.
        labels: the readable label of each class name.
        idle: labels of edited classes whose texts cannot change this score.
    """
    table, half = change.table(), MOST_ROWS // 2
    changed = table[(table["gained_clips"] > 0) | (table["lost_clips"] > 0)]
    shown = changed if len(changed) <= MOST_ROWS else pd.concat([changed.head(half), changed.tail(half)])
    numbers = {"n_hidden": len(changed) - len(shown), "n_same": len(table) - len(changed)}
    rows, warning = shown.to_dict("records"), WARNINGS[change.before.on]
    about = {"summary": change.summary(), "settings": change.settings(), "warning": warning, "idle": idle}
    return render("text_change.html", rows=rows, labels=labels, n_classes=len(table), **numbers, **about)


def edits_html(before: ClassText, after: ClassText, labels: Mapping[str, str]) -> str:
    """Html: how many texts are edited, and each of them before and after."""
    edited, both = set(lint.edited_names(before, after)), zip(before.names, before.texts, after.texts)
    rows = [
        (labels[name], *(text.replace("\n", " · ") for text in texts))
        for name, *texts in both
        if name in edited
    ]
    return render("text_edits.html", rows=rows, n_texts=len(before.names))


def _text(embeddings: ClassEmbeddings, name: str) -> str:
    return embeddings.class_text.texts[embeddings.names.index(name)]
