"""Fixtures for the tests of results: one scored split, or two of them with more noise."""

import pytest
from scored_split import clips, good, predictions, vague  # noqa: F401
from small_results import small_results
from two_splits import clips_of, predictions_of, protocol_of

from zsar_lab.results.summary import Results


@pytest.fixture(scope="session")
def noisy():
    """The embeddings of each of `splits`."""
    return [clips_of(0.45)] * 2


@pytest.fixture(scope="session")
def splits(noisy):
    return [predictions_of(protocol_of(number), of_split) for number, of_split in enumerate(noisy)]


@pytest.fixture(scope="session")
def results() -> Results:
    """Two splits with planted accuracies, and a family of one beside them."""
    return small_results((0, 1), beside=(2,))
