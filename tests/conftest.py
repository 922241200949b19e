"""What every test runs under: one thread, a cache folder of its own, a Ctrl-C that works, long files first.

The modules of the libraries are half a million objects that stay; Python's search for garbage is spared from
going through them again and again."""

from __future__ import annotations

import gc
import os
import signal

import pytest

# before numpy and torch are loaded, and for the processes that tests start: threads that wait for one another
# cost half as much again
os.environ.setdefault("OMP_NUM_THREADS", "1")
gc.disable()  # until everything is imported

LONGEST_FIRST = """workspace distributed cross_dataset api text_tail reading frames prepare prepare_mishaps
training checkpoint session hub lint backbones encoder compare_reports report_files conventions embed
memory""".split()


def pytest_collection_modifyitems(items):
    order = {f"test_{name}.py": number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_works():
    """A shell starts its background jobs with Ctrl-C ignored, and every process below would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
