"""The class-text inspector: what the encoder makes of a class's text, and what another text does to the score of a trained split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.fitted import TRANSFER
from zsar_lab.results.rescore import UNSEEN, VALIDATION, Rescorer
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder import open_encoder
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.text.lint import edited_names, flags_of, inspect_class, put_back, save_texts
from zsar_lab.text.prompts import ClassText
from zsar_lab.viz import class_texts
from zsar_lab.viz.clips import GREY, message_box
from zsar_lab.viz.figures.style import labels_of
from zsar_lab.viz.widgets import said_or_shown

SCORED_ON = (("validation classes", VALIDATION), ("unseen classes", UNSEEN))


def class_text_inspector(
    catalog: Catalog,
    texts: ClassText,
    embed: Callable[[ClassText], ClassEmbeddings],
    files: EncoderFiles,
    rescorers: Mapping[str, Rescorer] | None = None,
    method: str = TRANSFER,
) -> ipywidgets.VBox:
    """Choose a class; see its exact text as the encoder reads it, its nearest classes and flags; write another and see which classes gain and lose.

    Edits of several classes add up until they are put back. `box.edited_text`, the class texts with all
    edits, can be read in a later cell: `workspace.embed(box.edited_text)`. What was typed but not read waits
    where it was typed.

    Args:
        catalog: gives the labels.
        texts: the class texts to start from, `workspace.class_text(prompt)`.
        embed: of a workspace; it should keep what it read, for it is called with all texts after every edit.
        files: of the same encoder, `workspace.encoder`.
        rescorers: the trained splits by name, `{split: Rescorer(workspace.embeddings(split),
            workspace.protocol(split))}`; without any, texts are read but not scored.
        method: the one scored by, see `Rescorer.score`.

    Raises:
        ValueError: as `embed` or `Rescorer.score`.
    """
    return _Inspector(catalog, texts, embed, files, dict(rescorers or {}), method).box


class _Inspector:
    """The widgets and their state: the embedded texts before and after the edits, and what was typed but not read."""

    def __init__(
        self,
        catalog: Catalog,
        texts: ClassText,
        embed: Callable[[ClassText], ClassEmbeddings],
        files: EncoderFiles,
        rescorers: dict[str, Rescorer],
        method: str,
    ) -> None:
        self._labels, self._embed, self._encoder, self._rescorers, self._method = (
            labels_of(catalog),
            embed,
            open_encoder(files),
            rescorers,
            method,
        )
        self._before = self._after = embed(texts)
        self._flags = flags_of(texts, self._labels, embed)
        self._typed: dict[str, str] = {}  # of classes left without reading
        self._shown = ""
        self._listing = False
        self._saved: set[Path] = set()
        self._scored: tuple[str, str, ClassText] | None = None
        self._score_html = ""
        self._make_widgets()
        self._list_classes()
        self._show_class()
        self._show_change()

    def _make_widgets(self) -> None:
        style = {"description_width": "60px"}
        self._split = ipywidgets.Dropdown(
            options=list(self._rescorers), description="split", style=style, layout={"width": "210px"}
        )
        self._class = ipywidgets.Dropdown(
            description="class", style=style, layout={"width": "min(400px, 100%)"}
        )
        self._on = ipywidgets.ToggleButtons(
            options=SCORED_ON, style={"button_width": "150px"}, layout={"margin": "2px 0 0 0"}
        )
        self._area = ipywidgets.Textarea(layout={"width": "98%"})
        self._read = ipywidgets.Button(
            description="Read and score" if self._rescorers else "Read", button_style="primary"
        )
        self._back = ipywidgets.Button(description="Put back", tooltip="the text of this class as it was")
        self._all_back = ipywidgets.Button(
            description="Put all back", tooltip="the texts of all classes as they were"
        )
        self._path = ipywidgets.Text(
            value="class_texts.csv",
            description="file",
            style={"description_width": "30px"},
            layout={"width": "300px"},
        )
        self._save = ipywidgets.Button(
            description="Save all texts", tooltip="as a csv file that a study's class_text can name"
        )
        self._message, self._reading, self._change, self._edits = (
            ipywidgets.HTML(layout={"width": "98%"}) for _ in range(4)
        )
        wrap = {"flex_flow": "row wrap"}
        scored_on = ipywidgets.HBox(
            [ipywidgets.Label("score on", layout={"margin": "2px 4px 2px 16px"}), self._on]
        )
        choices = [self._split, self._class, scored_on] if self._rescorers else [self._class]
        rows = [choices, [self._read, self._back, self._all_back], [self._path, self._save]]
        chosen, buttons, saving = (ipywidgets.HBox(row, layout=wrap) for row in rows)
        changed = [self._change] if self._rescorers else []
        self.box = ipywidgets.VBox(
            [chosen, self._area, buttons, self._message, *changed, self._reading, self._edits, saving]
        )
        self.box.add_class("zsar-class-texts")
        self._split.observe(lambda _: self._attempt(self._on_split), "value")
        self._on.observe(lambda _: self._attempt(self._show_change), "value")
        self._class.observe(self._on_class, "value")
        self._read.on_click(lambda _: self._attempt(self._on_read))
        self._back.on_click(lambda _: self._attempt(lambda: self._put_back([self._class.value])))
        self._all_back.on_click(lambda _: self._attempt(lambda: self._put_back(list(self._before.names))))
        self._save.on_click(lambda _: self._attempt(self._on_save))

    # what happens

    def _attempt(self, action: Callable[[], Any]) -> None:
        said_or_shown(action, self._message)

    def _on_split(self) -> None:
        self._list_classes()
        self._show_class()
        self._show_change()

    def _on_class(self, _: Any) -> None:
        if not self._listing:
            self._attempt(lambda: (self._show_class(), self._show_change()))

    def _on_read(self) -> None:
        name, texts = self._class.value, self._after.class_text
        text = "\n".join(line.strip() for line in self._area.value.strip().splitlines())
        before = self._text(self._before, name)
        if not text:
            raise ValueError(
                f"a class text must hold a word, that of “{self._labels[name]}” is empty; write it, or put it back"
            )
        if not texts.averaged and text.count("\n") != before.count("\n"):
            got, wanted = (len(lines.split("\n")) for lines in (text, before))
            prompt = self._before.class_text.prompt
            raise ValueError(
                f"a text of the prompt {prompt!r} must have {wanted} line{'s' * (wanted > 1)}, got {got}; mend it"
            )
        self._take(
            put_back(self._before.class_text, texts, name) if text == before else texts.edited(name, text),
            [name],
        )

    def _put_back(self, names: list[str]) -> None:
        texts = self._after.class_text
        for name in [name for name in names if name in edited_names(self._before.class_text, texts)]:
            texts = put_back(self._before.class_text, texts, name)
        self._take(texts, names)

    def _take(self, texts: ClassText, names: list[str]) -> None:
        """Read these texts; only when that went well they replace the present ones, and what was typed for these classes is forgotten."""
        if texts != self._after.class_text:
            after = self._before if texts == self._before.class_text else self._embed(texts)
            self._after, self._flags = after, flags_of(texts, self._labels, self._embed)
        for name in names:
            self._typed.pop(name, None)
        self._shown = ""  # what stands in the text area is read, or put back
        self._list_classes()
        self._show_class()
        self._show_change()

    def _on_save(self) -> None:
        path = Path(self._path.value.strip()).expanduser().resolve()
        save_texts(self._after.class_text, path, overwrite=path in self._saved)
        self._saved.add(path)
        n_edited = len(edited_names(self._before.class_text, self._after.class_text))
        self._message.value = message_box(
            f"{len(self._after.names)} texts, {n_edited} of them edited, are saved in '{path}'.", GREY
        )

    # what is shown

    def _list_classes(self) -> None:
        """Classes with flags first, then by label; with a mark for flags and one for edits, and the role in the split."""
        flagged, protocol = set(self._flags["name"]), self._protocol
        edited = set(edited_names(self._before.class_text, self._after.class_text))
        options: dict[str, str] = {}
        for name in sorted(
            self._after.names, key=lambda name: (name not in flagged, self._labels[name].casefold(), name)
        ):
            role = f" ({class_texts.role_of(protocol, name)})" if protocol else ""
            text = f"{'⚠ ' * (name in flagged)}{'✎ ' * (name in edited)}{self._labels[name]}{role}"
            options[text if text not in options else f"{text} [{name}]"] = name
        kept, self._listing = self._class.value, True
        try:
            self._class.options = list(options.items())
            self._class.value = kept if kept in self._after.names else next(iter(options.values()))
        finally:
            self._listing = False

    def _show_class(self) -> None:
        """The chosen class; what was typed for the former one is kept."""
        name, encoder = self._class.value, self._encoder
        if self._shown and self._area.value.strip() != self._text(self._after, self._shown):
            self._typed[self._shown] = self._area.value
        elif self._shown:
            self._typed.pop(self._shown, None)
        self._shown = name
        self._area.value = self._typed.get(name, self._text(self._after, name))
        self._area.rows = min(10, max(2, self._area.value.count("\n") + 1))
        seen = self._protocol.seen if self._protocol else None
        inspection = inspect_class(self._after, self._labels, name, encoder, self._flags, seen=seen)
        self._reading.value = class_texts.reading(inspection, self._labels, self._protocol)
        self._edits.value = class_texts.edits_html(
            self._before.class_text, self._after.class_text, self._labels
        )
        self.box.edited_text = self._after.class_text

    def _show_change(self) -> None:
        """How the chosen class acts on the score, and the score; scored anew only when split, clips or texts are others."""
        if not self._rescorers:
            return
        protocol, on, name = self._protocol, self._on.value, self._class.value
        asked = (self._split.value, on, self._after.class_text)
        if asked != self._scored:
            self._score_html, self._scored = self._score(*asked[:2]), asked
        about = class_texts.role_sentence(self._labels[name], class_texts.role_of(protocol, name), on)
        self._change.value = class_texts.note_html(about) + self._score_html

    def _score(self, split: str, on: str) -> str:
        rescorer, edited = (
            self._rescorers[split],
            edited_names(self._before.class_text, self._after.class_text),
        )
        if not edited:
            return class_texts.score_html(rescorer.score(self._before, self._method, on))
        idle = [
            self._labels[name]
            for name in edited
            if not class_texts.plays_a_part(class_texts.role_of(rescorer.protocol, name), on)
        ]
        return class_texts.change_html(
            rescorer.compare(self._before, self._after, self._method, on), self._labels, idle
        )

    # what is known

    @property
    def _protocol(self) -> Any:
        """The protocol of the chosen split; None without splits."""
        return self._rescorers[self._split.value].protocol if self._rescorers else None

    @staticmethod
    def _text(embeddings: ClassEmbeddings, name: str) -> str:
        return embeddings.class_text.texts[embeddings.names.index(name)]
