"""Write video files of many kinds, and what each reader makes of them as a table.

    python docs/video_readers.py FOLDER [--python NAME=PYTHON ...] > docs/video_readers.md

The files, whose pictures carry their number, stay in FOLDER. Readers that are not installed are left out;
--python names another environment for one of them, for decord and decord2 cannot be installed side by side.
"""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "fixtures"), str(ROOT / "benchmarks")]

from bench_decode import READERS, Reader  # noqa: E402
from painted_videos import TURNS, Kind, number_in, shown, write  # noqa: E402

N_LISTS, N_INDICES = 12, 4
OPEN, WIDE = {"group": "open", "b_frames": 3}, {"aspect": Fraction(16, 11)}
CASES = {
    "H.264, closed groups": Kind("h264", "mp4"),
    "H.264, closed groups, B-frames": Kind("h264", "mp4", b_frames=3),
    "the same in Matroska": Kind("h264", "mkv", b_frames=3),
    "H.264, open groups": Kind("h264", "mp4", **OPEN),
    "the same in Matroska, cut out of another file": Kind("h264", "mkv", cut="hidden", **OPEN),
    "H.264, intra refresh": Kind("h264", "mp4", group="refresh"),
    "H.264 in fragments": Kind("h264", "mp4", 60, b_frames=2),
    "H.264, cut by copying, hidden lead-in": Kind("h264", "mp4", gop=30, b_frames=2, cut="hidden"),
    "H.264 in AVI": Kind("h264", "avi"),
    "H.264 in AVI, B-frames": Kind("h264", "avi", b_frames=2),
    "H.264, transport stream": Kind("h264", "ts", b_frames=2),
    "H.264, transport stream that begins between key frames": Kind("h264", "ts", cut="between"),
    "H.264 in Flash video": Kind("h264", "flv", b_frames=2),
    "H.264, raw stream": Kind("h264", "h264"),
    "H.264, interlaced": Kind("h264", "mp4", interlaced=True),
    "HEVC, closed groups": Kind("hevc", "mp4"),
    "HEVC, open groups": Kind("hevc", "mp4", **OPEN),
    "MPEG-4 in AVI": Kind("mpeg4", "avi"),
    "MPEG-4 in AVI, B-frames": Kind("mpeg4", "avi", b_frames=2),
    "MPEG-4 in AVI, dropped frames": Kind("mpeg4", "avi", rate="dropped"),
    "MPEG-2, program stream": Kind("mpeg2", "mpg", **OPEN),
    "MPEG-2, transport stream": Kind("mpeg2", "ts", **OPEN),
    "VP8": Kind("vp8", "webm"),
    "VP9": Kind("vp9", "webm"),
    "VP9, variable rate": Kind("vp9", "webm", rate="variable"),
    "AV1": Kind("av1", "mp4"),
    "Windows Media": Kind("wmv2", "wmv"),
    "Flash video": Kind("flv1", "flv"),
    "Motion JPEG": Kind("mjpeg", "avi"),
    "ProRes": Kind("prores", "mov"),
    "FFV1": Kind("ffv1", "mkv"),
    "GIF": Kind("gif", "gif"),
    "first picture after 0.6 s": Kind("h264", "mp4", rate="late"),
    "variable rate": Kind("h264", "mp4", rate="variable"),
    "a cover picture": Kind("h264", "mp4", tracks="cover"),
    "a second track of higher rate": Kind("h264", "mp4", tracks="first"),
    "the default track is the second": Kind("h264", "mp4", tracks="second"),
    "turned by a quarter": Kind("h264", "mp4", turn="right"),
    "turned by a quarter, Matroska": Kind("h264", "mkv", turn="right"),
    "mirrored": Kind("h264", "mp4", turn="mirrored"),
    "pixels that are not square (size)": Kind("h264", "mp4", **WIDE),
}


def main() -> None:
    """Write the files, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", action="append", default=[], help="NAME=PYTHON of another environment")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    pythons = dict(given.split("=", 1) for given in options.python)
    names = [name for name in READERS if name != "before"]
    readers = {name: Reader(name, ROOT, options.folder, pythons.get(name, sys.executable)) for name in names}
    readers = {name: reader for name, reader in readers.items() if reader.version}
    print(HEAD.format(N_LISTS * N_INDICES))
    heads = ["zsar_lab" if name == "ours" else f"{name} {reader.version}" for name, reader in readers.items()]
    print("| file | " + " | ".join(heads) + " |\n" + "|---" * (len(readers) + 1) + "|")
    silently = [0] * len(readers)
    for number, (case, kind) in enumerate(CASES.items()):
        path = options.folder / f"{number:02d}_{kind.codec}.{kind.suffix}"
        write(kind, path)
        cells = [found(reader, kind, path) for reader in readers.values()]
        silently = [count + ("wrong" in cell) for count, cell in zip(silently, cells)]
        print(f"| {case} | " + " | ".join(cells) + " |", flush=True)
    print(f"| kinds of {len(CASES)} with wrong frames | " + " | ".join(map(str, silently)) + " |")


def found(reader: Reader, kind: Kind, path: Path) -> str:
    """What a reader makes of a file: "right", how many frames are wrong, or that it refuses."""
    right = [number_in(TURNS[kind.turn][1](image), kind.turn) for image in shown(path)]
    random, wrong, refused = np.random.default_rng(0), 0, 0
    for _ in range(N_LISTS):
        indices = np.sort(random.choice(len(right), N_INDICES, replace=False))
        try:
            frames = reader.read(path, indices)[1]
        except RuntimeError:
            refused += 1
            continue
        wide = abs(frames.shape[2] / frames.shape[1] / (192 / 112 * float(kind.aspect)) - 1) < 0.02
        upright = kind.turn in ("right", "left") or wide
        wrong += sum(
            not upright or number_in(frame, kind.turn) != right[index]
            for frame, index in zip(frames, indices)
        )
    if refused == N_LISTS:
        return "refuses"
    said = [f"{wrong} wrong"] * bool(wrong) + [f"{refused} list{'s' * (refused > 1)} refused"] * bool(refused)
    return "**" + ", ".join(said) + "**" if said else "right"


HEAD = """# What readers make of video files

Each picture of these files carries its number. {} frames a file are asked for, in twelve lists of four, each
by a reader opened anew, and compared with what a player shows: decoding the default stream from the start, as
displayed. "Wrong" means another frame than asked for, or one turned, mirrored or squeezed, without an error.
"Refused" lists raised an error. Seen on Linux x86_64 with Python 3.11.

- decord and decord2: `VideoReader(path).get_batch(indices)`
- PyAV: `container.seek` to the first one's time, then pictures numbered by their time and the mean rate
- OpenCV: `VideoCapture.set(CAP_PROP_POS_FRAMES, index)`, then `grab`
- torchcodec: `VideoDecoder(path).get_frames_at(indices)`, its exact mode

The files and this table are made by `python docs/video_readers.py FOLDER`, which lists the files;
`tests/fixtures/painted_videos.py` writes them, with PyAV alone.
"""


if __name__ == "__main__":
    main()
