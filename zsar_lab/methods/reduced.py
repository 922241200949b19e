"""A method under every correction of hubness, inductive and transductive; settings are chosen on validation classes.

Shapes: B clips to score, N bank clips, C candidate classes.
"""

from __future__ import annotations

from typing import Any

from zsar_lab.methods.fitted import ClipGroup, FittedMethod, TextMethods
from zsar_lab.methods.hubness_reduction import (
    CORRECTIONS,
    CSLS,
    INVERTED_SOFTMAX,
    LOCAL_SCALING,
    QB_NORM,
    centred,
    choose_correction,
)
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.methods.query_bank import INDUCTIVE, TRANSDUCTIVE, Bank, make_bank
from zsar_lab.methods.scores import MethodScores, nearest_scores

CENTRING = "centring"
KS, BETAS = (1, 3, 5, 10), (1.0, 5.0, 10.0, 20.0, 50.0)


def corrected_scores(fitted: FittedMethod, clips: TextMethods) -> tuple[MethodScores, ...]:
    """The scores of a method on the test clips: centred, then under each of CORRECTIONS with an inductive bank, then with a transductive one.

    Centring takes the training clips' mean off clips and points (see `centred`); it has no bank, nothing to
    choose, and is inductive. Inductive: the bank is the training clips' scores for the candidate classes.
    Transductive: it is the scores of the clips themselves, all test clips at once. Settings are chosen in the
    same way on the clips of the validation classes.

    Args:
        fitted: a method that compares clips with a point of each class, by cosine.
        clips: of the split.

    Returns:
        A row a correction and setting; `method` is `<method>, <correction>`.

    Raises:
        ValueError: the method has no points, or as `FittedMethod.scores`.
    """
    found = [_centred(fitted, clips)]
    on_validation, on_test = fitted.scores(clips.validation), fitted.scores(clips.test)
    for setting in (INDUCTIVE, TRANSDUCTIVE):
        validation_bank, test_bank = (
            _bank(fitted, clips, group, setting) for group in (clips.validation, clips.test)
        )
        for name, make in CORRECTIONS.items():
            grid = correction_grid(name, min(*validation_bank.scores_NC.shape, *test_bank.scores_NC.shape))
            chosen, top1 = choose_correction(
                make, grid, validation_bank, on_validation, clips.validation.targets
            )
            settings = fitted.settings | {
                f"{name} {key}": value for key, value in chosen.items()
            }  # transfer has a k of its own
            scores = make(test_bank, **chosen).apply(on_test)
            found.append(
                MethodScores(f"{fitted.method}, {name}", fitted.class_text, settings, top1, scores, setting)
            )
    return tuple(found)


def _centred(fitted: FittedMethod, clips: TextMethods) -> MethodScores:
    if fitted.points is None:
        raise ValueError(
            f"corrections of hubness are of a method that compares clips with points, {fitted.method!r} has none; take transfer"
        )
    mean_D = clips.train.embedding_BD.mean(0)
    on_validation, on_test = (
        nearest_scores(*centred(group.embedding_BD, fitted.points(group.names), mean_D))
        for group in (clips.validation, clips.test)
    )
    top1 = top_k_accuracy(on_validation, clips.validation.targets, 1)
    return MethodScores(
        f"{fitted.method}, {CENTRING}", fitted.class_text, fitted.settings, top1, on_test, INDUCTIVE
    )


def _bank(fitted: FittedMethod, clips: TextMethods, group: ClipGroup, setting: str) -> Bank:
    """The training clips' scores for the classes of a group, or those of its own clips."""
    if setting == TRANSDUCTIVE:
        return make_bank(fitted.scores(group), group.ids, group.ids, clips.test.ids)
    train = clips.train
    scores_NC = fitted.scores(ClipGroup(group.names, train.ids, train.embedding_BD, train.targets))
    return make_bank(scores_NC, train.ids, group.ids, clips.test.ids, inductive_only=True)


def correction_grid(name: str, most: int) -> list[dict[str, Any]]:
    """The settings tried of a correction: k up to the number of classes and clips there are."""
    if name in (CSLS, LOCAL_SCALING):
        return [{"k": k} for k in KS if k <= most]
    return [{"beta": beta} for beta in BETAS] if name in (INVERTED_SOFTMAX, QB_NORM) else [{}]
