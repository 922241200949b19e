"""Protocols: which classes and clips train, validate and test, and how a score is averaged."""
