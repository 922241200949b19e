"""Fixtures for the tests of results: one scored split; a test file may define others of the same names."""

from scored_split import clips, good, predictions, vague  # noqa: F401
