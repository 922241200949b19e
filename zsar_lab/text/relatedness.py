"""Relatedness of classes by their texts: a cosine, in a space whose transform was fitted on seen classes.

Shapes: S seen, U other classes, F width of a class text's embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PLAIN, CENTRED, WHITENED = "plain", "centred", "whitened"
KINDS = (PLAIN, CENTRED, WHITENED)


@dataclass(frozen=True, eq=False)
class Relatedness:
    """r(a, b) = cos((a - m) W, (b - m) W).

    Attributes:
        kind: "plain" (m = 0, W = 1), "centred" (m = mean of the seen texts, W = 1) or "whitened" (W also evens out the seen texts' spread).
        centre_F: m.
        whiten_FF: W; None for 1.
    """

    kind: str
    centre_F: np.ndarray
    whiten_FF: np.ndarray | None = None

    @staticmethod
    def fit(text_SF: np.ndarray, kind: str = CENTRED) -> Relatedness:
        """Fit on the embedded texts of seen classes, float [S, F].

        Raises:
            ValueError: no such kind.
        """
        if kind not in KINDS:
            raise ValueError(f"relatedness must be one of {', '.join(KINDS)}, got {kind!r}")
        centre_F = np.zeros(text_SF.shape[1]) if kind == PLAIN else text_SF.mean(0)
        return Relatedness(kind, centre_F)

    def between(self, text_UF: np.ndarray, text_SF: np.ndarray) -> np.ndarray:
        """Relatedness of each of the first classes to each of the second, -1..1, [U, S]."""
        return _unit(text_UF - self.centre_F) @ _unit(text_SF - self.centre_F).T


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
