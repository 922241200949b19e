"""One split's evaluation: every method on the same clips, its settings chosen on validation classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsar_lab.files import fingerprint
from zsar_lab.methods.clips import (
    TRANSDUCTIVE,
    ClassPoints,
    ClipGroup,
    Fitted,
    SplitClips,
    class_sums,
)
from zsar_lab.methods.direct import TrainedModel
from zsar_lab.methods.fusion import true_prototype_scores
from zsar_lab.methods.hubness_reduction import reduced_scores
from zsar_lab.methods.label_propagation import BALANCES, MOST_CLIPS, neighbours, propagated
from zsar_lab.methods.table import METHODS, SEEN, TEXT_METHODS, UPPER_BOUND
from zsar_lab.methods.transfer import TransferSettings, weights_of
from zsar_lab.protocols.protocol import Protocol, plain
from zsar_lab.results.calibration import choose_temperature
from zsar_lab.results.generalised import area_and_bound, choose_gammas
from zsar_lab.results.judged import MOST_SCORES, Blocks
from zsar_lab.results.predictions import Predictions, Scored

if TYPE_CHECKING:
    import pandas as pd

    from zsar_lab.embed.embeddings import ClipEmbeddings
    from zsar_lab.text.embeddings import ClassEmbeddings
    from zsar_lab.train.checkpoint import Checkpoint

REDUCED = "transfer"  # the method whose hubness is reduced
PROPAGATED = ("direct", "transfer", "kernel_ridge")  # those whose predictions are propagated over test clips
KEPT_SCORES = 2**18  # of a matrix that is kept in memory where nothing is saved: 2 MB


class EvaluationError(ValueError):
    """A protocol cannot be scored, or the inputs are not of one training."""


def evaluate_split(
    checkpoint: Checkpoint,
    clips: ClipEmbeddings,
    protocol: Protocol,
    classes: ClassEmbeddings,
    other_texts: tuple[ClassEmbeddings, ...] = (),
    trained_text: ClassEmbeddings | None = None,
    folder: Path | None = None,
    split: str | None = None,
) -> Predictions:
    """Score every method on a split's unseen classes, and some with its seen classes as candidates too.

    Every setting is chosen by top-1 on the clips of the validation classes, the temperature of confidences by
    their likelihood.

    Args:
        checkpoint: trained on this protocol with the class texts `classes`.
        clips: the checkpoint's embeddings of the catalog.
        protocol: the split; whether it is generalised changes nothing, both are scored.
        classes: the class texts of the training.
        other_texts: further prompts for the comparison of class texts.
        trained_text: `classes` as the language model reads them after a training of its last layers; direct
            and match read it. None where it was frozen.
        folder: of the predictions: they are read from there when they are of these inputs, else written.
        split: its name; None for the protocol's.

    Raises:
        EvaluationError: the inputs are not of one training, or as `check_can_be_scored`.
        ValueError: a clip of the protocol was not embedded, or a class has no text.
    """
    check_can_be_scored(protocol)
    _check_of_one_training(checkpoint, clips, protocol, classes, trained_text)
    split = split or plain(protocol).name
    about = _about(checkpoint, clips, protocol, classes, other_texts, trained_text)
    if folder is not None:
        with suppress(FileNotFoundError):
            return Predictions.read(folder, split, about["fingerprint"])
    trained = TrainedModel(checkpoint.model(), trained_text or classes, clips)
    gathered = SplitClips.of(clips, protocol, trained)
    fits: dict[str, Fitted] = {}
    for name, method in METHODS.items():
        fits[name] = method.fit(gathered, classes, fits)
    others = [METHODS[name].fit(gathered, texts, {}) for texts in other_texts for name in TEXT_METHODS]
    scored, arrays = _score(gathered, protocol, clips, fits, others)
    arrays |= _prototypes(gathered, protocol, classes, fits)
    found = Predictions(plain(protocol), split, about, classes.class_text, scored, arrays)
    if folder is not None:
        found.save(folder)
    return found


def evaluate_points(
    clips: ClipEmbeddings,
    protocol: Protocol,
    ready: Sequence[ClassPoints],
    texts: Sequence[ClassEmbeddings],
    methods: Sequence[str] | None = None,
    folder: Path | None = None,
    split: str | None = None,
    all_scores: bool = False,
) -> Predictions:
    """Score embeddings that no training of the protocol made, such as those of a public model.

    Scored are the ready points, and where the protocol has seen and validation classes those methods that
    need clips and texts alone, with their settings chosen on validation classes, hubness reductions, and seen
    and unseen classes together.

    Clips are scored in blocks where their matrix would have more than 2^25 scores: the table has every row,
    but such a matrix is neither held nor saved. Without a folder those of more than 2^18 scores are let go
    of; `Predictions.scores` makes them again. Hubness reductions hold their matrices whole while they score.

    Args:
        clips: embeddings of the protocol's clips.
        protocol: the split; it may have no seen class, then what was trained elsewhere is scored as it is.
        ready: points of the classes by method and prompt, in the clips' space.
        texts: the class texts of each prompt, the main one first.
        methods: names of METHODS; None for all that can be scored.
        folder: as of `evaluate_split`.
        split: its name.
        all_scores: hold all score matrices, whatever their size.

    Raises:
        EvaluationError: a method cannot be scored, or none is left.
        ValueError: a clip was not embedded, or a class has no point or text.
    """
    gathered, prompts = SplitClips.of(clips, protocol), [one.class_text.prompt for one in texts]
    can_choose = bool(protocol.seen and protocol.validation_clips)
    known = list(dict.fromkeys([*(one.method for one in ready), *(TEXT_METHODS if can_choose else ())]))
    if missing := [name for name in methods or () if name not in known]:
        raise EvaluationError(f"the method must be one of {', '.join(known)}, got {missing[0]!r}")
    chosen = [name for name in METHODS if name in (methods or known) and name in known]
    of_texts = [[one.class_text.fingerprint, one.encoder] for one in texts]
    of_ready = [(one.method, one.prompt, one.names, one.points_CD.astype("<f4")) for one in ready]
    inputs = [plain(protocol).hash, protocol.unseen, protocol.average, chosen, of_texts]
    flat = [part for one in of_ready for part in (list(one[:2]), list(one[2]), one[3])]
    split = split or plain(protocol).name
    about: dict[str, Any] = {
        "fingerprint": fingerprint("predictions of points", clips.fingerprint, *inputs, *flat),
        "fingerprints": {
            "checkpoint": clips.fingerprint,
            "embeddings": clips.fingerprint,
            "class_text": texts[0].class_text.fingerprint,
            "encoder": texts[0].encoder,
        },
        "text_fingerprints": {one.class_text.prompt: one.class_text.fingerprint for one in texts},
    }
    if folder is not None:
        with suppress(FileNotFoundError):
            return Predictions.read(folder, split, about["fingerprint"])
    fits: dict[tuple[str, str], Fitted] = {}
    for prompt, text in zip(prompts, texts, strict=True):
        of_prompt = {one.method: one.fit(gathered) for one in ready if one.prompt == prompt}
        for name in chosen:
            if name in of_prompt:
                fits[prompt, name] = of_prompt[name]
            elif can_choose and name in TEXT_METHODS:
                fits[prompt, name] = METHODS[name].fit(gathered, text, {})
    main = {name: fitted for (prompt, name), fitted in fits.items() if prompt == prompts[0]}
    if not main:
        raise EvaluationError(f"no method of {', '.join(chosen)} reads {prompts[0]}")
    others = [fitted for (prompt, _), fitted in fits.items() if prompt != prompts[0]]
    temperatures = {(one.method, one.prompt): one.temperature for one in ready}
    most = np.inf if all_scores else MOST_SCORES
    scored, arrays = _score(gathered, protocol, clips, main, others, temperatures, most)
    arrays |= _prototypes(gathered, protocol, texts[0], main)
    again = partial(evaluate_points, clips, protocol, ready, texts, methods, split=split, all_scores=True)
    given = plain(protocol), split, about, texts[0].class_text, scored, arrays
    found = Predictions(*given, again=again)
    for one in scored:
        if one.candidates == "all":
            area_and_bound(found, one.method, one.prompt)
    if folder is not None:
        found.let_go(MOST_SCORES)
        found.save(folder)
    elif not all_scores:
        found.let_go(KEPT_SCORES)
    return found


def _score(
    split: SplitClips,
    protocol: Protocol,
    clips: ClipEmbeddings,
    fits: Mapping[str, Fitted],
    others: Sequence[Fitted],
    temperatures: Mapping[tuple[str, str], float | None] | None = None,
    most: float = np.inf,
) -> tuple[list[Scored], dict[str, np.ndarray]]:
    """What is scored, in the order of the table, and its arrays; `others` are of further prompts.

    Without validation classes nothing is chosen: confidences have the temperatures given. A matrix of more
    than `most` scores is left as `Blocks`.
    """
    scored: list[Scored] = []
    arrays: dict[str, Any] = {}
    validation, test, can_choose = split.validation, split.test, bool(split.validation.ids)
    seen_test = ClipGroup.of(clips, protocol.seen_test_clips, protocol.seen)
    prompt = next(iter(fits.values())).prompt

    @cache
    def scores_of(fitted: Fitted, group: ClipGroup) -> np.ndarray:
        return fitted.scores(group)

    def keep(scores: Any, method: str, prompt: str, **chosen: Any) -> None:
        arrays[f"scores_{len(arrays):02d}"] = scores
        scored.append(Scored(method, prompt, matrix=len(arrays) - 1, **chosen))

    def add(
        scores: Callable[[ClipGroup], np.ndarray], group: ClipGroup, method: str, prompt: str, **chosen: Any
    ) -> None:
        is_large = len(group.ids) * len(group.names) > most
        keep(Blocks(scores, group) if is_large else scores(group), method, prompt, **chosen)

    chosen: dict[str, Any]
    for fitted in (*fits.values(), *others):
        temperature = (temperatures or {}).get((fitted.method, fitted.prompt))
        if can_choose:
            temperature = choose_temperature(scores_of(fitted, validation), validation.targets)
        top1 = fitted.validation_top1 if can_choose else None
        chosen = {"settings": fitted.settings, "validation_top1": top1, "temperature": temperature}
        add(fitted.scores, test, fitted.method, fitted.prompt, **chosen)
    if can_choose and split.train.ids:
        reduced = fits.get(REDUCED) or next(iter(fits.values()))
        for one in reduced_scores(reduced, split):
            chosen = {name: value for name, value in vars(one).items() if name != "scores_BC"}
            keep(one.scores_BC, reduced.method, prompt, **chosen)
    if len(test.names) > 1 and 1 < len(test.ids) <= MOST_CLIPS:
        near_BB = neighbours(test.embedding_BD)
        for fitted in (fits[name] for name in PROPAGATED if name in fits):
            chosen = {"setting": TRANSDUCTIVE, "settings": fitted.settings}
            for name, balance in BALANCES.items():
                spread_BC = propagated(fitted.scores(test), near_BB, balance)
                keep(spread_BC, fitted.method, prompt, reduction=name, **chosen)
    beside, tested = (ClipGroup.joined(seen_test, group) for group in (validation, test))
    n_seen = len(seen_test.ids), len(protocol.seen)
    for fitted in (fits[name] for name, method in METHODS.items() if method.generalised and name in fits):
        if not (can_choose and seen_test.ids):
            continue
        given = fitted.scores(beside), beside.targets, *n_seen, tested.targets
        chosen = {"settings": fitted.settings, "candidates": "all"}
        add(fitted.scores, tested, fitted.method, prompt, **chosen)
        chosen |= {"gammas": choose_gammas(*given, protocol.average), "matrix": len(arrays) - 1}
        scored.append(Scored(fitted.method, prompt, "calibrated_stacking", **chosen))
    new = ClipGroup.of(clips, validation.ids, validation.names + test.names)  # for prediction sets
    for fitted in fits.values() if can_choose else ():
        add(partial(scores_of, fitted), validation, fitted.method, prompt, candidates="validation")
    if np.bincount(test.targets, minlength=len(test.names)).min() > 1:
        n_classes = len(test.names)
        sums_CD = class_sums(test.embedding_BD, test.targets, n_classes)
        add(
            lambda group: true_prototype_scores(group.embedding_BD, group.targets, n_classes, sums_CD),
            test,
            UPPER_BOUND,
            prompt,
        )
    if seen_test.ids:
        prototypes = partial(ClipGroup.nearest, class_CD=split.seen_prototypes)
        add(prototypes, seen_test, SEEN, prompt, candidates="seen")
    new = replace(validation, names=validation.names + test.names, parts=(validation,))  # for prediction sets
    calibrating = [fits[name] for name in fits if can_choose and METHODS[name].generalised]
    arrays |= {f"calibration_{fitted.method}": fitted.scores(new) for fitted in calibrating}
    arrays |= {
        "targets_unseen": test.targets,
        "targets_validation": validation.targets,
        "targets_seen": seen_test.targets,
        "targets_all": tested.targets,
    }
    return scored, arrays


def _prototypes(
    split: SplitClips, protocol: Protocol, texts: ClassEmbeddings, fits: Mapping[str, Fitted]
) -> dict[str, np.ndarray]:
    """What maps and explanations show of a split: those of the methods that were scored."""
    test, (seen, unseen) = split.test, (protocol.seen, protocol.unseen)
    found = {"prototypes_true": test.class_means()}
    if seen:
        found["prototypes_seen"] = split.seen_prototypes
    transfer, direct = (fits.get(name) for name in ("transfer", "direct"))
    if transfer and transfer.settings and transfer.points:
        settings = TransferSettings(**transfer.settings)
        found["weights"] = weights_of(split, texts, unseen, settings)
        found["prototypes_composed"] = transfer.points(unseen)
    if direct and direct.points:
        of = {"prototypes_unseen_text": unseen} | ({"prototypes_seen_text": seen} if seen else {})
        found |= {name: direct.points(names) for name, names in of.items()}
    return found


def check_can_be_scored(protocol: Protocol, clips: pd.DataFrame | None = None) -> None:
    """Check that `evaluate_split` can score a protocol; it needs no training for that.

    Args:
        protocol: the split.
        clips: of the catalog, with columns id and class; None to leave out what only they tell.

    Raises:
        EvaluationError: no validation clips, fewer than two held-out seen clips, or an unseen class with
            fewer than two.
    """
    if clips is not None:
        counts = clips["class"][clips["id"].isin(protocol.test_clips)].value_counts()
        few = [name for name in protocol.unseen if counts.get(name, 0) < 2]
        if few:
            got = f"{few[0]!r} has {counts.get(few[0], 0)} ({len(few)} such classes)"
            raise EvaluationError(
                f"an unseen class of {protocol.name!r} needs 2 test clips, {got}; add videos"
            )
    needed = (("validation", protocol.validation_clips, 1), ("held-out seen", protocol.seen_test_clips, 2))
    for what, ids, least in needed:
        if len(ids) < least:
            raise EvaluationError(f"{protocol.name!r} needs {least} or more {what} clips, got {len(ids)}")


def _check_of_one_training(
    checkpoint: Checkpoint,
    clips: ClipEmbeddings,
    protocol: Protocol,
    classes: ClassEmbeddings,
    trained_text: ClassEmbeddings | None,
) -> None:
    trained = checkpoint.inputs.protocol, checkpoint.inputs.class_embeddings
    if trained != (protocol.training_hash, classes.fingerprint):
        raise EvaluationError(
            f"'{checkpoint.path}' is of training side and class text {' and '.join(trained)}, got"
            f" {protocol.training_hash} and {classes.fingerprint}"
        )
    of = clips.about.get("checkpoint", "no checkpoint")
    if of != checkpoint.fingerprint:
        raise EvaluationError(f"embeddings must be of checkpoint {checkpoint.fingerprint}, got those of {of}")
    if clips.n_views != protocol.views:
        raise EvaluationError(f"{protocol.name!r} needs clips of {protocol.views} views, got {clips.n_views}")
    expected = got = None
    if checkpoint.config.text_layers:
        expected = f"{classes.encoder}+{checkpoint.fingerprint}", classes.class_text.prompt
    if trained_text:
        got = trained_text.encoder, trained_text.class_text.prompt
    if expected != got or (trained_text and trained_text.class_text != classes.class_text):
        raise EvaluationError(
            f"trained_text must be of {expected or 'nothing'}, got {got or 'none'}; see class_embeddings_of"
        )


def _about(
    checkpoint: Checkpoint,
    clips: ClipEmbeddings,
    protocol: Protocol,
    classes: ClassEmbeddings,
    other_texts: Sequence[ClassEmbeddings],
    trained_text: ClassEmbeddings | None,
) -> dict[str, Any]:
    """The fingerprints of what predictions are made from."""
    fingerprints = {
        "checkpoint": checkpoint.fingerprint,
        "embeddings": clips.fingerprint,
        "class_text": classes.class_text.fingerprint,
        "encoder": classes.encoder,
    } | ({"trained_text": trained_text.fingerprint} if trained_text else {})
    texts = {one.class_text.prompt: one.class_text.fingerprint for one in (*other_texts, classes)}
    ordered = [plain(protocol).hash, protocol.training_hash, protocol.unseen, protocol.test_clips]
    inputs = ordered, protocol.average, fingerprints, list(texts.items()), list(METHODS)
    return {
        "fingerprint": fingerprint("predictions", *inputs),
        "fingerprints": fingerprints,
        "text_fingerprints": texts,
    }
