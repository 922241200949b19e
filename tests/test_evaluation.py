"""zl.evaluate: a trained and a public model on folders of videos, against scores by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_encoders import save_public

import zsar_lab as zl
from zsar_lab.cli import main
from zsar_lab.data.video import write_mp4
from zsar_lab.embed.outside import EmbeddingsError
from zsar_lab.evaluated import PLOTS
from zsar_lab.protocols.protocol import ProtocolError
from zsar_lab.study import Data, Study, Text, Training

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:frames of")]
TRAINED = "climb crawl fall glide jump lift roll shake slide spin swing walk".split()
OTHER = "bounce dance kick nod push wave wink yawn".split()


def _videos(folder, names, clips: int = 3) -> None:
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for clip in range(clips):
            frames = np.random.default_rng([number, clip]).integers(0, 60, (16, 48, 48, 3), dtype=np.uint8)
            frames[:, 5 * (number % 6) :, 8 * (number // 6) :, number % 3] += 120
            write_mp4(folder / name / f"{name}{clip}.mp4", frames, fps=8)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a trained study, the videos of other classes, and a tiny CLIP."""
    folder = tmp_path_factory.mktemp("evaluated")
    _videos(folder / "videos", TRAINED)
    _videos(folder / "others", OTHER)
    study = Study(Data(str(folder / "videos")), ("random-0",), Text("label"), Training(epochs=1))
    zl.Workspace(folder / "study", study, workers=1).train("random-0")
    save_public(folder / "clip", "clip")
    return folder


def _evaluate(here, model, *given, **more):
    model = here / model if isinstance(model, str) else model
    return zl.evaluate(model, *given, folder=here / "evaluated", **more)


@pytest.mark.parametrize("model", ["study", "clip"])
def test_all_classes_of_other_videos_are_scored_by_the_models_own_points(here, model):
    found = _evaluate(here, model, here / "others", "all")
    opened = zl.load_model(here / model)
    names = sorted(OTHER)
    for method in opened.methods:
        table = found.rows(method).sort_values("clip")
        paths = [here / "others" / f"{clip}.mp4" for clip in table["clip"]]
        scores = opened.encode_video(paths) @ opened.encode_text(names, method).T
        assert table["prediction"].tolist() == [names[c] for c in scores.argmax(1)]
    assert found.chance() == 1 / 8 and 0 <= found.upper_bound() <= 1 and np.isnan(found.seen_top1())
    assert "8 different unseen classes" in found.sentence()
    found.save(here / f"report {model}")
    assert (here / f"report {model}" / "report.html").is_file()


def test_within_a_dataset_seen_classes_give_ridge_and_transfer(here):
    found = _evaluate(here, "clip", here / "others", ["random-0", "random-1"], prompts=["label", "template"])
    methods = found.part("methods").set_index("method")
    assert list(methods.index) == ["direct", "ridge", "ridge_centred", "transfer", "kernel_ridge"]
    assert methods["n_splits"].eq(2).all() and methods["validation_top1"].notna().all()
    assert set(found.part("prompts")["prompt"]) == {"label", "template"} and len(found.part("generalised"))
    difference = methods["top1"]["direct"] - methods["top1"]["transfer"]
    assert found.compare("direct", "transfer").difference == pytest.approx(difference)
    assert {type(found.plot(kind)).__name__ for kind in ("methods", "classes", "confusion")} == {"Figure"}
    again = _evaluate(here, "clip", here / "others", ["random-0", "random-1"], prompts=["label", "template"])
    pd.testing.assert_frame_equal(again.table(), found.table())


def _outside(here, model="clip", names=OTHER):
    """The vectors of a model as a user would hold them."""
    opened = zl.load_model(here / model)
    paths = sorted((here / "others").glob("*/*.mp4"))
    clips = [str(path) for path in paths]
    return zl.Embeddings(
        clips, opened.encode_video(paths), names, opened.encode_text(list(names)), {"model": "mine"}
    )


def test_embeddings_name_the_classes_trained_on_and_are_refused_on_them(here):
    given = _outside(here)
    given.provenance["trained_classes"] = [OTHER[0].upper(), "flying"]
    with pytest.raises(ProtocolError, match=f"1 unseen classes .*{OTHER[0]} \\({OTHER[0].upper()}\\)"):
        _evaluate(here, given, here / "others", "all")
    said = _evaluate(here, given, here / "others", "all", allow_leakage=True)
    assert said.remark == "NOT zero-shot: the model was trained on 1 of the unseen classes"
    made = zl.embed_dataset(here / "study", here / "others", folder=here / "evaluated")
    trained = zl.load_model(here / "study").seen["name"].tolist()
    read = zl.Embeddings.read(made.save(here / "trained.npz"))
    assert list(read.trained_classes) == trained and len(trained) > 1


@pytest.mark.parametrize("protocol", ["half-0..1", "random-0"])
def test_embeddings_from_elsewhere_score_as_the_model_that_made_them(here, protocol):
    mine = _evaluate(here, _outside(here), here / "others", protocol)
    models = _evaluate(here, "clip", here / "others", protocol, prompts=["label"])
    for method in mine.part("methods")["method"]:
        one, other = (found.rows(method).sort_values(["split", "clip"]) for found in (mine, models))
        assert one["prediction"].tolist() == other["prediction"].tolist()
    assert mine.title().endswith("by mine; training data unknown") and len(mine.plot("confusion").data)


@pytest.mark.parametrize("as_model", [True, False])
def test_what_a_model_was_trained_on_is_said_beside_its_scores(here, tmp_path, as_model):
    names = ["Push_Up", "abseil", *OTHER[2:]]  # two are written otherwise in Kinetics-400, as is "yawn"
    shutil.copytree(here / "others", tmp_path / "others")
    for old, new in zip(OTHER[:2], names):
        (tmp_path / "others" / old).rename(tmp_path / "others" / new)

    def scored(*sets: str):
        model = zl.load_model(here / "clip")
        model.training_sets = sets
        if not as_model:
            paths = sorted((tmp_path / "others").glob("*/*.mp4"))
            given = [str(path) for path in paths], model.encode_video(paths), names, model.encode_text(names)
            model = zl.Embeddings(*given, {"training_sets": "; ".join(sets)})
        return _evaluate(here, model, tmp_path / "others", "all")

    found = scored("Kinetics-400", "WebLI")
    assert found.leakage["classes"] == {"Kinetics-400": ["Push_Up", "abseil", "yawn"]}
    said = "rained on Kinetics-400 (3 of 8 unseen classes have a name of it), WebLI"
    assert f"T{said}. Direct names" in found.sentence() and said in found.title()
    found.save(tmp_path / "report")
    assert json.loads((tmp_path / "report" / "report.json").read_text())["leakage"] == found.leakage
    assert scored("WebLI").remark == "trained on WebLI, of which no class list is known"
    unknown = scored()
    assert unknown.remark == "training data unknown" and unknown.leakage["classes"] == {}


@pytest.mark.parametrize(
    ("model", "protocol", "more"),
    [
        ("clip", "half-0", {}),
        ("clip", "random-0", {}),
        ("study", "half-0", {}),
        ("study", "half-0", {"method": "direct"}),
        ("study", "random-0", {"method": "direct"}),
    ],
)
def test_what_is_written_scores_as_the_model(here, tmp_path, model, protocol, more):
    path = tmp_path / "made.parquet"
    given = here / model, here / "others", "--out", path, *(f"--{key}={one}" for key, one in more.items())
    assert main(["embed", *map(str, given), "--licence", "MIT"]) == 0
    made = zl.Embeddings.read(path)
    assert made.provenance["licence"] == "MIT" and made.provenance["prompt"] == "label"
    mine = _evaluate(here, made, here / "others", protocol)
    models = _evaluate(here, model, here / "others", protocol)
    methods = set(mine.part("methods")["method"])
    assert methods >= {more.get("method", {"clip": "direct", "study": "transfer"}[model])}
    assert protocol == "half-0" or methods >= {"direct", "ridge", "ridge_centred", "transfer"}
    for method in methods:
        one, other = (found.rows(method).sort_values("clip") for found in (mine, models))
        assert one["prediction"].tolist() == other["prediction"].tolist()
        np.testing.assert_allclose(one["confidence"], other["confidence"], atol=1e-5)


@pytest.mark.parametrize(("model", "method"), [("clip", None), ("study", None), ("study", "direct")])
def test_a_search_ranks_as_the_cosines_do(here, model, method, capsys, monkeypatch):
    """By the model's own vectors, of a class's name; and the command says the same of the videos."""
    opened = zl.load_model(here / model)
    paths = sorted((here / "others").glob("*/*.mp4"))
    cosines = opened.encode_video(paths) @ opened.encode_text(["wink", "nod"], method)[0]
    mine = zl.Embeddings(list(map(str, paths)), opened.encode_video(paths))
    found = zl.search("wink", mine, 5, model=opened, method=method)
    best = sorted(zip(-cosines, map(str, paths), strict=True))[:5]
    assert found["path"].tolist() == [path for _, path in best] and found["rank"].tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(found["score"], [-minus for minus, _ in best], atol=1e-5)
    by_vector = zl.search(opened.point_of("wink", method), mine, 5)
    pd.testing.assert_frame_equal(by_vector, found)
    monkeypatch.chdir(here)
    given = ["search", "wink", "--model", model, "--videos", "others", "--k", "5", "--json", "found.json"]
    assert main(given + (["--method", method] if method else [])) == 0
    told = pd.read_json("found.json")
    assert [str(here / path) for path in told["path"]] == found["path"].tolist()
    assert f"{found['score'][0]:+.3f}" in capsys.readouterr().out


def test_a_study_is_searched_by_its_model(here, capsys):
    workspace = zl.Workspace(here / "study")
    clips, model = workspace.embeddings("random-0"), zl.load_model(here / "study")
    found = zl.search("walk", workspace, 10**6)
    wanted = clips.embedding_ND @ model.point_of("walk")
    score_of = dict(zip(clips.ids, wanted, strict=True))
    assert len(found) == len(clips.ids) == 36 and found["score"].is_monotonic_decreasing
    np.testing.assert_allclose(found["score"], [score_of[clip] for clip in found["clip"]], atol=1e-6)
    of = workspace.catalog.clips.set_index("id").loc[found["clip"]]
    assert found["class"].tolist() == of["class"].tolist() and Path(found["path"][0]).is_file()
    assert main(["search", "walk", "--workspace", str(here / "study"), "--k", "1"]) == 0
    (row,) = capsys.readouterr().out.splitlines()[1:]
    assert row.split()[:3] == ["1", found["clip"][0], f"{found['score'][0]:+.3f}"]


@pytest.mark.parametrize(
    ("text", "where", "more", "value"),
    [
        ("walk", "made", {}, "give model="),
        ("walk", "made", {"model": "study"}, "the one of the embeddings"),
        (np.ones(3), "made", {}, "equally wide, got .* and 3"),
        (np.full(32, np.nan), "made", {}, "finite"),
        (" ", "made", {"model": "clip"}, "got none"),
        ("walk", "clip", {}, "videos, got none"),
        ("walk", "nowhere/at/all", {}, "there is no folder 'nowhere/at/all'"),
    ],
)
def test_what_cannot_be_searched(here, text, where, more, value):
    made = zl.embed_dataset(here / "clip", here / "others", folder=here / "evaluated")
    where = {"made": made, "clip": here / "clip"}.get(where, where)
    with pytest.raises((ValueError, FileNotFoundError), match=value):
        zl.search(text, where, **{key: here / name for key, name in more.items()})


@pytest.mark.filterwarnings("ignore")  # of umap and numba
@pytest.mark.parametrize("protocol", ["all", "random-0"])
def test_embeddings_have_figures_a_report_and_widgets(here, tmp_path, protocol):
    found = _evaluate(here, _outside(here), here / "others", protocol)
    assert {kind: type(found.plot(kind)).__name__ for kind in PLOTS} == dict.fromkeys(PLOTS, "Figure")
    found.save(tmp_path)
    assert (tmp_path / "report.html").is_file()
    errors = found.errors()
    assert errors.grid.html.count("<video") == 3 and "not shown" not in errors.grid.html
    errors.choose(clip=errors.clips["clip"].iloc[0])
    assert ("composed" in errors.grid.why) == (protocol == "random-0" and found.baseline() == "transfer")
    mapped = found.map(
        find=lambda text: zl.search(text, _outside(here), 99, model=here / "clip").assign(
            clip=lambda table: [f"{Path(path).parent.name}/{Path(path).stem}" for path in table["path"]]
        )
    )
    mapped.choose(query="someone winks")
    assert mapped.grid.html.count("<video") == len(mapped.selected_ids) > 3


def test_videos_that_came_later_are_scored_too(here, tmp_path):
    _videos(tmp_path / "mine", OTHER, clips=2)
    assert len(_evaluate(here, "clip", tmp_path / "mine", "all").rows("direct")) == 16
    shutil.copy(here / "others" / "nod" / "nod2.mp4", tmp_path / "mine" / "nod" / "nod2.mp4")
    assert len(_evaluate(here, "clip", tmp_path / "mine", "all").rows("direct")) == 17


def test_clips_without_an_embedding_are_said(here):
    mine = _outside(here)
    fewer = zl.Embeddings(mine.clips[:-1], mine.vectors[:-1], mine.names, mine.text_vectors)
    with pytest.warns(UserWarning, match="1 of 24 clips have no embedding, such as 'yawn/yawn2'"):
        assert len(_evaluate(here, fewer, here / "others", "all").rows("direct")) == 23
    odd = zl.Embeddings(mine.clips, mine.vectors, mine.names, mine.text_vectors, {"method": "mystery"})
    with pytest.raises(EmbeddingsError, match="direct or transfer, got 'mystery'"):
        _evaluate(here, odd, here / "others", "all")


def test_a_study_is_scored_by_its_own_splits(here):
    found = zl.evaluate(here / "study")
    workspace = zl.Workspace(here / "study")
    assert found.fingerprint == workspace.report().fingerprint
    with pytest.raises(ValueError, match="name a dataset"):
        zl.evaluate(here / "study", protocol="random-1")


def test_objects_show_themselves_in_a_line_and_a_small_table(here):
    workspace, split, model = zl.Workspace(here / "study"), "random-0", zl.load_model(here / "study")
    results = zl.evaluate(here / "study")
    shown = [workspace, workspace.study, workspace.catalog, workspace.frames, workspace.protocol(split)]
    shown += [workspace.embeddings(split), workspace.class_text(), workspace.class_embeddings()]
    shown += [workspace.predictions(split), workspace.train(split), workspace.leakage(split), model, results]
    shown += [model.classifier(["walk", "nod"]), results.compare("transfer", "direct")]
    for one in shown:
        assert len(repr(one)) < 400 and type(one).__name__ in repr(one)
        assert "<table" in one._repr_html_() and len(one._repr_html_()) < 10_000
    assert len(repr(zl.figures(here / "study"))) < 200


def test_classes_that_were_trained_on_are_no_unseen_ones(here):
    with pytest.raises(ProtocolError, match="were trained on: .*allow_leakage"):
        _evaluate(here, "study", here / "videos", "all")
    found = _evaluate(here, "study", here / "videos", "all", allow_leakage=True)
    n_seen = len(zl.load_model(here / "study").seen)
    assert found.chance() == 1 / 12
    assert (
        found.sentence().startswith(f"NOT zero-shot: the model was trained on {n_seen}")
        and "NOT" in found.title()
    )


@pytest.mark.parametrize(
    ("given", "more", "value"),
    [
        (("others", ()), {}, "got none"),
        (("others", "half-0..1"), {"methods": ["ridge"]}, "got 'ridge'"),
        (("others", "kinetics220-0"), {}, "Kinetics-400"),
        (("others", "truze"), {}, "got 'others'"),
        (("others", "all"), {"videos": "others"}, "got the dataset"),
        (("nowhere", "all"), {}, "nowhere"),
        (("ucf101", "all"), {}, "videos and annotations"),
    ],
)
def test_what_cannot_be_scored(here, given, more, value):
    dataset, protocol = given
    dataset = dataset if dataset == "ucf101" else here / dataset
    with pytest.raises((ValueError, FileNotFoundError), match=value):
        _evaluate(here, "clip", dataset, protocol, **more)


def test_a_video_that_cannot_be_read_is_no_row_left_out(here, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    good = here / "others" / "nod" / "nod0.mp4"
    with pytest.raises(ValueError, match=r"1 are not, such as .*bad.mp4"):
        zl.load_model(here / "clip").encode_video([good, tmp_path / "bad.mp4"])


def test_the_command_scores_compares_and_tells(here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    for name in ("a", "b"):
        given = "evaluate --model clip --dataset others --protocol half-0..1 --json".split()
        assert main([*given, f"{name}.json"]) == 0
    assert "Direct names " in capsys.readouterr().out
    assert main(["compare", "a.json", "b.json"]) == 0
    assert main(["info", "study"]) == 0
    assert "A study of " in capsys.readouterr().out
    vectors = ["evaluate", "--embeddings", str(_outside(here).save(here / "e.npz")), "--dataset", "others"]
    before = Path("e.npz").read_bytes()
    assert main([*vectors, "--protocol", "half-0", "--json", "e.npz"]) == 2
    assert Path("e.npz").read_bytes() == before
    assert main("evaluate --model clip --dataset others --protocol half-0 --texts e.npz".split()) == 2
    assert main("evaluate --model clip --dataset others --protocol half-0 --average".split()) == 2
    assert main(["evaluate", "--model", "clip"]) == 2
