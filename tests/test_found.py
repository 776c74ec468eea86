"""What the fuzzer found (fuzz/run.py copies it to data/found): each is a sentence since, soon, and in little memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOUND = sorted((ROOT / "tests/data/found").glob("*-*"))
TARGETS = sorted(path.stem for path in (ROOT / "fuzz/targets").glob("[!_]*.py"))


def again(name: str, path: Path) -> None:
    """In a process of its own, where time and memory are measured."""
    command = [sys.executable, "-m", "fuzz.one", name, "--again", str(path)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert not process.returncode, process.stderr[-3000:]


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_a_find_of_the_fuzzer_is_one_again(path):
    again(path.name.partition("-")[0], path)


@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_no_longer_read(name, tmp_path):
    """What the fuzzer begins with."""
    command = [sys.executable, "-m", "fuzz.seeds", name, str(tmp_path), str(tmp_path / "words")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    assert len((tmp_path / "words").read_text().splitlines()) > 5
    seeds = sorted(tmp_path.glob("seed-*"))
    assert len(seeds) > 3
    again(name, seeds[0])


def test_an_exception_is_no_find(tmp_path):
    """Else the tests above could not fail."""
    target = tmp_path / "fuzz/targets/broken.py"
    target.parent.mkdir(parents=True)
    target.write_text("def once(data):\n    raise KeyError(data)\n")
    (tmp_path / "tests").mkdir()
    for name in ("fuzz/one.py", "tests/limited.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "fuzz.one", "broken", "--again", str(target)]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert process.returncode and "KeyError" in process.stderr


def test_a_target_that_cannot_start_is_tried_for_ever(tmp_path):
    (tmp_path / "atheris.py").write_text("raise ImportError('not here')\n")
    command = [sys.executable, "-m", "fuzz.run", "--targets", "boxes", "--folder", str(tmp_path / "kept")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert process.returncode == 1 and "Traceback" not in process.stderr
    assert "boxes.log" in process.stderr and "requirements-fuzz.txt" in process.stderr
