"""Why clips were predicted as they were: pure functions of a split's predictions, and their html.

    cos(v, p_u) = sum_s a_us (v . p_s) / |sum_s a_us p_s|,  with v and p_s of length 1

is the transfer score of a clip v for an unseen class u: each summand is what one seen class s adds to it.
A method that was not scored is a KeyError; a class, clip or order that is not there, or embeddings of another
checkpoint than the split's, a ValueError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.clips import INDUCTIVE
from zsar_lab.methods.table import LABELS
from zsar_lab.results.calibration import confidences
from zsar_lab.results.predictions import Predictions
from zsar_lab.viz.clips import Caption, clip_grid, render
from zsar_lab.viz.figures.style import labels_of

ORDERS = MARGIN, CONFIDENCE, TYPICAL, UNTYPICAL = (
    "margin, most wrong first",
    "confidence, surest wrong first",
    "most typical first",
    "least typical first",
)
N_PARTS = 8  # seen classes listed by name
N_EXAMPLES = 4  # seen classes shown with a clip
N_BEST = 5
LEAST_WEIGHT = 0.005  # of a seen class to be named as a part of a prototype


def method_options(predictions: Predictions) -> list[tuple[str, str]]:
    """Label and name of each method that was scored for the unseen classes, with the training's prompt."""
    plain = (predictions.prompt, "none", INDUCTIVE, "unseen")
    methods = [one.method for one in predictions.scored if one.key[1:] == plain]
    return [(LABELS[method], method) for method in methods if method != "upper_bound"]


def clip_table(predictions: Predictions, method: str, class_name: str = "") -> pd.DataFrame:
    """The clips of an unseen class ("" for all classes), the most wrong first.

    Returns:
        Columns clip, label, prediction, right, margin (score of the true class less the best other, below 0
        when wrong), confidence (0..1, NaN without a temperature), typicality (cosine to the mean of the
        others).
    """
    rows, targets_B = predictions.rows(method), predictions.targets()
    clips, scores_BC = np.arange(len(rows)), np.array(predictions.scores(method), dtype=float)
    own_B = scores_BC[clips, targets_B]
    scores_BC[clips, targets_B] = -np.inf
    found = rows[["clip", "label", "prediction", "confidence"]].assign(
        right=rows["rank"] == 1,
        margin=own_B - scores_BC.max(1),
        typicality=predictions.scores("upper_bound")[clips, targets_B].astype(float),
    )
    if class_name:
        found = found[targets_B == _index(predictions, class_name)]
    return found.sort_values("margin", kind="stable", ignore_index=True)


def orders(clips: pd.DataFrame) -> list[str]:
    """The orders that `in_order` can put clips in: by confidence only where there is one."""
    return [order for order in ORDERS if order != CONFIDENCE or clips["confidence"].notna().all()]


def in_order(clips: pd.DataFrame, order: str = MARGIN) -> pd.DataFrame:
    """Rows of a `clip_table` in an order; by confidence, from the surest wrong to the surest right one."""
    if order not in orders(clips):
        raise ValueError(f"the order must be one of {'; '.join(orders(clips))}, got {order!r}")
    signed = clips["confidence"].where(clips["right"], -clips["confidence"])
    typicality = clips["typicality"]
    keys = {MARGIN: clips["margin"], CONFIDENCE: signed, TYPICAL: -typicality, UNTYPICAL: typicality}
    return clips.loc[keys[order].sort_values(kind="stable").index]


def prototype_parts(predictions: Predictions, class_name: str) -> pd.Series:
    """Weights of the seen classes that composed an unseen class's prototype, by name, the largest first."""
    weights = predictions.weights()[_index(predictions, class_name)]
    return pd.Series(weights, predictions.protocol.seen).sort_values(ascending=False, kind="stable")


def candidates(predictions: Predictions, method: str, clip: str, n_best: int = N_BEST) -> pd.DataFrame:
    """The best classes of a test clip, and the true one after them where it is not among them.

    Returns:
        Columns name, rank (from 1; of tied classes the true one is the last), score, confidence (NaN without
        a temperature), is_true.
    """
    ids = predictions.ids()
    if clip not in ids:
        raise ValueError(f"the clip must be one of the {len(ids)} test clips, got {clip!r}")
    number, temperature = ids.index(clip), predictions.find(method).temperature
    scores = np.asarray(predictions.scores(method)[number], dtype=float)
    is_true = np.arange(len(scores)) == predictions.targets()[number]
    sure = np.full(len(scores), np.nan) if temperature is None else confidences(scores[None], temperature)[0]
    content = {"name": predictions.names(), "score": scores, "confidence": sure, "is_true": is_true}
    found = pd.DataFrame(content).iloc[np.lexsort((is_true, -scores))].reset_index(drop=True)
    found["rank"] = found.index + 1
    return found[(found["rank"] <= n_best) | found["is_true"]]


def check_scored_on(predictions: Predictions, clips: ClipEmbeddings) -> None:
    """Check that these are the embeddings a split was scored on; ValueError when they are not."""
    needed = predictions.about["fingerprints"]["embeddings"]
    if clips.fingerprint != needed:
        raise ValueError(f"clips must be the embeddings it was scored on ({needed}), got {clips.fingerprint}")


def pulls(predictions: Predictions, clips: ClipEmbeddings, clip: str, class_name: str) -> pd.Series:
    """What each seen class adds to a clip's transfer score for an unseen class, by name.

    Args:
        predictions: of the split.
        clips: the embeddings that it was scored on.
        clip: id of any embedded clip.
        class_name: of an unseen class.
    """
    check_scored_on(predictions, clips)
    weight_S = predictions.weights()[_index(predictions, class_name)]
    seen_SD = predictions.prototypes("seen")
    v = clips.embedding_ND[clips.rows((clip,))[0]].astype(float)
    added_S = weight_S * (seen_SD @ (v / np.linalg.norm(v))) / np.linalg.norm(weight_S @ seen_SD)
    return pd.Series(added_S, predictions.protocol.seen)


def example_clips(predictions: Predictions, clips: ClipEmbeddings, seen: Sequence[str]) -> dict[str, str]:
    """The training clip nearest to each of these seen classes' prototypes, by cosine, where there is one."""
    protocol = predictions.protocol
    rows = clips.rows(protocol.train_clips)
    labels, found = np.array([clips.labels[number] for number in rows]), {}
    for name in seen:
        own = np.flatnonzero(labels == name)
        if len(own):
            prototype = predictions.prototypes("seen")[protocol.seen.index(name)]
            found[name] = protocol.train_clips[own[(clips.embedding_ND[rows[own]] @ prototype).argmax()]]
    return found


def captions_of(
    clips: pd.DataFrame,
    labels: Mapping[str, str],
    first: int = 1,
    order: str = MARGIN,
    kinds: Mapping = {},
    truths: Mapping[str, str] | None = None,
) -> list[Caption]:
    """The captions of clips: prediction, margin, the figure they are ordered by, and what they are tagged as.

    Args:
        clips: rows of a `clip_table`.
        labels: the readable label of each class name.
        first: number before the first caption.
        order: one of ORDERS.
        kinds: of tags, by clip id.
        truths: the labels again, where the clips are of several classes, so that theirs is shown too.
    """
    found = []
    for place, clip in enumerate(clips.itertuples(), first):
        lines = [f"{place}. {labels[clip.prediction]}", f"margin {clip.margin:+.3f}"]
        lines += [f"truth: {truths[clip.label]}"] if truths and not clip.right else []
        lines += [f"{100 * clip.confidence:.0f} % sure"] if order == CONFIDENCE else []
        lines += [f"typicality {clip.typicality:.2f}"] if order in (TYPICAL, UNTYPICAL) else []
        lines += [f"⚑ {kinds[clip.clip]}"] if clip.clip in kinds else []
        found.append(Caption(tuple(lines), bool(clip.right)))
    return found


def error_clips(
    catalog: Catalog, predictions: Predictions, method: str, class_name: str, max_clips: int = 48
) -> str:
    """A grid of the class's clips playing, the most wrong first; Raises as `clip_table`."""
    shown = clip_table(predictions, method, class_name).head(max_clips)
    return clip_grid(catalog, shown["clip"].tolist(), captions_of(shown, labels_of(catalog)))


def texts_and_parts(catalog: Catalog, predictions: Predictions, class_name: str, rival: str = "") -> str:
    """Html: a class and the one it is confused with ("" for none): texts, and what prototypes are made of."""
    sides = {"True class": class_name} | ({"Most confused with": rival} if rival else {})
    labels = labels_of(catalog)
    columns = [_column(predictions, labels, role, name) for role, name in sides.items()]
    return render("class_texts.html", columns=columns)


def clip_html(
    catalog: Catalog,
    predictions: Predictions,
    method: str,
    clip: str,
    clips: ClipEmbeddings | None = None,
    with_video: bool = True,
) -> str:
    """Html: a test clip playing with its best classes; the true class and its rival with what composed them.

    Args:
        catalog: of the clips.
        predictions: of the split.
        method: whose prediction.
        clip: id of a test clip.
        clips: the split's embeddings; without them the seen classes have neither example clips nor what they
            added to the score.
        with_video: False where the clip is beside it.
    """
    labels, best = labels_of(catalog), candidates(predictions, method, clip)
    (true,) = best.loc[best["is_true"], "name"]
    rival, right = best.loc[~best["is_true"], "name"].iloc[0], bool(best["is_true"].iloc[0])
    sides = {"True class": true, "Next best" if right else "Predicted": rival}
    columns = [_column(predictions, labels, role, name) for role, name in sides.items()]
    if clips is not None and predictions.weights().any():
        for column, name in zip(columns, sides.values(), strict=True):
            column |= _examples(catalog, predictions, clips, clip, name)
    return render(
        "clip.html",
        video=clip_grid(catalog, [clip], [Caption((clip,), right)], 1, 200) if with_video else "",
        candidates=best.assign(label=[labels[name] for name in best["name"]]).to_dict("records"),
        columns=columns,
        other_method="" if method == "transfer" else LABELS[method],
    )


def _column(predictions: Predictions, labels: Mapping[str, str], role: str, name: str) -> dict[str, object]:
    """A class with its text and the seen classes that composed its prototype."""
    texts, parts = predictions.class_text, prototype_parts(predictions, name)
    text = dict(zip(texts.names, texts.texts))[name].replace("\n", " · ")
    parts = parts[parts >= LEAST_WEIGHT]
    shown = [(labels[seen], float(weight)) for seen, weight in parts[:N_PARTS].items()]
    column = {"role": role, "label": labels[name], "prompt": texts.prompt, "text": text, "parts": shown}
    return column | {"n_rest": len(parts[N_PARTS:]), "rest": float(parts[N_PARTS:].sum())}


def _examples(
    catalog: Catalog, predictions: Predictions, clips: ClipEmbeddings, clip: str, name: str
) -> dict[str, object]:
    """The seen classes with the largest weights, each by an example clip and what it adds to the score."""
    labels, parts = labels_of(catalog), prototype_parts(predictions, name)
    added = pulls(predictions, clips, clip, name)
    largest = parts[parts >= LEAST_WEIGHT].index[:N_EXAMPLES].tolist()
    examples = example_clips(predictions, clips, largest)
    captions = [
        Caption((labels[seen], f"weight {parts[seen]:.2f}", f"adds {added[seen]:+.3f}")) for seen in examples
    ]
    grid = clip_grid(catalog, list(examples.values()), captions, columns=N_EXAMPLES, width_px=84)
    rest = [seen for seen in parts.index if seen not in examples]
    sums = {"rest": float(parts[rest].sum()), "adds": float(added[rest].sum()), "all": float(added.sum())}
    return {"examples": grid, "n_rest": len(rest), **sums}


def _index(predictions: Predictions, class_name: str) -> int:
    unseen = predictions.names()
    if class_name not in unseen:
        raise ValueError(
            f"the class must be one of the split's unseen ones ({', '.join(unseen)}), got {class_name!r}"
        )
    return unseen.index(class_name)
