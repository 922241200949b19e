"""Protocol mveb against the real mteb: tiny models of random weights, the same generated clips.

Needs mteb beside us, in an environment of its own:

    pip install torch==2.13.0 mteb==2.26.24 transformers==5.23.0 pillow .
    OMP_NUM_THREADS=1 python benchmarks/check_mveb.py FOLDER

Of mteb all runs but torchcodec (PyAV decodes) and torchvision's to_pil_image (Pillow does it). Random weights
show equality and say nothing of accuracy.
"""

from __future__ import annotations

import json
import os
import sys
import types
import warnings
from importlib.metadata import version
from itertools import product
from pathlib import Path
from types import SimpleNamespace

os.environ["HF_HUB_OFFLINE"] = "1"  # both are read at import
os.environ["HF_HOME"] = os.path.join(sys.argv[1], "hf")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import mteb
import numpy as np
import torch
from datasets import Video, load_dataset
from mteb.models import ModelMeta, Video2ImagesWrapper
from mteb.models.modality_collators import FramesCollator
from mteb.models.model_implementations.clip_models import CLIPModel
from mteb.models.model_implementations.xclip_models import XCLIPModel
from mteb.models.model_meta import ScoringFunction
from PIL import Image
from tiny_encoders import save_lively

import zsar_lab as zl
from zsar_lab.protocols.build import published

root = Path(sys.argv[1])
TASKS = {"ucf101": "UCF101VideoZeroShotClassification", "hmdb51": "HMDB51ZeroShot"}
LENGTHS = (3, 8, 9, 16, 41)  # frames of the clips of a class
SIZES = {"as they are": ((36, 36), (36, 64), (64, 36)), "resized": ((48, 64), (64, 48), (40, 88))}


def write_clips(folder: Path, names: tuple[str, ...], sizes: tuple[tuple[int, int], ...]) -> None:
    """`<folder>/test/<class>/*.mp4`: noise that changes from frame to frame, so that their choice matters."""
    for number, name in enumerate(names):
        (folder / "test" / name).mkdir(parents=True, exist_ok=True)
        for clip, length in enumerate(LENGTHS):
            random, (height, width) = (
                np.random.default_rng([number, clip]),
                sizes[(number + clip) % len(sizes)],
            )
            blocks = random.integers(0, 256, (length, height // 4, width // 4, 3), dtype=np.uint8)
            with av.open(str(folder / "test" / name / f"v_{name}_g0{clip}_c01.mp4"), "w") as out:
                stream = out.add_stream("libx264", rate=25)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                for picture in blocks.repeat(4, 1).repeat(4, 2):
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                out.mux(stream.encode())


def write_lists(folder: Path, dataset: str, names: tuple[str, ...]) -> Path:
    """The official files that say: all of these clips are in test list 1."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: [f"v_{name}_g0{clip}_c01" for clip in range(len(LENGTHS))] for name in names}
    if dataset == "ucf101":
        numbers = "".join(f"{number} {name}\n" for number, name in enumerate(names, 1))
        (folder / "classInd.txt").write_text(numbers)
        listed = [f"{name}/{one}.avi" for name in names for one in files[name]]
        other = [f"{names[0]}/v_{names[0]}_g25_c01.avi"]  # a list has a line
        for split in (1, 2, 3):
            tested, trained = (listed, other) if split == 1 else (other, listed)
            (folder / f"testlist0{split}.txt").write_text("\n".join(tested))
            lines = [f"{one} {names.index(one.split('/')[0]) + 1}" for one in trained]
            (folder / f"trainlist0{split}.txt").write_text("\n".join(lines))
    for name in names if dataset == "hmdb51" else ():
        for split in (1, 2, 3):
            lines = "".join(f"{one}.avi 2 \n" for one in files[name])
            (folder / f"{name}_test_split{split}.txt").write_text(lines)
    return folder


def decoded(video: dict) -> SimpleNamespace:
    """What mteb asks of a torchcodec decoder."""
    with av.open(video["path"]) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    found = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    return SimpleNamespace(
        metadata=SimpleNamespace(num_frames=len(frames)),
        get_frames_at=lambda chosen: SimpleNamespace(data=found[list(chosen)]),
    )


warnings.simplefilter("ignore")  # of random weights and small frames
resample = FramesCollator.resample_video
FramesCollator.resample_video = staticmethod(lambda video, **how: resample(decoded(video), **how))
functional = types.ModuleType("torchvision.transforms.functional")
functional.to_pil_image = lambda frame: Image.fromarray(frame.permute(1, 2, 0).numpy())
sys.modules[functional.__name__] = functional


def theirs(dataset: str, folder: Path, kind: str, model: Path) -> tuple[float, np.ndarray, list[str]]:
    """mteb's accuracy, scores [B, C] and the clips' ids, by its own wrappers of CLIP and X-CLIP."""
    task = mteb.get_task(TASKS[dataset])
    data = load_dataset("videofolder", data_dir=str(folder)).cast_column("video", Video(decode=False))
    task.dataset, task.data_loaded = data, True
    task.dataset_transform()
    wrapper, modalities = (
        (XCLIPModel, ["video", "text"]) if kind == "xclip" else (CLIPModel, ["image", "text"])
    )
    own = {"num_frames": 4} if kind == "xclip" else {}  # for which the tiny X-CLIP is made
    wrapped = wrapper(str(model), revision=None, device="cpu", **own)
    given = {"name": f"local/{kind}", "revision": "1", "modalities": modalities, "model_type": ["dense"]}
    given |= {"similarity_fn_name": ScoringFunction.COSINE}
    wrapped.mteb_model_meta = ModelMeta.create_empty(overwrites=given)
    asked = wrapped if kind == "xclip" else Video2ImagesWrapper(wrapped)
    kept = root / "scores" / f"{dataset} {kind}"
    found = mteb.evaluate(
        asked,
        task,
        cache=None,
        encode_kwargs={"batch_size": 7},
        prediction_folder=kept,
        show_progress_bar=False,
    )
    [file] = kept.rglob("*_predictions.json")
    scores = np.array(json.loads(file.read_text())["default"]["test"])
    paths = [Path(row["path"]) for row in task.dataset["test"]["video"]]
    ids = [f"{path.parent.name}/{path.stem}" for path in paths]
    return found.task_results[0].scores["test"][0]["accuracy"], scores, ids


print(", ".join(f"{name} {version(name)}" for name in ("mteb", "transformers", "torch", "av", "numpy")))
models = {kind: save_lively(root / "models" / kind, kind) for kind in ("clip", "xclip")}
for dataset, which, (kind, model) in product(TASKS, SIZES, models.items()):
    names = published("mveb")[dataset]["unseen"]
    folder, lists = root / f"{dataset} {which}", write_lists(root / f"{dataset}_lists", dataset, names)
    if not folder.is_dir():
        write_clips(folder, names, SIZES[which])
    accuracy, scores, ids = theirs(dataset, folder, kind, model)
    places = {"videos": folder / "test", "annotations": lists, "folder": root / "ours"}
    results = zl.evaluate(model, dataset, "mveb", **places)
    predictions = results.splits()[0]
    rows = [predictions.ids().index(clip) for clip in ids]
    own, ours = predictions.scores("direct")[rows], results.rows("direct").iloc[rows]
    predicted, top1 = np.array(names)[scores.argmax(1)], float((ours["rank"] == 1).mean())
    differ = int((ours["prediction"].to_numpy() != predicted).sum())
    print(
        f"{dataset}, frames {which}, {kind}: {len(ids)} clips, {len(names)} classes, {len(set(predicted))}"
        f" of them predicted; accuracy of mteb {accuracy!r}, ours {top1!r}; {differ} predictions differ,"
        f" scores by at most {np.abs(own - scores).max():.1e}"
    )
    assert differ == 0 and top1 == accuracy, "mteb and protocol mveb differ"
print(results.sentence())
