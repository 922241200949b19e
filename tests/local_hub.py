"""A model hub on this machine that keeps repositories in a folder, and answers as the hub does to create, push and fetch a model."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

OWNER, WRITER, READER = "team", "hf_writer", "hf_reader"
COMMIT_LENGTH = 40


@dataclass
class LocalHub:
    """Repositories as `<folder>/<owner>/<name>/`; those whose name is in `private` are shown to a known token alone.

    Attributes:
        asked: "METHOD /path" of every request.
        failing: a status that is answered to every request from now on.
        cut: no file is sent beyond so many bytes; 0 sends them whole.
    """

    folder: Path
    url: str = ""
    private: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    large: dict[str, bytes] = field(default_factory=dict)
    failing: int = 0
    cut: int = 0
    server: http.server.ThreadingHTTPServer | None = None

    def files(self, repo: str) -> dict[str, Path]:
        return {path.relative_to(self.folder / repo).as_posix(): path for path in sorted((self.folder / repo).rglob("*")) if path.is_file()}

    def commit(self, repo: str) -> str:
        """Another one whenever a file has changed."""
        listed = [(name, hashlib.sha1(path.read_bytes()).hexdigest()) for name, path in self.files(repo).items()]
        return hashlib.sha1(json.dumps(listed).encode()).hexdigest()[:COMMIT_LENGTH]

    def downloads(self) -> list[str]:
        """The files fetched, in the order of their fetching."""
        return [line.split("/", 5)[5] for line in self.asked if line.startswith("GET") and "/resolve/" in line]


@contextmanager
def running(folder: Path) -> Iterator[LocalHub]:
    folder.mkdir(parents=True, exist_ok=True)
    hub = LocalHub(folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.server, hub.url = server, f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: LocalHub

    def do_HEAD(self):
        self._answer()

    do_GET = do_POST = do_PUT = do_HEAD

    def _answer(self) -> None:
        hub, content = self.hub, self._content()
        path = self.path.split("?")[0]
        hub.asked.append(f"{self.command} {path}")
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if hub.failing:
            return self._send({"error": "out of order"}, hub.failing)
        if path.startswith("/large/"):  # the store of large files, which is asked without a token
            hub.large[path.removeprefix("/large/")] = content
            return self._send({})
        if token not in ("", WRITER, READER):
            return self._send({"error": "Invalid credentials"}, 401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        if path == "/api/validate-yaml":
            broken = b"tags: [" in content
            return self._send({"warnings": [], "errors": [{"message": "the front matter is no YAML"}] if broken else []}, 400 if broken else 200)
        if path == "/api/repos/create":
            return self._create(json.loads(content), token)
        repo, rest = self._parted(path)
        if not (hub.folder / repo).is_dir() or (repo in hub.private and not token):
            # the hub says so too to those who have not logged in, whether it is private or is not there
            return self._send({"error": "Repository not found"}, 401 if not token else 404, {"X-Error-Code": "RepoNotFound"})
        self._of_repository(repo, rest, content, token)

    def _create(self, asked: dict, token: str) -> None:
        repo = f"{asked.get('organization') or OWNER}/{asked['name']}"
        if not token:
            return self._send({"error": "Unauthorized"}, 401)
        if token != WRITER or not repo.startswith(f"{OWNER}/"):
            return self._send({"error": "You don't have the rights to create a model under this namespace"}, 403)
        there = (self.hub.folder / repo).is_dir()
        (self.hub.folder / repo).mkdir(parents=True, exist_ok=True)
        if not there and asked.get("visibility") == "private":
            self.hub.private.add(repo)
        self._send({"url": f"{self.hub.url}/{repo}"} | ({"error": "You already created this model repo"} if there else {}), 409 if there else 200)

    def _parted(self, path: str) -> tuple[str, str]:
        """The repository that a path is about, and what it asks of it."""
        owner, name, rest = [*path.removeprefix("/api/models/").lstrip("/").split("/", 2), ""][:3]
        if name.endswith(".git"):
            name, rest = name.removesuffix(".git"), f"git/{rest}"
        return f"{owner}/{name}", rest

    def _of_repository(self, repo: str, rest: str, content: bytes, token: str) -> None:
        files, commit = self.hub.files(repo), self.hub.commit(repo)
        if self.command == "POST" and token != WRITER:
            return self._send({"error": "Forbidden"}, 403)
        if self.command == "POST":
            return self._write(repo, rest, content)
        if rest in ("", "revision/main"):
            about = {"id": repo, "sha": commit, "private": repo in self.hub.private, "siblings": [{"rfilename": name} for name in files]}
            return self._send(about)
        if rest == f"tree/{commit}":
            return self._send([{"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40} for name, path in files.items()])
        asked = rest.split("/", 2)
        if asked[0] == "resolve" and asked[2] in files:
            whole = files[asked[2]].read_bytes()
            return self._send(whole, more={"ETag": f'"{hashlib.sha1(whole).hexdigest()}"', "X-Repo-Commit": commit})
        self._send({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})

    def _write(self, repo: str, rest: str, content: bytes) -> None:
        if rest.startswith("preupload/"):
            modes = [{"path": file["path"], "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular", "shouldIgnore": False}
                     for file in json.loads(content)["files"]]  # fmt: skip
            return self._send({"files": modes})
        if rest == "git/info/lfs/objects/batch":
            wanted = json.loads(content)["objects"]
            return self._send({"objects": [file | {"actions": {"upload": {"href": f"{self.hub.url}/large/{file['oid']}"}}} for file in wanted]})
        assert rest == "commit/main", rest
        for line in content.splitlines():
            item = json.loads(line)
            if item["key"] == "file":
                (self.hub.folder / repo / item["value"]["path"]).write_bytes(base64.b64decode(item["value"]["content"]))
            elif item["key"] == "lfsFile":
                large = self.hub.large[item["value"]["oid"]]
                assert hashlib.sha256(large).hexdigest() == item["value"]["oid"] and len(large) == item["value"]["size"]
                (self.hub.folder / repo / item["value"]["path"]).write_bytes(large)
        self._send({"commitUrl": f"{self.hub.url}/{repo}/commit/x", "commitOid": self.hub.commit(repo)})

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, content: bytes | dict | list, status: int = 200, more: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        for key, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | (more or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: self.hub.cut] if self.hub.cut and isinstance(content, bytes) else body)

    def log_message(self, *_):
        pass
