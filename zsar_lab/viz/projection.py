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

from zsar_lab.embed.checkpoint import ClipEmbeddings
from zsar_lab.files import fingerprint, writing
from zsar_lab.methods.transfer import unit
from zsar_lab.results.evaluate import SplitResult
from zsar_lab.results.neighbours import nearest_neighbours

N_NEIGHBOURS, MIN_DISTANCE = 15, 0.1
KINDS = ("seen", "composed", "true", "seen text", "unseen text")
OF_SEEN = ("seen", "seen text")
ALL, SEEN = "all", "seen"
N_TRUSTED = 10  # neighbours that both figures of trust look at
# a map at random has a trustworthiness of .5, and .85 is a third of the way there; of a quarter kept, three
# of four near points lie elsewhere
LEAST_TRUSTWORTHINESS, LEAST_KEPT = 0.85, 0.25
OWN_NEIGHBOURS_FROM = 4096  # points; from here on umap would only guess at the neighbours
ALL_RANKED, N_RANKED, RANKED_AT_ONCE = (
    5000,
    2000,
    200,
)  # up to so many points, trustworthiness is of all of them; beyond, of a sample


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """Clips and prototypes of one split on one map.

    Attributes:
        about: the split, and how many clips are shown.
        ids, classes, groups: clip id, class name and "seen", "validation" or "unseen" of each clip shown.
        clips_xy: float [N, 2].
        seen, unseen: class names of the prototypes.
        seen_xy: float [S, 2], measured prototypes of the seen classes.
        composed_xy, true_xy: float [U, 2], composed and measured prototypes of the unseen classes.
        seen_text_xy, unseen_text_xy: float [S, 2] and [U, 2], semantic embeddings of the class texts by the
            trained label head.
        trustworthiness: 0..1, how far the neighbours on the map are neighbours in the shared space (10
            neighbours, by cosine).
        path: where the layout is kept.
        fitted_on: "all", or "seen" where the layout was fitted on clips, prototypes and texts of seen
            classes.
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
    result: SplitResult,
    clips: ClipEmbeddings,
    folder: Path,
    max_clips: int = 1000,
    seed: int = 0,
    fitted_on: str = ALL,
) -> SpaceMap:
    """Lay out clips, seen prototypes, composed and true unseen prototypes, and class texts together, by UMAP on cosine distances.

    Kept as `<folder>/map_<fingerprint>.npz`; read from there when it is already made. The first layout of a
    process takes seconds more, for compiling; the first one fitted on seen classes about a minute more.

    Args:
        result: the split.
        clips: the embeddings the split was scored on.
        folder: where the layout is kept.
        max_clips: how many clips at most, evenly over the classes.
        seed: of the choice of clips and of the layout.
        fitted_on: "all" fits the layout on everything that is shown; "seen" on clips, prototypes and texts of
            seen classes, and puts the others, which then had no say in it, where it leads them.

    Raises:
        ValueError: the embeddings are not those of the split, max_clips gives no clip a class, or fitted_on
            is neither.
    """
    if fitted_on not in (ALL, SEEN):
        raise ValueError(f"fitted_on must be {ALL!r} or {SEEN!r}, got {fitted_on!r}")
    if clips.fingerprint != result.fingerprints["embeddings"]:
        raise ValueError(
            f"a map needs the embeddings its split was scored on ({result.fingerprints['embeddings']}), got {clips.fingerprint};"
            " use workspace.embeddings of the same split"
        )
    protocol = result.protocol
    group_of = {
        name: group for group in ("seen", "validation", "unseen") for name in getattr(protocol, group)
    }
    rows = even_subset(clips.labels, tuple(group_of), max_clips, seed)
    points = np.concatenate([clips.embedding_ND[rows], *(result.prototypes[kind] for kind in KINDS)]).astype(
        np.float32
    )
    groups = tuple(group_of[clips.labels[row]] for row in rows)
    fitted = np.array(
        [group == "seen" for group in groups]
        + [kind in OF_SEEN for kind in KINDS for _ in result.prototypes[kind]]
    )
    settings = {"seed": seed, "k": N_NEIGHBOURS, "min_distance": MIN_DISTANCE}
    settings |= (
        {"fitted_on": SEEN}
        if fitted_on == SEEN
        else {"neighbours": "exact"}
        if len(points) >= OWN_NEIGHBOURS_FROM
        else {}
    )
    path = (
        Path(folder) / f"map_{fingerprint('shared space map', clips.fingerprint, points, rows, settings)}.npz"
    )
    if not path.is_file():
        xy = _umap(points, seed) if fitted_on == ALL else _umap_of_part(points, fitted, seed)
        with writing(path) as temporary:
            np.savez(temporary, xy=xy, **trust(points, xy))
    with np.load(path) as kept_file:
        xy = kept_file["xy"]
        # a map kept by an earlier version tells nothing of each clip
        measured = dict(kept_file) if "kept" in kept_file else trust(points, xy)
    ends = np.cumsum([len(rows), *(len(result.prototypes[kind]) for kind in KINDS)])[:-1]
    clips_xy, *places = np.split(xy, ends)
    return SpaceMap(
        about=f"{protocol.name}, {len(rows)} of {len(clips.ids)} clips",
        ids=tuple(clips.ids[row] for row in rows),
        classes=tuple(clips.labels[row] for row in rows),
        groups=groups,
        clips_xy=clips_xy,
        seen=protocol.seen,
        unseen=protocol.unseen,
        **{f"{kind.replace(' ', '_')}_xy": place for kind, place in zip(KINDS, places, strict=True)},
        trustworthiness=float(measured["trustworthiness"]),
        path=path,
        fitted_on=fitted_on,
        kept=measured["kept"][: len(rows)],
        kept_by_chance=_n_trusted(points) / (len(points) - 1),
    )


def trust(points_ND: np.ndarray, xy: np.ndarray) -> dict[str, np.ndarray]:
    """How far neighbours on a map are neighbours in the space, and the other way round.

    Args:
        points_ND: in the space, compared by cosine.
        xy: the same points on the map, float [N, 2].

    Returns:
        "trustworthiness", a float 0..1: 1 less a penalty for each neighbour on the map by how far down it
        stands among the neighbours in the space; beyond 5,000 points of 2,000 drawn from them. "kept", float
        [N], 0..1: the share of a point's neighbours in the space that are among its neighbours on the map.
        Both of 10 neighbours, or of as many as few points allow.

    Source: J. Venna and S. Kaski, Neighborhood preservation in nonlinear projection methods, 2001, eq. 1.
    """
    from sklearn.neighbors import NearestNeighbors

    k = _n_trusted(points_ND)
    in_space_NK, _ = nearest_neighbours(points_ND, points_ND, k, exclude_self=True)
    on_map_NK = NearestNeighbors(n_neighbors=k).fit(xy).kneighbors(return_distance=False)
    kept_N = (in_space_NK[:, :, None] == on_map_NK[:, None, :]).any(2).mean(1)
    if len(xy) <= ALL_RANKED:
        trustworthiness = _trustworthiness(points_ND, xy)
    else:
        drawn = np.random.default_rng(0).choice(len(xy), N_RANKED, replace=False)
        trustworthiness = _trustworthiness_of(drawn, points_ND, on_map_NK)
    return {"trustworthiness": np.array(trustworthiness), "kept": kept_N}


def warning_of(space: SpaceMap) -> str:
    """A sentence that says what is not to be read off the map, and why; "" where nothing is to be warned of."""
    kept = f"of a clip's {N_TRUSTED} nearest it keeps {100 * space.kept.mean():.0f} %, below {100 * LEAST_KEPT:.0f} %"
    keeps_few = space.kept.mean() < LEAST_KEPT
    if space.trustworthiness < LEAST_TRUSTWORTHINESS:
        more = f", and {kept}" if keeps_few else ""
        low = f"its trustworthiness is {space.trustworthiness:.2f}, below {LEAST_TRUSTWORTHINESS:g}"
        return f"Do not trust this map: {low}{more}. Read the tables, which are of the space itself."
    # groups may be right where the order within them is not
    return (
        f"Do not read off this map which clips of a group are nearest to each other: {kept}."
        if keeps_few
        else ""
    )


def even_subset(labels: tuple[str, ...], names: tuple[str, ...], max_clips: int, seed: int) -> np.ndarray:
    """Row numbers of at most `max_clips` clips of these classes, as many of each class, drawn with the seed; int64, sorted.

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
    """The layout, float [N, 2]; many points with their exact neighbours, which costs umap a third of its own guess at them."""
    knn = None
    if len(points_ND) >= OWN_NEIGHBOURS_FROM:
        index_NK, cosine_NK = nearest_neighbours(points_ND, points_ND, N_NEIGHBOURS - 1, exclude_self=True)
        itself = np.arange(len(points_ND))[:, None]
        knn = (np.hstack([itself, index_NK]), np.hstack([np.zeros_like(itself, np.float32), 1 - cosine_NK]))
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "precomputed_knn", UserWarning
        )  # nothing is put into this layout later
        return _layout(len(points_ND), seed, knn).fit_transform(points_ND).astype(np.float64)


def _umap_of_part(points_ND: np.ndarray, fitted_N: np.ndarray, seed: int) -> np.ndarray:
    """The layout of the points that are fitted, the others put in, float [N, 2]."""
    layout, xy = _layout(int(fitted_N.sum()), seed), np.empty((len(points_ND), 2))
    xy[fitted_N] = layout.fit_transform(points_ND[fitted_N])
    xy[~fitted_N] = layout.transform(points_ND[~fitted_N])
    return xy


def _layout(n_points: int, seed: int, knn: tuple[np.ndarray, np.ndarray] | None = None) -> Any:
    """A layout to fit on so many points; umap compiles in every process, so it is imported only here."""
    from umap import UMAP

    more = {"precomputed_knn": knn} if knn else {}
    return UMAP(
        n_neighbors=min(N_NEIGHBOURS, n_points - 1),
        min_dist=MIN_DISTANCE,
        metric="cosine",
        n_jobs=1,
        random_state=seed,
        **more,
    )


def _n_trusted(points_ND: np.ndarray) -> int:
    return min(N_TRUSTED, (len(points_ND) - 1) // 2)


def _trustworthiness(points_ND: np.ndarray, xy: np.ndarray) -> float:
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(points_ND, xy, n_neighbors=_n_trusted(points_ND), metric="cosine"))


def _trustworthiness_of(rows: np.ndarray, points_ND: np.ndarray, on_map_NK: np.ndarray) -> float:
    """As `_trustworthiness` over some of the points only, for it needs room for the cosines of all pairs."""
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
