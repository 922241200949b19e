"""Why one clip was named as it was: its best classes, and what each seen class added to the scores of the true and of the rival class; and html."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsar_lab.data.catalog import Catalog
from zsar_lab.embed.checkpoint import ClipEmbeddings
from zsar_lab.results.calibration import confidences
from zsar_lab.results.evaluate import TRANSFER, SplitResult
from zsar_lab.viz.clips import RIGHT, WRONG, Caption, clip_grid
from zsar_lab.viz.explanations import SIDE_BY_SIDE, class_column, prototype_parts
from zsar_lab.viz.figures.style import labels_of

N_EXAMPLES = 4  # seen classes shown with a clip
N_BEST = 5


@dataclass(frozen=True)
class Candidate:
    """A class a clip may be: its rank from 1, score in the method's units, and confidence 0..1 (None where the method has no temperature)."""

    rank: int
    name: str
    score: float
    confidence: float | None


@dataclass(frozen=True)
class ClipAnswer:
    """What a method made of one clip.

    Attributes:
        clip_id: of the catalog.
        true: its class.
        rival: the best other class, which is the answer where the clip was named wrongly.
        right: whether it was named rightly.
        candidates: the best classes, and the true one after them where it is not among them.
    """

    clip_id: str
    true: str
    rival: str
    right: bool
    candidates: tuple[Candidate, ...]


def clip_answer(result: SplitResult, method: str, clip_id: str, n_best: int = N_BEST) -> ClipAnswer:
    """The best classes of a test clip under a method.

    Raises:
        ValueError: no such method, or the clip is not a test clip of the split.
    """
    row, scored, names = _row(result, clip_id), result.method(method), result.protocol.unseen
    scores, target = scored.scores_BC[row], int(result.targets[row])
    sure = None if scored.temperature is None else confidences(scores[None], scored.temperature)[0]
    order = np.lexsort(
        (np.arange(len(scores)) == target, -scores)
    ).tolist()  # of tied classes the true one counts as the worst
    found = [
        Candidate(rank, names[i], float(scores[i]), None if sure is None else float(sure[i]))
        for rank, i in enumerate(order, start=1)
    ]
    rival = next(candidate.name for candidate in found if candidate.name != names[target])
    shown = [candidate for candidate in found if candidate.rank <= n_best or candidate.name == names[target]]
    return ClipAnswer(clip_id, names[target], rival, order[0] == target, tuple(shown))


def check_scored_on(result: SplitResult, clips: ClipEmbeddings) -> None:
    """Check that these are the embeddings a split was scored on; ValueError when they are not."""
    if clips.fingerprint != result.fingerprints["embeddings"]:
        raise ValueError(
            f"a split is explained by the embeddings it was scored on ({result.fingerprints['embeddings']}), got {clips.fingerprint};"
            " give workspace.embeddings(split)"
        )


def pulls(result: SplitResult, clips: ClipEmbeddings, clip_id: str, class_name: str) -> dict[str, float]:
    """What each seen class adds to the transfer score of an unseen class for one clip; their sum is that score.

        cos(v, p_u) = sum_s a_us (v . p_s) / |sum_s a_us p_s|,  with v and p_s of length 1

    Args:
        result: of the split.
        clips: the embeddings that it was scored on.
        clip_id: any embedded clip.
        class_name: u, an unseen class.

    Raises:
        ValueError: the clip was not embedded, the class is not unseen, or the embeddings are not those of the
            split.
    """
    check_scored_on(result, clips)
    weights, seen_SD = dict(prototype_parts(result, class_name, at_least=0.0)), result.prototypes["seen"]
    weight_S = np.array([weights[name] for name in result.protocol.seen])
    v = clips.embedding_ND[clips.rows((clip_id,))[0]].astype(float)
    added_S = weight_S * (seen_SD @ (v / np.linalg.norm(v))) / np.linalg.norm(weight_S @ seen_SD)
    return dict(zip(result.protocol.seen, added_S.tolist(), strict=True))


def example_clips(result: SplitResult, clips: ClipEmbeddings, seen: Sequence[str]) -> dict[str, str]:
    """The training clip nearest to each of these seen classes' prototypes, by cosine; a class without training clips is left out.

    Raises:
        ValueError: a class is not seen, or the embeddings are not those of the split.
    """
    check_scored_on(result, clips)
    strangers = [name for name in seen if name not in result.protocol.seen]
    if strangers:
        raise ValueError(
            f"examples are of the split's {len(result.protocol.seen)} seen classes, got {strangers[0]!r}"
        )
    ids = result.protocol.train_clips
    rows = clips.rows(ids)
    labels = np.array([clips.labels[row] for row in rows])
    found = {}
    for name in seen:
        own = np.flatnonzero(labels == name)
        if len(own):
            cosine = (
                clips.embedding_ND[rows[own]] @ result.prototypes["seen"][result.protocol.seen.index(name)]
            )
            found[name] = ids[own[int(cosine.argmax())]]
    return found


def clip_html(
    catalog: Catalog, result: SplitResult, method: str, clip_id: str, clips: ClipEmbeddings | None = None
) -> str:
    """Html: a test clip playing with its best classes; the true class and its rival side by side, each with what composed it.

    Args:
        catalog: of the clips.
        result: of the split.
        method: whose answer.
        clip_id: a test clip.
        clips: the split's embeddings; without them the seen classes have neither example clips nor what they
            added to the score.

    Raises:
        ValueError: as `clip_answer` and `example_clips`.
    """
    labels, answer = labels_of(catalog), clip_answer(result, method, clip_id)
    sides = ("True class", answer.true), ("Next best" if answer.right else "Taken for", answer.rival)
    composed = [
        class_column(role, name, result, labels, _composed(catalog, result, clips, clip_id, name, labels))
        for role, name in sides
    ]
    video = clip_grid(catalog, [clip_id], [Caption((clip_id,), answer.right)], columns=1, width_px=200)
    left = f'<div style="flex:1 1 260px;min-width:0">{video}{_candidates(answer, labels)}</div>'
    note = (
        ""
        if method == TRANSFER
        else f"<div><i>The method {html.escape(method)} does not decide by these prototypes alone, or not at all.</i></div>"
    )
    return f'<div class="zsar-clip"><div style="{SIDE_BY_SIDE}">{left}{"".join(composed)}</div>{note}</div>'


def _candidates(answer: ClipAnswer, labels: dict[str, str]) -> str:
    left, right = (
        f"padding:1px 10px 1px 0;text-align:{side}" for side in ("left", "right;white-space:nowrap")
    )
    rows = ""
    for candidate in answer.candidates:
        true = candidate.name == answer.true
        sign = (
            f'<b style="color:{RIGHT}">✓</b> '
            if true
            else f'<b style="color:{WRONG}">✗</b> '
            if candidate.rank == 1
            else ""
        )
        sure = "" if candidate.confidence is None else f"{100 * candidate.confidence:.1f} %"
        cells = (
            (right, str(candidate.rank)),
            (left, sign + html.escape(labels[candidate.name])),
            (right, f"{candidate.score:+.3f}"),
            (right, sure),
        )
        rows += f"<tr>{''.join(f'<td style={style!r}>{text}</td>' for style, text in cells)}</tr>"
    head = "".join(
        f"<th style={style!r}>{text}</th>"
        for style, text in ((right, ""), (left, "class"), (right, "score"), (right, "sure"))
    )
    return f'<table style="font-size:13px;line-height:1.45"><tr>{head}</tr>{rows}</table>'


def _composed(
    catalog: Catalog,
    result: SplitResult,
    clips: ClipEmbeddings | None,
    clip_id: str,
    name: str,
    labels: dict[str, str],
) -> str | None:
    """The seen classes with the largest weights, each by an example clip; None without embeddings."""
    if clips is None:
        return None
    parts = prototype_parts(result, name, at_least=0.005)
    added, examples = (
        pulls(result, clips, clip_id, name),
        example_clips(result, clips, [seen for seen, _ in parts[:N_EXAMPLES]]),
    )
    captions = [
        Caption((labels[seen], f"weight {weight:.2f}", f"adds {added[seen]:+.3f}"))
        for seen, weight in parts
        if seen in examples
    ]
    grid = clip_grid(catalog, list(examples.values()), captions, columns=N_EXAMPLES, width_px=84)
    rest = [seen for seen in added if seen not in examples]
    weight = sum(weight for _, weight in prototype_parts(result, name, at_least=0.0) if _ in rest)
    other = (
        f"<div>{len(rest)} other seen classes: weight {weight:.2f}, add {sum(added[seen] for seen in rest):+.3f}; "
        if rest
        else "<div>"
    )
    return f"{grid}{other}all together {sum(added.values()):+.3f}, its transfer score</div>"


def _row(result: SplitResult, clip_id: str) -> int:
    if clip_id not in result.ids:
        raise ValueError(
            f"the clip must be one of the {len(result.ids)} test clips of {result.protocol.name!r}, got {clip_id!r}"
        )
    return result.ids.index(clip_id)
