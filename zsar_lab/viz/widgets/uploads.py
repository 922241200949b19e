"""A button that uploads videos in parts: Jupyter silently drops messages of over 10 MB."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from zsar_lab.data.catalog import VIDEO_SUFFIXES, shown

MOST_BYTES = 50_000_000  # of a file
PART_BYTES = 2_000_000
LONGEST_NAME = 120  # bytes, of which some systems allow 255
FORBIDDEN = r'[<>:"|?*\x00-\x1f\x7f]'  # in file names of some system


class UploadButton(anywidget.AnyWidget):
    """Sends each file as a message "start" (key, name, size) and messages "part" (key, bytes)."""

    _esm = """
    function render({ model, el }) {
      const stop = new AbortController(), asked = {};
      const input = document.createElement("input"), said = document.createElement("span");
      const accept = model.get("accept");
      Object.assign(input, { type: "file", multiple: true, accept, title: "videos to upload" });
      for (const part of [input, said])
        part.style.cssText = "font-size:13px;color:var(--jp-content-font-color1,#808080);max-width:100%";
      el.append(input, said);
      const answer = (content) => asked[content.key]?.(content.more);
      model.on("msg:custom", answer);
      const ask = (content, part) => new Promise((resolve) => {
        asked[content.key] = resolve;
        model.send(content, undefined, part ? [part] : []);
      });
      async function upload(file) {
        const key = Math.random().toString(36), size = model.get("part_bytes");
        if (!(await ask({ kind: "start", key, name: file.name, size: file.size }))) return;
        for (let sent = 0; sent < file.size; sent += size) {
          said.textContent = ` ${file.name}: ${Math.floor((100 * sent) / file.size)} %`;
          if (!(await ask({ kind: "part", key }, await file.slice(sent, sent + size).arrayBuffer()))) return;
        }
      }
      input.addEventListener("change", async () => {
        input.disabled = true;
        for (const file of input.files) await upload(file);
        input.value = ""; said.textContent = ""; input.disabled = false;
      }, { signal: stop.signal });
      return () => { stop.abort(); model.off("msg:custom", answer); };
    }
    export default { render };
    """
    accept = traitlets.Unicode(",".join(sorted(VIDEO_SUFFIXES))).tag(sync=True)
    part_bytes = traitlets.Int(PART_BYTES).tag(sync=True)


class Uploads:
    """Uploaded videos in a temporary folder, which is deleted when the kernel ends.

    Args:
        changed: called when a file has come ("") or with the reason why one was refused.

    Attributes:
        button: the widget.
        folder: where the files are.
        files: those that came whole.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self.button, self._changed = UploadButton(), changed
        self.files: list[Path] = []
        self.folder = Path(tempfile.mkdtemp(prefix="zsar_lab_uploads_"))
        self._coming: dict[str, tuple[Path, int]] = {}
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.button.on_msg(self.take)

    def take(self, _: Any, message: dict[str, Any], buffers: Sequence[Any]) -> None:
        """Write what the button sends; a refusal ends the file."""
        key, refused = str(message.get("key")), ""
        try:
            if message.get("kind") == "start":
                self._coming[key] = self._start(str(message["name"]), int(message["size"]))
            self._write(key, b"".join(bytes(part) for part in buffers))
        except (ValueError, OSError) as error:
            self._coming.pop(key, None)
            refused = str(error)
        self.button.send({"key": key, "more": key in self._coming})
        if refused or key not in self._coming:
            self._changed(refused)

    def _start(self, name: str, size: int) -> tuple[Path, int]:
        if size > MOST_BYTES:
            raise ValueError(
                f"an upload must be at most {MOST_BYTES // 10**6} MB, got {size // 10**6} for '{shown(name)}'"
            )
        coming = [path for path, _ in self._coming.values()]
        path = self.folder / safe_name(name, {path.name for path in (*self.files, *coming)})
        path.write_bytes(b"")
        return path, size

    def _write(self, key: str, content: bytes) -> None:
        if key not in self._coming:
            raise ValueError("a part of a file came before its start; upload the file again")
        path, size = self._coming[key]
        with open(path, "ab") as file:
            file.write(content)
        written = path.stat().st_size
        if written > size:
            path.unlink()
            raise ValueError(
                f"'{path.name}' must have {size} bytes as announced, got {written}; upload it again"
            )
        if written == size:
            self.files.append(path)
            del self._coming[key]


def safe_name(name: str, taken: set[str]) -> str:
    """An unused file name without folders, leading dots or characters that some system forbids.

    Raises:
        ValueError: it does not end as a video does.
    """
    clean = re.sub(FORBIDDEN, "_", name.replace("\\", "/").rsplit("/", 1)[-1]).strip(". ")
    stem, suffix = Path(clean).stem, Path(clean).suffix
    if suffix.lower() not in VIDEO_SUFFIXES:
        kinds = " ".join(sorted(VIDEO_SUFFIXES))
        raise ValueError(f"an uploaded file must be a video ({kinds}), got '{shown(name)}'")
    stem = stem.encode()[:LONGEST_NAME].decode(errors="ignore")
    names = (stem + (f" ({number})" if number > 1 else "") + suffix for number in count(1))
    return next(name for name in names if name not in taken)
