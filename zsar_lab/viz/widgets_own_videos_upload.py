"""A button that uploads videos from the user's machine in parts.

ipywidgets' FileUpload sends all files in one message, and Jupyter drops a message of more than 10 MB without
a word.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from zsar_lab.data.catalog import VIDEO_SUFFIXES, shown

MOST_BYTES = 50_000_000  # of a file
PART_BYTES = 2_000_000
LONGEST_NAME = 120
FORBIDDEN = '<>:"|?*'  # in file names of some system

_JS = """
function render({ model, el }) {
  const stop = new AbortController(), asked = {};
  const input = document.createElement("input"), said = document.createElement("span");
  input.type = "file"; input.multiple = true; input.accept = model.get("accept"); input.title = "videos to upload";
  for (const part of [input, said]) part.style.cssText = "font-size:13px;color:var(--jp-content-font-color1,#808080);max-width:100%";
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


class UploadButton(anywidget.AnyWidget):
    """The button: files come as messages "start" (key, name, size) and "part" (key, and the bytes); each is answered by {key, more}."""

    _esm = _JS
    accept = traitlets.Unicode(",".join(sorted(VIDEO_SUFFIXES))).tag(sync=True)
    part_bytes = traitlets.Int(PART_BYTES).tag(sync=True)


class Uploads:
    """Uploaded videos in a temporary folder, which goes with the kernel: a session that read them may play them until then.

    Args:
        changed: called with a sentence that is to be said ("" for none) when a file came or was refused.

    Attributes:
        button: the widget.
        folder: where the files lie.
        files: those that came whole.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self.button, self.files, self._changed = UploadButton(), [], changed
        self.folder = Path(tempfile.mkdtemp(prefix="zsar_lab_uploads_"))
        self._coming: dict[str, tuple[Path, int]] = {}
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.button.on_msg(self.take)

    def take(self, _: Any, message: dict[str, Any], buffers: Sequence[Any]) -> None:
        """What the button sends; a refusal is said, and ends the file."""
        key, said = str(message.get("key")), ""
        try:
            if message.get("kind") == "start":
                self._coming[key] = (
                    self._start(str(message["name"]), int(message["size"])),
                    int(message["size"]),
                )
            self._write(key, b"".join(bytes(part) for part in buffers))
        except (ValueError, OSError) as error:
            self._coming.pop(key, None)
            said = str(error)
        self.button.send({"key": key, "more": key in self._coming})
        if said or key not in self._coming:
            self._changed(said)

    def _start(self, name: str, size: int) -> Path:
        if size > MOST_BYTES:
            raise ValueError(
                f"an uploaded video must be at most {MOST_BYTES / 1e6:.0f} MB, '{shown(name)}' has {size / 1e6:.0f} MB; put it into a folder that"
                " this notebook can reach, and give the folder instead"
            )
        taken = {path.name for path in (*self.files, *(path for path, _ in self._coming.values()))}
        path = self.folder / safe_name(name, taken)
        path.write_bytes(b"")
        return path

    def _write(self, key: str, content: bytes) -> None:
        if key not in self._coming:
            raise ValueError("a part of a file came that was not begun; upload the file again")
        path, size = self._coming[key]
        with open(path, "ab") as file:
            file.write(content)
        written = path.stat().st_size
        if written > size:
            path.unlink()
            raise ValueError(
                f"'{path.name}' must have the {size} bytes that were announced, got {written}; upload it again"
            )
        if written == size:
            self.files.append(path)
            del self._coming[key]


def safe_name(name: str, taken: set[str]) -> str:
    """A file name for an uploaded video: without folders, leading dots or signs that a system forbids, and unlike those taken.

    Raises:
        ValueError: it does not end as a video does.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(sign if sign.isprintable() and sign not in FORBIDDEN else "_" for sign in last).strip(". ")
    stem, suffix = Path(kept).stem[:LONGEST_NAME], Path(kept).suffix
    if suffix.lower() not in VIDEO_SUFFIXES:
        raise ValueError(
            f"an uploaded file must be a video ({' '.join(sorted(VIDEO_SUFFIXES))}), got '{shown(name)}'; choose another"
        )
    while len(stem.encode()) > LONGEST_NAME:  # of a name in another script each letter is several bytes
        stem = stem[:-1]
    number, found = 2, stem + suffix
    while found in taken:
        number, found = number + 1, f"{stem} ({number}){suffix}"
    return found
