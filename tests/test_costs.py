"""What a run will cost: earlier runs as they are kept and read, downloads, memory, and several tasks together."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import rule
from browser import REPOSITORY

import sapiens_mlx as sm
from sapiens_mlx import costs, inventory, runtime, zoo
from sapiens_mlx.tasks.base import Report


def ran(network=1.0, task="seg", size="0.4b", level="fp32", inputs=1, device=None, **seconds):
    """Keeps a run of so many seconds."""
    stages = {"load": 100.0, "fit": 0.1, "network": network, "decode": 0.2, "draw": 0.3, **seconds}
    report = Report(task, size, level, device or runtime.device_name(), "float32", "", stages)
    costs.remember(report, inputs)


def expected(task, size, level) -> float | None:
    """Seconds of the network for one input, the rest of a run left out; None where nothing tells."""
    seconds = [costs.cost(task, size, level, inputs=inputs).seconds for inputs in (1, 2)]
    return None if None in seconds else round(seconds[1] - seconds[0], 9)


@pytest.fixture(autouse=True)
def kept(machine, tmp_path):
    """The file of earlier runs, which is not there yet."""
    return tmp_path / "cache" / costs.FILE


# ---- seconds --------------------------------------------------------------------------------------------------------


def test_nothing_is_expected_before_the_first_run(kept):
    assert expected("seg", "0.4b", "fp32") is None
    assert costs.cost("seg", "0.4b", "fp32").seconds is None
    assert not kept.exists()


def test_a_run_is_remembered_without_its_loading(kept):
    ran(8.0, foreground=50.0)
    assert expected("seg", "0.4b", "fp32") == 8
    cost = costs.cost("seg", "0.4b", "fp32")
    assert cost.seconds == pytest.approx(8.6)
    assert not cost.guessed


def test_the_median_of_the_newest_runs_counts():
    for seconds in (900, 900, 900, 5, 6, 7, 8, 60):
        ran(seconds)
    assert expected("seg", "0.4b", "fp32") == 7


def test_an_input_of_pose_is_a_person_or_a_mirror_image():
    ran(12.0, "pose", inputs=6)
    assert expected("pose", "0.4b", "fp32") == 2
    assert costs.cost("pose", "0.4b", "fp32").seconds == pytest.approx(4.6)
    assert costs.cost("pose", "0.4b", "fp32", inputs=10).seconds == pytest.approx(20.6)


def test_another_level_of_the_size_counts_where_this_one_has_not_run():
    ran(8.0, level="fp32")
    assert expected("seg", "0.4b", "4bit") == 8
    assert not costs.cost("seg", "0.4b", "4bit").guessed
    ran(6.0, level="4bit")
    assert expected("seg", "0.4b", "4bit") == 6


def test_another_task_or_size_makes_a_guess_by_the_operations():
    ran(10.0, "normal", "0.4b")
    assert costs.cost("seg", "0.4b", "fp32").seconds == pytest.approx(10.6)
    assert costs.cost("seg", "0.4b", "fp32").guessed
    ratio = zoo.SIZES["1b"].tera_flops / zoo.SIZES["0.4b"].tera_flops
    larger = costs.cost("normal", "1b", "fp32")
    assert larger.seconds == pytest.approx(10 * ratio + 0.6)
    assert larger.guessed
    ran(20.0, "pose", "0.8b")  # nearer, but of another task
    assert expected("normal", "1b", "fp32") == pytest.approx(10 * ratio)
    nearest = zoo.SIZES["1b"].tera_flops / zoo.SIZES["0.8b"].tera_flops
    assert expected("matting", "1b", "fp32") == pytest.approx(20 * nearest)


def test_sizes_whose_operations_nobody_states_tell_nothing_of_others():
    ran(0.1, "seg", "demo")
    assert expected("seg", "0.4b", "fp32") is None
    ran(9.0, "seg", "0.4b")
    assert expected("features", "1b-4k", "fp32") is None
    assert expected("normal", "demo", "fp32") == 0.1


def test_the_detector_is_its_own():
    ran(0.0, "detect", "rtmdet-m", detect=0.7)
    ran(9.0)
    assert costs.cost("detect", "0.4b", "bf16").seconds == pytest.approx(1.3)
    assert expected("detect", "demo", "fp32") is None
    assert expected("seg", "0.4b", "fp32") == 9


def test_another_device_tells_nothing(kept):
    ran(1.0, device="M9 Ultra")
    assert expected("seg", "0.4b", "fp32") is None
    assert "M9 Ultra" in kept.read_text()


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        '{"format": 2, "runs": {}}',
        '{"format": 1, "runs": []}',
        '{"format": 1, "runs": {"a": [1]}}',
        '{"format": 1, "runs": {"cpu|seg|0.4b|fp32": [[1], ["x", 2], [NaN, 1], [-1, 2], null]}}',
        '{"format": 1, "runs": {"cpu|seg|0.4b|fp32": 5}}',
        "[" * 10_000,
    ],
)
def test_a_damaged_file_is_replaced(kept, damaged):
    kept.parent.mkdir(parents=True)
    kept.write_text(damaged)
    assert expected("seg", "0.4b", "fp32") is None
    ran(3.0)
    assert expected("seg", "0.4b", "fp32") == 3
    assert json.loads(kept.read_text())["format"] == costs.FORMAT


def test_a_folder_that_cannot_be_written_is_no_problem(kept, monkeypatch):
    kept.parent.parent.mkdir(exist_ok=True)
    kept.parent.write_text("a file, not a folder")
    ran(3.0)
    assert expected("seg", "0.4b", "fp32") is None


def test_a_run_without_figures_is_not_kept(kept):
    ran(0.0)
    ran(1.0, inputs=0)
    assert not kept.exists()


def test_processes_that_write_at_once_leave_a_whole_file(kept):
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from sapiens_mlx import costs\n"
        "from sapiens_mlx.tasks.base import Report\n"
        "for number in range(40):\n"
        "    costs.remember(Report('seg', sys.argv[1], 'fp32', 'x', '', '', {'network': 1.0 + number}))\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, size], cwd=REPOSITORY) for size in ("0.4b", "0.8b", "1b")
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    runs = json.loads(kept.read_text())["runs"]
    assert runs
    assert all(len(value) <= costs.KEPT_RUNS for value in runs.values())
    assert [file.name for file in kept.parent.iterdir()] == [kept.name]


def test_a_real_run_is_what_is_expected_of_the_next(machine, tiny_size):
    rule.write_tiny(machine, "pose")
    result = sm.load("pose", tiny_size)(np.zeros((60, 80, 3), np.uint8), boxes_xyxy=[[0, 0, 40, 60], [40, 0, 80, 60]])
    assert costs.inputs_of(result) == 4
    assert costs.inputs_of(result, flip=False) == 2
    costs.remember(result.report, costs.inputs_of(result))
    level = result.report.level
    assert expected("pose", tiny_size, level) == pytest.approx(result.report.seconds["network"] / 4, abs=1e-4)


def test_the_command_line_remembers_its_runs(kept, tmp_path, capsys):
    from browser import draw_photo
    from command_line import run

    status, _, error = run(capsys, "predict", draw_photo(tmp_path / "x.png", (96, 128)), "--out", tmp_path)
    assert status == 0, error
    assert expected("seg", "demo", zoo.default_level(runtime.device())) > 0


# ---- downloads and memory -------------------------------------------------------------------------------------------


def test_what_ships_or_is_here_is_not_downloaded(machine, tiny_size):
    assert costs.cost("seg", "demo", "fp32").download_bytes == 0
    assert costs.cost("pose", "demo", "fp32").download_bytes == 0
    missing = costs.cost("seg", tiny_size, "fp32")
    assert missing.download_bytes == 4 * zoo.SIZES[tiny_size].parameters
    rule.write_tiny(machine, "seg")
    assert costs.cost("seg", tiny_size, "fp32").download_bytes == 0
    assert costs.cost("seg", tiny_size, "4bit").download_bytes == 0


def test_a_conversion_that_is_kept_is_not_downloaded_again(machine, tiny_size):
    rule.write_tiny(machine, "seg")
    sm.load("seg", tiny_size, level="8bit")(np.zeros((60, 80, 3), np.uint8))
    (machine / "seg/sapiens2_tiny_seg.safetensors").unlink()
    assert costs.cost("seg", tiny_size, "8bit").download_bytes == 0
    assert costs.cost("seg", tiny_size, "fp32").download_bytes > 0


def test_a_level_that_packs_weights_is_a_smaller_download():
    full, packed = (costs.cost("seg", "1b", level).download_bytes for level in ("bf16", "4bit"))
    assert full == 4 * zoo.SIZES["1b"].parameters
    assert packed == int(zoo.SIZES["1b"].parameters * inventory.bytes_each("4bit")) < full / 6


def test_pose_brings_its_detector_and_people_are_found_by_it_alone(machine):
    pose, people = costs.cost("pose", "0.4b", "fp32"), costs.cost("detect", "0.4b", "fp32")
    assert set(people.downloads) == {zoo.RTMDET_M.filename}
    assert pose.download_bytes == 4 * zoo.SIZES["0.4b"].parameters + people.download_bytes
    rule.write_detector(machine / zoo.RTMDET_M.local_path)
    assert costs.cost("detect", "0.4b", "fp32").download_bytes == 0
    assert costs.cost("pose", "0.4b", "fp32").download_bytes == 4 * zoo.SIZES["0.4b"].parameters


def test_what_does_not_fit_or_cannot_be_had_says_why(monkeypatch):
    fitting = costs.cost("seg", "0.4b", "fp32")
    assert fitting.reason == ""
    assert fitting.memory_bytes == inventory.needed_bytes("0.4b", "fp32", "seg")
    albedo = costs.cost("albedo", "0.4b", "fp32")
    assert "not published yet" in albedo.reason
    assert albedo.download_bytes == 0
    monkeypatch.setattr(runtime, "memory_limit_bytes", lambda: 1_000_000_000)
    large = costs.cost("seg", "5b", "fp32")
    assert large.memory_limit_bytes == 1_000_000_000
    assert large.reason == inventory.too_large("seg", "5b", "fp32")


def test_several_tasks_share_a_detector_and_hold_one_network_at_a_time():
    ran(8.0)
    tasks = [costs.cost(task, "0.4b", "fp32") for task in ("seg", "pose", "detect")]
    together = costs.total(tasks)
    assert together.download_bytes == tasks[0].download_bytes + tasks[1].download_bytes
    assert together.memory_bytes == max(one.memory_bytes for one in tasks)
    assert together.seconds is None  # nobody has looked for people yet
    ran(0.0, "detect", "rtmdet-m", detect=0.7)
    again = [costs.cost(task, "0.4b", "fp32") for task in ("seg", "pose", "detect")]
    together = costs.total(again)
    assert together.seconds == pytest.approx(sum(one.seconds for one in again))
    assert together.guessed
    assert together.reason == ""
    assert costs.total([*again, replace(tasks[0], reason="Too large.")]).reason == "Too large."


def test_asking_for_a_cost_asks_no_network_and_brings_no_library_when_imported(tmp_path):
    program = (
        "import sys; import sapiens_mlx.costs; print([n for n in ('mlx.nn', 'cv2', 'gradio') if n in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"
