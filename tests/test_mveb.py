"""Protocol mveb, from videos to its number, against mteb's rule as a loop; see benchmarks/check_mveb.py."""

from __future__ import annotations

import json

import av
import numpy as np
import pytest
import torch
import transformers
from official_files import write_hmdb51, write_ucf101
from tiny_encoders import processor, save_lively

import zsar_lab as zl
from zsar_lab.cli import main
from zsar_lab.data.video import write_mp4
from zsar_lab.protocols.build import published

pytestmark = [pytest.mark.long]
LISTS = {name: sorted(entry["unseen"]) for name, entry in published("mveb").items()}
TEXTS = {"ucf101": "a video of {}".format, "hmdb51": lambda name: f"a video of {name.replace('_', ' ')}"}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Lists of both datasets, a video of each class that is in the first test list, and tiny models."""
    folder = tmp_path_factory.mktemp("mveb")
    for dataset, write in (("ucf101", lambda to: write_ucf101(to, 3)), ("hmdb51", write_hmdb51)):
        paths = write(folder / dataset)
        first = {path.split("/")[0]: path for path in reversed(paths)}  # of each class, tested in split 1
        for number, name in enumerate(LISTS[dataset]):
            random, length = np.random.default_rng(number), (3, 8, 13)[number % 3]
            frames = random.integers(0, 256, (length, 12, (9, 16)[number % 2], 3), dtype=np.uint8)
            path = (folder / dataset / "videos" / first[name]).with_suffix(".mp4")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mp4(path, frames.repeat(4, 1).repeat(4, 2), fps=8)
    for kind in ("clip", "xclip"):
        save_lively(folder / kind, kind)
    return folder


def _direct(results) -> float:
    return results.part("methods").set_index("method")["top1"]["direct"]


def _theirs(here, dataset: str, kind: str) -> dict[str, str]:
    """The class of each video by mteb's rule: transformers' own model and pixels, a loop over all."""
    model, pixels = transformers.AutoModel.from_pretrained(here / kind).eval(), processor(kind)
    tokenizer = transformers.AutoTokenizer.from_pretrained(here / kind)
    tokens = tokenizer([TEXTS[dataset](name) for name in LISTS[dataset]], padding=True)
    found = {}
    with torch.inference_mode():
        texts = model.get_text_features(**{key: torch.tensor(ids) for key, ids in tokens.items()})
        for path in sorted((here / dataset / "videos").glob("*/*.mp4")):
            with av.open(str(path)) as video:
                frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
            n, wanted = len(frames), 4 if kind == "xclip" else 8
            chosen = [int(round(k * (n - 1) / (wanted - 1))) for k in range(wanted)]
            if n < wanted:
                chosen = [k * n // wanted for k in range(wanted)]
            inputs = pixels([frames[index] for index in chosen], return_tensors="pt")["pixel_values"]
            if kind == "xclip":
                vector = model.get_video_features(pixel_values=inputs.reshape(1, wanted, 3, 32, 32))
            else:
                vector = model.get_image_features(pixel_values=inputs)
            scores = torch.cosine_similarity(vector.pooler_output.mean(0)[None], texts.pooler_output)
            values = scores.tolist()
            best = values.index(max(values))  # the first of tied ones
            found[f"{path.parent.name}/{path.stem}"] = LISTS[dataset][best]
    return found


@pytest.mark.parametrize(("dataset", "kind"), [("ucf101", "clip"), ("ucf101", "xclip"), ("hmdb51", "clip")])
def test_it_predicts_what_mtebs_rule_predicts(here, dataset, kind):
    theirs = _theirs(here, dataset, kind)
    places = {"videos": here / dataset / "videos", "annotations": here / dataset}
    results = zl.evaluate(here / kind, dataset, "mveb", **places, folder=here / "evaluated")
    rows = results.rows("direct").set_index("clip")
    assert len(theirs) == len(rows) == 51 and len(set(theirs.values())) > 5
    assert rows["prediction"].to_dict() == theirs
    right = [clip for clip, name in theirs.items() if clip.startswith(f"{name}/")]
    assert (
        results.part("methods").set_index("method")["top1"]["direct"] == len(right) / 51
        and results.chance() == 1 / 51
    )
    said = results.sentence()
    assert "51 of its 1," in said and "a video of {spaced_name}" in said and "training data unknown" in said
    again = zl.evaluate(here / kind, dataset, "mveb", **places, folder=here / "evaluated")  # only reads
    assert again.fingerprint == results.fingerprint


def test_embeddings_and_ties(here, tmp_path, capsys):
    names = LISTS["ucf101"]
    clips = sorted(str(path) for path in (here / "ucf101" / "videos").glob("*/*.mp4"))
    rows = np.eye(51)
    rows[1] = rows[0]  # two clips and two classes that nothing tells apart
    file, to = (
        zl.Embeddings(clips, rows, names, rows, {"prompt": "a photo"}).save(tmp_path / "e.safetensors"),
        tmp_path,
    )
    given = [
        "--embeddings",
        file,
        "--dataset",
        "ucf101",
        "--annotations",
        here / "ucf101",
        "--protocol",
        "mveb",
    ]
    assert main(["evaluate", *map(str, given), "--json", str(to / "r.json")]) == 0
    said = capsys.readouterr().out
    assert (
        "ties go to the first class" in said
        and "(the texts': a photo)" in said
        and "training data unknown" in said
    )
    assert json.loads((to / "r.json").read_text())
    found = zl.evaluate(zl.Embeddings.read(file), "ucf101", "mveb", annotations=here / "ucf101")
    assert _direct(found) == 50 / 51
    assert found.rows("direct").set_index("label").loc[names[1], ["prediction", "rank"]].tolist() == [
        names[0],
        2,
    ]


@pytest.mark.parametrize(("protocol", "prompts"), [(["mveb", "all"], None), ("mveb", ["label"])])
def test_it_is_asked_alone_and_by_its_own_prompt(here, protocol, prompts):
    with pytest.raises(ValueError, match="alone and by its own prompt"):
        zl.evaluate(here / "clip", "ucf101", protocol, prompts=prompts, annotations=here, videos=here)
