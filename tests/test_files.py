"""Files are written whole or not at all, and what killed processes leave of that goes."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.files import clear_partials, output_folder, partial_folder, write_arrays, write_bytes, writing

REPOSITORY = Path(__file__).resolve().parents[1]
DAY_S = 86_400


def test_a_file_appears_whole_and_alone(tmp_path):
    path = write_bytes(tmp_path / "a.bin", b"123")
    assert path.read_bytes() == b"123"
    assert list(tmp_path.iterdir()) == [path]


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {"points": np.arange(6, dtype=np.float32).reshape(2, 3), "scale": np.float64(2.5)}
    loaded = np.load(write_arrays(tmp_path / "a.npz", **arrays))
    assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())


@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("other")])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, problem):
    path = write_bytes(tmp_path / "a.bin", b"old")

    def write_half():
        with writing(path) as partial:
            partial.write_bytes(b"half")
            raise problem

    with pytest.raises(SapiensError if isinstance(problem, OSError) else RuntimeError, match=r"space|other"):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_and_one_that_cannot_be_is_a_sentence(tmp_path):
    assert output_folder(tmp_path / "a/b").is_dir()
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file/below", "~nobody-of-this-name/results"):
        with pytest.raises(SapiensError, match="Nothing can be written"):
            output_folder(folder)


def test_what_is_to_last_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, seen, flush = tmp_path / "a.bin", [], os.fsync

    def watched(handle: int) -> None:
        seen.append((os.fstat(handle).st_size, path.exists()) if not seen else path.exists())
        flush(handle)

    monkeypatch.setattr(os, "fsync", watched)
    write_bytes(path, b"123")
    assert seen == []
    path.unlink()
    write_bytes(path, b"123", lasting=True)
    assert seen == [(3, False), True]  # the file's bytes, then the folder's names


# ---- what killed processes leave ------------------------------------------------------------------------------------

HALF = """
import sys
from sapiens_mlx.files import writing
with writing(sys.argv[1]) as partial:
    partial.write_bytes(b"half")
    print(partial, flush=True)
    sys.stdin.readline()
"""


def in_the_middle(path: Path) -> tuple[subprocess.Popen, Path]:
    """A process in the middle of writing `path`, and what it writes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HALF, str(path)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_wrote_goes_with_the_next_file_in_its_folder_and_a_living_ones_stays(tmp_path):
    killed, left = in_the_middle(tmp_path / "a.npz")
    living, fresh = in_the_middle(tmp_path / "b.npz")
    try:
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert left.read_bytes() == b"half" and left.suffix == ".npz"
        write_bytes(tmp_path / "c.npz", b"whole")
        assert (left.exists(), fresh.exists()) == (False, True)
    finally:
        living.communicate("\n")
    assert living.returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.npz", "c.npz"]


def test_two_threads_that_write_one_path_write_into_one_file(tmp_path):
    with writing(tmp_path / "a.bin") as first, writing(tmp_path / "a.bin") as second:
        assert first != second
        first.touch()
        second.touch()


def test_a_new_folder_that_another_process_takes_for_a_leftover_is_made_again(tmp_path, monkeypatch):
    opened, seen = os.open, []

    def swept(path, *flags):
        seen.append(path)
        if len(seen) == 1:
            Path(path).rmdir()
        return opened(path, *flags)

    monkeypatch.setattr(os, "open", swept)
    with partial_folder(tmp_path / "made") as folder:
        assert folder.is_dir()
    assert len(set(seen)) == 2


@pytest.fixture
def partial(tmp_path) -> Path:
    """What this process would leave of a.bin, were it killed."""
    with writing(tmp_path / "a.bin") as path:
        path.touch()
    return path


def altered(partial: Path, what: str, text: str) -> Path:
    """A partial file of another machine, process or run of this container: these are the parts of its name."""
    parts = re.fullmatch(
        r"(\.a\.bin\.)(?P<machine>\w{8})-(?P<process>\d+)-(?P<run>\w{4})(-\d+\.partial\.bin)", partial.name
    )
    at = parts.span(what)
    return partial.with_name(partial.name[: at[0]] + text + partial.name[at[1] :])


def test_in_a_container_the_next_process_may_have_the_number_of_the_killed_one(tmp_path, partial):
    before = altered(partial, "run", "beef" if "beef" not in partial.name else "feeb")
    before.touch()
    partial.touch()  # of this very process, which is still at it
    clear_partials(tmp_path)
    assert [path.exists() for path in (before, partial)] == [False, True]


@pytest.mark.parametrize(
    ("age_s", "stays"), [(0, True), (DAY_S, False), (-DAY_S, False)], ids=["now", "long ago", "before the clock's jump"]
)
def test_what_another_machine_writes_is_told_by_its_age_and_a_clock_that_was_put_back_is_no_obstacle(
    tmp_path, partial, age_s, stays
):
    other = altered(altered(partial, "machine", "00000000"), "process", "1")
    other.touch()
    os.utime(other, (time.time() - age_s,) * 2)
    clear_partials(tmp_path)
    assert other.exists() == stays


@pytest.mark.parametrize("jump_s", [-DAY_S, DAY_S])
def test_a_clock_that_jumps_takes_nobodys_file_away(tmp_path, partial, monkeypatch, jump_s):
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + jump_s)
    other = altered(partial, "machine", "00000000")
    other.touch()
    clear_partials(tmp_path)
    assert other.exists()


def test_a_folder_half_filled_goes_with_the_next_and_others_stay(tmp_path):
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; from pathlib import Path; from sapiens_mlx.files import partial_folder\n"
            "with partial_folder(Path(sys.argv[1])) as folder:\n"
            "    (folder / 'a').write_text('half'); os.kill(os.getpid(), 9)",
            str(tmp_path / "made"),
        ],
        cwd=REPOSITORY,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    (tmp_path / "somebody's.partial").mkdir()
    with partial_folder(tmp_path / "other") as mine, partial_folder(tmp_path / "third") as third:
        assert mine.is_dir() and third.is_dir() and not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["somebody's.partial"]
