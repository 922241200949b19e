"""Relatedness of classes by their texts: a cosine, in a space whose transform was fitted on seen classes.

Shapes: S seen, U other classes, F width of a class text's embedding, R rank of the seen texts about their
mean (at most S - 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KINDS = PLAIN, CENTRED, WHITENED = "plain", "centred", "whitened"
SHRINKAGE = 1.0
RANK_TOLERANCE = 1e-10  # an axis counts where its singular value is above this share of the largest


@dataclass(frozen=True, eq=False)
class Relatedness:
    """r(a, b) = cos((a - m) W, (b - m) W).

    "plain" has m = 0 and W = 1. "centred" has W = 1 and m = the mean of the seen texts. "whitened" has the
    same m and

        W = (C + l I)^-1/2,  C = X'X / S,  X = the seen texts less m,  l = shrinkage * (mean of the R
        eigenvalues of C above 0).

    The fewer texts, the less C knows: with S - 1 < F it says nothing of F - S + 1 directions, and l is all
    that W knows there. l -> infinity gives "centred"; l -> 0, where R = F, gives seen texts of covariance 1.
    With X = Q diag(s) V' and e = s^2 / S,

        x W = x V diag(e + l)^-1/2 V' + (x - x V V') l^-1/2,

    so that nothing of size F x F is built.
    """

    kind: str
    centre_F: np.ndarray  # m
    axes_RF: np.ndarray  # V', the directions in which the seen texts differ; no rows unless whitened
    scale_R: np.ndarray  # (e + l)^-1/2, along each of them
    rest_scale: float = 1.0  # l^-1/2, in all other directions; 1 unless whitened

    @staticmethod
    def fit(text_SF: np.ndarray, kind: str = CENTRED, shrinkage: float = SHRINKAGE) -> Relatedness:
        """Fit on embedded texts of seen classes, float [S, F]; `shrinkage` is read by "whitened" alone."""
        if kind not in KINDS:
            raise ValueError(f"relatedness must be one of {', '.join(KINDS)}, got {kind!r}")
        text_SF = _finite(text_SF, None)
        n_seen, width = text_SF.shape
        if kind == PLAIN:
            return Relatedness(kind, np.zeros(width), np.zeros((0, width)), np.zeros(0))
        if n_seen < 2 or (text_SF == text_SF[0]).all():
            got = f"{n_seen} equal ones" if n_seen > 1 else f"{n_seen}"
            raise ValueError(f"{kind} relatedness needs 2 or more different seen class texts, got {got}")
        centre_F = text_SF.mean(0)
        if kind == CENTRED:
            return Relatedness(kind, centre_F, np.zeros((0, width)), np.zeros(0))
        if not 0 < shrinkage < np.inf:
            raise ValueError(f"shrinkage must be above 0 and finite, got {shrinkage}")
        _, s, axes_RF = np.linalg.svd(text_SF - centre_F, full_matrices=False)
        counts = s > RANK_TOLERANCE * s[0]
        eigenvalue_R = s[counts] ** 2 / n_seen
        floor = shrinkage * eigenvalue_R.mean()
        return Relatedness(
            kind, centre_F, axes_RF[counts], (eigenvalue_R + floor) ** -0.5, float(floor**-0.5)
        )

    def transform(self, text_UF: np.ndarray) -> np.ndarray:
        """(text - m) W, float64 [U, F]; ValueError for a text that is not finite, or of another width."""
        rows_UF = _finite(text_UF, len(self.centre_F)) - self.centre_F
        along_UR = rows_UF @ self.axes_RF.T
        return (along_UR * (self.scale_R - self.rest_scale)) @ self.axes_RF + self.rest_scale * rows_UF

    def between(self, text_UF: np.ndarray, text_SF: np.ndarray) -> np.ndarray:
        """Relatedness of the first classes to the second, -1..1, [U, S]; Raises as `transform`."""
        return unit(self.transform(text_UF)) @ unit(self.transform(text_SF)).T


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows divided by their Euclidean length; a zero row stays zero."""
    return rows / np.maximum(np.sqrt(np.square(rows).sum(-1, keepdims=True)), 1e-12)


def _finite(text_CF: np.ndarray, width: int | None) -> np.ndarray:
    text_CF = np.asarray(text_CF, dtype=float)
    if text_CF.ndim != 2 or (width is not None and text_CF.shape[1] != width):
        raise ValueError(f"class texts must be [classes, {width or 'width'}], got shape {text_CF.shape}")
    bad = np.flatnonzero(~np.isfinite(text_CF).all(1))
    if len(bad):
        raise ValueError(f"embedded class texts must be finite, row {bad[0]} of {len(text_CF)} is not")
    return text_CF
