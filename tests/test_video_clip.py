"""A whole clip through a network: every task and view, numbers, progress, one range of depth, bounded memory."""

import csv
import json
import threading
from pathlib import Path

import clips
import cv2
import numpy as np
import pytest
import rule

from sapiens_mlx.arguments import argument_parser
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.options import Options
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.tasks.joint_angles import ANGLES, NOTE
from sapiens_mlx.video import arguments
from sapiens_mlx.video.ahead import Ahead, Behind
from sapiens_mlx.video.choices import VIEWS, Chosen, ClipChoices
from sapiens_mlx.video.clip import run_clip
from sapiens_mlx.video.read import open_clip
from sapiens_mlx.video.report import Newest, in_time

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/clip.mp4"  # two drawn people
TASKS = ("seg", "pose", "normal", "pointmap", "albedo", "matting", "features", "detect")


@pytest.fixture
def weights(machine, tiny_size) -> Path:
    for task in TASKS:
        if task != "detect":
            rule.write_tiny(machine, task)
    rule.write_detector(machine / "detector/rtmdet_m.pth")
    return machine


@pytest.fixture
def source(tmp_path) -> Path:
    return clips.write(tmp_path / "clip.mp4", 6)


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("view", [VIEWS[0], *(pytest.param(one, marks=pytest.mark.slow) for one in VIEWS[1:])])
@pytest.mark.parametrize("task", TASKS)
def test_every_task_in_every_view_gives_a_video_of_all_frames(weights, source, tmp_path, task, view):
    options = Options(box_threshold=0.1, boxes_xyxy=[[10, 10, 90, 90]])
    report = run_clip(source, Predictor(task, "tiny"), tmp_path, options=options, choices=ClipChoices(view=view))
    shown = clips.decoded(Path(report.video))
    assert report.frames == len(shown) == 6 and not report.missing
    height, width = shown[0][1].shape[:2]
    assert (height, width) == ((96, 258) if view == "side-by-side" else (96, 128))
    photo = clips.frame_rgb(5)
    if view == "side-by-side":
        assert np.abs(shown[5][1][:, :128].astype(int) - photo).mean() < 6
    saved = json.loads((tmp_path / f"clip_{task}_clip.json").read_text())
    assert saved["files"] == report.files and all(Path(path).is_file() for path in report.files)
    assert saved["licence"] and saved["device"] and saved["compute_dtype"]


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> dict[int, Path]:
    """Folders of the demo's pose of the example clip, by how often people were looked for."""
    folders = {}
    for every in (1, 4):
        folders[every] = tmp_path_factory.mktemp(f"every{every}")
        choices = ClipChoices(last_frame=24, every=3, longest_side=480, detect_every=every)
        sure = Options(flip=False, box_threshold=0.5)  # at 0.3 the demo's detector takes a thing for a person
        run_clip(EXAMPLE, Predictor("pose", "demo"), folders[every], options=sure, choices=choices)
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 4])
def test_people_of_a_real_clip_keep_their_numbers(followed, every):
    lines = rows(followed[every] / "clip_pose.jsonl")
    assert [row["frame"] for row in lines] == list(range(0, 25, 3))
    assert [row["time_s"] for row in lines] == pytest.approx([index / 24 for index in range(0, 25, 3)])
    middles = [{one["track_id"]: sum(one["box_xyxy"][::2]) / 2 for one in row["people"]} for row in lines]
    assert all(set(one) == {1, 2} for one in middles)
    for number in (1, 2):
        path = [one[number] for one in middles]
        assert np.abs(np.diff(path)).max() < 40  # they stand 150 pixels apart
    assert all(len(one["keypoints"]) == 308 for row in lines for one in row["people"])


@pytest.mark.slow
def test_boxes_between_detections_stay_near_those_that_are_found(followed):
    found, moved = (rows(followed[every] / "clip_pose.jsonl") for every in (1, 4))
    for one, other in zip(found, moved, strict=True):
        for a, b in zip(one["people"], other["people"], strict=True):
            assert np.abs(np.subtract(a["box_xyxy"], b["box_xyxy"])).max() < 80


def test_joint_angles_over_time_are_a_table_and_a_chart(followed):
    with (followed[1] / "clip_pose_angles.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["frame"], row["track_id"]) for row in table] == [
        (str(frame), person) for frame in range(0, 25, 3) for person in ("1", "2")
    ]
    assert all(row["note"] == NOTE for row in table)
    values = [float(row[f"{name}_deg"]) for row in table for name in ANGLES if row[f"{name}_deg"]]
    assert len(values) > 50 and all(-180 <= value <= 180 for value in values)
    chart = cv2.imread(str(followed[1] / "clip_pose_angles.png"))
    assert min(chart.shape[:2]) > 600 and chart.std() > 5


def test_nobody_in_sight_is_nobody_and_not_the_whole_frame(weights, source, tmp_path):
    report = run_clip(source, Predictor("pose", "tiny"), tmp_path, options=Options(box_threshold=1.0))
    assert report.frames == 6 and not any("whole photo" in notice for notice in report.notices)
    assert [row["people"] for row in rows(tmp_path / "clip_pose.jsonl")] == [[]] * 6
    assert (tmp_path / "clip_pose_angles.csv").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"view": "mirror"}, "There is no view 'mirror'"),
        ({"detect_every": 0}, "detect every is 0. Give 1 or more"),
        ({"keypoint_threshold": 1.5}, "The keypoint threshold is 1.5. Give a number from 0 to 1"),
        ({"keypoint_threshold": float("nan")}, "The keypoint threshold is nan"),
        ({"mesh_opacity": -0.1}, "The opacity of the mesh is -0.1"),
    ],
)
def test_what_cannot_be_chosen_for_a_clip_is_said(chosen, says):
    with pytest.raises(SapiensError, match=says):
        ClipChoices(**chosen)


def test_one_range_of_depth_for_all_frames_of_what_the_network_found(weights, tmp_path):
    source = clips.write(tmp_path / "clip.mp4", 5)
    predictor = Predictor("pointmap", "tiny")
    report = run_clip(source, predictor, tmp_path, choices=ClipChoices(view="alone"))
    depths = [predictor(frame.rgb).depth_m for frame in open_clip(source).frames(Chosen())]
    depth = np.concatenate([one[one > 0.0005] for one in depths])
    expected = np.percentile(np.minimum(depth, 65.535), (2, 98), method="inverted_cdf")  # values that occur
    assert report.depth_range_m == pytest.approx(tuple(expected), abs=0.002)
    for index, (_, picture) in enumerate(clips.decoded(Path(report.video))):
        own = predictor(next(open_clip(source).frames(Chosen(index))).rgb)
        drawn = own.picture(depth_range_m=report.depth_range_m, busy=np.zeros((96, 128), bool))
        assert np.abs(picture.astype(int) - drawn).mean() < 12


def test_progress_counts_to_the_end_and_shows_every_picture(weights, source, tmp_path):
    told: list[Newest] = []
    heard: list[tuple[str, float, float]] = []
    run_clip(
        source,
        Predictor("seg", "tiny"),
        tmp_path,
        choices=ClipChoices(first_frame=1, every=2),
        progress=lambda *report: heard.append(report),
        on_frame=told.append,
    )
    assert [(one.index, one.done, one.total) for one in told] == [(1, 1, 3), (3, 2, 3), (5, 3, 3)]
    assert all(one.picture.shape == (96, 128, 3) for one in told)
    assert told[-1].left_s == 0 and told[-1].frames_per_s > 0
    assert told[1].sentence().startswith("frame 2 of 3, ") and told[1].sentence().endswith(" left")
    frames = [report for report in heard if report[0] == "frames"]
    assert frames[-1] == ("frames", 3, 3) and [one[1] for one in frames] == sorted(one[1] for one in frames)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (41, "41 s"), (185, "3:05 min"), (7805, "2:10 h")])
def test_time_left_in_words(seconds, text):
    assert in_time(seconds) == text


def test_an_odd_size_and_a_folder_of_frames_come_out(weights, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(5):
        cv2.imwrite(str(folder / f"{index}.png"), clips.frame_rgb(index, (97, 129)))
    report = run_clip(folder, Predictor("seg", "tiny"), tmp_path / "out", choices=ClipChoices(frames_per_s=5))
    shown = clips.decoded(Path(report.video))
    assert Path(report.video).name == "frames_seg.mp4" and shown[0][1].shape == (98, 130, 3)
    assert [time_s for time_s, _ in shown] == pytest.approx([index / 5 for index in range(5)])


def test_missing_frames_are_in_the_report_and_the_rest_is_done(weights, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for index in range(5):
        cv2.imwrite(str(folder / f"{index}.png"), clips.frame_rgb(index))
    (folder / "2.png").write_bytes(b"damaged")
    report = run_clip(folder, Predictor("detect", "tiny"), tmp_path / "out", options=Options(detector="none"))
    assert report.missing == [(2, 2)] and report.frames == 4
    assert "Missing, because the file is damaged: frame 2." in report.notices
    assert [row["frame"] for row in rows(tmp_path / "out/frames_detect.jsonl")] == [0, 1, 3, 4]


def test_nothing_is_left_where_a_clip_cannot_be_read(weights, tmp_path):
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(SapiensError):
        run_clip(tmp_path / "a.mp4", Predictor("seg", "tiny"), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(SapiensError, match="frame 99 is not among them"):
        source = clips.write(tmp_path / "clip.mp4", 6)
        run_clip(source, Predictor("seg", "tiny"), tmp_path / "out", choices=ClipChoices(first_frame=99))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "wrong", [{"view": "both"}, {"detect_every": 0}, {"segment": 0}, {"every": 0}, {"first_frame": -1}, {"style": "x"}]
)
def test_a_choice_that_cannot_be_is_refused(wrong):
    with pytest.raises(SapiensError):
        ClipChoices(**wrong)


def test_arguments_choose_what_they_say():
    import argparse

    parser = argparse.ArgumentParser()
    arguments.add_arguments(parser)
    for name in ("style", "keypoint_threshold", "side_by_side"):
        parser.set_defaults(**{name: getattr(argument_parser().parse_args(["predict", "a"]), name)})
    assert arguments.choices_of(parser.parse_args([])) == ClipChoices()
    text = "--view alone --first-frame 3 --last-frame 90 --every 2 --longest-side 720 --detect-every 5 --segment 10"
    chosen = arguments.choices_of(parser.parse_args([*text.split(), "--no-sound", "--no-charts"]))
    assert chosen == ClipChoices("alone", 3, 90, 2, 720, 5, 10, sound=False, charts=False)


# ---- threads --------------------------------------------------------------------------------------------------------


def test_no_more_is_made_ahead_than_was_said():
    made, taken = [], 0

    def items():
        for number in range(50):
            made.append(number)
            yield number

    ahead = Ahead(items(), 2)
    for number in ahead:
        assert len(made) <= taken + 4 and number == taken
        taken += 1
    ahead.close()
    assert taken == 50


def test_what_is_raised_ahead_and_behind_reaches_the_caller():
    def items():
        yield 1
        raise SapiensError("ahead")

    ahead = Ahead(items(), 2)
    with pytest.raises(SapiensError, match="ahead"):
        list(ahead)
    ahead.close()

    def fail(number: int) -> None:
        raise SapiensError("behind")

    behind = Behind(fail, 1)
    behind.put(1)
    with pytest.raises(SapiensError, match="behind"):
        behind.settle()
    behind.close()


def test_what_is_handed_behind_waits_where_it_is_full():
    free, begun = threading.Event(), []

    def work(number: int) -> None:
        begun.append(number)
        free.wait(10)

    behind = Behind(work, 1)
    behind.put(0)
    handed = threading.Event()
    thread = threading.Thread(target=lambda: (behind.put(1), handed.set()))
    thread.start()
    assert not handed.wait(0.2)
    free.set()
    thread.join()
    behind.settle()
    behind.close()
    assert begun == [0, 1]
