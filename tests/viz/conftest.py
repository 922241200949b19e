"""Fixtures that the tests of figures, tables and widgets share."""

from seven_classes import catalog, embeddings, predictions, results  # noqa: F401
