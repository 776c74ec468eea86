"""The command line: what it writes, what it prints, and how it fails."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rule
from command_line import run
from PIL import Image
from slowly import slowly

from sapiens_mlx import __main__, runtime, zoo
from sapiens_mlx.boxes import read_boxes
from sapiens_mlx.commands import terminal
from sapiens_mlx.errors import BoxError


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def weights(machine, tiny_size):
    for task in ("seg", "pose", "pointmap"):
        rule.write_tiny(machine, task)
    rule.write_detector(machine / zoo.RTMDET_M.local_path)
    return machine


def test_predict_writes_files_and_prints_one_object(weights, photo, tmp_path, capsys):
    status, out, error = run(capsys, "predict", photo, "--size", "tiny", "--out", tmp_path / "out", "--json")
    report = json.loads(out)
    assert (status, error) == (0, "")
    assert report["files"] == [str(tmp_path / f"out/a photo_{n}") for n in ("seg.png", "seg_labels.png", "seg.npz")]
    assert {"load", "fit", "network", "decode", "draw"} <= set(report["seconds"])
    assert {"peak_memory_bytes", "device", "compute_dtype", "level", "licence"} <= set(report)


def test_several_tasks_and_photos_and_one_that_fails(weights, photo, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a photo")
    arguments = ("predict", photo, bad, "--task", "seg,detect", "--size", "tiny", "--out", tmp_path / "out", "--json")
    status, out, error = run(capsys, *arguments)
    report = json.loads(out)
    assert status == 1
    assert [(r["task"], r["input"]) for r in report["results"]] == [("seg", str(photo)), ("detect", str(photo))]
    assert len(report["failed"]) == 2
    assert "bad.jpg" in error


def test_equal_names_from_two_folders_do_not_overwrite_each_other(weights, photo, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    second, third = photo.with_name("A photo-2.png"), other / "A PHOTO.png"
    for copy in (second, third):
        copy.write_bytes(photo.read_bytes())
    status, _, _ = run(capsys, "predict", photo, second, third, "--size", "tiny", "--out", tmp_path / "out")
    names = {path.name.casefold() for path in (tmp_path / "out").iterdir() if path.name.endswith("_seg.png")}
    assert status == 0
    assert names == {"a photo_seg.png", "a photo-2_seg.png", "a photo-3_seg.png"}


def test_options_reach_their_task(weights, photo, tmp_path, capsys):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("x1,y1,x2,y2\n1,2,30,40\n")
    pose = ("--task", "pose", "--boxes=-5,0,40,50", "--boxes-file", boxes, "--no-flip", "--side-by-side")
    status, out, _ = run(capsys, "predict", photo, *pose, "--size", "tiny", "--out", tmp_path / "out", "--json")
    people = json.loads((tmp_path / "out/a photo_pose.json").read_text())["people"]
    assert status == 0
    assert [person["box_xyxy"] for person in people] == [[-5, 0, 40, 50], [1, 2, 30, 40]]
    assert any(name.endswith("side_by_side.png") for name in json.loads(out)["files"])
    written = ("--task", "pose", "--detector", "none", "--no-flip", "--pose-formats", "coco17, openpose,angles")
    status, out, _ = run(capsys, "predict", photo, *written, "--size", "tiny", "--out", tmp_path / "out", "--json")
    endings = ("pose_coco17.json", "pose_openpose.json", "pose_angles.csv")
    assert status == 0
    assert json.loads(out)["files"][-3:] == [str(tmp_path / f"out/a photo_{ending}") for ending in endings]
    mesh = ("--task", "pointmap", "--points", "100", "--foreground", "seg")
    status, _, _ = run(capsys, "predict", photo, *mesh, "--size", "tiny", "--out", tmp_path / "out")
    assert status == 0
    assert b"element vertex" in (tmp_path / "out/a photo_pointmap.ply").read_bytes()[:200]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("predict", "{photo}", "--task", "nose"), "no task 'nose'"),
        (("predict", "{photo}", "--size", "7b"), "size '7b'"),
        (("predict", "{photo}", "--level", "3bit"), "level '3bit'"),
        (("predict", "nothing.jpg", "--size", "tiny"), "no file nothing.jpg"),
        (("predict", "{photo}", "--boxes", "1,2"), "not a box"),
        (("predict", "{photo}", "--task", "pose", "--size", "tiny", "--boxes", "9,9,1,1"), "reversed"),
        (("predict", "{photo}", "--task", "pose", "--size", "tiny", "--boxes-file", "none.json"), "none.json"),
        (("predict", "{photo}", "--size", "tiny", "--out", "{photo}/in"), "Nothing can be written"),
        (("predict", "{photo}", "--size", "0.4b"), "put it at"),
        (("predict", "{photo}", "--task", "pose", "--size", "tiny", "--pose-formats", "coco17,yolo"), "'yolo'"),
        (("predict",), "INPUT"),
        (("models", "--remove", "seg-9b"), "no conversion 'seg-9b'"),
        (("models", "--memory", "much"), "16GB"),
        (("models", "--memory", "infGB"), "16GB"),
        (("models", "--memory=-5GB"), "16GB"),
        (("predict", "{photo}", "--task", "pointmap", "--points", "0"), "1 or more"),
        (("predict", "{photo}", "--task", "detect", "--weights", "nowhere"), "nowhere"),
        (("predict", "{photo}", "--task", "detect", "--box-threshold", "nan"), "from 0 to 1"),
        (("predict", "{photo}", "--task", "pose", "--keypoint-threshold", "1.5"), "--keypoint-threshold"),
        (("predict", "{photo}", "--task", "pose", "--keypoint-threshold", "nan"), "from 0 to 1"),
        (("predict", "{photo}", "--task", "hands", "--mesh-opacity", "inf"), "from 0 to 1"),
        (("nonsense",), "nonsense"),
        slowly(("serve", "--port", "99999"), "1 to 65535"),
        slowly(("serve", "--auth", "name"), "user:password"),
        slowly(("serve", "--weights", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(weights, photo, capsys, arguments, says):
    status, out, error = run(capsys, *(argument.format(photo=photo) for argument in arguments))
    assert (status, out) == (2, "")
    assert says in error
    assert error.count("\n") == 1


def test_models_lists_removes_and_tells_what_fits(weights, photo, tmp_path, capsys):
    run(capsys, "predict", photo, "--size", "tiny", "--level", "8bit", "--out", tmp_path / "out")
    status, out, _ = run(capsys, "models", "--memory", "4GB", "--json")
    listing = json.loads(out)
    assert status == 0
    rows = {(row["task"], row["size"]): row for row in listing["checkpoints"]}
    assert rows["detect", "rtmdet-m"]["file"] == str(weights / zoo.RTMDET_M.local_path)
    assert {rows[task, "demo"]["download_bytes"] for task in zoo.TASKS} == {0}
    assert "fp32" in listing["fits"]["0.4b"]
    assert "fp32" not in listing["fits"]["1b"]
    assert [row["name"].rsplit("-", 1)[0] for row in listing["conversions"]] == ["seg-tiny-8bit"]
    assert run(capsys, "models", "--remove", "seg-tiny-8bit")[0] == 0
    assert json.loads(run(capsys, "models", "--json")[1])["conversions"] == []
    text = run(capsys, "models")[1]
    assert "Sapiens2 License" in text
    assert "not published yet" in text


@pytest.mark.parametrize("command", [(), ("predict",), ("models",), ("serve",)])
def test_help_has_an_example(command):
    done = subprocess.run(
        [sys.executable, "-m", "sapiens_mlx", *command, "--help"], capture_output=True, text=True, check=True
    )
    assert "usage" in done.stdout
    assert not command or "example" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.3, 0.6, 0.9, 1.2])
def test_ctrl_c_at_any_moment_ends_quietly(machine, photo, tmp_path, after_s):
    rule.write_detector(machine / zoo.RTMDET_M.local_path)
    command = [sys.executable, "-m", "sapiens_mlx", "predict", *[str(photo)] * 50, "--task", "detect"]
    command += ["--size", "rtmdet-m", "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    if after_s < 0.6 and process.returncode == -signal.SIGINT:  # Python itself was still starting
        return
    assert (process.returncode, error) == (130, "stopped\n")


def test_ctrl_c_once_more_ends_as_quietly(monkeypatch, capsys):
    """While it is waited for a thread in native code to end."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(__main__.COMMANDS, "models", interrupted)
    monkeypatch.setattr(runtime.inference, "settle", interrupted)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as ending:
        run(capsys, "models")
    assert ending.value.code == 130
    assert capsys.readouterr().err == "stopped\n"


def test_an_error_takes_the_place_of_an_unfinished_line(monkeypatch, capsys):
    monkeypatch.setattr(terminal, "is_watched", lambda: True)
    assert run(capsys, "models", "--remove", "seg-9b")[2].startswith(f"{terminal.CLEAR}error: ")


def test_an_error_nobody_can_be_told_gets_into_the_results(tmp_path):
    command = f"{shlex.quote(sys.executable)} -m sapiens_mlx predict {shlex.quote(str(tmp_path / 'no.png'))} 2>&-"
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.skipif(sys.platform == "darwin", reason="there every name is UTF-8")
@pytest.mark.parametrize("command", ["predict", "predict --clip", "compare"])
def test_a_name_that_is_no_text_keeps_the_others_from_their_turn(machine, photo, tmp_path, command):
    rule.write_detector(machine / zoo.RTMDET_M.local_path)
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    if command == "predict --clip":
        name = name.removesuffix(b".png")
        os.mkdir(name)  # noqa: PTH102
        shutil.copy(photo, name + b"/1.png")
    else:
        shutil.copy(photo, name)
    out = os.fsencode(tmp_path / "out")
    chosen = ["--levels", "fp32,4bit"] if command == "compare" else [name, "--task", "detect", "--size", "rtmdet-m"]
    arguments: list[str | bytes] = [*command.split(), name, *chosen, "--out", out]
    done = subprocess.run(
        [sys.executable, "-m", "sapiens_mlx", *arguments],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "0"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"caf\\udce9" in done.stdout
    ending = {"compare": b"_compare_seg.csv", "predict": b"-2_detect.png", "predict --clip": b"-2_detect.mp4"}[command]
    assert os.path.exists(out + b"/caf\xe9" + ending)  # noqa: PTH110


def test_a_closed_error_stream_changes_nothing(machine, photo, tmp_path):
    rule.write_detector(machine / zoo.RTMDET_M.local_path)
    command = f"{shlex.quote(sys.executable)} -m sapiens_mlx predict {shlex.quote(str(photo))} --task detect"
    done = subprocess.run(
        ["sh", "-c", f"{command} --size rtmdet-m --out {shlex.quote(str(tmp_path / 'out'))} 2>&-"], check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "out/a photo_detect.png").is_file()


def test_importing_the_package_is_light():
    """Nothing heavy comes with `import sapiens_mlx`, nor with the command line before a command needs it."""
    program = (
        "import sys, sapiens_mlx.__main__;"
        "print([m for m in ('mlx.core', 'mlx.nn', 'gradio', 'cv2', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "text", "boxes"),
    [
        ("a.json", "[[1, 2, 3, 4], [5, 6, 7, 8.5]]", [[1, 2, 3, 4], [5, 6, 7, 8.5]]),
        ("b.json", '{"boxes_xyxy": [[1, 2, 3, 4]]}', [[1, 2, 3, 4]]),
        ("c.json", '{"people": [{"box_xyxy": [1, 2, 3, 4]}]}', [[1, 2, 3, 4]]),
        ("d.csv", "1,2,3,4\n\n5,6,7,8,0.9\n", [[1, 2, 3, 4], [5, 6, 7, 8]]),
        ("e.csv", "\ufeffx1,y1,x2,y2\n1,2,3,4\n", [[1, 2, 3, 4]]),
    ],
)
def test_boxes_are_read_from_json_and_csv(tmp_path, name, text, boxes):
    (tmp_path / name).write_text(text)
    assert read_boxes(tmp_path / name) == boxes


@pytest.mark.parametrize(
    "text", ["[1, 2]", "{}", "[[1, 2, 3]]", "1,2,3\n", "a,b,c,d\ne,f,g,h\n", "[[1,2,3,null]]", "[", "{" * 9]
)
def test_a_file_that_holds_no_boxes_is_a_sentence(tmp_path, text):
    (tmp_path / "boxes").write_text(text)
    with pytest.raises(BoxError, match=r"Write JSON \[\["):
        read_boxes(tmp_path / "boxes")
