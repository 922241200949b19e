"""zsar_lab.infer.shared: a folder that loads elsewhere as it was saved, and what is refused of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_training import stripes_store

from zsar_lab.infer import shared as room
from zsar_lab.infer.shared import (
    CONFIG_FILE,
    CONFIG_KEYS,
    HASHED_FILES,
    SCHEMA_VERSION,
    SHARED_FILES,
    SharedModel,
    SharedModelError,
    config_fingerprint,
    is_shared,
    load_shared,
    save_shared,
)

HERE = Path(__file__).parents[1] / "fixtures"
ELSEWHERE = """
import sys
from pathlib import Path
from small_training import stripes_store
from zsar_lab.infer.shared import load_shared
from zsar_lab.embed.checkpoint import embed_clips
place = Path(sys.argv[1])
embed_clips(load_shared(place / "model").checkpoint, stripes_store(place), place, "cpu")
"""


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(saved, tmp_path / "model")


def assert_same(one: SharedModel, other: SharedModel) -> None:
    """Equal in all, but for where the weights lie and what only a training needs."""
    same = ("config", "inputs", "step", "total_steps", "history", "fingerprint", "complete")
    assert all(getattr(one.checkpoint, name) == getattr(other.checkpoint, name) for name in same)
    weights, others = one.checkpoint.model().state_dict(), other.checkpoint.model().state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert one.config == other.config and one.texts == other.texts and one.frames == other.frames
    pd.testing.assert_frame_equal(one.seen, other.seen)
    assert one.arrays.keys() == other.arrays.keys() and one.methods.keys() == other.methods.keys()
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        np.testing.assert_array_equal(array, other.arrays[name])


def test_what_is_saved_is_loaded_equal_and_saved_again_bit_for_bit(workspace, shared, saved, tmp_path):
    opened = load_shared(str(saved))
    assert opened.checkpoint.path == saved / "model.safetensors" and is_shared(saved)
    assert opened.fingerprint == workspace.checkpoint.fingerprint and tuple(opened.config) == CONFIG_KEYS
    assert sorted(path.name for path in saved.iterdir()) == sorted(SHARED_FILES)
    again = save_shared(opened, tmp_path / "again", "a card")
    assert_same(shared, load_shared(again))
    for card in ("another card", ""):  # into its own folder; a hidden one is no reason to refuse
        save_shared(load_shared(again), again, card)
        hashed = (*HASHED_FILES, CONFIG_FILE)
        assert all((again / name).read_bytes() == (saved / name).read_bytes() for name in hashed)
        assert (again / "README.md").read_text() == card
        (again / ".git").mkdir(exist_ok=True)
    (again / "README.md").unlink()  # nor is a missing card
    assert_same(load_shared(again), shared)


def test_names_with_signs_are_taken(shared, tmp_path):
    names = ("Schlürfen", "走る", 'a "quoted" <b>', "with, comma\tand tab")
    texts = {"averaged": True, "texts": dict(zip(names, names[::-1]))}
    seen = [row | {"name": name} for row, name in zip(shared.config["seen"], names)]
    prompt = "of {label} | a.b"
    arrays = {**shared.arrays, f"text.{prompt}": shared.arrays["text.label"]}
    odd = replace(shared, config=shared.config | {"seen": seen}, texts={prompt: texts}, arrays=arrays)
    assert_same(odd, load_shared(save_shared(odd, tmp_path / "a folder 'é'", "")))


@pytest.mark.long
def test_a_copy_opened_in_another_process_embeds_bit_for_bit_the_same(workspace, saved, tmp_path):
    shutil.copytree(saved, tmp_path / "elsewhere" / "model")
    stripes_store(tmp_path)  # the same frames as in the other process
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(tmp_path / "elsewhere")], check=True, cwd=HERE)
    (found,) = (tmp_path / "elsewhere").glob("embeddings_*.safetensors")
    wanted = workspace.checkpoint.path.parent / found.name
    assert found.read_bytes() == wanted.read_bytes()


# what is refused


@pytest.mark.parametrize("name", HASHED_FILES)
@pytest.mark.parametrize("damage", [0.5, "shortened", "missing"])
def test_a_damaged_file_is_refused(folder, name, damage):
    content = bytearray((folder / name).read_bytes())
    if damage == "missing":
        (folder / name).unlink()
    elif damage == "shortened":
        (folder / name).write_bytes(content[:-1])
    else:
        content[int(damage * len(content))] ^= 1
        (folder / name).write_bytes(content)
    with pytest.raises(SharedModelError, match=f"{name}' is missing or was changed"):
        load_shared(folder)


@pytest.mark.parametrize(
    "content", ['{"model_type": "clip"}', "[]", '"zsar_lab shared model"', "{", "null", '{"kind": 1}', None]
)
def test_a_folder_of_something_else_is_refused_and_not_written_to(folder, shared, tmp_path, content):
    config, error = folder / CONFIG_FILE, SharedModelError if content else FileNotFoundError
    config.unlink() if content is None else config.write_text(content)
    assert is_shared(folder) == (content == "{")  # a damaged one is known by the files beside it
    with pytest.raises(error, match=CONFIG_FILE if content else str(folder)):
        load_shared(folder)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_shared(tmp_path / "nowhere")
    (tmp_path / "a thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="'a thesis.txt'"):
        save_shared(shared, tmp_path, "")


def changed(folder: Path, **changes) -> dict:
    content = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")) | changes
    content = {key: value for key, value in content.items() if value is not ...}
    (folder / CONFIG_FILE).write_text(json.dumps(content), encoding="utf-8")
    return content


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *(({"schema_version": v, "about": None}, f"be {SCHEMA_VERSION}, got") for v in (2, "1", None, ...)),
        *(({"sha256": hashes}, "model.safetensors") for hashes in ([], None, {"model.safetensors": 1})),
        ({"chosen_for": ...}, "lacks .*KeyError"),
        ({"methods": ...}, "lacks .*KeyError"),
        ({"methods": [{"method": "transfer"}]}, "lacks .*KeyError"),
        ({"methods": [{"method": "transfer", "prompt": "none"}]}, "lacks .*KeyError"),
        ({"encoder": ...}, "lacks .*KeyError"),
        ({"frames": {"n": 1}}, "lacks .*TypeError"),
        ({"about": ...}, "lacks .*KeyError"),
        ({"chosen_for": "another"}, "another.*export again"),
    ],
)
def test_a_config_of_another_version_or_that_lacks_what_is_needed_is_refused(folder, changes, said):
    config = changed(folder, **changes)
    if not {"schema_version", "sha256"} & set(changes):
        with pytest.raises(SharedModelError, match="was changed"):
            load_shared(folder)
    changed(folder, fingerprint=config_fingerprint(config))  # as another version may have written it
    with pytest.raises(SharedModelError, match=said):
        load_shared(folder)


@pytest.mark.parametrize("stopped", ["save_weights", "save_file", "write_json", "_sha256"])
def test_an_interrupted_saving_leaves_no_folder_that_opens(shared, folder, monkeypatch, stopped):
    """Over a whole one, whose files are partly replaced by then."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, stopped, interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_shared(shared, folder, "")
    assert not is_shared(folder)
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):
        load_shared(folder)
    assert_same(load_shared(save_shared(shared, folder, "")), shared)
