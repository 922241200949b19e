"""zsar_lab.viz.widgets_own_videos: names that a person gave are neither dropped nor changed without a word."""

from __future__ import annotations

import pandas as pd
import pytest
from coloured_videos import colour_session, write_video
from test_widgets_own_videos import Box, box, catalog, folder, read, session, text_of  # noqa: F401  (the small ones are fixtures)

from zsar_lab.viz.widgets_own_videos import own_videos

pytestmark = pytest.mark.long


def test_accepted_names_are_not_dropped_without_a_word(box, session, tmp_path):
    box.sure.click()
    box.folder.value = str(write_video(tmp_path / "x.mp4", ["green"]))
    box.read.click()
    assert (
        "9 accepted names are not saved; save them, or press again" in text_of(box.read_said.value)
        and len(session.accepted) == 9
    )
    box.read.click()
    assert session.accepted == {} and box.rows == [0] and "1 of 1 video read" in text_of(box.read_said.value)
    box.classes.value = "red\nblue"
    box.sure.click()
    box.name.click()
    assert "1 accepted name that is no class any more: forgotten." in text_of(box.named_said.value)


def test_names_accepted_since_a_warning_or_a_saving_are_warned_of_again(box, session, tmp_path):
    session.accept([0])  # in another cell
    box.folder.value = str(write_video(tmp_path / "x.mp4", ["green"]))
    box.read.click()
    assert "1 accepted name is not saved; save it, or press again" in text_of(box.read_said.value)
    box.save_to.value = str(tmp_path / "named")
    box.save.click()
    assert session.saved == session.accepted and len(session.saved) == 1
    session.accept([1, 2])
    box.read.click()
    assert "2 accepted names are not saved" in text_of(box.read_said.value) and len(session.accepted) == 3
    again = Box(own_videos(session, folder=box.folder.value))  # the cell is run again
    again.read.click()
    assert "2 accepted names are not saved" in text_of(again.read_said.value)
    again.read.click()
    assert session.accepted == session.saved == {}


def test_lines_that_nobody_touched_are_the_classes_as_they_were(read, catalog):
    session = colour_session()
    session.read = read
    table = pd.DataFrame(
        {
            "name": ["hue: red", "a1", "leaf"],
            "label": ["red hue", "blue balls", "leaf"],
            "text": ["", "", "green"],
            "description": ["", "", "green"],
        }
    )
    session.name_by(table)
    session.catalog = lambda: catalog
    before, box = session.candidates, Box(own_videos(session))
    session.accept()
    box.name.click()
    pd.testing.assert_frame_equal(session.candidates.table, before.table)
    assert (
        session.candidates.class_text.texts == before.class_text.texts
        and len(session.accepted) == 9
        and "none moved to another name" in text_of(box.named_said.value)
    )
    box.classes.value = "red\nblue"
    box.name.click()
    assert session.candidates.names == ("red", "blue")
