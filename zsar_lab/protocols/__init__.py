"""Protocols: which classes and clips train, validate and test, and how the score is averaged. Checked when made, hashed, printable."""
