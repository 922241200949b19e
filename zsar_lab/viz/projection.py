"""A map of the shared space in two dimensions, and how far it can be trusted. The owner of umap.

Shapes: N points laid out (clips, then prototypes and texts), S seen, U unseen classes, D width of the shared
space, K neighbours.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.embed.neighbours import nearest_neighbours
from zsar_lab.files import fingerprint, writing
from zsar_lab.results.predictions import Predictions
from zsar_lab.text.relatedness import unit

N_NEIGHBOURS, MIN_DISTANCE = 15, 0.1
KINDS = ("seen", "composed", "true", "seen_text", "unseen_text")
OF_SEEN = ("seen", "seen_text")
ALL, SEEN = "all", "seen"
N_TRUSTED = 10  # neighbours that both figures of trust look at
# a map at random has a trustworthiness of .5, and .85 is a third of the way there; of a quarter kept, three
# of four near points lie elsewhere
LEAST_TRUSTWORTHINESS, LEAST_KEPT = 0.85, 0.25
OWN_NEIGHBOURS_FROM = 4096  # points; from here on umap would only guess at the neighbours
# up to so many points, trustworthiness is of all of them; beyond, of a sample
ALL_RANKED, N_RANKED, RANKED_AT_ONCE = 5000, 2000, 200


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """Clips and prototypes of one split on one map; all places (`_xy`) are float [N, 2].

    Attributes:
        about: the split, and how many clips are shown.
        ids: of the clips, with their `classes` and `groups` ("seen", "validation" or "unseen").
        seen: class names; `seen_xy` are their measured prototypes, `seen_text_xy` their class texts by the
            trained label head.
        unseen: class names; also with composed and with measured ("true") prototypes.
        trustworthiness: 0..1, how far the 10 neighbours on the map are neighbours in the space, by cosine.
        path: where the layout is saved.
        fitted_on: "all", or "seen" where the layout was fitted on seen classes alone.
        kept: float [N] of the clips, 0..1: the share of a clip's 10 nearest points in the space that are
            among its 10 nearest on the map.
        kept_by_chance: what that share would be on a map at random.
    """

    about: str
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    groups: tuple[str, ...]
    clips_xy: np.ndarray
    seen: tuple[str, ...]
    unseen: tuple[str, ...]
    seen_xy: np.ndarray
    composed_xy: np.ndarray
    true_xy: np.ndarray
    seen_text_xy: np.ndarray
    unseen_text_xy: np.ndarray
    trustworthiness: float
    path: Path
    fitted_on: str
    kept: np.ndarray
    kept_by_chance: float


def shared_space_map(
    predictions: Predictions,
    clips: ClipEmbeddings,
    folder: Path,
    max_clips: int = 1000,
    seed: int = 0,
    fitted_on: str = ALL,
) -> SpaceMap:
    """Lay out clips, prototypes (seen, composed, true) and class texts by UMAP on cosine distances.

    Read from `<folder>/map_<fingerprint>.npz` when it is there. The first layout of a process takes seconds
    more, for compiling; the first one fitted on seen classes about a minute more.

    Args:
        predictions: of the split.
        clips: the embeddings the split was scored on.
        folder: where the layout is saved.
        max_clips: how many clips at most, evenly over the classes.
        seed: of the choice of clips and of the layout.
        fitted_on: "all", or "seen" to fit on seen classes alone and then to place the others.

    Raises:
        ValueError: the embeddings are not those of the split, max_clips is below the number of classes, or
            fitted_on is neither.
    """
    if fitted_on not in (ALL, SEEN):
        raise ValueError(f"fitted_on must be {ALL!r} or {SEEN!r}, got {fitted_on!r}")
    wanted, protocol = predictions.about["fingerprints"]["embeddings"], predictions.protocol
    if clips.fingerprint != wanted:
        raise ValueError(
            f"a map needs the embeddings its split was scored on, {wanted}, got {clips.fingerprint}"
        )
    groups = ("seen", "validation", "unseen")
    group_of = {name: group for group in groups for name in getattr(protocol, group)}
    rows = even_subset(clips.labels, tuple(group_of), max_clips, seed)
    prototypes = [predictions.prototypes(kind) for kind in KINDS]
    there = filter(len, prototypes)  # of what was scored
    points = np.concatenate([clips.embedding_ND[rows], *there]).astype(np.float32)
    group_N = tuple(group_of[clips.labels[row]] for row in rows)
    of_seen = [kind in OF_SEEN for kind, of_kind in zip(KINDS, prototypes) for _ in of_kind]
    fitted = np.array([group == "seen" for group in group_N] + of_seen)
    settings = seed, N_NEIGHBOURS, MIN_DISTANCE, fitted_on
    name = fingerprint("shared space map", clips.fingerprint, points, rows, settings)
    path = Path(folder) / f"map_{name}.npz"
    if not path.is_file():
        xy = _umap(points, seed) if fitted_on == ALL else _umap_of_part(points, fitted, seed)
        with writing(path) as temporary:
            found = trust(points, xy)
            np.savez(temporary, xy=xy, kept=found["kept"], trustworthiness=found["trustworthiness"])
    with np.load(path) as saved:
        found = dict(saved)
    clips_xy, *places = np.split(found["xy"], np.cumsum([len(rows), *map(len, prototypes)])[:-1])
    return SpaceMap(
        about=f"{protocol.name}, {_how_many(rows, clips, group_of, max_clips)}",
        ids=tuple(clips.ids[row] for row in rows),
        classes=tuple(clips.labels[row] for row in rows),
        groups=group_N,
        clips_xy=clips_xy,
        seen=protocol.seen,
        unseen=protocol.unseen,
        **{f"{kind}_xy": place for kind, place in zip(KINDS, places, strict=True)},
        trustworthiness=float(found["trustworthiness"]),
        path=path,
        fitted_on=fitted_on,
        kept=found["kept"][: len(rows)],
        kept_by_chance=_n_trusted(points) / (len(points) - 1),
    )


def _how_many(rows: np.ndarray, clips: ClipEmbeddings, group_of: dict[str, str], max_clips: int) -> str:
    """How many clips are on a map, and why not all."""
    if len(rows) == len(clips.ids):
        return f"all {len(rows)} clips"
    n_other = sum(label not in group_of for label in clips.labels)
    why = f"{max_clips // len(group_of)} a class, at most {max_clips} in all"
    why += f"; {n_other} are of no class of this split" * bool(n_other)
    return f"{len(rows)} of {len(clips.ids)} clips ({why})"


def trust(points_ND: np.ndarray, xy: np.ndarray) -> dict[str, np.ndarray]:
    """How far neighbours on a map are neighbours in the space, and the other way round.

    Returns:
        "trustworthiness", a float 0..1: 1 less a penalty for each neighbour on the map by how far down it
        is among the neighbours in the space; beyond 5,000 points of a sample of 2,000. "kept", float [N],
        0..1: the share of a point's neighbours in the space that are among its neighbours on the map. Both of
        10 neighbours, or of as many as few points allow.

    Source: J. Venna and S. Kaski, Neighborhood preservation in nonlinear projection methods, 2001, eq. 1.
    """
    from sklearn.manifold import trustworthiness
    from sklearn.neighbors import NearestNeighbors

    k = _n_trusted(points_ND)
    in_space_NK, _ = nearest_neighbours(points_ND, points_ND, k, exclude_self=True)
    on_map_NK = NearestNeighbors(n_neighbors=k).fit(xy).kneighbors(return_distance=False)
    kept_N = (in_space_NK[:, :, None] == on_map_NK[:, None, :]).any(2).mean(1)
    if len(xy) <= ALL_RANKED:
        share = trustworthiness(points_ND, xy, n_neighbors=k, metric="cosine")
    else:
        sample = np.random.default_rng(0).choice(len(xy), N_RANKED, replace=False)
        share = _trustworthiness_of(sample, points_ND, on_map_NK)
    return {"trustworthiness": np.array(float(share)), "kept": kept_N}


def warning_of(space: SpaceMap) -> str:
    """A sentence on what not to read off the map, and why; "" where there is nothing to warn of."""
    kept = f"of a clip's {N_TRUSTED} nearest it keeps {100 * space.kept.mean():.0f} %"
    kept = f"{kept}, below {100 * LEAST_KEPT:.0f} %" if space.kept.mean() < LEAST_KEPT else ""
    if space.trustworthiness < LEAST_TRUSTWORTHINESS:
        low = f"its trustworthiness is {space.trustworthiness:.2f}, below {LEAST_TRUSTWORTHINESS:g}"
        more = f", and {kept}" if kept else ""
        return f"Do not trust this map: {low}{more}. Read the tables, which are of the space itself."
    # groups may be right where the order within them is not
    return kept and f"Do not read off this map which clips of a group are nearest to each other: {kept}."


def even_subset(labels: tuple[str, ...], names: tuple[str, ...], max_clips: int, seed: int) -> np.ndarray:
    """Row numbers of at most `max_clips` clips, as many of each of these classes; int64, sorted.

    Raises:
        ValueError: max_clips is below the number of classes.
    """
    if max_clips < len(names):
        raise ValueError(f"max_clips must be at least one a class ({len(names)}), got {max_clips}")
    random, of_class = np.random.default_rng(seed), np.array(labels)
    found = [np.flatnonzero(of_class == name) for name in sorted(names)]
    chosen = [random.permutation(rows)[: max_clips // len(names)] for rows in found]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def _umap(points_ND: np.ndarray, seed: int) -> np.ndarray:
    """The layout, float [N, 2]; with exact neighbours of many points, a third of the cost of umap's own."""
    knn = None
    if len(points_ND) >= OWN_NEIGHBOURS_FROM:
        index_NK, cosine_NK = nearest_neighbours(points_ND, points_ND, N_NEIGHBOURS - 1, exclude_self=True)
        itself = np.arange(len(points_ND))[:, None]
        knn = (np.hstack([itself, index_NK]), np.hstack([np.zeros_like(itself, np.float32), 1 - cosine_NK]))
    with warnings.catch_warnings():
        # it warns that nothing can be put into this layout later
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)
        return _layout(len(points_ND), seed, knn).fit_transform(points_ND).astype(np.float64)


def _umap_of_part(points_ND: np.ndarray, fitted_N: np.ndarray, seed: int) -> np.ndarray:
    """The layout of the points that are fitted, the others put in, float [N, 2]."""
    layout, xy = _layout(int(fitted_N.sum()), seed), np.empty((len(points_ND), 2))
    xy[fitted_N] = layout.fit_transform(points_ND[fitted_N])
    xy[~fitted_N] = layout.transform(points_ND[~fitted_N])
    return xy


def _layout(n_points: int, seed: int, knn: tuple[np.ndarray, np.ndarray] | None = None) -> Any:
    """A layout to fit on so many points; umap compiles in every process, so it is imported only here."""
    try:
        from umap import UMAP
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("maps need umap: pip install 'zsar_lab[lab]'") from error
    more = {"precomputed_knn": knn} if knn else {}
    n_neighbours = min(N_NEIGHBOURS, n_points - 1)
    return UMAP(n_neighbours, min_dist=MIN_DISTANCE, metric="cosine", n_jobs=1, random_state=seed, **more)


def _n_trusted(points_ND: np.ndarray) -> int:
    return min(N_TRUSTED, (len(points_ND) - 1) // 2)


def _trustworthiness_of(rows: np.ndarray, points_ND: np.ndarray, on_map_NK: np.ndarray) -> float:
    """Trustworthiness over some of the points, in blocks, for want of room for all cosines."""
    n_points, k = on_map_NK.shape
    unit_ND, penalty = unit(points_ND).astype(np.float32), 0
    for some in np.array_split(rows, -(-len(rows) // RANKED_AT_ONCE)):
        cosine = unit_ND[some] @ unit_ND.T
        cosine[np.arange(len(some)), some] = -np.inf
        near = np.take_along_axis(cosine, on_map_NK[some], 1)
        for column in range(k):
            rank = 1 + (cosine > near[:, column : column + 1]).sum(1)
            penalty += int(np.maximum(0, rank - k).sum())
    return 1 - penalty * 2 / (len(rows) * k * (2 * n_points - 3 * k - 1))
