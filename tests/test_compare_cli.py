"""The command compare: what it writes, what it prints, and how it fails."""

import csv
import json
import shlex
import signal
import subprocess
import sys

import command_line
import pytest
from compared import PHOTO
from PIL import Image

from sapiens_mlx import compare_files
from sapiens_mlx.compare import compare


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a photo.png"
    Image.fromarray(PHOTO).save(path)
    return path


def run(capsys, *arguments) -> tuple[int, str, str]:
    return command_line.run(capsys, "compare", *arguments)


def test_compare_prints_one_object_and_writes_its_files(weights_of_two_sizes, photo, tmp_path, capsys):
    arguments = ("--task", "normal", "--size", "tiny", "--levels", "8bit,fp32,4bit", "--out", tmp_path / "out")
    status, out, error = run(capsys, photo, *arguments, "--json")
    found = json.loads(out)
    assert (status, error) == (0, "")
    assert (found["reference"], found["task"], found["size"]) == ("fp32", "normal", "tiny")
    assert [row["level"] for row in found["levels"]] == ["8bit", "fp32", "4bit"]
    assert sorted(found["files"]) == sorted(map(str, (tmp_path / "out").iterdir()))


def test_the_command_line_of_a_comparison_does_something_else(
    weights_of_two_sizes, photo, tmp_path, capsys, monkeypatch
):
    comparison = compare(photo, "pose", ["tiny:fp32", "wide:4bit"], boxes_xyxy=[[-5, 5, 60, 80]], flip=False)
    list(comparison)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(compare_files.command_line(comparison, out="again"))
    assert words[:4] == ["python", "-m", "sapiens_mlx", "compare"]
    status, out, _ = run(capsys, *words[4:], "--json")
    again = json.loads(out)
    assert status == 0
    first = compare_files.to_json(comparison)
    assert again["command"].replace("again", "out") == first["command"]
    for row, other in zip(first["levels"], again["levels"], strict=True):
        assert row["figures"] == pytest.approx(other["figures"], rel=1e-6)


def test_compare_says_what_it_found_to_people(weights_of_two_sizes, photo, tmp_path, capsys):
    arguments = ("--size", "tiny", "--levels", "fp32", "--variants", "wide:4bit", "--out", tmp_path / "out")
    status, out, error = run(capsys, photo, *arguments)
    assert (status, error) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("tiny:fp32 (reference): Equal labels 100.00 %")
    assert lines[1].startswith("wide:4bit: Equal labels ")
    assert str(tmp_path / "out/a photo_compare_seg.png") in lines


def test_one_failure_of_several_is_status_1_and_all_are_2(overflowing_seg, photo, tmp_path, capsys):
    arguments = ("--size", "tiny", "--out", tmp_path / "out")
    status, out, error = run(capsys, photo, *arguments, "--levels", "fp32,fp16", "--json")
    assert (status, error.count("\n")) == (1, 1) and "Take bf16" in error
    assert json.loads(out)["levels"][1]["error"] in error
    overflowing_seg.unlink()
    status, out, error = run(capsys, photo, "--size", "wide", "--levels", "fp32,4bit", "--out", tmp_path / "other")
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "List 2 to 10"),
        (("--levels", "fp32"), "compared with itself"),
        (("--levels", "fp32,fp32"), "listed twice"),
        (("--levels", "fp32,3bit"), "'3bit'"),
        (("--variants", "fp32,4bit"), "no variant"),
        (("--levels", "fp32,4bit", "--reference", "none"), "'none'"),
        (("--levels", "fp32,4bit", "--task", "detect"), "cannot be compared"),
        (("--levels", "fp32,4bit", "--runs", "0"), "write 1 or more"),
        (("--levels", "fp32,4bit", "--foreground", "matting"), "auto, none"),
    ],
)
def test_a_bad_comparison_is_one_line_and_status_2(photo, capsys, arguments, says):
    status, out, error = run(capsys, photo, *arguments)
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert says in error


def test_ctrl_c_loses_the_levels_that_are_done(machine, photo, tmp_path):
    """With the demo weights, which ship; so many runs that the second level is under way when it comes."""
    command = [sys.executable, "-m", "sapiens_mlx", "compare", str(photo), "--levels", "fp32,bf16,4bit"]
    command += ["--runs", "10", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("demo:fp32 (reference)")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert error == "stopped\n"
    assert process.returncode == 130
    rows = list(csv.DictReader((tmp_path / "out/a photo_compare_seg.csv").open()))
    assert [row["level"] for row in rows] == ["fp32"]
    assert (tmp_path / "out/a photo_compare_seg.png").is_file()
