"""Writes annotation files of the official shape, and stand-ins for the videos they name: for tests and benchmarks.

Names, counts and forms are those of the datasets; which clip is in which split is made up. Each function writes into a
folder of its own and returns the path of every video, relative to `<folder>/videos`, as the dataset lays it out.
`video` is the content of every stand-in; None writes annotation files only.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path

UCF101_CLASSES = """
ApplyEyeMakeup ApplyLipstick Archery BabyCrawling BalanceBeam BandMarching BaseballPitch Basketball BasketballDunk BenchPress
Biking Billiards BlowDryHair BlowingCandles BodyWeightSquats Bowling BoxingPunchingBag BoxingSpeedBag BreastStroke BrushingTeeth
CleanAndJerk CliffDiving CricketBowling CricketShot CuttingInKitchen Diving Drumming Fencing FieldHockeyPenalty FloorGymnastics
FrisbeeCatch FrontCrawl GolfSwing Haircut Hammering HammerThrow HandstandPushups HandstandWalking HeadMassage HighJump
HorseRace HorseRiding HulaHoop IceDancing JavelinThrow JugglingBalls JumpingJack JumpRope Kayaking Knitting
LongJump Lunges MilitaryParade Mixing MoppingFloor Nunchucks ParallelBars PizzaTossing PlayingCello PlayingDaf
PlayingDhol PlayingFlute PlayingGuitar PlayingPiano PlayingSitar PlayingTabla PlayingViolin PoleVault PommelHorse PullUps
Punch PushUps Rafting RockClimbingIndoor RopeClimbing Rowing SalsaSpin ShavingBeard Shotput SkateBoarding
Skiing Skijet SkyDiving SoccerJuggling SoccerPenalty StillRings SumoWrestling Surfing Swing TableTennisShot
TaiChi TennisSwing ThrowDiscus TrampolineJumping Typing UnevenBars VolleyballSpiking WalkingWithDog WallPushups WritingOnBoard YoYo
""".split()
HMDB51_CLASSES = """
brush_hair cartwheel catch chew clap climb climb_stairs dive draw_sword dribble drink eat fall_floor fencing flic_flac golf
handstand hit hug jump kick kick_ball kiss laugh pick pour pullup punch push pushup ride_bike ride_horse run shake_hands
shoot_ball shoot_bow shoot_gun sit situp smile smoke somersault stand swing_baseball sword sword_exercise talk throw turn walk wave
""".split()
UCF101_TEST_COUNTS, UCF101_CLIPS = (3783, 3734, 3696), 13320
HMDB51_CLIPS = 6766
ODD_PREFIXES = ["#1_Film_(2)", "A_&_B_[cut]", "Who;What", "Plain_Film", "It's"]
KINETICS_CLASSES = [
    "archery", "massaging person's head", "passing American football (in game)", "petting animal (not cat)", "singing, humming", "tap dancing"
]  # fmt: skip
KINETICS_SPLITS = {"train": "train", "validate": "validate", "test": "test"}
ACTIVITYNET_CLASSES = ["Archery", "Clean and jerk", "Rock climbing", "Using the pommel horse"]
LINKS_A_FILE = 30_000  # ext4 allows 65,000


def write_stand_ins(folder: Path, paths: Iterable[str], video: bytes) -> None:
    """Write `video` at each relative path; the files are hard links of a few."""
    source, made = None, set()
    for number, path_text in enumerate(paths):
        path = f"{folder}/{path_text}"
        parent = path.rpartition("/")[0]
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        if number % LINKS_A_FILE == 0:
            Path(path).write_bytes(video)
            source = path
        else:
            os.link(source, path)


def spread(total: int, n_parts: int) -> list[int]:
    """A whole number for each part, as equal as can be, that sum to the total."""
    return [total // n_parts + (part < total % n_parts) for part in range(n_parts)]


def write_ucf101(folder: Path, clips_per_class: int | None = None, video: bytes | None = None) -> list[str]:
    """UCF101 into `<folder>/ucfTrainTestlist`: 13,320 clips in 25 groups a class, with the official number in each split.

    The groups 1-7 of a class are tested in split 1, 8-14 in split 2, 15-21 in split 3. With `clips_per_class` (3
    to 25) each class has one clip in each of as many groups, 1, 8, 15, 2, 9, and so on.
    """
    home = Path(folder) / "ucfTrainTestlist"
    home.mkdir(parents=True)
    numbers = {name: number for number, name in enumerate(UCF101_CLASSES, start=1)}
    home.joinpath("classInd.txt").write_text("".join(f"{number} {name}\r\n" for name, number in numbers.items()), newline="")
    always_train = UCF101_CLIPS - sum(UCF101_TEST_COUNTS)
    n_classes = len(UCF101_CLASSES)
    counts = [iter(spread(total, n_classes * groups)) for total, groups in zip((*UCF101_TEST_COUNTS, always_train), (7, 7, 7, 4), strict=True)]
    group_order = sorted(range(1, 26), key=lambda group: ((group - 1) % 7 if group < 22 else 7, group))
    clips = []
    for name in UCF101_CLASSES:
        spelled = name.replace("HandstandPushups", "HandStandPushups")
        for group in sorted(group_order[:clips_per_class]):
            n_clips = next(counts[(group - 1) // 7]) if clips_per_class is None else 1
            clips += [(name, group, f"{name}/v_{spelled}_g{group:02d}_c{clip:02d}.avi") for clip in range(1, n_clips + 1)]
    for split in (1, 2, 3):
        train = [f"{path} {numbers[name]}\n" for name, group, path in clips if (group - 1) // 7 != split - 1]
        test = [f"{path}\n" for name, group, path in clips if (group - 1) // 7 == split - 1]
        home.joinpath(f"trainlist0{split}.txt").write_text("".join(train))
        home.joinpath(f"testlist0{split}.txt").write_text("".join(test))
    return _with_videos(folder, [path for _, _, path in clips], video)


def write_hmdb51(folder: Path, video: bytes | None = None) -> list[str]:
    """HMDB51 into `<folder>/testTrainMulti_7030_splits`: 153 lists, 6,766 clips, 70 train and 30 test a class and split."""
    home = Path(folder) / "testTrainMulti_7030_splits"
    home.mkdir(parents=True)
    paths = []
    for class_name, n_clips in zip(HMDB51_CLASSES, spread(HMDB51_CLIPS, len(HMDB51_CLASSES)), strict=True):
        names = [f"{ODD_PREFIXES[clip % len(ODD_PREFIXES)]}_{class_name}_u_nm_np1_fr_med_{clip}.avi" for clip in range(n_clips)]
        for split in (1, 2, 3):
            turn = [(clip - 30 * (split - 1)) % n_clips for clip in range(n_clips)]
            values = [2 if place < 30 else 1 if place < 100 else 0 for place in turn]
            text = "".join(f"{name} {value} \n" for name, value in zip(names, values, strict=True))
            home.joinpath(f"{class_name}_test_split{split}.txt").write_text(text)
        paths += [f"{class_name}/{name}" for name in names]
    return _with_videos(folder, paths, video)


def write_kinetics(
    folder: Path, clips_per_class: int = 5, classes: list[str] | None = None, video: bytes | None = None, labelled_test: bool = False
) -> list[str]:
    """Kinetics into `<folder>/annotations`: train.csv, validate.csv and test.csv, of each class 3/5, 1/5 and 1/5 of its clips.

    Some video ids begin with "-". The test table has no labels unless asked for; its clips are not in the paths returned.
    """
    home = Path(folder) / "annotations"
    home.mkdir(parents=True)
    rows: dict[str, list[tuple]] = {name: [] for name in KINETICS_SPLITS}
    paths = []
    for class_number, label in enumerate(classes or KINETICS_CLASSES):
        for clip in range(clips_per_class):
            table = ("train", "train", "train", "validate", "test")[clip % 5]
            video_id, start = f"{'-_'[clip % 2]}{class_number:04d}{clip:06d}", 7 * clip
            rows[table].append((label, video_id, start, start + 10, KINETICS_SPLITS[table]))
            if table != "test" or labelled_test:
                paths.append(f"{label}/{video_id}_{start:06d}_{start + 10:06d}.mp4")
    header = ("label", "youtube_id", "time_start", "time_end", "split")
    for table, found in rows.items():
        first = 0 if table != "test" or labelled_test else 1
        with open(home / f"{table}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(row[first:] for row in (header, *found))
    return _with_videos(folder, paths, video)


def write_activitynet(folder: Path, videos_per_class: int = 6, video: bytes | None = None) -> list[str]:
    """ActivityNet into `<folder>/activity_net.v1-3.min.json`: of each class's videos half train, a third val, the rest test.

    Each annotated video has two segments of its class; the first of each class has one of the next class too.
    The videos of the testing subset have no annotations and are not in the paths returned.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    database, paths = {}, []
    for class_number, label in enumerate(ACTIVITYNET_CLASSES):
        for number in range(videos_per_class):
            video_id = f"{'-_'[number % 2]}a{class_number}b{number:07d}"
            share = number / videos_per_class
            subset = "training" if share < 0.5 else "validation" if share < 5 / 6 else "testing"
            labels = [label, label] + [ACTIVITYNET_CLASSES[(class_number + 1) % len(ACTIVITYNET_CLASSES)]] * (number == 0)
            segments = [{"segment": [5.5 + 20 * place, 20.25 + 20 * place], "label": name} for place, name in enumerate(labels)]
            annotations = segments if subset != "testing" else []
            url = f"https://www.youtube.com/watch?v={video_id}"
            database[video_id] = {"duration": 82.73, "subset": subset, "resolution": "320x240", "url": url, "annotations": annotations}
            paths += [f"v_{video_id}.mp4"] if annotations else []
    text = json.dumps({"version": "VERSION 1.3", "taxonomy": [], "database": database})
    Path(folder).joinpath("activity_net.v1-3.min.json").write_text(text, encoding="utf-8")
    return _with_videos(folder, paths, video)


def _with_videos(folder: Path, paths: list[str], video: bytes | None) -> list[str]:
    if video is not None:
        write_stand_ins(Path(folder) / "videos", paths, video)
    return paths
