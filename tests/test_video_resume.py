"""Runs that were killed, starved of disk or stopped: what is done is kept, and going on gives the same frames."""

import json
import os
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
import rule

from sapiens_mlx.errors import CancelledError, SapiensError
from sapiens_mlx.options import Options
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.video.choices import ClipChoices
from sapiens_mlx.video.clip import run_clip
from sapiens_mlx.video.report import ClipReport
from sapiens_mlx.video.segments import Made, Parts

CHOICES = {"segment": 4}
FRAMES = 24


@pytest.fixture
def weights(machine, tiny_size) -> Path:
    for task in ("seg", "pose", "pointmap", "features"):
        rule.write_tiny(machine, task)
    rule.write_detector(machine / "detector/rtmdet_m.pth")
    return machine


@pytest.fixture
def source(tmp_path) -> Path:
    return clips.write(tmp_path / "clip.mp4", FRAMES)


def start(source: Path, out: Path, task: str = "seg", **order) -> subprocess.Popen:
    program = Path(__file__).with_name("video_process.py")
    order = {"source": str(source), "out": str(out), "task": task, "size": "tiny", "choices": CHOICES} | order
    return subprocess.Popen(
        [sys.executable, str(program), json.dumps(order)],
        env=os.environ | {"PYTHONPATH": str(program.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen) -> dict:
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return json.loads(out.splitlines()[-1])


def killed_after(process: subprocess.Popen, frames: int) -> None:
    """Ends the process with kill -9 once so many frames have been told of."""
    for _ in range(frames):
        assert process.stdout.readline(), process.stderr.read()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def run(source: Path, out: Path, task: str = "seg", **options) -> ClipReport:
    return run_clip(source, Predictor(task, "tiny"), out, choices=ClipChoices(**CHOICES), **options)


def stopping_after(frames: int):
    def progress(stage: str, done: float, total: float) -> None:
        if stage == "frames" and done >= frames:
            raise CancelledError

    return progress


def same_frames(first: Path, second: Path) -> None:
    one, other = clips.decoded(first), clips.decoded(second)
    assert [time_s for time_s, _ in one] == [time_s for time_s, _ in other]
    for (_, expected), (_, picture) in zip(one, other, strict=True):
        np.testing.assert_array_equal(picture, expected)


def left_behind(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.name.startswith("."))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["pose", *(pytest.param(one, marks=pytest.mark.slow) for one in ("seg", "features"))])
def test_a_run_killed_in_the_middle_goes_on_and_gives_the_same_frames(weights, source, tmp_path, task):
    order = {"task": task, "options": {"boxes_xyxy": [[10, 10, 60, 90]]} if task == "pose" else {}}
    undisturbed = finished(start(source, tmp_path / "whole", **order))
    killed_after(start(source, tmp_path / "out", **order), 14)
    assert not list((tmp_path / "out").glob("*.mp4"))
    report = finished(start(source, tmp_path / "out", resume=True, **order))
    assert 8 <= report["resumed_frames"] < FRAMES and report["frames"] == FRAMES
    same_frames(Path(undisturbed["video"]), Path(report["video"]))
    assert left_behind(tmp_path / "out") == []
    for path in undisturbed["files"]:
        if path.endswith((".jsonl", ".csv")):
            assert (tmp_path / "out" / Path(path).name).read_bytes() == Path(path).read_bytes()


@pytest.mark.slow
def test_a_run_killed_twice_goes_on_too(weights, source, tmp_path):
    undisturbed = run(source, tmp_path / "whole")
    killed_after(start(source, tmp_path / "out"), 6)
    killed_after(start(source, tmp_path / "out", resume=True), 6)
    report = run(source, tmp_path / "out", resume=True)
    assert report.resumed_frames >= 8
    same_frames(Path(undisturbed.video), Path(report.video))


@pytest.mark.slow
@pytest.mark.parametrize("frames", [10, FRAMES + 10], ids=["while computing", "while drawing"])
def test_depth_killed_in_either_pass_goes_on_with_the_same_range(weights, source, tmp_path, frames):
    undisturbed = run(source, tmp_path / "whole", "pointmap")
    killed_after(start(source, tmp_path / "out", "pointmap"), frames)
    report = run(source, tmp_path / "out", "pointmap", resume=True)
    assert report.resumed_frames >= min(frames - 2, FRAMES)
    assert report.depth_range_m == undisturbed.depth_range_m
    same_frames(Path(undisturbed.video), Path(report.video))
    assert left_behind(tmp_path / "out") == []


@pytest.mark.slow
def test_a_piece_that_is_not_whole_is_made_again(weights, source, tmp_path):
    undisturbed = run(source, tmp_path / "whole")
    killed_after(start(source, tmp_path / "out"), 14)
    parts = tmp_path / "out/.clip_seg.parts"
    (parts / "000001.mp4").write_bytes((parts / "000001.mp4").read_bytes()[:-1])
    report = run(source, tmp_path / "out", resume=True)
    assert report.resumed_frames == 4
    same_frames(Path(undisturbed.video), Path(report.video))


def test_without_resume_it_begins_anew(weights, source, tmp_path):
    killed_after(start(source, tmp_path / "out"), 8)
    report = run(source, tmp_path / "out")
    assert report.resumed_frames == 0 and report.frames == FRAMES


def test_what_is_half_done_with_other_choices_is_begun_anew_and_that_is_said(weights, source, tmp_path):
    run(source, tmp_path / "out", progress=stopping_after(10))
    choices = ClipChoices(**CHOICES, view="alone")
    report = run_clip(source, Predictor("seg", "tiny"), tmp_path / "out", choices=choices, resume=True)
    assert report.resumed_frames == 0 and report.frames == FRAMES
    assert "What was half done had another view, so it was begun anew." in report.notices


def test_two_runs_do_not_write_the_same_video_at_once(weights, source, tmp_path):
    def second(newest) -> None:
        with pytest.raises(SapiensError, match="Another run is writing to"):
            run(source, tmp_path / "out", resume=True)

    assert run(source, tmp_path / "out", on_frame=second).frames == FRAMES


# ---- disk full ------------------------------------------------------------------------------------------------------


def late_noise(index: int, size_hw: tuple[int, int]) -> np.ndarray:
    """Frames that take little room at first, and much after the twelfth."""
    picture = clips.frame_rgb(index, size_hw)
    if index >= 14:
        shape = size_hw[0] - size_hw[0] // 2, size_hw[1], 3
        picture[size_hw[0] // 2 :] = np.random.default_rng(index).integers(0, 255, shape)
    return picture


@pytest.mark.slow
@pytest.mark.parametrize("limit_bytes", [20_000, 60_000], ids=["while a piece is written", "while they are joined"])
def test_a_full_disk_keeps_what_is_done_and_says_how_to_go_on(weights, tmp_path, limit_bytes):
    source = clips.write(tmp_path / "clip.mp4", 24, draw=late_noise)
    undisturbed = run(source, tmp_path / "whole")
    largest = undisturbed and Path(undisturbed.video).stat().st_size
    assert largest > 60_000
    starved = finished(start(source, tmp_path / "out", file_limit_bytes=limit_bytes))
    assert "could not be written" in starved["error"] and "with --resume to go on" in starved["error"]
    assert not list((tmp_path / "out").glob("*.mp4"))
    report = run(source, tmp_path / "out", resume=True)
    assert report.resumed_frames >= 12
    same_frames(Path(undisturbed.video), Path(report.video))


# ---- Stop -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("task", ["seg", "pose", "pointmap"])
def test_stop_keeps_a_video_of_what_is_done_and_a_later_run_goes_on(weights, source, tmp_path, task):
    somebody = Options(boxes_xyxy=[[10, 10, 60, 90]] if task == "pose" else None)
    undisturbed = run(source, tmp_path / "whole", task, options=somebody)
    report = run(source, tmp_path / "out", task, options=somebody, progress=stopping_after(10))
    assert report.stopped and report.frames == 10
    shown = clips.decoded(Path(report.video))
    assert [time_s for time_s, _ in shown] == pytest.approx([index / 25 for index in range(10)])
    if task == "pose":
        assert len((tmp_path / "out/clip_pose.jsonl").read_text().splitlines()) == 10
    report = run(source, tmp_path / "out", task, options=somebody, resume=True)
    assert not report.stopped and report.resumed_frames == (10 if task == "pointmap" else 8)
    same_frames(Path(undisturbed.video), Path(report.video))
    assert left_behind(tmp_path / "out") == []


def test_features_stopped_as_they_go_on_keep_a_video_of_what_was_done(weights, source, tmp_path):
    run(source, tmp_path / "out", "features", progress=stopping_after(10))
    report = run(source, tmp_path / "out", "features", progress=stopping_after(0), resume=True)
    assert report.stopped and report.frames == report.resumed_frames == 8
    assert len(clips.decoded(Path(report.video))) == 8
    assert run(source, tmp_path / "out", "features", resume=True).frames == FRAMES


def test_depth_stopped_twice_while_it_is_drawn_counts_no_frame_below_nothing(weights, source, tmp_path):
    def stopping_while_drawing():
        computed = False

        def progress(stage: str, done: float, total: float) -> None:
            nonlocal computed
            computed |= stage == "frames" and done >= FRAMES
            if stage == "frames" and computed and 10 <= done < FRAMES:
                raise CancelledError

        return progress

    run(source, tmp_path / "out", "pointmap", progress=stopping_while_drawing())
    report = run(source, tmp_path / "out", "pointmap", progress=stopping_while_drawing(), resume=True)
    assert report.stopped and report.frames == report.resumed_frames == 10
    assert report.frames_per_s is None


def test_stop_before_the_first_frame_leaves_no_video(weights, source, tmp_path):
    report = run(source, tmp_path / "out", progress=stopping_after(0), keep_parts=False)
    assert report.stopped and report.video is None and report.files == []
    assert list((tmp_path / "out").iterdir()) == []


def test_stop_leaves_nothing_beside_the_video_where_it_is_not_to_be_kept(weights, source, tmp_path):
    report = run(source, tmp_path / "out", progress=stopping_after(8), keep_parts=False)
    assert report.frames == 8 and left_behind(tmp_path / "out") == []


def test_ctrl_c_keeps_the_video_and_is_raised_again(weights, source, tmp_path):
    def interrupt(stage: str, done: float, total: float) -> None:
        if stage == "frames" and done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out", progress=interrupt)
    assert len(clips.decoded(tmp_path / "out/clip_seg.mp4")) == 8


def test_what_people_look_like_is_kept_of_the_newest_piece_alone(tmp_path):
    parts = Parts(tmp_path, {}, 2, resume=False)
    for index in range(6):
        parts.add(Made(index, 1, clips.frame_rgb(index)), Fraction(25), Fraction(1, 25), {"piece": index // 2})
    assert parts.state == {"piece": 2}
    assert not any("state" in record for record in parts._records)
    parts.close(remove=False)
    again = Parts(tmp_path, {}, 2, resume=True)
    assert (again.frames, again.state) == (6, {"piece": 2})
    again.close(remove=True)


def test_depth_of_a_damaged_clip_says_what_is_missing(weights, tmp_path):
    source = clips.write(tmp_path / "clip.mp4", FRAMES, container_options={"movflags": "faststart"}, draw=clips.noisy)
    os.truncate(source, source.stat().st_size * 6 // 10)
    report = run(source, tmp_path / "out", "pointmap")
    assert report.missing and report.missing[-1][1] == FRAMES - 1
    assert report.frames < FRAMES


def test_missing_weights_leave_nothing_to_go_on_from(machine, tiny_size, source, tmp_path):
    with pytest.raises(SapiensError) as problem:
        run(source, tmp_path / "out", "pointmap")
    assert "--resume" not in str(problem.value)
    assert left_behind(tmp_path / "out") == []
