"""A trained fake workspace, its shared model, and the folder of that; read only."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_workspace import SmallWorkspace, small_workspace

from zsar_lab.infer.shared import SharedModel


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> SmallWorkspace:
    return small_workspace(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def shared(workspace, tmp_path_factory) -> SharedModel:
    return workspace.shared(tmp_path_factory.mktemp("shared") / "stripes")


@pytest.fixture(scope="session")
def saved(shared) -> Path:
    return shared.checkpoint.path.parent
