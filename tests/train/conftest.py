"""What the trainings of these tests are given."""

from __future__ import annotations

import pytest
from small_training import stripes


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> tuple:
    """Store, protocol and class texts of the stripes."""
    return stripes(tmp_path_factory.mktemp("store"))
