"""Hands by the command line: alone, with poses, in folders and clips, at several levels."""

import copy
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import made_up_hands as made_up
import numpy as np
import pytest
import rule
from PIL import Image

import sapiens_mlx as sm
from sapiens_mlx import compare_files, tasks, zoo
from sapiens_mlx.__main__ import main
from sapiens_mlx.bench.measure import measure
from sapiens_mlx.compare import Comparison
from sapiens_mlx.convert import convert
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.jobs import manifest
from sapiens_mlx.jobs import run as at_work
from sapiens_mlx.jobs.plan import Item
from sapiens_mlx.options import Options
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.stop import Stop
from sapiens_mlx.video.choices import VIEWS, ClipChoices
from sapiens_mlx.video.clip import run_clip

PHOTO = made_up.discs("rl")
BACKGROUND = PHOTO[0, 0]


# ---- the command line -----------------------------------------------------------------------------------------------


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    return (status, *capsys.readouterr())


def test_predict_does_not_write_pose_and_hands_together(hand_weights, tiny_size, hands_photo, tmp_path, capsys):
    rule.write_tiny(hand_weights, "pose")
    status, printed, error = run(
        capsys, "predict", hands_photo, "--task", "pose,hands", "--size", "tiny", "--no-flip", "--boxes=0,0,639,479",
        "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert status == 0, error
    pose, hands = json.loads(printed)["results"]
    assert (pose["task"], hands["task"], hands["size"]) == ("pose", "hands", "wilor")
    path = next(Path(one) for one in hands["files"] if one.endswith("photo_hands_people.json"))
    together = json.loads(path.read_text())["hands"]
    assert path.with_suffix(".png").is_file() == any(row["person"] is not None for row in together)
    assert [row["side"] for row in together] == made_up_sides(tmp_path / "out/photo_hands.json")
    assert {"load", "detect", "fit", "network", "decode", "draw"} <= set(hands["seconds"])
    assert "CC BY-NC-ND" in hands["licence"] and "MANO" in hands["licence"] and "Ultralytics" in hands["licence"]


def made_up_sides(path: Path) -> list[str]:
    return [hand["side"] for hand in json.loads(path.read_text())["hands"]]


def test_options_of_the_command_line_do_nothing(hand_weights, hands_photo, tmp_path, capsys):
    arguments = ("predict", hands_photo, "--task", "hands", "--level", "fp32", "--json", "--out")
    plain = json.loads(run(capsys, *arguments, tmp_path / "a")[1])
    solid = json.loads(run(capsys, *arguments, tmp_path / "b", "--mesh-opacity", 1, "--no-vertices")[1])
    assert len(plain["files"]) == 5 and len(solid["files"]) == 3
    sure = json.loads(run(capsys, *arguments, tmp_path / "c", "--hand-threshold", 1)[1])
    assert any("No hand was found" in notice for notice in sure["notices"])
    crop = json.loads(run(capsys, *arguments, tmp_path / "d", "--hand-crop", "left", "--hand-norms", "trained")[1])
    assert made_up_sides(tmp_path / "d/photo_hands.json") == ["left"] and "detect" not in crop["seconds"]
    status, _, error = run(capsys, *arguments, tmp_path / "e", "--hand-iou", 2)
    assert (status, error.count("\n")) == (2, 1) and "--hand-iou: '2' is not a number from 0 to 1" in error
    status, _, error = run(capsys, *arguments, tmp_path / "e", "--mesh-opacity", 2)
    assert (status, error.count("\n")) == (2, 1) and "--mesh-opacity: '2' is not a number from 0 to 1" in error


def test_a_folder_of_photos_is_not_done(hand_weights, tiny_size, tmp_path, capsys):
    rule.write_tiny(hand_weights, "pose")
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in "ab":
        Image.fromarray(made_up.discs("rl")).save(photos / f"{name}.png")
    arguments = ("predict", photos, "--task", "hands,pose", "--size", "tiny", "--no-flip", "--detector", "none")
    status, _, error = run(capsys, *arguments, "--out", tmp_path / "out", "--json")
    assert status == 0, error
    written = sorted(path.name for path in (tmp_path / "out").rglob("*_hands*"))
    assert {f"{name}_hands.{ending}" for name in "ab" for ending in ("png", "json", "npz", "glb", "obj")} < set(written)
    assert {"a_hands_people.json", "b_hands_people.json"} < set(written)
    again = json.loads(run(capsys, *arguments, "--out", tmp_path / "out", "--json")[1])
    assert "skipped" not in again or again["skipped"] == 2


@pytest.mark.parametrize("before", [["pose"], ["hands"], ["pose", "hands"]])
def test_whose_hands_are_is_missing_or_of_other_hands(hand_weights, tiny_size, hands_photo, tmp_path, capsys, before):
    rule.write_tiny(hand_weights, "pose")
    (tmp_path / "photos").mkdir()
    hands_photo.rename(tmp_path / "photos/a.png")
    arguments = ("predict", tmp_path / "photos", "--size", "tiny", "--no-flip", "--detector", "none", "--json")
    arguments += ("--out", tmp_path / "out", "--task")
    for task in before:
        assert run(capsys, *arguments, task)[0] == 0
    together = tmp_path / "out/a_hands_people.json"
    for options, done in (((), 1), ((), 0), (("--hand-threshold", 1), 1), (("--hand-threshold", 1), 0)):
        status, printed, error = run(capsys, *arguments, "pose,hands", *options)
        assert (status, json.loads(printed)["done"]) == (0, done), error
        assert len(json.loads(together.read_text())["hands"]) == (0 if options else 2)
    (tmp_path / "photos/a.png").touch()
    assert json.loads(run(capsys, *arguments, "pose,hands", "--hand-threshold", 1)[1])["done"] == 1
    together.unlink()
    assert run(capsys, *arguments, "pose,hands", "--hand-threshold", 1)[0] == 0 and together.exists()


class InStep:
    """A lock that two threads leave together."""

    def __init__(self) -> None:
        self._lock, self._both = threading.Lock(), threading.Barrier(2, timeout=30)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *problem: object) -> None:
        self._lock.release()
        self._both.wait()


def test_two_writers_write_whose_hands_are_at_once(two_hands, tmp_path):
    pose = made_up.pose_of(two_hands)
    pose.report = replace(two_hands.report, task="pose", seconds={})
    predictors = [Predictor("pose", "demo"), Predictor("hands", level="fp32")]
    with manifest.Manifest(tmp_path) as book, Stop(lambda: None) as stop:
        runner = at_work.Runner(tmp_path, predictors, [], Options(), {}, book, stop, at_work.Tally())
        runner._lock, read = InStep(), at_work._Read(Item("a.png", "a", ["pose", "hands"]))
        with ThreadPoolExecutor(2) as writers:
            rows = list(writers.map(lambda one: runner._results(read, one.report.task, lambda: one), (pose, two_hands)))
    assert [output for row in rows for output in row["outputs"]].count("a_hands_people.json") == 1


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
def test_a_clip_has_no_hands(hand_weights, tmp_path, view):
    folder = tmp_path / "frames"
    folder.mkdir()
    cut = np.full_like(PHOTO, BACKGROUND)
    cut[:, :340] = made_up.discs("r")[:, 300:]  # a hand that reaches beyond the frame
    for number, frame in enumerate((PHOTO, cut, np.zeros_like(PHOTO))):
        Image.fromarray(frame).save(folder / f"{number}.png")
    report = run_clip(
        folder, Predictor("hands", level="fp32"), tmp_path / "out", options=Options(), choices=ClipChoices(view=view)
    )
    rows = [json.loads(line) for line in (tmp_path / "out/frames_hands.jsonl").read_text().splitlines()]
    assert report.frames == 3 and [len(row["hands"]) for row in rows] == [2, 1, 0]
    assert {hand["side"] for hand in rows[0]["hands"]} == {"left", "right"}
    assert np.shape(rows[0]["hands"][0]["joints"]) == (21, 5)
    assert Path(report.video).is_file() and "MANO" in report.licence
    assert [notice for notice in report.notices if "hand" in notice] == ["In 1 of 3 frames no hand was found."]


def test_a_clip_without_hands_counts_them(hand_weights, tmp_path):
    (tmp_path / "frames").mkdir()
    for number in range(2):
        Image.fromarray(np.zeros_like(PHOTO)).save(tmp_path / f"frames/{number}.png")
    report = run_clip(tmp_path / "frames", Predictor("hands", level="fp32"), tmp_path / "out")
    assert report.notices == ["No hand was found in any frame. Lower the hand threshold (--hand-threshold)."]


# ---- levels ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_levels_are_not_compared(hand_weights, hands_photo, tmp_path, capsys):
    status, printed, error = run(
        capsys,
        "compare",
        hands_photo,
        "--task",
        "hands",
        "--levels",
        "fp32,bf16,4bit",
        "--out",
        tmp_path / "out",
        "--json",
    )
    assert status == 0, error
    found = json.loads(printed)
    assert (found["reference"], found["size"]) == ("fp32", "wilor")
    rows = {row["level"]: row for row in found["levels"]}
    assert rows["fp32"]["figures"]["mean_shift_mm"] == 0 < rows["bf16"]["figures"]["mean_shift_mm"]
    assert rows["bf16"]["figures"]["mean_shift_mm"] < rows["4bit"]["figures"]["mean_shift_mm"]
    assert rows["4bit"]["over"] == "42 points of 2 hands"
    assert rows["4bit"]["file_bytes"] == (hand_weights / "hands/wilor-mlx-int4.safetensors").stat().st_size
    assert "--size wilor --levels fp32,bf16,4bit" in found["command"] and "--boxes" not in found["command"]
    assert (tmp_path / "out/photo_hands_wilor_4bit_difference.png").is_file()


def test_the_command_of_a_comparison_leaves_options_out(hand_weights, hands_photo):
    comparison = Comparison(
        hands_photo, "hands", ["wilor:fp32", "demo:bf16"], hand_threshold=0.4, hand_crop="left", vertices=False
    )
    words = compare_files.command_line(comparison)
    assert "--hand-threshold 0.4 --hand-crop left --no-vertices" in words
    assert [str(one) for one in comparison.variants] == ["wilor:fp32", "wilor:bf16"]
    with pytest.raises(SapiensError, match="Hands do not come at 8bit"):
        Comparison(hands_photo, "hands", ["wilor:fp32", "wilor:8bit"])


def test_different_hands_are_compared(two_hands, hand_weights):
    other = sm.load("hands", level="fp32")(PHOTO, hand_threshold=float(two_hands.scores[0]) - 1e-4)
    with pytest.raises(SapiensError, match="of different hands"):
        other.agreement(two_hands)
    nothing = sm.load("hands", level="fp32")(np.zeros_like(PHOTO))
    assert np.isnan(nothing.agreement(nothing).values["mean_shift_mm"])


def test_hands_that_moved_by_a_last_bit_are_others(two_hands):
    moved = copy.copy(two_hands)
    moved.crops_px = np.nextafter(two_hands.crops_px, np.float32(1e4))
    assert moved.agreement(two_hands).values["mean_shift_mm"] == 0
    moved.crops_px = two_hands.crops_px + np.float32(0.1)
    with pytest.raises(SapiensError, match="of different hands"):
        moved.agreement(two_hands)


def test_differences_are_not_on_the_hands(two_hands, hand_weights):
    coarse = sm.load("hands", level="4bit")(PHOTO)
    values = coarse.difference(two_hands).values
    assert np.nanmax(values) > 0 and 0.001 < np.isfinite(values).mean() < 0.5


# ---- what hands are not for -----------------------------------------------------------------------------------------


def test_what_is_not_for_hands_is_no_sentence():
    assert "hands" in zoo.task_names() and tasks.figures("hands")
    with pytest.raises(SapiensError, match=r"There is no task 'feet'.*hands"):
        zoo.task_row("feet")
    with pytest.raises(SapiensError, match="may not be changed and passed on"):
        convert(task="hands", size="wilor", level="4bit")
    with pytest.raises(SapiensError, match=r"benchmarks\.hands"):
        measure("hands", "wilor", "fp32")
