"""What every test runs under: a cache folder of its own, and the longest files first, so that two processes end at about the same time."""

from __future__ import annotations

import pytest

LONGEST_FIRST = ("test_workspace.py", "test_cross_dataset.py", "test_prepare.py", "test_memory.py")


def pytest_collection_modifyitems(items):
    order = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
