"""zsar_lab.viz.widgets.own_videos and uploads: the widget of a user's own videos driven from Python."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from coloured_videos import EVIL, colour_session, write_folder, write_video

from zsar_lab.infer.predictions import accuracy_of
from zsar_lab.infer.session import VideoSession
from zsar_lab.text.class_lists import read_classes
from zsar_lab.viz.widgets import own_clips, own_videos
from zsar_lab.viz.widgets.own_videos import OwnVideos
from zsar_lab.viz.widgets.uploads import safe_name

pytestmark = pytest.mark.long

PLAIN = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def read(folder) -> pd.DataFrame:
    session = colour_session()
    session.read_videos(folder)
    return session.windows


@pytest.fixture(scope="module")
def catalog(read):
    session = colour_session()
    session.windows = read
    session.use_classes(PLAIN)
    return session.catalog()


@pytest.fixture
def session(read, catalog) -> VideoSession:
    """Named by plain colours; its videos are opened once for all tests."""
    session = colour_session()
    session.windows = read
    session.use_classes(PLAIN)
    paths = read["path"].tolist()
    session.catalog = lambda: (
        catalog if session.windows["path"].tolist() == paths else VideoSession.catalog(session)
    )
    return session


@pytest.fixture
def widget(session, tmp_path) -> OwnVideos:
    return OwnVideos(session, save_to=tmp_path / "named")


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", page)).strip()


def said(widget: OwnVideos, page: str) -> str:
    return text_of(widget.html[page].value)


def press(widget: OwnVideos, button: str, **fields: str) -> None:
    for name, value in fields.items():
        widget.controls[name].value = value
    widget.controls[button].click()


def captions(widget: OwnVideos) -> list[str]:
    found = re.findall("<figcaption>.*?</figcaption>", widget.grid.html)
    return [text_of(part.replace("<br>", "|")) for part in found]


def composed(widget: OwnVideos) -> list[str]:
    """The name in question, and the weights of its parts."""
    said = text_of(widget.grid.why.split("zsar-composed")[1].split(">", 1)[1])
    return [said.split()[0], *re.findall(r"\d\.\d\d", said)]


def hidden(part) -> bool:
    return part.layout.display == "none"


# reading and naming


def test_from_nothing_to_names(folder):
    widget = OwnVideos(colour_session(), folder, "red\ngreen\nblue")
    assert hidden(widget.table) and hidden(widget.chosen_clip) and hidden(widget.saving)
    assert "zsar-own-videos" in widget._dom_classes
    assert widget.controls["folder"].value == str(folder)
    assert "colours: made by hand for a test." in said(widget, "about")
    press(widget, "name_them")
    assert said(widget, "named") == "3 classes are read; now read videos."
    press(widget, "read")
    assert said(widget, "read") == "5 of 6 videos read." and not widget.controls["read"].disabled
    assert not hidden(widget.table) and widget.rows == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert widget.grid.html.count("<video") == 10 and hidden(widget.progress)
    assert said(widget, "unread").count("e.mp4") == 1 and "1 could not be read" in said(widget, "unread")
    assert said(widget, "counted") == "10 of 10 clips of 6 videos; shown are 1 to 10."
    assert "How sure to be: on held-out clips" in said(widget, "about")
    assert "trained on 3 of the names" in said(widget, "about")


def test_a_caption_says_name_confidence_second_best_doubt_and_place(widget, session):
    share = 100 * session.table["confidence"]
    shown = captions(widget)
    first = [f"red {share[0]:.0f}\u00a0%", "then green 0\u00a0%", "trained on: exact", "a.mp4"]
    assert shown[0].split("|") == first
    second = f"then blue {100 * session.table['best'][3][1][1]:.0f}\u00a0%"
    assert shown[3].split("|")[:3] == [f"red {share[3]:.0f}\u00a0%", second, "⚠ perhaps none of these"]
    assert shown[5].endswith("long.mp4, 2.0 to 4.0 s")


def test_other_classes_move_names(widget, session):
    press(widget, "name_them", classes="red\ngreen\nblue\n\nviolet: red with blue")
    assert said(widget, "named") == "4 classes; 1 of 10 clips moved: red → violet (1)."
    shown = captions(widget)
    assert "↻ was red" in shown[3] and "↻" not in "".join(shown[:3])
    widget.choose(filter=own_clips.MOVED)
    assert widget.rows == [3] and session.changed == [3]
    press(widget, "name_them")
    assert said(widget, "named") == "4 classes; none of 10 clips moved."
    assert widget.state.filter == own_clips.MOVED and widget.rows == []
    assert said(widget, "counted").endswith("none of these.")


def test_a_public_model_has_one_method(session):
    session.model.seen = session.model.seen[:0]
    offered = [text for text, _ in OwnVideos(session).controls["method"].options]
    assert offered == ["the model's usual one", "direct"]


@pytest.mark.parametrize(
    ("button", "page", "field", "value", "message"),
    [
        ("name_them", "named", "classes", "", "2 classes or more"),
        ("name_them", "named", "classes", "red\nRED", "case"),
        ("name_them", "named", "classes", "red\nrunning", "'running'"),
        ("read", "read", "folder", "", "empty"),
        ("read", "read", "folder", "/gone", "no file or folder"),
    ],
)
def test_what_is_refused_changes_nothing(widget, session, button, page, field, value, message):
    before, grid = session.table, widget.grid.html
    press(widget, button, **{field: value})
    assert message in said(widget, page) and session.table is before and widget.grid.html == grid
    assert widget.controls[field].value == value and len(widget.rows) == 10
    assert not widget.controls[button].disabled and widget.controls["read_uploads"].disabled


def test_labels_are_scored_and_unknown_ones_named(session):
    session.windows = session.windows.assign(label=["red", "green", "green", "blue", "red", *["red"] * 6])
    session.use_classes(PLAIN)
    assert accuracy_of(session.table, session.classifier)["top1"] == 0.5
    widget = OwnVideos(session)
    assert "50.0 % right (chance 33.3 %)" in said(widget, "about")
    widget.choose(clip=2)
    assert "label: green" in text_of(widget.grid.why)
    press(widget, "name_them", classes="red\nblue")
    assert "'green'" in said(widget, "about") and "8 labelled windows:" in said(widget, "about")


# the table


def test_filters_orders_and_pages(session, monkeypatch):
    monkeypatch.setattr(own_videos, "PER_PAGE", 4)
    widget = OwnVideos(session)
    back, on = widget.controls["earlier"], widget.controls["later"]
    assert widget.rows == [0, 1, 2, 3] and back.disabled and not on.disabled
    widget.controls["order"].value = own_videos.LEAST_SURE
    assert widget.rows[0] == 3
    widget.controls["order"].value = own_videos.BY_FILE
    on.click()
    assert widget.rows == [5, 6, 7, 8] and said(widget, "counted").endswith("shown are 5 to 8.")
    on.click()
    assert widget.rows == [9, 10] and on.disabled and widget.state.page == 2
    widget.controls["named"].value = "green"
    assert widget.rows == [1] and on.disabled and back.disabled
    offered = {
        "filter": "all (10), unsure (1), sure (9), moved (0), accepted (0), not accepted (10)",
        "named": "any (10), red (5), green (1), blue (4)",
    }
    for name, texts in offered.items():
        assert ", ".join(text for text, _ in widget.controls[name].options) == texts
    widget.choose(filter=own_clips.UNSURE, named="red")
    assert widget.rows == [3]
    widget.choose(filter=own_clips.SURE)
    assert len(widget.rows) == 4
    widget.choose(filter=own_clips.ALL, named="", order=own_videos.MOST_SURE)
    assert session.table["confidence"][widget.rows].is_monotonic_decreasing
    rows, _ = own_clips.filters(session)
    assert rows[own_clips.UNSURE] == [3] and 4 not in rows[own_clips.ALL]


def test_a_click_chooses_a_clip(widget, session):
    widget.grid.chosen = 3
    assert widget.state.clip == widget.rows[3]
    assert not hidden(widget.chosen_clip) and widget.controls["name"].options == tuple(PLAIN)
    window = session.table.loc[widget.state.clip]
    assert widget.state.name == window["prediction"]
    names = [text_of(part) for part in re.findall(r"<tr><td>(.*?)</td>", widget.grid.why)]
    assert names == [name for name, _ in window["best"]]
    widget.grid.chosen = -1
    assert widget.state.clip == -1 and hidden(widget.chosen_clip)
    widget.grid.chosen = 99  # a page that is gone
    assert widget.state.clip == -1


def test_what_a_name_is_composed_of_follows_the_name(widget):
    widget.choose(clip=3)
    widget.controls["name"].value = "blue"
    assert composed(widget) == ["blue", "1.00"]
    press(widget, "name_them", classes="violet: red and blue\ngreen")
    assert widget.state.clip == 3 and composed(widget) == ["violet", "0.50", "0.50"]


def test_a_long_video_has_a_timeline(widget):
    widget.choose(clip=0)
    assert widget.timeline.children == ()
    widget.choose(clip=6)
    first = widget.timeline.children[0]
    assert "long.mp4" in first.layout.title.text
    widget.choose(clip=7)
    assert widget.timeline.children[0] is first  # of the same video
    press(widget, "name_them", classes="blue\nred")
    assert widget.timeline.children[0] is not first and widget.state.clip == 7


# accepting and saving


def test_accept_another_name_take_back_and_go_on(widget, session):
    widget.choose(clip=3)
    assert widget.controls["take_back"].disabled
    press(widget, "accept", name="blue")
    assert session.accepted == {3: "blue"} and not widget.controls["take_back"].disabled
    assert widget.state.clip == 3 and widget.grid.html.count("✓") == 1
    assert captions(widget)[widget.rows.index(3)].startswith("✓  blue|predicted: red")
    press(widget, "take_back")
    assert session.accepted == {} and "✓" not in widget.grid.html and widget.state.name == "red"
    widget.choose(filter=own_clips.OPEN, clip=1, name="")
    press(widget, "accept")
    assert session.accepted == {1: "green"} and 1 not in widget.rows and widget.state.clip == 2  # the next


def test_all_sure_ones_are_accepted_and_saved(widget, session, tmp_path):
    press(widget, "save")
    assert "there must be accepted labels to save" in said(widget, "saved")
    press(widget, "accept_sure", save_to=" ")
    press(widget, "save")
    assert "the field is empty" in said(widget, "saved") and list(tmp_path.iterdir()) == []
    assert said(widget, "table") == "9 names accepted; 9 in all." and len(session.accepted) == 9
    press(widget, "save", save_to=str(tmp_path / "named"))
    assert f"9 clips of 3 classes are saved in '{tmp_path / 'named'}'" in said(widget, "saved")
    assert f"prepared='{tmp_path / 'named'}'" in said(widget, "saved")
    assert (tmp_path / "named" / "catalog" / "catalog.json").is_file()
    assert not widget.controls["save"].disabled
    session.accept([3])
    press(widget, "save")
    assert "other clips, labels or videos" in said(widget, "saved")


def test_accepted_names_are_not_dropped_without_a_warning(widget, session, tmp_path):
    press(widget, "accept_sure")
    press(widget, "read", folder=str(write_video(tmp_path / "x.mp4", ["green"])))
    assert "9 accepted names not saved" in said(widget, "read") and len(session.accepted) == 9
    press(widget, "save", save_to=str(tmp_path / "named"))
    session.accept([3])  # in another cell, after saving
    press(widget, "read")
    assert "1 accepted name not saved" in said(widget, "read") and len(session.accepted) == 10
    press(widget, "read")
    assert session.accepted == {} and widget.rows == [0] and "1 of 1 video read" in said(widget, "read")
    press(widget, "accept_sure", classes="red\nblue")
    press(widget, "name_them")
    assert "1 accepted name of classes that are gone: forgotten." in said(widget, "named")


def test_untouched_lines_are_the_classes_as_they_were(read, catalog):
    session = colour_session()
    session.windows = read
    names, labels = ["hue: red", "a1", "leaf"], ["red hue", "blue balls", "leaf"]
    texts = ["", "", "green"]
    session.use_classes(pd.DataFrame({"name": names, "label": labels, "text": texts, "description": texts}))
    session.catalog = lambda: catalog
    before, widget = session.classifier, OwnVideos(session)
    session.accept()
    press(widget, "name_them")
    pd.testing.assert_frame_equal(session.classifier.classes, before.classes)
    assert session.classifier.class_text.texts == before.class_text.texts
    assert len(session.accepted) == 9 and "none of 10 clips moved" in said(widget, "named")
    press(widget, "name_them", classes="red\nblue")
    assert session.classifier.names == ("red", "blue")


def test_evil_names_do_no_harm(widget, session, tmp_path):
    (tmp_path / EVIL[0]).mkdir()
    write_video(tmp_path / EVIL[0] / f"{EVIL[0]}.mp4", ["red"])
    (tmp_path / EVIL[0] / "<b>.mp4").write_bytes(b"no video")
    press(widget, "read", folder=str(tmp_path / EVIL[0]))
    evil_classes = {EVIL[0]: "red", EVIL[1]: "blue", "leaf": "green"}
    press(widget, "name_them", classes=own_clips.typed(read_classes(evil_classes)))
    widget.choose(clip=widget.rows[0])
    press(widget, "accept")
    press(widget, "save")
    assert session.accepted == {1: EVIL[0]} and "&lt;img src=x" in widget.grid.html
    pages = "".join(page.value for page in widget.html.values()) + widget.grid.html + widget.grid.why
    assert not [evil for evil in ("<img", "</script", "<b>.mp4", "<b>red") if evil in pages]


# uploads


def send(widget: OwnVideos, name: str, content: bytes, size: int | None = None, part: int = 1000) -> list:
    """As the button does it: a part only when the one before was replied to with "more"."""
    button, key, replies = widget.uploads.button, f"key {name}", []
    button.send = replies.append
    start = {"kind": "start", "key": key, "name": name, "size": len(content) if size is None else size}
    button._handle_custom_msg(start, [])
    for begin in range(0, len(content), part):
        if replies[-1]["more"]:
            button._handle_custom_msg(
                {"kind": "part", "key": key}, [memoryview(content[begin : begin + part])]
            )
    assert replies[-1] == {"key": key, "more": False}
    return replies


def test_an_upload_is_written_in_parts_read_and_named(widget, session, tmp_path):
    content = write_video(tmp_path / "x.mp4", ["blue"]).read_bytes()
    assert len(send(widget, "../../x.mp4", content)) > 2
    folder = widget.uploads.folder
    assert [path.name for path in folder.iterdir()] == ["x.mp4"]
    assert (folder / "x.mp4").read_bytes() == content and not (folder.parent / "x.mp4").exists()
    send(widget, "C:\\films\\x.mp4", content)
    assert said(widget, "uploaded") == "uploaded: x.mp4 (0.0 MB), x (2).mp4 (0.0 MB)"
    press(widget, "read_uploads")
    assert session.table["prediction"].tolist() == ["blue", "blue"]
    assert session.table["path"].tolist() == [str(folder / "x.mp4"), str(folder / "x (2).mp4")]
    press(widget, "accept_sure")
    press(widget, "save", save_to=str(tmp_path / "kept"))
    assert "2 of the videos are uploads" in said(widget, "saved")


def test_refused_uploads_are_listed_until_uploads_are_read(widget, session, tmp_path):
    send(widget, "notes.txt", b"x")
    send(widget, "long.mp4", b"", size=60_000_000)
    widget.uploads.button._handle_custom_msg({"kind": "part", "key": "k"}, [b"x"])
    send(widget, "a.mp4", b"xyz", size=2)
    listed = said(widget, "uploaded")
    for refused in ("'notes.txt'", "at most 50 MB, got 60 for 'long.mp4'", "before its start", "got 3"):
        assert refused in listed
    assert list(widget.uploads.folder.iterdir()) == [] and widget.controls["read_uploads"].disabled
    send(widget, "a.mp4", write_video(tmp_path / "a.mp4", ["red"]).read_bytes())
    assert "'notes.txt'" in said(widget, "uploaded") and not widget.controls["read_uploads"].disabled
    press(widget, "read_uploads")
    assert said(widget, "uploaded") == "uploaded: a.mp4 (0.0 MB)"
    assert session.table["prediction"].tolist() == ["red"]


SAFE_NAMES = {
    "../../x.mp4": "x.mp4",
    "/etc/x.MP4": "x.MP4",
    "a\\..\\b.mov": "b.mov",
    ".hidden.mp4": "hidden.mp4",
    "a\nb<c>.mp4": "a_b_c_.mp4",
    "é 動.webm": "é 動.webm",
    "taken.mp4": "taken (3).mp4",
    "x" * 300 + ".mp4": "x" * 120 + ".mp4",
}


def test_names_are_made_safe(tmp_path):
    assert {name: safe_name(name, {"taken.mp4", "taken (2).mp4"}) for name in SAFE_NAMES} == SAFE_NAMES
    for name in ("..", "../", "mp4", "x.mp4/", "", ".mp4", "x.exe"):
        with pytest.raises(ValueError, match="must be a video"):
            safe_name(name, set())
    long = safe_name("動" * 300 + ".mp4", set())
    (tmp_path / long).touch()
    assert 90 < len(long.encode()) <= 255


def test_uploads_go_with_the_process():
    code = "from zsar_lab.viz.widgets.uploads import Uploads; u = Uploads(print)"
    code += "; print(u.folder, u.folder.is_dir())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    folder, was_there = done.stdout.split()
    assert was_there == "True" and not Path(folder).exists()


def test_a_search_ranks_the_clips_by_their_scores(session):
    widget = OwnVideos(session)
    everything = set(widget.rows)
    widget.controls["query"].value = "something blue"
    blue = session.model.point_of("something blue")
    score = {row: float(np.dot(session.windows["embedding"][row], blue)) for row in everything}
    assert set(widget.rows) == everything
    shown = re.findall(r"score ([+-]\d\.\d{3})", text_of(widget.grid.html))
    assert shown[:: len(shown) // len(widget.rows)] == [f"{score[row]:+.3f}" for row in widget.rows]
    assert [score[row] for row in widget.rows] == pytest.approx(
        sorted(score.values(), reverse=True), abs=1e-3
    )
    assert "no probability" in said(widget, "counted")
    widget.controls["query"].value = "nothing known"
    assert "'nothing known'" in said(widget, "table") and widget.controls["query"].value == "something blue"
    widget.controls["order"].value = own_videos.LEAST_SURE
    assert widget.controls["query"].value == "" and "score +" not in widget.grid.html
