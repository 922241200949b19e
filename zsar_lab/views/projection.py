"""A map of the shared space in two dimensions. The owner of umap.

Shapes: N clips on the map, S seen, U unseen classes, D width of the shared space.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zsar_lab.artefacts import fingerprint, writing
from zsar_lab.zeroshot.embed import ClipEmbeddings
from zsar_lab.zeroshot.evaluate import DrawResult

N_NEIGHBOURS, MIN_DISTANCE = 15, 0.1


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """Clips and prototypes of one draw on one map.

    Attributes:
        about: the draw, and how many clips are shown.
        ids, classes, groups: clip id, class name and "seen", "validation" or "unseen" of each clip shown.
        clips_xy: float [N, 2].
        seen, unseen: class names of the prototypes.
        seen_xy: float [S, 2], measured prototypes of the seen classes.
        composed_xy, true_xy: float [U, 2], composed and measured prototypes of the unseen classes.
        seen_text_xy, unseen_text_xy: float [S, 2] and [U, 2], semantic embeddings of the class texts by the trained label head.
        trustworthiness: 0..1, how far the neighbours on the map are neighbours in the shared space (10 neighbours, by cosine).
        path: where the layout is kept.
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


def shared_space_map(result: DrawResult, clips: ClipEmbeddings, folder: Path, max_clips: int = 1000, seed: int = 0) -> SpaceMap:
    """Lay out clips, seen prototypes, composed and true unseen prototypes, and class texts together, by UMAP on cosine distances.

    Kept as `<folder>/map_<fingerprint>.npz`; read from there when it is already made. The first layout of a process takes seconds
    more, for compiling.

    Args:
        result: the draw.
        clips: the embeddings the draw was scored on.
        folder: where the layout is kept.
        max_clips: how many clips at most, evenly over the classes.
        seed: of the choice of clips and of the layout.

    Raises:
        ValueError: the embeddings are not those of the draw, or max_clips gives no clip a class.
    """
    if clips.fingerprint != result.fingerprints["embeddings"]:
        raise ValueError(
            f"a map needs the embeddings its draw was scored on ({result.fingerprints['embeddings']}), got {clips.fingerprint};"
            " use workspace.embeddings of the same draw"
        )
    protocol = result.protocol
    group_of = {name: group for group in ("seen", "validation", "unseen") for name in getattr(protocol, group)}
    rows = even_subset(clips.labels, tuple(group_of), max_clips, seed)
    kinds = ("seen", "composed", "true", "seen text", "unseen text")
    points = np.concatenate([clips.embedding_ND[rows], *(result.prototypes[kind] for kind in kinds)]).astype(np.float32)
    key = fingerprint("shared space map", clips.fingerprint, points, rows, {"seed": seed, "k": N_NEIGHBOURS, "min_distance": MIN_DISTANCE})
    path = Path(folder) / f"map_{key}.npz"
    if not path.is_file():
        xy = _umap(points, seed)
        with writing(path) as temporary:
            np.savez(temporary, xy=xy, trustworthiness=_trustworthiness(points, xy))
    with np.load(path) as kept:
        xy, trust = kept["xy"], float(kept["trustworthiness"])
    ends = np.cumsum([len(rows), *(len(result.prototypes[kind]) for kind in kinds)])[:-1]
    clips_xy, *places = np.split(xy, ends)
    classes = tuple(clips.labels[row] for row in rows)
    return SpaceMap(
        about=f"{protocol.name}, {len(rows)} of {len(clips.ids)} clips",
        ids=tuple(clips.ids[row] for row in rows),
        classes=classes,
        groups=tuple(group_of[name] for name in classes),
        clips_xy=clips_xy,
        seen=protocol.seen,
        unseen=protocol.unseen,
        **{f"{kind.replace(' ', '_')}_xy": place for kind, place in zip(kinds, places, strict=True)},
        trustworthiness=trust,
        path=path,
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
    """The layout, float [N, 2]; umap compiles in every process, so it is imported only here."""
    from umap import UMAP

    neighbours = min(N_NEIGHBOURS, len(points_ND) - 1)
    layout = UMAP(n_neighbors=neighbours, min_dist=MIN_DISTANCE, metric="cosine", n_jobs=1, random_state=seed)
    return layout.fit_transform(points_ND).astype(np.float64)


def _trustworthiness(points_ND: np.ndarray, xy: np.ndarray) -> float:
    from sklearn.manifold import trustworthiness

    return float(trustworthiness(points_ND, xy, n_neighbors=min(10, (len(xy) - 1) // 2), metric="cosine"))
