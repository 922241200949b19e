"""zsar_lab.data.datasets.layout: videos are found by name in any layout, and no file is dropped."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from official_files import (
    WRITERS,
    one_sentence,
    row_of,
    write_activitynet,
    write_kinetics,
    write_stand_ins,
    write_ucf101,
)

from zsar_lab.data.catalog import shown
from zsar_lab.data.datasets import read_annotations
from zsar_lab.data.datasets.annotations import Annotations, video_stem
from zsar_lab.data.datasets.layout import match_videos

KINETICS_HEADER = "label,youtube_id,time_start,time_end,split\n"


@pytest.fixture(scope="module")
def official(tmp_path_factory) -> Path:
    """Each dataset in a folder of its name: annotations, and a stand-in for every video."""
    root = tmp_path_factory.mktemp("official")
    for name, write in WRITERS.items():
        write(root / name, video=b"stand-in")
    return root


@pytest.fixture(scope="module")
def read(official) -> dict[str, Annotations]:
    return {name: read_annotations(name, official / name) for name in WRITERS}


@pytest.fixture
def small_ucf(tmp_path):
    """Annotations of 303 clips, the paths of their videos, and a folder for them without any file."""
    paths = write_ucf101(tmp_path / "annotations", clips_per_class=3)
    (tmp_path / "videos").mkdir()
    return read_annotations("ucf101", tmp_path / "annotations"), paths, tmp_path / "videos"


def matched(annotations: Annotations, videos: Path) -> pd.DataFrame:
    """The table; every annotated clip and every visible file is in it, and ids are unique."""
    found = match_videos(annotations, videos)
    assert list(found.columns) == [*annotations.clips.columns, "path", "status"]
    assert found["id"].tolist() == sorted(set(found["id"])) and set(annotations.clips["id"]) <= set(
        found["id"]
    )
    on_disk = set()
    for folder, inner, names in os.walk(videos, followlinks=True):
        inner[:] = [name for name in inner if not name.startswith(".")]
        paths = (os.path.relpath(os.path.join(folder, name), videos) for name in names if name[0] != ".")
        on_disk |= set(map(shown, paths))
    assert set(found["path"]) - {""} == on_disk
    of_clips = set(found["path"][found["id"].isin(annotations.clips["id"])]) - {""}
    assert len(found) == len(annotations.clips) + len(on_disk - of_clips)
    assert set(found["status"]) <= {"", "missing", "excluded", "not listed", "not a video", "unreadable"}
    assert ((found["status"] == "") == (found["reason"] == "")).all() and (found["class"] != "").all()
    assert not found["reason"].str.contains("\n").any()
    return found


@pytest.mark.parametrize("name", WRITERS)
def test_every_official_video_is_found_as_the_dataset_lays_it_out(read, official, name):
    found = matched(read[name], official / name / "videos")
    assert (found["status"] == "").all() and len(found) == len(read[name].clips)
    assert all(video_stem(path) in stems for path, stems in zip(found["path"], found["stems"], strict=True))


LAYOUTS = {
    "official": lambda path: path,
    "flat": lambda path: path.split("/")[1],
    "nested": lambda path: f"UCF-101/extra/{path.replace('/', '/part one/')}",
    "twice": lambda path: f"{path.split('/')[0]}/{path}",
    "other suffix": lambda path: path.replace(".avi", ".MKV"),
    "other spelling": lambda path: path.split("/")[0].upper() + " (!)/" + path.split("/")[1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_videos_are_found_in_any_layout(small_ucf, layout):
    annotations, paths, videos = small_ucf
    laid_out = {path.split("/")[1][:-4]: LAYOUTS[layout](path) for path in paths}
    write_stand_ins(videos, laid_out.values(), b"")
    found = matched(annotations, videos)
    assert (found["status"] == "").all()
    assert dict(zip(found["stems"].str[0], found["path"], strict=True)) == laid_out


def test_kinetics_folders_may_be_spelled_otherwise(read, tmp_path):
    signs = str.maketrans({" ": "_", "'": "", "(": "", ")": ""})
    paths = [f"train_256/{path.translate(signs)}" for path in write_kinetics(tmp_path / "a")]
    assert any("/passing_American_football_in_game/" in path for path in paths)
    write_stand_ins(tmp_path / "videos", paths, b"")
    found = match_videos(read["kinetics400"], tmp_path / "videos")
    assert (found["status"] == "").all() and set(found["path"]) == set(paths)


def test_activitynet_videos_may_be_named_by_their_bare_id_and_lie_in_one_class_folder(read, tmp_path):
    paths, videos = write_activitynet(tmp_path / "a"), tmp_path / "videos"
    bare = [f"v1-3/{path[2:-4]}.webm" for path in paths[1:]]
    of_test = "v1-3/v__a0b0000005.mp4"  # of the testing subset
    write_stand_ins(videos, [*bare, f"Archery/{paths[0]}", "v1-3/v__a0b0000001.mp4", of_test], b"")
    found = matched(read["activitynet"], videos)
    assert (found["status"] == "").sum() == 44, "the segments of both classes are in the one video"
    assert row_of(found, "Clean and jerk/-a0b0000000#2")["path"] == "Archery/v_-a0b0000000.mp4"
    spare = row_of(found, "v1-3/_a0b0000001.webm")
    assert (spare["status"], spare["class"]) == ("not listed", "v1-3")
    assert spare["reason"] == "a second file of clip 'Archery/_a0b0000001#0' beside 'v1-3/v__a0b0000001.mp4'"
    assert row_of(found, of_test)["reason"] == "no annotation of activitynet names it with a class"


def test_of_several_files_the_nearest_fit_is_taken(small_ucf):
    annotations, _, videos = small_ucf
    stem, name = "YoYo/v_YoYo_g01_c01", "v_YoYo_g01_c01"
    spelled_exactly = [f"Archery/{stem}.avi", f"z/{stem}.avi", f"a/{stem}.mp4"]
    others = [f"a/yo-yo/{name}.avi", f"b/yo-yo/{name}.avi", f"0/{name}.avi", f"{name}.mkv"]
    in_order = spelled_exactly + others
    write_stand_ins(videos, [*in_order, "Archery/v_Archery_g01_c01.avi"], b"")
    for number, path in enumerate(in_order):
        found = matched(annotations, videos)
        assert row_of(found, stem)["path"] == path
        rest = found[found["status"] == "not listed"]
        assert set(rest["path"]) == set(in_order[number + 1 :])
        assert set(rest["reason"]) <= {f"a second file of clip '{stem}' beside '{path}'"}
        (videos / path).unlink()


def test_a_file_in_the_folder_of_another_class_is_not_taken(small_ucf):
    annotations, _, videos = small_ucf
    write_stand_ins(videos, ["Archery/v_YoYo_g01_c01.avi", "YoYo/v_YoYo_g08_c01.avi"], b"")
    found = matched(annotations, videos)
    missing = row_of(found, "YoYo/v_YoYo_g01_c01")
    assert missing[["status", "path"]].tolist() == ["missing", ""]
    assert missing["reason"] == "only found in the folder of class Archery"
    stray = row_of(found, "Archery/v_YoYo_g01_c01.avi")
    assert (stray["status"], stray["class"]) == ("not listed", "Archery")
    assert stray["reason"].startswith("clip 'YoYo/v_YoYo_g01_c01' has a file of this name, but")
    assert row_of(found, "YoYo/v_YoYo_g15_c01")["reason"] == f"no file v_YoYo_g15_c01.* in '{videos}'"
    assert found["status"].value_counts().to_dict() == {"missing": 302, "": 1, "not listed": 1}


def test_a_name_that_two_classes_share_needs_its_class_folder(tmp_path):
    for class_name in ("run", "walk"):
        for split in (1, 2, 3):
            (tmp_path / f"{class_name}_test_split{split}.txt").write_text("a.avi 1\n")
    annotations, videos = read_annotations("hmdb51", tmp_path), tmp_path / "videos"
    write_stand_ins(videos, ["Run!/a.avi", "b/a.avi"], b"")
    found = matched(annotations, videos)
    assert row_of(found, "run/a")["path"] == "Run!/a.avi" and row_of(found, "walk/a")["status"] == "missing"
    assert row_of(found, "b/a.avi")["reason"] == "a second file of clip 'run/a' beside 'Run!/a.avi'"
    (videos / "Run!/a.avi").unlink()
    found = match_videos(annotations, videos)
    assert row_of(found, "run/a")["reason"].startswith(
        "'b/a.avi' may be its file or that of a clip of another"
    )
    several = "clips of several classes have a file of this name, such as 'run/a'"
    assert row_of(found, "b/a.avi")["reason"].startswith(several)


def test_classes_that_only_signs_tell_apart_are_refused(tmp_path):
    (tmp_path / "train.csv").write_text(KINETICS_HEADER + "run,a,0,10,train\nrun!,b,0,10,train\n")
    with pytest.raises(ValueError, match="'run' and 'run!'"):
        read_annotations("kinetics400", tmp_path)


def test_other_files_are_listed_with_their_reason(small_ucf):
    annotations, _, videos = small_ucf
    nobody, suffix = "no annotation of ucf101 names it with a class", "is not a video suffix"
    listed = {
        "YoYo/v_YoYo_g01_c01": ("YoYo", "", ""),
        "YoYo/v_YoYo_g01_c01 (file)": ("YoYo", "not a video", "it has no video suffix"),
        "YoYo/extra.avi": ("YoYo", "not listed", nobody),
        "YoYo/v_YoYo_g08_c01 (copy).avi": ("YoYo", "not listed", nobody),
        "Juggling/extra.avi": ("Juggling", "not listed", "its folder 'Juggling' is no class of ucf101"),
        "top.avi": ("videos", "not listed", nobody),
        "README": ("videos", "not a video", "it has no video suffix"),
        "YoYo/x.avi.part": ("YoYo", "not a video", f"'.part' {suffix}"),
        "yoyo/inner/notes.txt": ("YoYo", "not a video", f"'.txt' {suffix}"),
    }
    names = [name.removesuffix(" (file)") for name in listed][1:] + ["YoYo/v_YoYo_g01_c01.avi"]
    write_stand_ins(videos, [*names, ".hidden.avi", "YoYo/.ipynb/x.avi"], b"")
    found = matched(annotations, videos).query("status != 'missing'")
    assert {row["id"]: (row["class"], row["status"], row["reason"]) for _, row in found.iterrows()} == listed


def test_odd_file_and_folder_names_are_listed_as_unreadable(small_ucf):
    annotations, _, videos = small_ucf
    odd = ["YoYo/new\nline.avi", "Archery/\x1b/v_Archery_g01_c01.avi", "YoYo/\n.txt"]
    write_stand_ins(videos, ["YoYo/v_YoYo_g01_c01.avi", *odd, os.fsdecode(b"YoYo/\xff.avi")], b"")
    found = matched(annotations, videos)
    reasons = found[found["status"] == "unreadable"].set_index("id")["reason"].to_dict()
    rule = "{} name must be printable UTF-8, got '{}'; rename it"
    assert reasons == {
        "YoYo/new\\nline.avi": rule.format("a file", "new\\nline.avi"),
        "YoYo/\\udcff.avi": rule.format("a file", "\\udcff.avi"),
        "Archery/\\x1b/v_Archery_g01_c01.avi": rule.format("a folder", "Archery/\\x1b"),
    }
    assert row_of(found, "YoYo/\\n.txt")["status"] == "not a video"
    assert row_of(found, "Archery/v_Archery_g01_c01")["status"] == "missing"
    found.to_parquet(videos / "table.parquet")


def test_links_are_followed_once_and_never_in_circles(small_ucf, tmp_path):
    annotations, paths, videos = small_ucf
    of_yoyo = [path for path in paths if path.startswith("YoYo/")]
    write_stand_ins(tmp_path / "disk", of_yoyo, b"")
    write_stand_ins(videos, ["Archery/v_Archery_g01_c01.avi"], b"")
    links = {
        "YoYo": tmp_path / "disk/YoYo",
        "AAA again": videos / "Archery",
        "Archery/up": videos,
        "Archery/above": tmp_path,
        "Archery/v_Archery_g08_c01.avi": tmp_path / "gone.avi",
        "Archery/circle.avi": videos / "Archery/circle.avi",
    }
    for name, target in links.items():
        (videos / name).symlink_to(target)
    os.mkfifo(videos / "Archery/v_Archery_g15_c01.avi")
    found = match_videos(annotations, videos)
    of_archery = ["v_Archery_g01_c01.avi", "v_Archery_g08_c01.avi", "circle.avi", "v_Archery_g15_c01.avi"]
    assert set(found["path"]) - {""} == {*(f"Archery/{name}" for name in of_archery), *of_yoyo}
    assert found["status"].value_counts().to_dict() == {"missing": 299, "": 4, "unreadable": 3}
    assert row_of(found, "Archery/circle.avi")["reason"] == "it is a link that leads to no file"
    assert row_of(found, "Archery/v_Archery_g15_c01.avi")["reason"] == "it is no regular file"


def test_an_excluded_clip_keeps_its_file(official):
    annotations = read_annotations("activitynet", official / "activitynet", unit="video")
    excluded = matched(annotations, official / "activitynet/videos").query("status == 'excluded'")
    assert len(excluded) == 4 and (excluded["path"] != "").all()
    assert excluded["reason"].str.startswith("a whole video must be of one class").all()


@pytest.mark.parametrize("name", WRITERS)
def test_the_videos_of_another_dataset_are_refused(read, official, name):
    other = "hmdb51" if name != "hmdb51" else "ucf101"
    with pytest.raises(ValueError, match=f"videos of {name} such as .*, got [0-9]+ files such") as caught:
        match_videos(read[name], official / other / "videos")
    one_sentence(caught.value)


def test_a_folder_of_videos_that_is_empty_absent_or_a_file_is_refused(read, tmp_path):
    with pytest.raises(ValueError, match="ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi', got no file at all"):
        match_videos(read["ucf101"], tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        match_videos(read["ucf101"], tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="got 1 files such as 'file'"):
        match_videos(read["ucf101"], tmp_path)
    with pytest.raises(NotADirectoryError, match="file"):
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
    with pytest.raises(PermissionError, match=r"YoYo' .*\(Permission denied\)"):
        match_videos(annotations, videos)


def test_the_table_does_not_depend_on_the_order_of_the_disk(small_ucf, monkeypatch):
    annotations, paths, videos = small_ucf
    write_stand_ins(videos, [*paths, *(f"copy/{path}" for path in paths), "README"], b"")
    write_stand_ins(videos.parent / "disk", ["extra.avi"], b"")
    for name in ("link a", "link b"):
        (videos / name).symlink_to(videos.parent / "disk")
    found, real = match_videos(annotations, videos), os.scandir

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
