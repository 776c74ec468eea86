"""The door and what stands behind the page: options, a start without models, and the parts that need no browser."""

import inspect
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from browser import REPOSITORY, serving
from page_values import VALUES

from sapiens_mlx.edits.recolour import Recoloured
from sapiens_mlx.edits.relight import Relit
from sapiens_mlx.errors import CancelledError, SapiensError
from sapiens_mlx.runtime import InferenceThread
from sapiens_mlx.tasks.albedo import AlbedoResult
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.tasks.detect import DetectResult
from sapiens_mlx.tasks.hands_picture import hands_picture
from sapiens_mlx.tasks.matting import MattingResult
from sapiens_mlx.tasks.normal import NormalResult
from sapiens_mlx.tasks.pointmap import PointmapResult
from sapiens_mlx.tasks.pose_picture import pose_picture
from sapiens_mlx.tasks.seg import SegResult
from sapiens_mlx.ui import command, controls, people, problems, progress, storage, words
from sapiens_mlx.ui.process_folder import PREFIX
from sapiens_mlx.ui.studio import asking
from sapiens_mlx.ui.visit import Visit

PICTURES = {
    "seg": SegResult.picture,
    "pose": pose_picture,
    "normal": NormalResult.picture,
    "pointmap": PointmapResult.picture,
    "albedo": AlbedoResult.picture,
    "matting": MattingResult.picture,
    "detect": DetectResult.picture,
    "hands": hands_picture,
    "relit": Relit.picture,
    "recoloured": Recoloured.picture,
}


def run_app(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "app.py", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


# ---- the door -------------------------------------------------------------------------------------------------------


def test_help_names_every_option() -> None:
    shown = run_app("--help")
    assert shown.returncode == 0
    for option in ("--host", "--port", "--share", "--auth", "--weights"):
        assert option in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--auth", "nobody"], "user:password"),
        (["--auth", ":secret"], "user:password"),
        (["--weights", "/nowhere/at/all"], "There is no file or folder /nowhere/at/all"),
    ],
)
def test_a_wrong_option_ends_with_one_line_that_says_what_to_do(arguments: list[str], sentence: str) -> None:
    ended = run_app(*arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_taken_port_is_told_in_a_line(tmp_path: Path) -> None:
    with serving(["app.py"], tmp_path, {}) as server:
        ended = run_app("--port", server.url.rstrip("/").rsplit(":", 1)[1])
    assert ended.returncode == 2
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_the_page_is_built_without_a_model_or_the_libraries_of_one(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from sapiens_mlx.ui.page import build; build(Path(sys.argv[1]));"
        "heavy = ['mlx.nn', 'cv2', 'matplotlib.pyplot', 'sapiens_mlx.predictor'];"
        "print([name for name in heavy if name in sys.modules])"
    )
    built = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert built.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_stopped_page_leaves_no_files(tmp_path: Path) -> None:
    with serving(["app.py"], tmp_path, {}) as server:
        assert list(server.files.glob(f"{PREFIX}*"))
    assert list(server.files.glob(f"{PREFIX}*")) == []
    assert [file for file in server.files.rglob("*") if file.is_file()] == []


# ---- what visitors leave --------------------------------------------------------------------------------------------


def test_a_leaving_visitor_frees_memory_files_and_work(tmp_path: Path) -> None:
    visits = storage.Visits(tmp_path)
    visit = visits.of("a")
    photo = visit.add(visit.new_photo(np.zeros((8, 8, 3), np.uint8), "a.png"))
    (photo.next_folder("picture") / "x.png").write_bytes(b"x")
    thread = InferenceThread()

    def work(progress) -> None:
        while True:
            progress("network", 0, 1)
            time.sleep(0.01)

    visit.job = job = thread.submit(work)
    visits.leave("a")
    assert visit.photo is None
    assert not visit.folder.exists()
    with pytest.raises(CancelledError):
        job.result(5)
    assert visits.of("a") is not visit


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a b.jpg", "a_b"), ("../../etc/passwd", "passwd"), ("ünï.png", "ünï"), ("", "photo"), ("...", "photo")],
)
def test_file_names_follow_the_photo_and_cannot_leave_the_folder(tmp_path: Path, name: str, stem: str) -> None:
    assert Visit(tmp_path).new_photo(np.zeros((1, 1, 3), np.uint8), name).stem == stem


def test_older_drawings_are_removed_but_the_last_two(tmp_path: Path) -> None:
    photo = Visit(tmp_path).new_photo(np.zeros((1, 1, 3), np.uint8), "a.png")
    folders = [photo.next_folder("picture") for _ in range(4)]
    assert [folder.exists() for folder in folders] == [False, False, True, True]


# ---- progress -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (("download", 4e8, 1.6e9), "Downloading 0.4 of 1.6 GB"),
        (("download", 55e6, 110e6), "Downloading 55 of 110 MB"),
        (("load", 150, 300), "Loading weights, 50%"),
        (("load", 0, 1), "Loading weights"),
        (("detect", 0, 1), "Looking for people"),
        (("network", 7, 24), "Block 7 of 24"),
        (("person 2 of 5", 7, 24), "Person 2 of 5, block 7 of 24"),
        (("person 2 of 5", 0, 1), "Person 2 of 5"),
        (("hands", 0, 1), "Looking for hands"),
        (("hand 9 of 20", 7, 32), "Hand 9 of 20, block 7 of 32"),
    ],
)
def test_progress_is_said_in_words(report: tuple[str, float, float], sentence: str) -> None:
    assert progress.step(*report).words == sentence


NETWORK, LOADING = progress.step("network", 6, 24), progress.step("load", 1, 2)


@pytest.mark.parametrize(
    ("now", "seconds", "expected", "left"),
    [
        (NETWORK, 3, [10], 7),
        (NETWORK, 3, [10, 5, 2], 14),
        (NETWORK, 3, [None], 9),  # a quarter is done
        (NETWORK, 12, [10], 36),  # longer than expected: by what is done
        (NETWORK, 3, [None, 5], 14),
        (progress.step("network", 2, 24), 3, [None], None),  # too little is done to tell by
        (progress.step("network", 2, 24), 3, [10], 7),
        (NETWORK, 3, [10, None], None),
        (LOADING, 3, [10], None),  # which no earlier run tells of
    ],
)
def test_the_time_left_is_that_of_earlier_runs_or_by_what_is_done(now, seconds, expected, left) -> None:
    assert progress.seconds_left(now, seconds, expected) == left


def test_following_a_job_stops_it_when_the_follower_is_closed() -> None:
    def work(progress) -> None:
        while True:
            progress("network", 3, 24)
            time.sleep(0.01)

    job = InferenceThread().submit(work)
    following = progress.follow(job)
    next(following)
    following.close()
    end = time.monotonic() + 5
    while not job.done and time.monotonic() < end:
        time.sleep(0.01)
    assert job.done


# ---- controls, boxes, the command line ------------------------------------------------------------------------------


@pytest.mark.parametrize("task", list(controls.CONTROLS))
@pytest.mark.parametrize("style", ["readme", "reference"])
def test_every_control_is_an_option_of_the_tasks_picture(task: str, style: str) -> None:
    options = controls.options(task, style, VALUES)
    assert options["style"] == style
    passed_on = {"style"} if task == "hands" else set()  # its picture() takes it, and passes on the rest
    assert set(options) - passed_on <= set(inspect.signature(PICTURES[task]).parameters)


def test_a_size_of_zero_is_left_to_the_drawing() -> None:
    assert controls.options("pose", "readme", VALUES)["point_size"] is None
    assert controls.options("pose", "readme", VALUES | {"pose_point_size": 3})["point_size"] == 3


@pytest.mark.parametrize(
    ("rows", "boxes"),
    [
        ([["1", "2", "3", "4", "0.9"]], [[1, 2, 3, 4]]),
        ([[1.5, 2, 3, 4, ""], ["", "", "", "", ""], [" ", None, "", "", ""]], [[1.5, 2, 3, 4]]),
    ],
)
def test_boxes_are_read_from_the_table_without_its_empty_rows(rows: list, boxes: list) -> None:
    assert people.own_boxes({"people": "own", "boxes": rows}) == boxes


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "There is no box"),
        ([["", "", "", "", ""]], "There is no box"),
        ([["1", "2", "three", "4", ""]], "Box 1 holds something that is not a number"),
        ([["1", "2", "3", "4", ""], ["1", "2", "", "4", ""]], "Box 2 has 3 of its four numbers"),
    ],
)
def test_a_table_that_makes_no_boxes_says_which_row(rows: list, sentence: str) -> None:
    with pytest.raises(SapiensError, match=sentence):
        people.own_boxes({"people": "own", "boxes": rows})


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        ("seg", {}, "--task seg --size 0.4b --level 8bit --out out"),
        ("seg", {"style": "reference"}, "--task seg --size 0.4b --level 8bit --out out --style reference"),
        ("normal", {}, "--task normal --size 0.4b --level 8bit --out out --foreground auto"),
        ("normal", {"foreground": "none"}, "--task normal --size 0.4b --level 8bit --out out"),
        ("detect", {"box_threshold": 0.5}, "--task detect --size rtmdet-m --out out --box-threshold 0.5"),
        (
            "pose",
            {"people": "own", "boxes": [["-1", "2", "3.5", "4", ""]], "flip": False},
            "--task pose --size 0.4b --level 8bit --out out --boxes=-1,2,3.5,4 --no-flip",
        ),
        (
            "pose",
            {"people": "whole", "box_threshold": 0.5, "pose_keypoint_threshold": 0.4},
            "--task pose --size 0.4b --level 8bit --out out --detector none --keypoint-threshold 0.4",
        ),
    ],
)
def test_the_command_line_says_what_was_run(task: str, changes: dict, words: str) -> None:
    size, level = ("rtmdet-m", "fp32") if task == "detect" else ("0.4b", "8bit")
    report = Report(task, size, level, "CPU", "float32", "")
    line = command.command_line("it's me.jpg", [report], VALUES | changes, None)
    assert shlex.split(line) == ["python", "-m", "sapiens_mlx", "predict", "it's me.jpg", *words.split()]


def test_several_tasks_are_a_line_for_each_size_and_level() -> None:
    def of(task: str, size: str = "demo", level: str = "fp32") -> Report:
        return Report(task, size, level, "CPU", "float32", "")

    def lines(*reports: Report, **changes: object) -> list[str]:
        shown = command.command_lines("a.jpg", reports, VALUES | changes, None)
        start = ["python", "-m", "sapiens_mlx", "predict", "a.jpg", "--task"]
        words = [shlex.split(line) for line in shown.splitlines()]
        assert all(line[:6] == start for line in words)
        return [" ".join(line[6:]).replace(" --out out", "") for line in words]

    assert lines(of("seg"), of("pose"), of("matting")) == ["seg,pose,matting --size demo --level fp32"]
    assert lines(of("seg"), of("detect", "rtmdet-m"), of("pose"), of("normal", level="8bit"), box_threshold=0.5) == [
        "seg,pose --size demo --level fp32 --box-threshold 0.5",
        "normal --size demo --level 8bit --foreground auto",
        "detect --size rtmdet-m --box-threshold 0.5",
    ]
    assert lines(of("detect", "rfdetr-base"), detector="rfdetr") == ["detect --detector rfdetr"]  # is no --size
    assert lines(of("detect"), of("pose"), flip=False) == [
        "pose --size demo --level fp32 --no-flip",
        "detect --size demo",
    ]


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_a_photos_name_is_no_command_in_the_command_line() -> None:
    report = Report("seg", "0.4b", "fp32", "CPU", "float32", "")
    line = command.command_line("$(touch made); `x` & \"'.jpg", [report], VALUES, "/a b")
    echoed = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, env=os.environ)
    assert echoed.stdout.split("\n")[4] == "$(touch made); `x` & \"'.jpg"
    assert "DIR" in echoed.stdout.split("\n")


@pytest.mark.parametrize(
    ("text", "xy"), [("120, 340", (120, 340)), ("120 340", (120, 340)), (" 0;7.5 ", (0, 7.5)), ("1,2", (1, 2))]
)
def test_a_place_is_typed_as_two_numbers(text: str, xy: tuple[float, float]) -> None:
    assert asking.place(text) == xy


@pytest.mark.parametrize("text", ["", None, "120", "a, b", "1, 2, 3", "-1, 2", "1e9, 2", "١,٢x", "nan, 1"])
def test_what_is_no_place_is_told_with_an_example(text: str | None) -> None:
    with pytest.raises(SapiensError, match="such as 120, 340"):
        asking.place(text)


def test_what_comes_from_outside_is_escaped() -> None:
    assert "<script>" not in words.notice("<script>") + words.line("<script>", "<script>")
    assert "<b>x" not in words.working(progress.Step("<b>x"))


def test_an_unforeseen_problem_is_logged_and_told_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    told = problems.explained(RuntimeError("secret path"))
    assert "secret" not in told
    assert "secret path" in caplog.text
