"""zsar_lab.infer.hub: shared models pushed to a hub on this machine, and fetched from it, or why not."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from local_hub import READER, WRITER, LocalHub, running
from tiny_encoders import save_public

from zsar_lab.cli import main
from zsar_lab.infer import hub as room
from zsar_lab.infer.hub import fetch_shared, push_shared
from zsar_lab.infer.model import load_model
from zsar_lab.infer.shared import CONFIG_FILE, HASHED_FILES, SHARED_FILES, SharedModelError, load_shared
from zsar_lab.models.public import checkpoints
from zsar_lab.text.encoder_files import find_encoder

# the client's plain uploads, which a hub with xet does without, are written for an older HTTP package
pytestmark = [pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"), pytest.mark.long]
REPO = "team/stripes"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this machine, an empty cache, and a token with the right to write."""
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    with running(tmp_path / "hub") as local:
        point_to(local.url, tmp_path / "cache", monkeypatch)
        yield local
    close_session()


def point_to(url: str | None, cache: Path, monkeypatch, offline: bool = False) -> None:
    """Let the hub's client, which reads its environment once, ask this address; None: where nothing listens.

    By plain uploads, for xet has a store of its own.
    """
    if url is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}"
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    close_session()


def stored(hub: LocalHub, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = hub.folder / REPO / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


# there and back


def test_the_five_files_of_a_model_are_pushed_and_fetched_bit_for_bit(hub, saved, tmp_path, monkeypatch):
    folder = shutil.copytree(saved, tmp_path / "with more")
    for name in ("notes.txt", f"run/{CONFIG_FILE}", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("private")
    assert push_shared(folder, REPO) == f"{hub.url}/{REPO}" and hub.private == {REPO}
    assert sorted(hub.files(REPO)) == sorted(SHARED_FILES)
    stored(hub, {"clip.mp4": "large", "sub/model.safetensors": "large"})
    fetched = fetch_shared(REPO)
    assert sorted(hub.downloads()) == sorted(path.name for path in fetched.iterdir()) == sorted(SHARED_FILES)
    assert all((fetched / name).read_bytes() == (saved / name).read_bytes() for name in SHARED_FILES)
    (folder / "README.md").write_text("# Another card\n")
    for _ in range(2):  # over the older one; the second time nothing has changed
        push_shared(folder, REPO)
    assert hub.files(REPO)["README.md"].read_text() == "# Another card\n"
    monkeypatch.delenv("HF_TOKEN")
    assert push_shared(saved, "mine", private=False, token=WRITER) == f"{hub.url}/team/mine"
    assert hub.private == {REPO} and load_shared(fetch_shared("team/mine"))


# the cache


@pytest.mark.parametrize("damage", ["model.safetensors", "a changed byte", "none"])
def test_a_cached_model_is_opened_without_a_network_and_fetched_again_where_damaged(
    hub, saved, tmp_path, monkeypatch, damage
):
    push_shared(saved, REPO)
    folder = fetch_shared(REPO)
    if damage in HASHED_FILES:  # an interrupted download
        (folder / damage).resolve().unlink()
        (folder / damage).unlink()
    elif damage == "a changed byte":
        (folder / "seen.safetensors").resolve().write_bytes(b"?")
    for offline in (False, True):
        point_to(None, tmp_path / "cache", monkeypatch, offline)
        if damage == "none":
            assert fetch_shared(REPO) == folder
        else:
            with pytest.raises(FileNotFoundError, match=REPO):
                fetch_shared(REPO)
    point_to(hub.url, tmp_path / "cache", monkeypatch)
    hub.asked.clear()
    assert load_shared(fetch_shared(REPO)).fingerprint == load_shared(saved).fingerprint
    if damage != "a changed byte":
        assert hub.downloads() == ([] if damage == "none" else [damage])


# models of another kind, and names of nothing


@pytest.mark.parametrize("file", ["config.json", "README.md"])
def test_another_models_repository_is_left_to_others(hub, tmp_path, monkeypatch, file):
    stored(hub, {file: '{"model_type": "clip"}', "model.safetensors": "it may have gigabytes"})
    assert fetch_shared(REPO) is None and "model.safetensors" not in hub.downloads()
    if file == "config.json":
        point_to(None, tmp_path / "cache", monkeypatch)
        assert fetch_shared(REPO) is None  # from the cache


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "../no", "a/b/c", "tests/no", "a b", "x.git", "", "ä", "x" * 200, "new\nline"]
)
def test_a_path_to_nowhere_is_refused_without_asking_the_hub(hub, name):
    with pytest.raises(FileNotFoundError, match=re.escape(f"'{name}'")):
        fetch_shared(name)
    assert not hub.asked


def test_who_may_not_read_is_told_to_log_in(hub, saved, monkeypatch):
    push_shared(saved, REPO)
    for token, kind in ((None, FileNotFoundError), ("hf_expired", PermissionError)):
        monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
        for name in (REPO, "nobody/no-such-model"):
            with pytest.raises(kind, match=f"'{name}'.*HF_TOKEN") as caught:
                fetch_shared(name)
            assert "hf_expired" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", READER)
    assert load_shared(fetch_shared(REPO))
    with pytest.raises(FileNotFoundError, match="'nobody/none'.*none of that name"):
        fetch_shared("nobody/none")
    (hub.folder / "team/half").mkdir()
    shutil.copy(saved / CONFIG_FILE, hub.folder / "team/half")
    with pytest.raises(FileNotFoundError, match="team/half.*model.safetensors"):
        fetch_shared("team/half")


# revisions


def test_a_revision_is_opened_that_is_asked_for_and_one_that_is_not_there_is_said(hub, tmp_path, monkeypatch):
    for name, kind in (("tiny", "clip"), ("tiny@refs_pr_4", "videoprism")):
        (hub.folder / "team").mkdir(exist_ok=True)
        save_public(hub.folder / "team" / name, kind)
    commit = hub.commit("team/tiny@refs_pr_4")
    for revision, width in ((None, 16), ("main", 16), ("refs/pr/4", 32), (commit, 32)):
        model = load_model("team/tiny", revision=revision)
        assert model.encode_text(["walk", "jump"]).shape == (2, width), revision
        assert (revision is None) == (" at " not in model.about)
    row = checkpoints().iloc[:1].assign(revision=commit, training_sets="UCF101; WebLI")
    row.index = ["team/tiny"]
    monkeypatch.setattr("zsar_lab.infer.model.checkpoints", lambda: row)
    model = load_model("team/tiny")
    assert commit in model.about and model.training_sets == ("UCF101", "WebLI")
    with pytest.raises(FileNotFoundError, match="'team/tiny'.*at no-such.*no such revision"):
        load_model("team/tiny", revision="no-such")
    with pytest.raises(FileNotFoundError, match="'team/tiny' has no revision 'no-such'"):
        find_encoder("team/tiny", "no-such")
    given = ["--model", "team/tiny", "--revision", "no-such"]
    assert main(["classify", str(tmp_path / "v.mp4"), "--names", "a", "b", *given]) == 2
    assert main(["evaluate", *given, "--dataset", str(tmp_path), "--protocol", "all"]) == 2
    for load in (load_model, find_encoder):
        with pytest.raises(ValueError, match="of the hub have revisions"):
            load(hub.folder / "team/tiny", revision="main")
    point_to(None, tmp_path / "cache", monkeypatch, offline=True)
    assert load_model("team/tiny", revision="refs/pr/4").frames.n_frames == 4


# a hub that does not answer


@pytest.mark.parametrize("state", ["nowhere", "offline", "out of order", "the page of a hotel's network"])
def test_a_hub_that_does_not_answer_as_one(hub, saved, tmp_path, monkeypatch, state):
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>" if self.command != "HEAD" else b"")

        do_HEAD = do_POST = do_GET
        log_message = print

    why = {"nowhere": r"127.0.0.1:\d+ \(ConnectError\)", "offline": "OfflineModeIs"}.get(state, hub.url)
    if state == "out of order":
        hub.failing, why = 500, "answered 500"
    elif state in ("nowhere", "offline"):
        point_to(None, tmp_path / "cache", monkeypatch, offline=state == "offline")
    else:
        monkeypatch.setattr(hub.server, "RequestHandlerClass", Page)
    with pytest.raises(FileNotFoundError, match=f"'{REPO}'.*{why}"):
        fetch_shared(REPO)
    with pytest.raises(ConnectionError, match=f"'{REPO}'.*{why}"):
        push_shared(saved, REPO)


def test_a_download_that_breaks_off_keeps_nothing_that_opens_and_a_full_disk_is_said(hub, saved, monkeypatch):
    push_shared(saved, REPO)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    hub.cut = len((hub.folder / REPO / "model.safetensors").read_bytes()) // 2
    with pytest.raises(FileNotFoundError, match=REPO):
        fetch_shared(REPO)
    hub.cut = 0
    assert load_shared(fetch_shared(REPO))

    def full(*_, **__):
        raise OSError(28, "No space left on device", "/cache/blob")

    monkeypatch.setattr(room, "_downloaded", full)
    with pytest.raises(OSError, match="No space left on device: '/cache/blob'"):
        fetch_shared("team/other")


# a push that is not allowed


@pytest.mark.parametrize("token", [None, "hf_expired", READER, WRITER])
def test_a_push_without_the_right_to_is_refused(hub, saved, monkeypatch, token):
    monkeypatch.delenv("HF_TOKEN")
    why = "gives no right" if token in (READER, WRITER) else "is not known"
    repo = "others/stripes" if token == WRITER else REPO
    for _ in range(1 + (token == READER)):  # also where the repository is there
        with pytest.raises(PermissionError, match=f"'{repo}'.*{why}") as caught:
            push_shared(saved, repo, token=token)
        assert token is None or token not in str(caught.value)
        assert list(hub.files(REPO)) in ([], ["README.md"])
        stored(hub, {"README.md": "there"})
        hub.private.add(REPO)


@pytest.mark.parametrize(
    ("repo", "token", "said"),
    [(REPO, token, "a token must be one word") for token in ("", "two words", "hf_x\n", "hf_ä")]
    + [(repo, WRITER, f"'{repo}'.*[Rr]epo") for repo in ("a/b/c", "not a name", "x.git", "")],
)
def test_a_bad_name_or_token_is_refused_before_anything_is_made(hub, saved, repo, token, said):
    with pytest.raises(ValueError, match=said) as caught:
        push_shared(saved, repo, token=token)
    assert not hub.asked and (not token or token not in str(caught.value))


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"README.md": "public"}, "is public"),
        ({"config.json": "{}", "model.safetensors": "?"}, "another model"),
    ],
)
def test_a_public_repository_or_that_of_another_model_is_not_written_to(hub, saved, files, why):
    stored(hub, files)
    if why == "another model":
        hub.private.add(REPO)
    with pytest.raises(ValueError, match=f"'{REPO}' .*{why}"):
        push_shared(saved, REPO)
    assert {name: path.read_text() for name, path in hub.files(REPO).items()} == files


def test_only_a_whole_shared_model_is_pushed(hub, saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "model")
    (folder / "README.md").unlink()
    with pytest.raises(FileNotFoundError, match="README.md"):
        push_shared(folder, REPO)
    (folder / "README.md").write_text("---\ntags: [\n---\n")
    with pytest.raises(ValueError, match="front matter is no YAML"):
        push_shared(folder, REPO)
    hub.asked.clear()
    (folder / "seen.safetensors").write_bytes(b"?")
    with pytest.raises(SharedModelError, match="seen.safetensors"):
        push_shared(folder, REPO)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        push_shared(tmp_path / "nowhere", REPO)
    assert not hub.asked
