"""Clips that play, as html: a grid of small videos with a caption each."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.reading import make_previews
from zsar_lab.text.prompts import label

LARGEST_GRID_BYTES = 40_000_000
TEXT = "color:var(--jp-content-font-color1,#808080);font-family:var(--jp-content-font-family,sans-serif)"
RIGHT, WRONG, GREY = "#009E73", "#D55E00", "#808080"


@dataclass(frozen=True)
class Caption:
    """What stands below a clip: lines of text, and whether the clip was named right (None: not asked)."""

    lines: tuple[str, ...]
    right: bool | None = None


def clip_grid(
    catalog: Catalog,
    ids: Sequence[str],
    captions: Sequence[Caption] | None = None,
    columns: int = 8,
    width_px: int = 112,
) -> str:
    """Html of playing videos, embedded, so that a saved page needs no files. All text in it is escaped.

    A clip that browsers do not play (AVI and others), a part of a longer video, or one of over 60 kB is shown
    as a small preview, see `make_previews`. A clip that cannot be shown (the file is gone, or the page would
    become too large) is a box that says so.

    Args:
        catalog: gives paths and labels.
        ids: clip ids, shown in this order.
        captions: one a clip; the class labels when None.
        columns: at most this many beside each other; fewer on a narrow page.
        width_px: of one clip.

    Raises:
        ValueError: an id is not in the catalog, or there are not as many captions as ids.
    """
    clips = catalog.clips.set_index("id")
    unknown = [clip_id for clip_id in ids if clip_id not in clips.index]
    if unknown:
        raise ValueError(f"clips must be in the catalog, {len(unknown)} are not (first {unknown[0]!r})")
    if captions is None:
        labels = dict(zip(catalog.classes["name"], label(catalog.classes)))
        captions = [Caption((labels[clips.at[clip_id, "class"]],)) for clip_id in ids]
    if len(captions) != len(ids):
        raise ValueError(f"there must be one caption a clip ({len(ids)}), got {len(captions)}")
    tiles, left, shown = [], LARGEST_GRID_BYTES, make_previews(catalog, ids)
    for clip_id, caption in zip(ids, captions):
        content = _content(shown[clip_id], left)
        left -= len(content) if isinstance(content, bytes) else 0
        tiles.append(_tile(clip_id, content, caption, width_px))
    most = columns * (width_px + 16)
    grid = f"display:grid;grid-template-columns:repeat(auto-fill,minmax({width_px + 6}px,1fr));gap:10px;max-width:{most}px;{TEXT}"
    return f'<div class="zsar-clips" style="{grid}">{"".join(tiles)}</div>'


def contact_sheet(
    catalog: Catalog, per_class: int = 1, columns: int = 8, width_px: int = 112, most_classes: int = 200
) -> str:
    """A clip grid with the first usable clips of every class, in the order of families.

    Args:
        catalog: of any dataset.
        per_class: clips of each class.
        columns, width_px: see `clip_grid`.
        most_classes: of more classes, so many are shown, evenly spread; a line above the grid says so.

    Raises:
        ValueError: per_class or most_classes is below 1.
    """
    if per_class < 1 or most_classes < 1:
        raise ValueError(f"per_class and most_classes must be 1 or more, got {per_class} and {most_classes}")
    clips = catalog.usable
    classes = (
        catalog.classes.sort_values("family", kind="stable")
        if "family" in catalog.classes
        else catalog.classes
    )
    first = clips.groupby("class")["id"].apply(lambda ids: ids.head(per_class).tolist()).to_dict()
    names = [name for name in classes["name"] if name in first]
    shown = (
        [names[number * len(names) // most_classes] for number in range(most_classes)]
        if len(names) > most_classes
        else names
    )
    grid = clip_grid(
        catalog, [clip_id for name in shown for clip_id in first[name]], columns=columns, width_px=width_px
    )
    return (
        grid
        if len(shown) == len(names)
        else message_box(f"{len(shown)} of {len(names)} classes are shown", GREY) + grid
    )


def message_box(text: str, colour: str = WRONG) -> str:
    """A sentence in a visible box, escaped."""
    return f'<div class="zsar-message" style="border:1px solid {colour};padding:4px 8px;{TEXT}">{html.escape(text)}</div>'


def _content(shown: Path | str, bytes_left: int) -> bytes | str:
    """The file's bytes, or why it is not shown."""
    if isinstance(shown, str):
        return f"not shown: {shown}"
    try:
        if shown.stat().st_size > bytes_left:
            return f"not shown: the page already holds {LARGEST_GRID_BYTES / 1e6:g} MB of videos"
        return shown.read_bytes()
    except OSError as error:
        return f"not shown: {error.strerror or error}: {shown}"


def _tile(clip_id: str, content: bytes | str, caption: Caption, width_px: int) -> str:
    colour = {None: "transparent", True: RIGHT, False: WRONG}[caption.right]
    if isinstance(content, bytes):
        source = "data:video/mp4;base64," + base64.b64encode(content).decode("ascii")
        name = html.escape(f"{clip_id}: {', '.join(caption.lines)}")
        plays = f'autoplay loop muted playsinline width="{width_px}" style="display:block"'
        shown = f'<video src="{source}" {plays} title="{name}" aria-label="{name}"></video>'
    else:
        box = f"width:{width_px}px;min-height:{width_px}px;border:1px dashed #808080;font-size:11px;overflow-wrap:anywhere;box-sizing:border-box"
        shown = f'<div class="zsar-missing" style="{box};padding:4px">{html.escape(content)}</div>'
    mark = {None: "", True: f'<b style="color:{RIGHT}">✓ </b>', False: f'<b style="color:{WRONG}">✗ </b>'}[
        caption.right
    ]
    lines = mark + "<br>".join(html.escape(line) for line in caption.lines)
    style = f"margin:0;width:{width_px + 6}px;font-size:12px;line-height:1.25;overflow-wrap:anywhere"
    frame = f"border:3px solid {colour};width:{width_px}px"
    return (
        f'<figure style="{style}"><div style="{frame}">{shown}</div><figcaption>{lines}</figcaption></figure>'
    )
