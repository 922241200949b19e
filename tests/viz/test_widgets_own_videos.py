"""zsar_lab.viz.widgets_own_videos*, own_videos_html and figures_own_videos: the widget of one's own videos driven from Python."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from coloured_videos import EVIL, colour_model, colour_session, write_folder, write_video

from zsar_lab.infer.answers import score_of
from zsar_lab.infer.embedding import WindowEmbeddings
from zsar_lab.infer.session import NamingSession
from zsar_lab.infer.unsure import choose_thresholds
from zsar_lab.text.class_lists import classes_of_lines, read_classes
from zsar_lab.viz import own_videos_html as words
from zsar_lab.viz.figures.own_videos import composed_of, how_sure, timeline
from zsar_lab.viz.widgets_own_videos import own_videos

pytestmark = pytest.mark.long

PLAIN = ["red", "green", "blue"]
EVIL_CLASSES = {EVIL[0]: "red", EVIL[1]: "blue", "leaf": "green"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("videos"))


@pytest.fixture(scope="module")
def read(folder) -> WindowEmbeddings:
    session = colour_session()
    session.read_videos(folder)
    return session.read


@pytest.fixture(scope="module")
def catalog(read):
    session = colour_session()
    session.read = read
    session.name_by(PLAIN)
    return session.catalog()


@pytest.fixture
def session(read, catalog) -> NamingSession:
    """Named by plain colours; its videos are opened once for all tests."""
    session = colour_session()
    session.read = read
    session.name_by(PLAIN)
    paths = read.table["path"].tolist()
    session.catalog = lambda: (
        catalog if session.read.table["path"].tolist() == paths else NamingSession.catalog(session)
    )
    return session


class Box:
    """The parts of the box by name."""

    def __init__(self, box) -> None:
        self.box = box
        _, reading, naming, self.table, self.panel, self.saving = box.children
        (self.folder, self.read), (_, self.upload, self.read_uploads) = (
            row.children for row in reading.children[:2]
        )
        self.uploaded, self.progress, self.read_said, self.unread = reading.children[2:]
        typed, self.about = naming.children
        self.classes, (self.name, self.method), self.named_said = (
            typed.children[0],
            typed.children[1].children,
            typed.children[2],
        )
        (
            (self.filter, self.order, self.back, self.on, self.sure),
            self.counted,
            self.table_said,
            self.grid,
            self.clip,
        ) = (
            self.table.children[0].children,
            *self.table.children[1:],
        )
        (self.new_name, self.accept, self.take_back), self.panel_said, beside, self.long = (
            self.panel.children[0].children,
            *self.panel.children[1:4],
        )
        self.video, self.best, self.composed = beside.children
        (self.save_to, self.save), self.save_said = self.saving.children[0].children, self.saving.children[1]

    @property
    def rows(self) -> list[int]:
        return [row for _, row in self.clip.options[1:]]

    @property
    def captions(self) -> list[str]:
        return [
            text_of(part.replace("<br>", "|"))
            for part in re.findall("<figcaption>.*?</figcaption>", self.grid.html)
        ]

    @property
    def html(self) -> str:
        """All markup that reaches the page."""
        shown = (
            self.uploaded,
            self.read_said,
            self.unread,
            self.named_said,
            self.about,
            self.counted,
            self.table_said,
            self.panel_said,
            self.video,
        )
        return "".join(widget.value for widget in (*shown, self.best, self.save_said)) + self.grid.html


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", page)).strip()


@pytest.fixture
def box(session, tmp_path) -> Box:
    return Box(own_videos(session, save_to=tmp_path / "named"))


# reading and naming


def test_from_nothing_to_names(folder):
    session = colour_session()
    box = Box(own_videos(session, folder, "red\ngreen\nblue"))
    assert (
        box.table.layout.display == box.panel.layout.display == box.saving.layout.display == "none"
        and box.folder.value == str(folder)
    )
    assert "colours: made by hand for a test." in text_of(box.about.value)
    box.name.click()
    assert text_of(box.named_said.value) == "3 classes are read; now read videos."
    box.read.click()
    assert text_of(box.read_said.value) == "5 of 6 videos read." and not box.read.disabled
    assert (
        box.table.layout.display is None
        and box.rows == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
        and box.grid.html.count("<video") == 10
    )
    assert text_of(box.unread.value).count("e.mp4") == 1 and "1 could not be read" in text_of(
        box.unread.value
    )
    assert (
        text_of(box.counted.value)
        == "10 clips of 5 videos, 9 sure, 1 unsure, 0 accepted, 1 not read; shown are 1 to 10 of 10."
    )
    assert "How sure to be: on validation classes" in text_of(box.about.value)
    assert box.progress.layout.display == "none"


def test_it_opens_on_what_the_session_has(box, session):
    assert (
        box.classes.value == "red\ngreen\nblue"
        and len(box.rows) == 10
        and box.box._dom_classes == ("zsar-own-videos",)
    )
    session.name_by({"warm": "red  light", "cold": "blue"})
    again = Box(own_videos(session))
    assert again.classes.value == "warm: red light\ncold: blue"
    assert classes_of_lines(again.classes.value)["name"].tolist() == ["warm", "cold"]


def test_a_caption_says_name_confidence_second_best_doubt_and_place(box, session):
    share = 100 * session.table["confidence"]
    assert box.captions[0].split("|") == [f"red {share[0]:.0f}\u00a0%", "then green 0\u00a0%", "a.mp4"]
    second = 100 * session.table["best"][3][1][1]
    assert box.captions[3].split("|")[:3] == [
        f"red {share[3]:.0f}\u00a0%",
        f"then blue {second:.0f}\u00a0%",
        "⚠ perhaps none of these",
    ]
    assert box.captions[5].endswith("long.mp4, 2.0 to 4.0 s")


def test_other_classes_move_names_and_say_so(box, session):
    box.classes.value = "red\ngreen\nblue\n\nviolet: red with blue"
    box.name.click()
    assert text_of(box.named_said.value) == "4 classes; 1 of 10 clips moved: red → violet (1)."
    assert "↻ was red" in box.captions[3] and "↻" not in "".join(box.captions[:3])
    box.filter.value = words.MOVED
    assert box.rows == [3] and session.moved == [3]
    box.name.click()
    assert text_of(box.named_said.value) == "4 classes; of 10 clips none moved to another name."
    assert (
        box.filter.value == words.MOVED
        and box.rows == []
        and text_of(box.counted.value).endswith("there are none of these.")
    )


def test_the_method_is_chosen(box, session):
    box.method.value = "direct"
    box.name.click()
    assert session.candidates.method == "direct" and "Named by direct" in text_of(box.about.value)
    box.clip.value = 0
    assert "not composed of seen ones" in text_of(box.composed.children[0].value)


def test_a_public_model_has_one_method(read):
    model = colour_model()
    session = colour_session()
    session.model = type(model)(
        model.name,
        model.fingerprint,
        model.frames,
        model.embed,
        model.candidates,
        model.about,
        model.seen[:0],
    )
    assert [text for text, _ in Box(own_videos(session)).method.options] == [
        "the model's usual one",
        "direct",
    ]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "2 classes or more"),
        ("red", "has 1"),
        ("red\nRED", "differ in more than case"),
        ("red\nrunning", "'running' names none; describe it"),
    ],
)
def test_refused_classes_are_said_and_the_names_stay(box, session, typed, message):
    before, grid = session.table, box.grid.html
    box.classes.value = typed
    box.name.click()
    assert message in text_of(box.named_said.value) and session.table is before and box.grid.html == grid
    assert box.classes.value == typed and len(box.rows) == 10


def test_refused_videos_are_said_and_the_names_stay(box, session, tmp_path):
    before = session.table
    for path, message in (
        ("", "the field is empty"),
        (str(tmp_path / "gone"), "there is no file or folder"),
        (str(tmp_path), "at least one video"),
    ):
        box.folder.value = path
        box.read.click()
        assert message in text_of(box.read_said.value) and session.table is before and len(box.rows) == 10
    assert not box.read.disabled and not box.name.disabled and box.read_uploads.disabled


def test_a_failure_that_is_no_refusal_is_shown_and_raised(box, session, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("a worker cannot be started")

    monkeypatch.setattr(session, "read_videos", broken)
    box.folder.value = "/somewhere"
    box.read.click()  # ipywidgets writes what a button raises into the log
    assert isinstance(caplog.records[-1].exc_info[1], RuntimeError)
    assert (
        "RuntimeError: a worker cannot be started" in text_of(box.read_said.value) and not box.read.disabled
    )


def test_labels_are_scored_and_unknown_ones_are_said(session):
    labelled = session.read.table.assign(label=["red", "green", "green", "blue", "red", *["red"] * 6])
    session.read = WindowEmbeddings(labelled, session.read.embedding_ND, "print")
    session.name_by(PLAIN)
    assert score_of(session.table, session.candidates)["top1"] == 0.5
    box = Box(own_videos(session))
    assert "10 labelled windows: 50.0 % right (chance 33.3 %)" in text_of(box.about.value)
    box.clip.value = 2
    assert "label: green" in text_of(box.best.value)
    box.classes.value = "red\nblue"
    box.name.click()
    assert (
        "Not scored: 1 of the 3 labels is none of the classes, such as 'green'; add such a class"
        in text_of(box.about.value)
    )
    assert "8 labelled windows:" in text_of(box.about.value)


# the table


def test_filters_orders_and_pages(session):
    box = Box(own_videos(session, most=4))
    assert box.rows == [0, 1, 2, 3] and box.back.disabled and not box.on.disabled
    box.order.value = words.LEAST_SURE
    assert box.rows[0] == 3
    box.order.value = words.BY_FILE
    box.on.click()
    assert box.rows == [5, 6, 7, 8] and text_of(box.counted.value).endswith("shown are 5 to 8 of 10.")
    box.on.click()
    assert box.rows == [9, 10] and box.on.disabled
    box.filter.value = "class green"
    assert box.rows == [1] and box.on.disabled and box.back.disabled
    offered = ["all (10)", "unsure (1)", "sure (9)", "moved (0)", "accepted (0)", "not accepted (10)"]
    assert [text for text, _ in box.filter.options] == [
        *offered,
        "named red (5)",
        "named green (1)",
        "named blue (4)",
    ]
    sure = session.table["confidence"]
    assert sure[words.rows_of(session, order=words.MOST_SURE)].is_monotonic_decreasing
    assert words.rows_of(session, words.UNSURE) == [3] and 4 not in words.rows_of(session)
    with pytest.raises(ValueError, match="shown by one of all, .*, got 'none' and 'by file and time'"):
        words.rows_of(session, "none")
    with pytest.raises(ValueError, match="most must be a whole number of clips of 1 or more, got 0"):
        own_videos(session, most=0)


def test_a_click_and_the_list_choose_the_same_clip(box, session):
    box.grid.chosen = 3
    assert box.clip.value == box.rows[3] and box.panel.layout.display is None
    row = box.clip.value
    assert box.new_name.value == session.table["name"][row] and box.new_name.options == tuple(PLAIN)
    assert [text_of(part).split("  ")[0] for part in re.findall("<tr>.*?</tr>", box.best.value)] == [
        name for name, _ in session.table["best"][row]
    ]
    box.clip.value = -1
    assert box.grid.chosen == -1 and box.panel.layout.display == "none"
    box.grid.chosen = 99  # a page that is gone
    assert box.clip.value == -1


def test_what_a_name_is_composed_of_follows_the_name(box, session):
    box.clip.value = 3
    box.new_name.value = "blue"
    figure = box.composed.children[0]
    assert figure.layout.title.text.startswith("What blue is composed of") and figure.data[0].x == (100.0,)
    box.classes.value = "violet: red and blue\ngreen"
    box.name.click()
    assert box.clip.value == 3 and box.composed.children[0] is figure and figure.data[0].x == (50.0, 50.0)
    assert figure.layout.title.text.startswith("What violet is composed of")


def test_a_long_video_has_a_timeline(box):
    box.clip.value = 0
    assert box.long.children == ()
    box.clip.value = 6
    first = box.long.children[0]
    assert "long.mp4" in first.layout.title.text
    box.clip.value = 7
    assert box.long.children[0] is first  # of the same video
    box.classes.value = "blue\nred"
    box.name.click()
    assert box.long.children[0] is not first and box.clip.value == 7


# accepting and saving


def test_accept_another_name_take_back_and_go_on(box, session):
    box.clip.value = 3
    assert box.take_back.disabled
    box.new_name.value = "blue"
    box.accept.click()
    assert session.accepted == {3: "blue"} and not box.take_back.disabled and box.clip.value == 3
    place = box.rows.index(3)
    assert box.captions[place].startswith("✓  blue|answer: red") and box.grid.html.count("✓") == 1
    box.take_back.click()
    assert session.accepted == {} and "✓" not in box.grid.html and box.new_name.value == "red"
    box.filter.value = words.OPEN
    box.clip.value = 1
    box.accept.click()
    assert session.accepted == {1: "green"} and 1 not in box.rows and box.clip.value == 2  # the next one


def test_all_sure_ones_are_accepted_and_saved(box, session, tmp_path):
    box.sure.click()
    assert text_of(box.table_said.value) == "9 names accepted; 9 in all." and len(session.accepted) == 9
    box.save.click()
    said = text_of(box.save_said.value)
    assert f"9 clips of 3 classes are saved in '{tmp_path / 'named'}'" in said
    assert (
        f"Study(data=Data(prepared='{tmp_path / 'named'}'), protocols=('random-0',), text=Text(prompt='label'))"
        in said
    )
    assert (
        "refuse it for now: a study needs 8 classes or more with 2 videos or more each, 3 classes are here; 'green' has 1 video"
        in said
    )
    assert (tmp_path / "named" / "catalog" / "catalog.json").is_file() and not box.save.disabled
    box.clip.value = 3
    box.accept.click()
    box.save.click()
    assert (
        "names of the same clips alone may be saved again in one folder" in text_of(box.save_said.value)
        and len(session.accepted) == 10
    )


def test_what_cannot_be_saved_is_said(box, tmp_path):
    box.save.click()
    assert "there must be accepted names to save, got none" in text_of(box.save_said.value)
    box.save_to.value = " "
    box.sure.click()
    box.save.click()
    assert (
        "the field is empty; write the path of an empty or new one" in text_of(box.save_said.value)
        and list(tmp_path.iterdir()) == []
    )


def test_enough_to_train_on_is_said(session):
    session.accept([0, 1])
    catalog = session.catalog()
    clips = pd.DataFrame(
        {
            "class": np.repeat(list("abcdefgh"), 2),
            "path": [f"/{number}.mp4" for number in range(16)],
            "status": "ok",
        }
    )
    assert words.training_sentence(type(catalog)("n", Path("/"), clips, catalog.classes)).startswith(
        "That is enough to train on as a trial"
    )
    same = clips.assign(path=["/0.mp4", "/0.mp4", *clips["path"][2:]])  # two stretches of one video
    said = words.training_sentence(type(catalog)("n", Path("/"), same, catalog.classes))
    assert said.endswith("with 2 videos or more each, 'a' has 1 video.")


# names that look like markup


def test_evil_names_do_no_harm(box, session, tmp_path):
    (tmp_path / EVIL[0]).mkdir()
    write_video(tmp_path / EVIL[0] / f"{EVIL[0]}.mp4", ["red"])
    (tmp_path / EVIL[0] / "<b>.mp4").write_bytes(b"no video")
    box.folder.value = str(tmp_path / EVIL[0])
    box.read.click()
    box.classes.value = words.typed(read_classes(EVIL_CLASSES))
    box.name.click()
    box.clip.value = box.rows[0]
    box.accept.click()
    box.save.click()
    assert session.accepted == {1: EVIL[0]} and "&lt;img src=x" in box.grid.html
    for evil in ("<img", "</script", "<b>.mp4", "<b>red"):
        assert evil not in box.html
    figure = box.composed.children[0]
    assert "<img" not in figure.layout.title.text and "&lt;img" in figure.layout.title.text


def test_evil_names_in_figures(session):
    session.name_by(EVIL_CLASSES)
    long = session.table["path"].iloc[-1]
    texts = (
        timeline(session.table, long, "<b>x</b>").to_json()
        + composed_of(session.candidates, session.model.seen, EVIL[1]).to_json()
    )
    for evil in ("<img", "</script", "<b>", "\\u003cimg", "\\u003c/script", "\\u003cb>"):
        assert evil not in texts
    assert "&lt;img" in texts or "\\u0026lt;img" in texts


def test_the_figures_show_the_numbers(session):
    long = session.table[session.table["path"].str.endswith("long.mp4")]
    figure = timeline(session.table, long["path"].iloc[0])
    bars = [(bar.base[0], bar.x[0], bar.name) for bar in figure.data if bar.type == "bar"]
    assert bars == [(0.0, 6.0, "red"), (6.0, 6.0, "blue")]
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    names = [text_of(text) for text in figure.layout.yaxis2.ticktext]
    assert [name.split() for name in names] == [["red", "■"], ["blue", "■"], ["green", "■"]]
    shown = np.array(heat.z, dtype=float)[0]
    np.testing.assert_allclose(shown, [100 * dict(best)["red"] for best in long["best"]])
    with pytest.raises(
        ValueError, match="a timeline needs a video that could be read, got 'x.mp4' with no window"
    ):
        timeline(session.table, "x.mp4")
    with pytest.raises(
        ValueError, match="only a class of the transfer method is composed of others, got 'x' of transfer"
    ):
        composed_of(session.candidates, session.model.seen, "x")
    rng = np.random.default_rng(0)
    targets = np.repeat(np.arange(6), 8)
    scores = rng.normal(size=(48, 6)) + 2 * np.eye(6)[targets]
    thresholds = choose_thresholds(scores, targets, 1.0, 3)
    curve = how_sure(thresholds).data[0]
    np.testing.assert_allclose(curve.y, 100 * thresholds.curve.risk)
    np.testing.assert_allclose(curve.x, 100 * thresholds.curve.coverage)


# uploads
