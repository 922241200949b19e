"""zsar_lab.results.evaluate: what a protocol needs to be scored is said before anything is trained."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from test_protocols import PLAIN

from zsar_lab.results.evaluate import check_can_be_scored, evaluate_split


@pytest.mark.parametrize(
    ("emptied", "message"),
    [
        (
            {"validation": (), "validation_clips": ()},
            "1 or more clips of validation classes .*, protocol 'plain' has 0; make .* with n_validation of 2",
        ),
        (
            {"seen_test_clips": ("run/7",)},
            "2 or more held-out clips of seen classes, protocol 'plain' has 1; make .* with a larger seen_test_share",
        ),
    ],
)
def test_scoring_says_what_a_protocol_lacks(emptied, message):
    with pytest.raises(ValueError, match=message):
        evaluate_split(None, None, replace(PLAIN, **emptied), None)


def test_an_unseen_class_with_one_clip_is_said_before_anything_is_trained():
    enough = pd.DataFrame(
        {"id": ["climb/1", "climb/2", "swim/1", "swim/2"], "class": ["climb", "climb", "swim", "swim"]}
    )
    check_can_be_scored(
        replace(PLAIN, seen_test_clips=("run/7", "run/8"), test_clips=tuple(enough["id"])), enough
    )
    for clips, count in ((("climb/1", "climb/2", "swim/1"), 1), (("climb/1", "climb/2"), 0)):
        with pytest.raises(
            ValueError,
            match=rf"every unseen class needs 2 test clips .*, 1 of 'plain' have fewer, the first 'swim' has {count}; add videos",
        ):
            check_can_be_scored(replace(PLAIN, test_clips=clips), enough)
