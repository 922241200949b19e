"""Embeddings from elsewhere: forms of files, means, what is refused, and searches, by hand and by sklearn."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file
from sklearn.metrics.pairwise import cosine_similarity

import zsar_lab as zl
from zsar_lab.embed.outside import EmbeddingsError, nearest_clips

CLIPS, NAMES = (
    [f"{name}/v{n}" for name in ("jump", "wave", "yawn") for n in range(2)],
    ["jump", "wave", "yawn"],
)
TABLE = pd.DataFrame({"id": CLIPS, "class": [clip.split("/")[0] for clip in CLIPS]})
random = np.random.default_rng(0)
VECTORS, TEXTS = random.normal(size=(6, 4)).astype("f4"), random.normal(size=(3, 4)).astype("f4")
ABOUT = {"model": "mine", "licence": "MIT", "training_sets": ["K400"]}


def _write(path, clips=CLIPS, vectors=VECTORS, names=NAMES, texts=TEXTS, **more):
    """A file as users write it, without this library; parquet has its texts in a table of their own."""
    if path.suffix == ".npz":
        np.savez(path, clip=clips, embedding=vectors, name=names, text_embedding=texts, **more)
    elif path.suffix == ".safetensors":
        tensors = {"embedding": np.ascontiguousarray(vectors), "text_embedding": np.ascontiguousarray(texts)}
        save_file(tensors, path, {"clip": json.dumps(list(clips)), "name": json.dumps(list(names)), **more})
    else:
        beside = path.with_name("texts.parquet")
        pd.DataFrame({"clip": clips, "embedding": list(vectors)}).to_parquet(path)
        pd.DataFrame({"name": names, "embedding": list(texts)}).to_parquet(beside)
        return path, beside
    return (path,)


@pytest.mark.parametrize("form", ["parquet", "npz", "safetensors"])
def test_each_form_is_read_and_written(tmp_path, form):
    mine = zl.Embeddings(CLIPS, VECTORS, NAMES, TEXTS, ABOUT, language_vectors=random.normal(size=(3, 7)))
    found = zl.Embeddings.read(*_write(tmp_path / f"e.{form}"))
    assert (found.clips, found.names) == (mine.clips, mine.names)
    np.testing.assert_array_equal(found.vectors, mine.vectors)
    np.testing.assert_array_equal(found.text_vectors, mine.text_vectors)
    again = zl.Embeddings.read(mine.save(tmp_path / f"again.{form}"))
    assert again.fingerprint == mine.fingerprint and again.provenance["training_sets"] == '["K400"]'
    alone = zl.Embeddings.read(zl.Embeddings(CLIPS, VECTORS).save(tmp_path / f"alone.{form}"))
    assert alone.names == () and alone.text_vectors is None


def test_tables_and_metadata_are_read(tmp_path):
    clips = pd.DataFrame({"clip": CLIPS, "embedding": list(VECTORS)})
    clips.attrs = {"model": "mine"}
    texts = pd.DataFrame({"name": NAMES, "embedding": list(TEXTS)})
    found = zl.Embeddings.read(clips, texts)
    assert found.provenance == {"model": "mine"} and found.names == tuple(NAMES)
    (path,) = _write(tmp_path / "e.safetensors", model="theirs")
    assert zl.Embeddings.read(path).provenance == {"model": "theirs"}


def test_provenance_may_hold_nothing_and_numbers_of_numpy():
    given = {"training_sets": None, "licence": np.str_("MIT"), "frames": np.int64(8)}
    found = zl.Embeddings((clip for clip in CLIPS), VECTORS, provenance=given)
    assert found.provenance == {"licence": "MIT", "frames": "8"} and found.training_sets == ()
    assert zl.Embeddings(CLIPS, VECTORS, provenance={"training_sets": [400]}).training_sets == ("400",)


def test_several_rows_are_averaged_as_asked():
    rows = [[2.0, 0], [0, 1], [0, -3]]
    found = zl.Embeddings(["a", "a", "b"], rows, ["t", "t"], rows[:2], average=True)
    for vectors in (found.vectors[:1], found.text_vectors):
        np.testing.assert_allclose(vectors, [[0.5**0.5, 0.5**0.5]], atol=1e-7)
    with pytest.raises(EmbeddingsError, match="'a' again"):
        zl.Embeddings(["a", "a", "b"], rows)
    with pytest.raises(EmbeddingsError, match="cancel out: 'b'"):
        zl.Embeddings(["a", "b", "b"], rows, average=True)


HUGE = (VECTORS * 1e6).astype("f8")
BAD = {
    "unknown clip": (
        {"clips": ["jump/v00", *CLIPS[1:]]},
        "1 embeddings are of no clip, such as .*is 'jump/v0'",
    ),
    "twice": ({"clips": [CLIPS[1], *CLIPS[1:]]}, "once, got 'jump/v1' again"),
    "nan": ({"vectors": np.where(np.eye(6, 4) > 0, np.nan, VECTORS)}, "finite.* 4 are not"),
    "zero": ({"vectors": VECTORS * (np.arange(6) != 3)[:, None]}, "not zero.*'wave/v1'"),
    "overflow": (
        {"vectors": np.where(abs(HUGE) > 65504, np.inf, HUGE).astype("f2")},
        "float16 ends at 65504",
    ),
    "width": ({"texts": TEXTS[:, 1:]}, "equally wide, got 4 and 3"),
    "no text": (
        {"names": ["jumping"], "texts": TEXTS[:1]},
        "3 of 3 have none, such as 'jump' .near 'jumping'",
    ),
    "numbers": ({"clips": list(range(6))}, "must be text, got 0, int"),
    "complex": ({"vectors": VECTORS * 1j}, "numbers, .*complex|cannot be read"),  # no safetensors
    "too few": ({"clips": CLIPS[:5]}, "every clip needs a vector, got 5"),
    "empty": ({"clips": [], "vectors": VECTORS[:0]}, "every clip needs a vector, got 0"),
}


@pytest.mark.parametrize(
    ("form", "change"), [(form, one) for form in ("npz", "safetensors", "") for one in BAD]
)
def test_vectors_that_do_not_fit(tmp_path, form, change):
    changed, value = BAD[change]
    with pytest.raises(EmbeddingsError, match=value):
        _use(tmp_path / f"e.{form}" if form else None, **changed)


def _use(path, **changed):
    """What an evaluation asks of them."""
    given = {"clips": CLIPS, "vectors": VECTORS, "names": NAMES, "texts": TEXTS} | changed
    found = zl.Embeddings.read(*_write(path, **changed)) if path else zl.Embeddings(*given.values())
    found.of_clips(TABLE)
    found.of_classes(NAMES)


def _objects(path):
    np.savez(path, clip=np.array(CLIPS, dtype=object), embedding=VECTORS, allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "write", "value"),
    [
        ("e.npz", _objects, "pickle"),
        (
            "e.npz",
            lambda path: np.savez(path, clip=np.array(CLIPS, "S"), embedding=VECTORS),
            "text, got b'jump",
        ),
        (
            "e.npz",
            lambda path: np.savez(path, ids=CLIPS, vectors=VECTORS),
            "clip and embedding, got ids, vectors",
        ),
        ("e.npz", lambda path: path.write_bytes(b""), "cannot be read"),
        ("e.safetensors", lambda path: path.write_bytes(b""), "cannot be read"),
        ("e.parquet", lambda path: path.write_bytes(b""), "cannot be read"),
        ("e.parquet", lambda path: pd.DataFrame({"id": CLIPS}).to_parquet(path), "clip or name, .*got id"),
        (
            "e.parquet",
            lambda path: TABLE.assign(clip=7, embedding=[[1.0]] * 6).to_parquet(path),
            "got 7, int",
        ),
        (
            "e.parquet",
            lambda path: TABLE.assign(clip=CLIPS, embedding=[[1.0], *[[1.0, 2]] * 5]).to_parquet(path),
            "wide",
        ),
        (
            "e.parquet",
            lambda path: TABLE.assign(clip=[None, *CLIPS[1:]], embedding=[[1.0]] * 6).to_parquet(path),
            "clip rows must be text, .*1 such",
        ),
        ("e.npz", lambda path: np.savez(path, clip=CLIPS[0], embedding=VECTORS), "a list, got 'jump/v0'"),
        ("e.npz", lambda path: np.savez(path, clip=CLIPS, embedding=VECTORS, provenance="[1]"), "provenance"),
        (
            "e.safetensors",
            lambda path: save_file({"embedding": VECTORS}, path, {"clip": "5"}),
            "a list, got 5",
        ),
        ("e.csv", lambda path: path.write_text("clip"), "got 'e.csv'"),
    ],
)
def test_files_that_are_none(tmp_path, name, write, value):
    write(tmp_path / name)
    with pytest.raises(EmbeddingsError, match=value):
        zl.Embeddings.read(tmp_path / name)


def test_the_nearest_are_those_of_sklearn_and_ties_go_by_id():
    vectors = random.normal(size=(500, 32)).astype("f4")
    vectors[[3, 77, 401]] = vectors[50]
    found = zl.Embeddings([f"c{n:03d}" for n in range(500)], vectors)
    for query in (vectors[50], random.normal(size=32)):
        cosine = cosine_similarity(vectors, query[None])[:, 0].astype("f4")
        wanted = sorted(range(500), key=lambda n: (-cosine[n].round(5), n))[:9]
        table = nearest_clips(found.clips, found.vectors, query * 7, 9)
        assert table["clip"].tolist() == [f"c{n:03d}" for n in wanted]
        np.testing.assert_allclose(table["score"], cosine[wanted], atol=1e-6)
    table = nearest_clips(found.clips, found.vectors, vectors[50], 9999)
    assert table["clip"].tolist()[:4] == ["c003", "c050", "c077", "c401"]
    assert table["rank"].tolist() == list(range(1, 501))
    with pytest.raises(ValueError, match="k must be 1 or more, got 0"):
        nearest_clips(found.clips, found.vectors, vectors[0], 0)
