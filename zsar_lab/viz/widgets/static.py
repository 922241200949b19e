"""The picture that a widget leaves of itself in a saved notebook: html that runs nothing, with its note.

JupyterLab shows a widget whose kernel is gone as an error, and GitHub not at all; so the picture is an output
of its own before the widget's, and its style hides whichever of the two is of no use. It is html with images
as data URIs, not a png: text stays text, and no library here draws letters into pixels.
"""

from __future__ import annotations

import base64
import functools
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from IPython.display import HTML, display
from markupsafe import Markup

from zsar_lab.data.pixels import jpeg_of
from zsar_lab.data.video import UnreadableVideo, read_frames
from zsar_lab.viz.clips import render

PICTURES_ONLY = (
    "ZSAR_LAB_PICTURES"  # set where notebooks are executed to be read: no widget after the picture
)
MOST_STILLS = 60
STILL_PX, QUALITY = 96, 72
VIDEO = re.compile(r"<video\b([^>]*?)\bsrc=\"data:video/mp4;base64,([^\"]+)\"([^>]*)>(.*?)</video>", re.S)
RUNS = re.compile(r"<(style|script)\b.*?</\1>|\s(on[a-z]+|tabindex|role|data-lm-[a-z-]+)=\"[^\"]*\"", re.S)


class LeavesPicture:
    """A widget that is displayed with its picture; only with it where PICTURES_ONLY is set."""

    def _ipython_display_(self) -> None:
        display(HTML(picture_of(self)))
        if not os.environ.get(PICTURES_ONLY):
            view = self._repr_mimebundle_()  # type: ignore[attr-defined]
            display(view | {"text/plain": f"{type(self).__name__}: run this cell"}, raw=True)


def picture_of(widget: Any) -> Markup:
    """Html of what a widget shows now: values of its controls, its texts, figures, and stills of clips."""
    return render("picture.html", content=Markup(_part(widget)))


def _part(widget: Any) -> str:
    if hasattr(widget, "picture"):  # of a figure the layout is plotly's
        return str(widget.picture())
    if widget.layout.display == "none":
        return ""
    if isinstance(widget, ipywidgets.Box):
        parts = [part for part in map(_part, widget.children) if part]
        beside = isinstance(widget, ipywidgets.HBox)
        look = "display:flex;flex-wrap:wrap;gap:2px 18px;align-items:flex-start" if beside else "min-width:0"
        return f'<div style="{look}">{"".join(parts)}</div>' if parts else ""
    if isinstance(widget, (ipywidgets.HTML, ipywidgets.Label)) or hasattr(widget, "html"):
        return _page(widget.html if hasattr(widget, "html") else widget.value)
    return _control(widget)


def _page(html: str) -> str:
    if not html:
        return ""
    flex = ' style="flex:1 1 260px;min-width:0"' if "<table" in html or "<video" in html else ""
    return f"<div{flex}>{with_stills(RUNS.sub('', html), plays=False)}</div>"


def _control(widget: Any) -> str:
    """A control's words and value."""
    name, value = getattr(widget, "description", ""), getattr(widget, "value", None)
    if isinstance(widget, ipywidgets.Button):
        return str(Markup("<div>[{}]</div>").format(name))
    if isinstance(widget, ipywidgets.Checkbox):
        return str(Markup("<div>{} {}</div>").format("☑" if value else "☐", name))
    if isinstance(widget, ipywidgets.Textarea):
        return str(Markup('<pre style="white-space:pre-wrap;max-width:640px">{}</pre>').format(value))
    if value is None:
        return ""
    value = getattr(widget, "label", None) or value or getattr(widget, "placeholder", "")
    return str(Markup("<div>{}<b>{}</b></div>").format(f"{name}: " if name else "", value))


def with_stills(html: str, plays: bool = True) -> str:
    """A middle frame in each clip of `clip_grid`: in its place, or (`plays`) where a page plays no videos.

    Of more than MOST_STILLS clips the rest get none.
    """
    left = MOST_STILLS

    def still(found: re.Match[str]) -> str:
        nonlocal left
        left -= 1
        image = _still(found[2]) if left >= 0 else ""
        kept = " ".join(re.findall(r"\b(?:width|title|alt)=\"[^\"]*\"", found[1] + found[3]))
        shown = f'<img src="{image}" {kept}>' if image else ""
        return found[0].removesuffix("</video>") + shown + "</video>" if plays else shown

    return VIDEO.sub(still, html)


@functools.lru_cache(512)
def _still(video: str) -> str:
    """The middle frame of an embedded mp4 as a data URI; "" where it cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        path.write_bytes(base64.b64decode(video))
        try:
            (frame,) = read_frames(path, lambda times_s: np.array([len(times_s) // 2]), STILL_PX)
        except UnreadableVideo:
            return ""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg_of(frame, QUALITY)).decode()
