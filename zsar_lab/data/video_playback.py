"""Which video files Chromium plays as they are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from zsar_lab.data.video_packets import opened

CODECS = {  # that it plays of each container, under FFmpeg's names
    "mov,mp4,m4a,3gp,3g2,mj2": ("h264", "vp9", "av1"),
    "matroska,webm": ("h264", "vp8", "vp9", "av1"),
    "ogg": ("vp8",),
}


def plays_in_browser(path: Path) -> bool:
    """Whether Chromium plays the file from its start on and shows the frames that `read_frames` gives.

    What the file holds counts, not its name. Source: seen with Chromium 156, see tests/browser.

    Raises:
        UnreadableVideo: the file is absent, empty, damaged or no video.
    """
    path = Path(path)
    status = path.stat() if path.is_file() else None
    return _plays(path.absolute(), status and (status.st_mtime_ns, status.st_size))


@lru_cache(maxsize=4096)  # a widget asks of the same file each time that it is shown
def _plays(path: Path, version: tuple[int, int] | None) -> bool:
    with opened(path) as (container, stream):
        codecs = CODECS.get(container.format.name, ())
        known = [one for one in container.streams.video if one.codec_context is not None]
        played = [one for one in known if one.codec_context.codec.canonical_name in codecs]
        if "matroska" in container.format.name:  # the first track is shown there, not the default one
            played = played[:1]
        pixels = stream.codec_context.pix_fmt or ""
        # no decoder for 4:4:0, wrong colours of RGB in H.264
        is_odd = "440" in pixels or (stream.codec_context.name == "h264" and pixels.startswith("gbr"))
        return stream in played and not is_odd
