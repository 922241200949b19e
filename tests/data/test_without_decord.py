"""PyAV alone is enough: frames are the same without decord, and only wheels that exist are asked for."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import numbered_frames, numbers_in
from packaging.requirements import Requirement

from zsar_lab.data.video import READERS, probe, read_frames, write_mp4

ROOT = Path(__file__).parents[2]
WHEELS = {  # (system, machine): the reader beside PyAV
    ("Linux", "x86_64"): ["decord"],
    ("Windows", "AMD64"): ["decord"],
    ("Linux", "aarch64"): ["decord2"],
    ("Darwin", "arm64"): ["decord2"],
    ("Darwin", "x86_64"): [],
    ("Windows", "ARM64"): [],
    ("Linux", "riscv64"): [],
}


@pytest.mark.parametrize(("system", "machine"), WHEELS)
def test_only_wheels_that_exist_are_asked_for(system, machine):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    here = {"platform_system": system, "platform_machine": machine, "python_version": "3.13"}
    needed = [Requirement(line) for line in project["dependencies"]]
    names = [one.name for one in needed if one.marker is None or one.marker.evaluate(here)]
    assert [name for name in names if "decord" in name] == WHEELS[system, machine] and "av" in names


def test_frames_are_the_same_where_decord_is_not_installed(tmp_path, monkeypatch):
    path = tmp_path / "x.mp4"
    write_mp4(path, numbered_frames(60), fps=25)
    wanted = [41, 3, 59]
    given = {reader: read_frames(path, wanted, 64, reader) for reader in READERS}
    monkeypatch.setitem(sys.modules, "decord", None)  # importing it is an error from now on
    assert probe(path).n_frames == 60
    for reader, frames in given.items():
        alone = read_frames(path, wanted, 64, reader)
        assert numbers_in(alone) == wanted
        assert np.abs(alone.astype(int) - frames).mean(axis=(1, 2, 3)).max() < 3


def test_the_library_is_imported_without_decord():
    program = "import sys; sys.modules['decord'] = None; import zsar_lab.data.prepare"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
