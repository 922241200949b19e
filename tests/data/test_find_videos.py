"""zsar_lab.data.datasets.layout: videos are found by name in any layout, and no file below the folder is dropped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from official_files import write_activitynet, write_kinetics, write_stand_ins, write_ucf101
from test_bad_annotations import one_sentence
from test_datasets import KINETICS_HEADER, WRITERS, check_nothing_dropped, official, read, row_of  # noqa: F401  (official and read are fixtures)

from zsar_lab.data.datasets import read_annotations
from zsar_lab.data.datasets.layout import match_videos


@pytest.fixture
def small_ucf(tmp_path):
    """Annotations of 303 clips, the paths of their videos, and a folder for them without any file."""
    paths = write_ucf101(tmp_path / "annotations", clips_per_class=3)
    (tmp_path / "videos").mkdir()
    return read_annotations("ucf101", tmp_path / "annotations"), paths, tmp_path / "videos"


LAYOUTS = {
    "official": lambda path: path,
    "flat": lambda path: path.split("/")[1],
    "nested": lambda path: f"UCF-101/extra/{path.replace('/', '/part one/')}",
    "twice": lambda path: f"{path.split('/')[0]}/{path}",
    "other suffix": lambda path: path.replace(".avi", ".MKV"),
    "other spelling": lambda path: (
        path.replace("/", "_(Class)/").replace("_(Class)", " ").lower().split("/")[0].upper()
        + "/"
        + path.split("/")[1]
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_videos_are_found_in_any_layout(small_ucf, layout):
    annotations, paths, videos = small_ucf
    laid_out = {path.split("/")[1][:-4]: LAYOUTS[layout](path) for path in paths}
    write_stand_ins(videos, laid_out.values(), b"")
    found = match_videos(annotations, videos)
    assert (found["status"] == "").all()
    assert dict(zip(found["stems"].str[0], found["path"], strict=True)) == laid_out
    check_nothing_dropped(found, annotations, videos)


def test_kinetics_folders_may_be_spelled_otherwise(read, official, tmp_path):
    paths = [
        path.replace(" ", "_").replace("'", "").replace("(", "").replace(")", "")
        for path in write_kinetics(tmp_path / "a")
    ]
    assert any(path.startswith("passing_American_football_in_game/") for path in paths)
    write_stand_ins(tmp_path / "videos", [f"train_256/{path}" for path in paths], b"")
    found = match_videos(read["kinetics400"], tmp_path / "videos")
    assert (found["status"] == "").all() and set(found["path"]) == {f"train_256/{path}" for path in paths}


def test_activitynet_videos_may_be_named_by_their_bare_id_and_lie_in_one_class_folder(read, tmp_path):
    paths = write_activitynet(tmp_path / "a")
    write_stand_ins(
        tmp_path / "videos",
        [f"v1-3/{path[2:-4]}.webm" for path in paths[1:]] + [f"Archery/{paths[0]}", "v1-3/v__a0b0000001.mp4"],
        b"",
    )
    found = match_videos(read["activitynet"], tmp_path / "videos")
    assert (found["status"] == "").sum() == 44, "the segments of both classes are in the one video"
    assert row_of(found, "Clean and jerk/-a0b0000000#2")["path"] == "Archery/v_-a0b0000000.mp4"
    spare = row_of(found, "v1-3/_a0b0000001.webm")
    assert (spare["status"], spare["class"]) == ("not listed", "v1-3")
    assert spare["reason"] == "a second file of clip 'Archery/_a0b0000001#0' beside 'v1-3/v__a0b0000001.mp4'"
    check_nothing_dropped(found, read["activitynet"], tmp_path / "videos")


def test_videos_of_the_testing_subset_are_not_listed(read, tmp_path):
    write_stand_ins(tmp_path, ["all/v_-a0b0000000.mp4", "all/v__a0b0000005.mp4"], b"")
    found = match_videos(read["activitynet"], tmp_path)
    assert (
        row_of(found, "all/v__a0b0000005.mp4")["reason"]
        == "no annotation of activitynet names it with a class"
    )


def test_of_several_files_the_nearest_fit_is_taken(small_ucf):
    annotations, _, videos = small_ucf
    stem = "YoYo/v_YoYo_g01_c01"
    name = stem.split("/")[1]
    in_order = [
        f"Archery/{stem}.avi",
        f"z/{stem}.avi",
        f"a/{stem}.mp4",
        f"a/yo-yo/{name}.avi",
        f"b/yo-yo/{name}.avi",
        f"0/{name}.avi",
        f"{name}.mkv",
    ]
    write_stand_ins(videos, [*in_order, "Archery/v_Archery_g01_c01.avi"], b"")
    for number, path in enumerate(in_order):
        found = match_videos(annotations, videos)
        assert row_of(found, stem)["path"] == path
        rest = found[found["status"] == "not listed"]
        assert set(rest["path"]) == set(in_order[number + 1 :]) and set(rest["reason"]) <= {
            f"a second file of clip '{stem}' beside '{path}'"
        }
        check_nothing_dropped(found, annotations, videos)
        (videos / path).unlink()


def test_a_file_in_the_folder_of_another_class_is_not_taken(small_ucf):
    annotations, _, videos = small_ucf
    write_stand_ins(videos, ["Archery/v_YoYo_g01_c01.avi", "YoYo/v_YoYo_g08_c01.avi"], b"")
    found = match_videos(annotations, videos)
    missing = row_of(found, "YoYo/v_YoYo_g01_c01")
    assert (missing["status"], missing["reason"], missing["path"]) == (
        "missing",
        "only found in the folder of class Archery",
        "",
    )
    stray = row_of(found, "Archery/v_YoYo_g01_c01.avi")
    assert (stray["status"], stray["class"]) == ("not listed", "Archery")
    assert (
        stray["reason"]
        == "clip 'YoYo/v_YoYo_g01_c01' has a file of this name, but this one lies in the folder of class Archery"
    )
    assert row_of(found, "YoYo/v_YoYo_g15_c01")["reason"] == f"no file v_YoYo_g15_c01.* in '{videos}'"
    assert found["status"].value_counts().to_dict() == {"missing": 302, "": 1, "not listed": 1}
    check_nothing_dropped(found, annotations, videos)


def test_a_name_that_two_classes_share_needs_its_class_folder(tmp_path):
    for class_name in ("run", "walk"):
        for split in (1, 2, 3):
            (tmp_path / f"{class_name}_test_split{split}.txt").write_text("a.avi 1\n")
    annotations = read_annotations("hmdb51", tmp_path)
    write_stand_ins(tmp_path / "videos", ["Run!/a.avi", "b/a.avi"], b"")
    found = match_videos(annotations, tmp_path / "videos")
    assert row_of(found, "run/a")["path"] == "Run!/a.avi" and row_of(found, "walk/a")["status"] == "missing"
    assert row_of(found, "b/a.avi")["reason"] == "a second file of clip 'run/a' beside 'Run!/a.avi'"
    check_nothing_dropped(found, annotations, tmp_path / "videos")
    (tmp_path / "videos/Run!/a.avi").unlink()
    found = match_videos(annotations, tmp_path / "videos")
    assert (
        row_of(found, "run/a")["reason"]
        == "'b/a.avi' may be its file or that of a clip of another class; put it into the folder of its class"
    )
    assert row_of(found, "b/a.avi")["reason"].startswith(
        "clips of several classes have a file of this name, such as 'run/a'"
    )


def test_classes_that_only_signs_tell_apart_are_told_apart_by_exact_spelling(tmp_path):
    (tmp_path / "train.csv").write_text(KINETICS_HEADER + "run,a,0,10,train\nrun!,b,0,10,train\n")
    annotations = read_annotations("kinetics400", tmp_path)
    write_stand_ins(
        tmp_path / "videos",
        ["run/b_000000_000010.mp4", "run!/a_000000_000010.mp4", "RUN/a_000000_000010.mp4"],
        b"",
    )
    found = match_videos(annotations, tmp_path / "videos")
    assert row_of(found, "run/a_000000_000010")["path"] == "RUN/a_000000_000010.mp4"
    assert row_of(found, "run!/b_000000_000010")["reason"] == "only found in the folder of class run"
    write_stand_ins(tmp_path / "videos", ["RUN/b_000000_000010.mp4"], b"")
    assert match_videos(annotations, tmp_path / "videos").query("status == ''")["path"].str[:4].tolist() == [
        "RUN/",
        "RUN/",
    ]


def test_other_files_are_listed_with_their_reason(small_ucf):
    annotations, _, videos = small_ucf
    names = [
        "YoYo/v_YoYo_g01_c01.avi",
        "YoYo/v_YoYo_g01_c01",
        "YoYo/extra.avi",
        "Juggling/extra.avi",
        "top.avi",
        "README",
        "YoYo/x.avi.part",
        "YoYo/v_YoYo_g08_c01 (copy).avi",
        ".hidden.avi",
        "YoYo/.ipynb/x.avi",
        "yoyo/inner/notes.txt",
    ]
    write_stand_ins(videos, names, b"")
    found = match_videos(annotations, videos).query("status != 'missing'")
    listed = {row["id"]: (row["class"], row["status"], row["reason"]) for _, row in found.iterrows()}
    nobody = "no annotation of ucf101 names it with a class"
    assert listed == {
        "YoYo/v_YoYo_g01_c01": ("YoYo", "", ""),
        "YoYo/v_YoYo_g01_c01 (file)": ("YoYo", "not a video", "it has no video suffix"),
        "YoYo/extra.avi": ("YoYo", "not listed", nobody),
        "YoYo/v_YoYo_g08_c01 (copy).avi": ("YoYo", "not listed", nobody),
        "Juggling/extra.avi": ("Juggling", "not listed", "its folder 'Juggling' is no class of ucf101"),
        "top.avi": ("videos", "not listed", nobody),
        "README": ("videos", "not a video", "it has no video suffix"),
        "YoYo/x.avi.part": ("YoYo", "not a video", "'.part' is not a video suffix"),
        "yoyo/inner/notes.txt": ("YoYo", "not a video", "'.txt' is not a video suffix"),
    }
    check_nothing_dropped(match_videos(annotations, videos), annotations, videos)


def test_odd_file_and_folder_names_are_listed_as_unreadable(small_ucf):
    annotations, _, videos = small_ucf
    write_stand_ins(
        videos,
        [
            "YoYo/v_YoYo_g01_c01.avi",
            "YoYo/new\nline.avi",
            "Archery/\x1b/v_Archery_g01_c01.avi",
            "YoYo/\n.txt",
        ],
        b"",
    )
    with open(os.fsencode(videos) + b"/YoYo/\xff.avi", "wb"):
        pass
    found = match_videos(annotations, videos)
    odd = found[found["status"] == "unreadable"].set_index("id")["reason"].to_dict()
    assert odd == {
        "YoYo/new\\nline.avi": "a file name must be UTF-8 without control characters, got 'new\\nline.avi'; rename it",
        "YoYo/\\udcff.avi": "a file name must be UTF-8 without control characters, got '\\udcff.avi'; rename it",
        "Archery/\\x1b/v_Archery_g01_c01.avi": "a folder name must be UTF-8 without control characters, got 'Archery/\\x1b'; rename it",
    }
    assert (
        row_of(found, "YoYo/\\n.txt")["status"] == "not a video"
        and row_of(found, "Archery/v_Archery_g01_c01")["status"] == "missing"
    )
    check_nothing_dropped(found, annotations, videos)
    found.to_parquet(videos / "table.parquet")


def test_links_are_followed_once_and_never_in_circles(small_ucf, tmp_path):
    annotations, paths, videos = small_ucf
    write_stand_ins(tmp_path / "disk", [path for path in paths if path.startswith("YoYo/")], b"")
    write_stand_ins(videos, ["Archery/v_Archery_g01_c01.avi"], b"")
    (videos / "YoYo").symlink_to(tmp_path / "disk/YoYo")
    (videos / "AAA again").symlink_to(videos / "Archery")
    (videos / "Archery/up").symlink_to(videos)
    (videos / "Archery/above").symlink_to(tmp_path)
    (videos / "Archery/v_Archery_g08_c01.avi").symlink_to(tmp_path / "gone.avi")
    (videos / "Archery/circle.avi").symlink_to(videos / "Archery/circle.avi")
    os.mkfifo(videos / "Archery/v_Archery_g15_c01.avi")
    found = match_videos(annotations, videos)
    assert set(found["path"]) - {""} == {
        "Archery/v_Archery_g01_c01.avi",
        "Archery/v_Archery_g08_c01.avi",
        "Archery/circle.avi",
        "Archery/v_Archery_g15_c01.avi",
        *(path for path in paths if path.startswith("YoYo/")),
    }
    assert found["status"].value_counts().to_dict() == {"missing": 299, "": 4, "unreadable": 3}
    assert row_of(found, "Archery/circle.avi")["reason"] == "it is a link that leads to no file"
    assert row_of(found, "Archery/v_Archery_g15_c01.avi")["reason"] == "it is no regular file"


def test_an_excluded_clip_keeps_its_file(official, tmp_path):
    annotations = read_annotations("activitynet", official / "activitynet", unit="video")
    found = match_videos(annotations, official / "activitynet/videos")
    excluded = found[found["status"] == "excluded"]
    assert (
        len(excluded) == 4
        and (excluded["path"] != "").all()
        and excluded["reason"].str.startswith("a whole video must be of one class").all()
    )
    check_nothing_dropped(found, annotations, official / "activitynet/videos")


@pytest.mark.parametrize("name", WRITERS)
def test_the_videos_of_another_dataset_are_refused(read, official, name):
    other = "hmdb51" if name != "hmdb51" else "ucf101"
    with pytest.raises(
        ValueError,
        match=f"must hold videos of {name}, such as '.*/.*', got [0-9]+ files such as '.*.avi'; give",
    ) as caught:
        match_videos(read[name], official / other / "videos")
    one_sentence(caught.value)


def test_a_folder_of_videos_that_is_empty_absent_or_a_file_is_refused(read, tmp_path):
    with pytest.raises(
        ValueError, match="such as 'ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi', got no file at all"
    ):
        match_videos(read["ucf101"], tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder '.*nowhere'"):
        match_videos(read["ucf101"], tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="must be given as a folder"):
        match_videos(read["ucf101"], tmp_path / "file")


def test_a_folder_that_may_not_be_listed_is_named(small_ucf, monkeypatch):
    annotations, paths, videos = small_ucf
    write_stand_ins(videos, paths, b"")
    real = os.scandir

    def refuse(folder):
        if Path(folder).name == "YoYo":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(
        PermissionError, match=r"a folder of videos must be readable, got '.*YoYo' \(Permission denied\)"
    ):
        match_videos(annotations, videos)


def test_the_table_does_not_depend_on_the_order_of_the_disk(small_ucf, monkeypatch):
    annotations, paths, videos = small_ucf
    write_stand_ins(videos, [*paths, *(f"copy/{path}" for path in paths), "README"], b"")
    write_stand_ins(videos.parent / "disk", ["extra.avi"], b"")
    for name in ("link a", "link b"):
        (videos / name).symlink_to(videos.parent / "disk")
    found = match_videos(annotations, videos)
    real = os.scandir

    class Backwards:
        def __init__(self, folder):
            self.scan = real(folder)

        def __enter__(self):
            return reversed(list(self.scan))

        def __exit__(self, *error):
            self.scan.close()

    monkeypatch.setattr(os, "scandir", Backwards)
    assert match_videos(annotations, videos).equals(found)
    assert read_annotations("ucf101", videos.parent / "annotations").clips.equals(annotations.clips)
    for name in ("a_train.csv", "b_val.csv"):
        (videos.parent / name).write_text("label,youtube_id,time_start,time_end\nrun,a,0,10\n")
    assert read_annotations("kinetics400", videos.parent).clips["splits"].tolist() == ["train", "val"]
