"""A disk that is full, or takes nothing, at every place that writes: a sentence, what was there before, and no rest."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import clips
import pytest
import rule
from hub_machine import CONTENT, FILES, SEG, Machine
from hub_server import COMMIT, Hub
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]

# The places of starved_process.py. What is only remembered for comfort is not written, and nobody is told.
PLACES = [
    *(f"predict {task}" for task in ("seg", "normal", "pointmap", "albedo", "matting", "pose", "detect")),
    "compare",
    *(f"a clip's {what}" for what in ("pieces", "video", "results", "angles", "depth")),
    *("a job", "a manifest", "a merged manifest", "a board"),
    *("a conversion", "a folder to publish", "a conversion's time"),
    *("licences accepted", "seconds of earlier runs", "MANO", "the photo of verify"),
]
SILENT = ("a conversion's time", "seconds of earlier runs")
ENVIRONMENT = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}", "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def starved(tmp_path_factory) -> dict[str, dict]:
    pytest.importorskip("resource", reason="this system sets no limit to the size of files")
    command = [sys.executable, str(REPOSITORY / "tests/starved_process.py"), str(tmp_path_factory.mktemp("starved"))]
    done = subprocess.run(
        command, env=os.environ | ENVIRONMENT, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_place_is_starved(starved):
    assert list(starved) == PLACES


@pytest.mark.parametrize("name", PLACES)
def test_where_a_file_may_not_grow_there_is_a_sentence_and_nothing_half_written(starved, name):
    place = starved[name]
    assert len(place["tries"]) == 6 and place["files"]
    for tried in place["tries"]:
        about = f"{name}, {tried['kind']}, at {tried['most_bytes']} bytes: {tried}"
        if name in SILENT:
            assert tried["error"] is None, about
        elif not (name == "a manifest" and tried["kind"] == "old" and tried["error"] is None):
            assert "SapiensError" in tried["error"], about
            assert "Errno" not in tried["message"], about
            assert "Free some space" in tried["message"] or "Choose another" in tried["message"], about
        assert tried["strange"] == [], about
        if name != "a manifest":  # whose line is cut, and is passed over by whoever reads it
            assert tried["half"] == [], about
        if tried["kind"] == "old" and name not in ("a folder to publish", "a conversion", "a clip's depth"):
            assert tried["missing"] == [] or name in ("a clip's pieces", "the photo of verify"), about
        assert tried["after"] == [], about


# ---- real processes on disks that are full, or may only be read -----------------------------------------------------


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own. Root may write to whatever has no write permission, and not to what is mounted so."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remounted_to_be_read(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(clips.noisy(3, (384, 512))).save(path)
    return path


def command(tmp_path: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess:
    own = {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "SAPIENS_MLX_CACHE": str(tmp_path / "cache")}
    return subprocess.run(
        [sys.executable, "-m", "tests.command_line_process", *map(str, arguments)],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"]} | ENVIRONMENT | own | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


COMMANDS = {
    "predict": ("predict", "PHOTO", "--task", "normal"),
    "compare": ("compare", "PHOTO", "--levels", "fp32,8bit", "--runs", "1"),
    "a clip": ("predict", "CLIP"),
    "a folder": ("predict", "FOLDER"),
    "convert": ("convert", "WEIGHTS", "--level", "8bit"),
}


def with_files(tmp_path: Path, photo: Path, arguments: tuple[str, ...]) -> list[object]:
    names = {"PHOTO": photo, "CLIP": tmp_path / "clip.mp4", "FOLDER": tmp_path / "photos"}
    names["WEIGHTS"] = tmp_path / "sapiens2_tiny_seg.safetensors"
    if "CLIP" in arguments:
        clips.write(names["CLIP"], 3, size_hw=(384, 512), draw=clips.noisy)
    elif "WEIGHTS" in arguments:
        rule.write_checkpoint(names["WEIGHTS"], rule.tiny_shapes("seg"))
    elif "FOLDER" in arguments:
        names["FOLDER"].mkdir()
        photo.rename(names["FOLDER"] / photo.name)
    return [names.get(word, word) for word in arguments]


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_command_on_a_full_disk_ends_with_a_line_and_leaves_it_as_it_was(tmp_path, photo, arguments):
    arguments = with_files(tmp_path, photo, arguments)
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "before").write_bytes(bytes(40_000))
        done = command(tmp_path, *arguments, "--out", disk / "out")
        assert done.returncode == 2, done.stdout
        error = done.stderr.splitlines()[-1]
        assert error.startswith("error: ") and "Free some space" in error, done.stderr
        assert "Traceback" not in done.stderr and "Errno" not in done.stderr
        rest = [path for path in disk.rglob("*") if "partial" in path.name and path.suffix != ".parts"]
        assert rest == [] and (disk / "before").stat().st_size == 40_000


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_command_on_a_disk_that_may_only_be_read_ends_with_a_line(tmp_path, photo, arguments):
    arguments = with_files(tmp_path, photo, arguments)
    with mounted(tmp_path / "disk", "size=64k,ro") as disk:
        done = command(tmp_path, *arguments, "--out", disk / "out")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "Read-only file system" in done.stderr and "Errno" not in done.stderr


def test_random_weights_for_which_there_is_no_room_are_a_sentence_and_leave_none(tmp_path):
    with mounted(tmp_path / "disk", "size=256k") as disk:
        done = command(tmp_path, "bench", "--size", "tiny", TMPDIR=str(disk))
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "Make room there, or set TMPDIR" in done.stderr
        assert list(disk.iterdir()) == []


# ---- caches that may only be read -----------------------------------------------------------------------------------


def test_weights_in_a_hub_cache_that_may_only_be_read_are_used(tmp_path):
    with mounted(tmp_path / "disk", "size=9m") as disk, Hub(FILES) as hub:
        machine = Machine(tmp_path / "home")
        first = machine.run(hub, HF_HUB_CACHE=str(disk))
        assert first["error"] is None, first["message"]
        remounted_to_be_read(disk)
        again = machine.run(None, HF_HUB_CACHE=str(disk))
        assert again["found"] == first["found"] and Path(again["found"]).read_bytes() == CONTENT
        other = machine.run(hub, HF_HUB_CACHE=str(disk), checkpoint=SEG, weights="owner/other")
        assert other["error"] == "WeightsMissingError"


def test_a_download_into_a_cache_that_may_only_be_read_is_a_sentence(tmp_path):
    with mounted(tmp_path / "disk", "size=9m,ro") as disk, Hub(FILES) as hub:
        report = Machine(tmp_path / "home").run(hub, HF_HUB_CACHE=str(disk))
    assert "cannot be written to (Read-only file system)" in report["message"] and "HF_HOME" in report["message"]


def test_a_download_that_fills_the_disk_is_kept_and_goes_on_once_there_is_room(tmp_path):
    with mounted(tmp_path / "disk", "size=3500k") as disk, Hub(FILES, pause_s=0.01) as hub:
        machine = Machine(tmp_path / "home")
        process = machine.start(hub, HF_HUB_CACHE=str(disk))
        while not list(disk.rglob("*.incomplete")):  # there was room when it began
            assert process.poll() is None
        (disk / "somebody's").write_bytes(bytes(2_000_000))
        message = json.loads(process.communicate(timeout=60)[0])["message"]
        assert f"the disk of {disk} is full" in message
        (disk / "somebody's").unlink()
        report = machine.run(hub, HF_HUB_CACHE=str(disk))
        assert Path(report["found"]).read_bytes() == CONTENT and hub.starts[-1] > 0
        assert COMMIT in report["found"] and not list(disk.rglob("*.incomplete"))


def test_a_home_that_may_only_be_read_costs_no_result(tmp_path, photo):
    """Neither the cache of conversions nor the seconds of earlier runs can be kept there."""
    with mounted(tmp_path / "home", "size=64k,ro") as home:
        out = tmp_path / "out"
        done = command(home, "predict", photo, "--out", out, MPLCONFIGDIR=str(tmp_path / "matplotlib"))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and (out / "photo_seg.npz").stat().st_size
