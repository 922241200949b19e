"""Writing H.264 videos that browsers play."""

from __future__ import annotations

from pathlib import Path
from platform import machine

import numpy as np

from zsar_lab.files import writing

# x264 with AVX-512 gives other bytes from one call to the next; with these instructions it does not
REPEATABLE = "asm=sse4.2"


def write_mp4(path: Path, frames: np.ndarray, fps: int, crf: int = 23) -> None:
    """Write an H.264 mp4 that browsers play (yuv420p, index at the front); equal frames give equal bytes.

    Args:
        path: the file to make, whole or not at all; it must end in ".mp4".
        frames: RGB, uint8 in 0..255, shape [T, H, W, 3] with T >= 1 and even H and W.
        fps: frames a second, 1 or more.
        crf: constant rate factor of x264, 0 (lossless) to 51 (worst).
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"the file must end in '.mp4', got '{path}'")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(f"frames must be uint8 [T, H, W, 3] with T >= 1, got {frames.dtype} {frames.shape}")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2 or not height or not width:
        raise ValueError(f"height and width must be even for yuv420p, got {height} x {width}")
    if int(fps) != fps or fps < 1:
        raise ValueError(f"fps must be a whole number of 1 or more, got {fps}")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must be in 0..51, got {crf}")
    import av

    options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
    if machine() in ("x86_64", "AMD64"):
        options["x264-params"] = REPEATABLE
    with writing(path) as temporary:
        with av.open(str(temporary), mode="w", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=int(fps), options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for image in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
