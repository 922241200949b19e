"""Html for notebooks by templates that escape all text: messages, grids of playing clips. Owner of jinja2."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.reading import make_previews
from zsar_lab.text.prompts import label

LARGEST_GRID_BYTES = 40_000_000
SCORE_IS = "The score is the cosine of the text with the clip, -1 to 1, and no probability."
TEXT = "color:var(--jp-content-font-color1,inherit);font-family:var(--jp-content-font-family,sans-serif)"
MUTED = "color:color-mix(in srgb,currentColor 75%,transparent)"
CELL = "padding:1px 10px 1px 0;text-align:left;vertical-align:top;overflow-wrap:anywhere"
NUMBER = (
    "padding:1px 10px 1px 0;text-align:right;vertical-align:top;white-space:nowrap;"
    "font-variant-numeric:tabular-nums"
)
# told apart by colour-blind people; each means one thing: grey frames say nothing, blue is a quantity
RIGHT, WRONG, GREY, BLUE, CHOSEN = "#009E73", "#D55E00", "#808080", "#0072B2", "#CC79A7"


@dataclass(frozen=True)
class Caption:
    """Lines of text below a clip, and whether its prediction is right (None: not asked)."""

    lines: tuple[str, ...]
    right: bool | None = None


@functools.cache
def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.globals.update(TEXT=TEXT, MUTED=MUTED, CELL=CELL, NUMBER=NUMBER, signed=signed)
    found.globals.update(RIGHT=RIGHT, WRONG=WRONG, GREY=GREY, BLUE=BLUE, CHOSEN=CHOSEN)
    found.globals["enlarge"] = Path(__file__).with_name("templates").joinpath("enlarge.js").read_text("utf-8")
    return found


def signed(colour: str) -> str:
    """The style of a sign in that colour, drawn towards the text's so that it can be read in both themes."""
    return f"color:color-mix(in srgb,{colour} 55%,currentColor)"


def render(template: str, **values: Any) -> Markup:
    """The html of a file in `templates`; every value is escaped unless it is html of `render` itself."""
    return Markup(_templates().get_template(template).render(values))


def message_box(text: str, colour: str = WRONG) -> Markup:
    """A sentence in a visible box, escaped."""
    return render("message.html", text=text, colour=colour)


def clip_grid(
    catalog: Catalog,
    ids: Sequence[str],
    captions: Sequence[Caption] | None = None,
    columns: int = 8,
    width_px: int = 112,
) -> Markup:
    """Html of playing videos, embedded, so that a saved page needs no files; a click or Enter enlarges one.

    A clip that browsers do not play, a part of a longer video, or one of over 60 kB is shown as a small
    preview, see `make_previews`. A clip that cannot be shown is a box with the reason.

    Args:
        catalog: gives paths and labels.
        ids: clip ids, shown in this order.
        captions: one a clip; the class labels when None.
        columns: at most this many beside each other; fewer on a narrow page.
        width_px: of one clip.

    Raises:
        ValueError: an id is not in the catalog, or there are not as many captions as ids.
    """
    class_of = dict(zip(catalog.clips["id"], catalog.clips["class"]))
    unknown = [clip_id for clip_id in ids if clip_id not in class_of]
    if unknown:
        raise ValueError(f"clips must be in the catalog, {len(unknown)} are not (first {unknown[0]!r})")
    if captions is None:
        labels = dict(zip(catalog.classes["name"], label(catalog.classes)))
        captions = [Caption((labels[class_of[clip_id]],)) for clip_id in ids]
    if len(captions) != len(ids):
        raise ValueError(f"there must be one caption a clip ({len(ids)}), got {len(captions)}")
    tiles, left, shown = [], LARGEST_GRID_BYTES, make_previews(catalog, ids)
    for clip_id, caption in zip(ids, captions):
        video, missing = _content(shown[clip_id], left)
        left -= len(video)
        title = f"{clip_id}: {', '.join(caption.lines)}"
        source = base64.b64encode(video).decode("ascii")
        tiles.append({"video": source, "missing": missing, "title": title, "caption": caption})
    return render("clips.html", tiles=tiles, width=width_px, most=columns * (width_px + 16))


def _content(shown: Path | str, bytes_left: int) -> tuple[bytes, str]:
    """The file's bytes, or no bytes and why it is not shown."""
    if isinstance(shown, str):
        return b"", f"not shown: {shown}"
    try:
        if shown.stat().st_size > bytes_left:
            return b"", f"not shown: the page already holds {LARGEST_GRID_BYTES / 1e6:g} MB of videos"
        return shown.read_bytes(), ""
    except OSError as error:
        return b"", f"not shown: {error.strerror or error}: {shown}"


def contact_sheet(catalog: Catalog, per_class: int = 1, most_classes: int = 200) -> Markup:
    """A clip grid with the first usable clips of every class, in the order of families.

    Of more than `most_classes`, so many are shown, evenly spread; a line above the grid says so.

    Raises:
        ValueError: per_class or most_classes is below 1.
    """
    if per_class < 1 or most_classes < 1:
        raise ValueError(f"per_class and most_classes must be 1 or more, got {per_class} and {most_classes}")
    classes, first = catalog.classes, catalog.usable.groupby("class").head(per_class)
    if "family" in classes:
        classes = classes.sort_values("family", kind="stable")
    names = [name for name in classes["name"] if name in set(first["class"])]
    n_shown = min(len(names), most_classes)
    shown = [names[number * len(names) // n_shown] for number in range(n_shown)]
    grid = clip_grid(catalog, [clip for name in shown for clip in first.loc[first["class"] == name, "id"]])
    if n_shown == len(names):
        return grid
    return message_box(f"{n_shown} of {len(names)} classes are shown", GREY) + grid
