"""zsar_lab.infer.shared_model: a folder that loads elsewhere as it was saved, and what is refused of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_training import stripes_store
from test_export import Trained, trained

from zsar_lab.embed.shards import open_embeddings
from zsar_lab.infer import shared_model as room
from zsar_lab.infer.shared_model import (
    CONFIG_FILE,
    FORMAT,
    HASHED_FILES,
    SHARED_FILES,
    SharedModel,
    _of_config,
    is_shared,
    load_shared,
    save_shared,
)
from zsar_lab.text.prompts import ClassText

HERE = Path(__file__).parents[1] / "fixtures"
ELSEWHERE = """
import sys
from pathlib import Path
from small_training import stripes_store
from zsar_lab.infer.shared_model import load_shared
from zsar_lab.embed.checkpoint import embed_clips
place = Path(sys.argv[1])
embed_clips(load_shared(place / "model").checkpoint, stripes_store(place), place, "cpu")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Trained:
    return trained(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def shared(made) -> SharedModel:
    return made.shared()


@pytest.fixture(scope="module")
def saved(shared, tmp_path_factory) -> Path:
    return save_shared(shared, tmp_path_factory.mktemp("shared") / "model", "# A card\n")


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(saved, tmp_path / "model")


def assert_same(one: SharedModel, other: SharedModel) -> None:
    """Equal in all fields, but for where the weights lie and what only a training needs."""
    assert [field.name for field in fields(SharedModel)] == [
        "checkpoint",
        "frames",
        "seen",
        "prototypes_SD",
        "encoder",
        "encoder_revision",
        "prompt",
        "texts",
        "methods",
        "targets_B",
        "about",
    ]
    same = ("config", "inputs", "step", "total_steps", "history", "fingerprint", "complete")
    assert all(getattr(one.checkpoint, name) == getattr(other.checkpoint, name) for name in same)
    weights, others = one.checkpoint.model().state_dict(), other.checkpoint.model().state_dict()
    assert weights.keys() == others.keys() and all(
        torch.equal(weights[name], others[name]) for name in weights
    )
    for name in ("frames", "encoder", "encoder_revision", "prompt", "about", "fingerprint"):
        assert getattr(one, name) == getattr(other, name), name
    pd.testing.assert_frame_equal(one.seen, other.seen, check_dtype=False)
    for name in ("prototypes_SD", "targets_B"):
        assert getattr(one, name).dtype == getattr(other, name).dtype
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert list(one.texts) == list(other.texts) and list(one.methods) == list(other.methods)
    for prompt, texts in one.texts.items():
        assert texts.class_text == other.texts[prompt].class_text
        np.testing.assert_array_equal(texts.pooled_SF, other.texts[prompt].pooled_SF)
    for key, method in one.methods.items():
        assert (
            replace(method, scores_BV=None).__dict__ == replace(other.methods[key], scores_BV=None).__dict__
        )
        np.testing.assert_array_equal(method.scores_BV, other.methods[key].scores_BV)


def test_what_is_saved_is_loaded_equal_in_all_fields(shared, saved):
    opened = load_shared(saved)
    assert opened.checkpoint.path == saved / "model.safetensors" and opened.checkpoint.best
    assert_same(shared, opened)
    assert sorted(path.name for path in saved.iterdir()) == sorted(SHARED_FILES) and is_shared(saved)
    assert (saved / "README.md").read_text() == "# A card\n"


def test_a_path_as_text_and_names_with_signs_are_taken(shared, saved, tmp_path):
    assert_same(load_shared(str(saved)), shared)
    names = ("Schlürfen", "走る", 'a "quoted" <b>', "with, comma\tand tab")
    prompts = (*shared.texts, "of {label} | a.b")
    texts = {
        prompt: replace(
            shared.texts["label"], class_text=ClassText(prompt, names, names[::-1], averaged=True)
        )
        for prompt in prompts
    }
    odd = replace(shared, seen=shared.seen.assign(name=names), texts=texts)
    assert_same(odd, load_shared(save_shared(odd, tmp_path / "a folder 'é'", "")))


def test_a_model_saved_again_is_bit_for_bit_the_same(saved, tmp_path):
    again = save_shared(load_shared(saved), tmp_path / "again", "# A card\n")
    assert all((again / name).read_bytes() == (saved / name).read_bytes() for name in SHARED_FILES)
    save_shared(load_shared(again), again, "another card")  # into its own folder
    assert (
        load_shared(again).fingerprint == load_shared(saved).fingerprint
        and (again / "README.md").read_text() == "another card"
    )
    assert all(
        (again / name).read_bytes() == (saved / name).read_bytes() for name in (*HASHED_FILES, CONFIG_FILE)
    )


@pytest.mark.long
def test_a_copy_opened_in_another_process_embeds_bit_for_bit_the_same(made, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "elsewhere" / "model")
    stripes_store(tmp_path)  # the same frames as in the other process
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path / "elsewhere")], check=True, cwd=HERE)
    (found,) = (tmp_path / "elsewhere").glob("embeddings_*.safetensors")
    wanted = made.checkpoint.path.parent / found.name
    assert found.read_bytes() == wanted.read_bytes()
    about, embedding_ND, tokens_NPD = open_embeddings(found)
    assert (
        about == made.clips.about
        and (embedding_ND == made.clips.embedding_ND).all()
        and (tokens_NPD == made.clips.tokens_NPD).all()
    )


# what is refused


@pytest.mark.parametrize("name", HASHED_FILES)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
def test_a_flipped_byte_is_refused(folder, name, place):
    content = bytearray((folder / name).read_bytes())
    content[int(place * len(content))] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(
        ValueError,
        match=rf"must be whole, '.*{name}' is not the file that config.json was written for; copy the folder again",
    ):
        load_shared(folder)


@pytest.mark.parametrize("name", HASHED_FILES)
def test_a_missing_or_shortened_file_is_refused(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{name}' is not the file that config.json was written for"):
        load_shared(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"must be whole, '.*{name}' is missing; copy the folder again"):
        load_shared(folder)


def test_a_folder_without_config_is_refused(folder, tmp_path):
    (folder / "README.md").unlink()
    load_shared(folder)  # the card is for people
    (folder / CONFIG_FILE).unlink()
    with pytest.raises(
        FileNotFoundError,
        match=r"folder that the export command left, '.*model' holds no config.json; export a model there",
    ):
        load_shared(folder)
    with pytest.raises(FileNotFoundError, match=r"'.*nowhere' is not there; export"):
        load_shared(tmp_path / "nowhere")
    assert not is_shared(folder) and not is_shared(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content", ['{"model_type": "clip"}', "[]", '"zsar_lab shared model"', "{", "null", '{"kind": 1}']
)
def test_a_config_of_something_else_is_refused(folder, content):
    (folder / CONFIG_FILE).write_text(content)
    assert is_shared(folder) == (content == "{")  # a damaged one is known by the files beside it
    with pytest.raises(
        ValueError,
        match=r"config.json' (must be of a zsar_lab shared model, but it is of something else|is no whole json file)",
    ):
        load_shared(folder)


def changed(folder: Path, **changes) -> None:
    content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")) | changes
    (folder / CONFIG_FILE).write_text(
        json.dumps({key: value for key, value in content.items() if value is not ...}), encoding="utf-8"
    )


@pytest.mark.parametrize("other", [0, FORMAT + 1, "1", None])
def test_another_format_is_refused(folder, other):
    changed(folder, format=other, about=None, sha256={})
    with pytest.raises(
        ValueError,
        match=rf"must be of format {FORMAT}, which this version of zsar_lab reads, '.*' is of format {other!r}; export",
    ):
        load_shared(folder)


@pytest.mark.parametrize("hashes", [{}, [], None, ..., {"model.safetensors": 1}, {"../../etc/passwd": ""}])
def test_hashes_that_are_not_those_of_the_files_are_refused(folder, hashes):
    changed(folder, sha256=hashes)
    with pytest.raises(
        ValueError, match="model.safetensors' is not the file that config.json was written for"
    ):
        load_shared(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": ...},
        {"methods": [{"method": "transfer"}]},
        {"encoder": "x"},
        {"encoder": None},
        {"frames": {"n": 1}},
        {"about": ...},
    ],
)
def test_a_config_that_lacks_what_is_needed_is_refused(folder, changes):
    changed(folder, **changes)
    with pytest.raises(
        ValueError,
        match=r"must be as it was exported, '.*config.json' was changed since; copy the folder again",
    ):
        load_shared(folder)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    changed(folder, fingerprint=_of_config(config))  # as another version may have written it
    with pytest.raises(
        ValueError, match=r"must hold a whole shared model, but (KeyError|TypeError): .*; export it again"
    ):
        load_shared(folder)


def test_a_folder_with_other_files_is_not_written_to(shared, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(
        ValueError, match=r"needs a folder of its own, '.*' holds 'thesis.txt'; choose an empty one"
    ):
        save_shared(shared, tmp_path, "")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_hidden_folder_is_no_reason_to_refuse(shared, tmp_path):
    (tmp_path / ".git").mkdir()
    load_shared(save_shared(shared, tmp_path, ""))


@pytest.mark.parametrize("stopped", ["save_weights", "save_file", "write_json", "_hashes"])
def test_an_interrupted_saving_leaves_no_folder_that_opens(shared, folder, monkeypatch, stopped):
    """Over a whole one, whose files are partly replaced by then."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, stopped, interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_shared(shared, folder, "")
    assert not is_shared(folder)
    with pytest.raises(FileNotFoundError, match="holds no config.json"):
        load_shared(folder)
    monkeypatch.undo()
    assert_same(load_shared(save_shared(shared, folder, "")), shared)
