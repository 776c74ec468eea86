"""The page for programs, called in this process: clocks that are set, disks that are full, jobs that end in any way."""

import errno
import os
import time
from pathlib import Path

import gradio as gr
import pytest
import rule
from browser import draw_photo
from plain_calls import META

from sapiens_mlx.errors import CancelledError
from sapiens_mlx.nn.heads import DeconvHead
from sapiens_mlx.ui.api import endpoints
from sapiens_mlx.ui.api.files import KEPT_CALLS, MOST_UPLOADS, Files
from sapiens_mlx.ui.storage import Visits

# ---- which files are old --------------------------------------------------------------------------------------------


def test_a_session_that_has_left_gets_no_folder(tmp_path):
    visits = Visits(tmp_path)
    visit = visits.of("a session", endpoints.TAB)
    visits.leave("a session")
    with pytest.raises(CancelledError):
        Files(visits).folder(visit)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("jump_s", [-86400, 86400], ids=["back", "ahead"])
def test_whatever_the_clock_says_the_newest_calls_stay(monkeypatch, tmp_path, jump_s):
    visits, now_ns = Visits(tmp_path), time.time_ns
    visit, files = visits.of("a session", endpoints.TAB), Files(visits)
    made = [files.folder(visit) for _ in range(KEPT_CALLS)]
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + jump_s * 10**9)
    made += [files.folder(visit) for _ in range(3)]
    assert [folder.exists() for folder in made] == [False] * 3 + [True] * KEPT_CALLS


def test_however_many_files_were_sent_those_of_a_call_stay_and_the_oldest_go(tmp_path):
    visits = Visits(tmp_path)
    visit, files = visits.of("a session", endpoints.TAB), Files(visits)

    def sent(number: int) -> Path:
        path = tmp_path / f"{number:064x}" / "photo.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"photo")
        return files.upload(visit, "photo", {"path": str(path), "meta": META})

    came = [sent(number) for number in range(MOST_UPLOADS)]
    assert sent(0).exists()  # equal to the oldest
    came.append(sent(MOST_UPLOADS))
    assert [path.exists() for path in came] == [True, False, *[True] * (MOST_UPLOADS - 1)]


# ---- what goes wrong on the server ----------------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A drawn photo, where Gradio puts what is sent to a page whose files are in `tmp_path`."""
    folder = tmp_path / ("0" * 64)
    folder.mkdir()
    return draw_photo(folder / "two people.png")


def told_here(folder: Path, photo: Path, **options: object) -> str:
    """The sentence that a call ends with, called in this process."""
    programs = endpoints.Programs(Visits(folder), None)
    with pytest.raises(gr.Error) as told:
        list(programs.predict(gr.Request(session_hash="a"), {"path": str(photo), "meta": META}, **options))
    assert not told.value.print_exception
    return told.value.message


def test_a_full_disk_is_a_sentence(monkeypatch, tmp_path, photo):
    def full(path: str, *_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(os, "mkdir", full)
    told = told_here(tmp_path, photo)
    assert "No file can be kept on the server now (No space left on device)" in told
    assert str(tmp_path) not in told


@pytest.mark.slow
@pytest.mark.parametrize("problem", [SystemExit, KeyboardInterrupt, GeneratorExit, RuntimeError])
def test_whatever_ends_a_job_is_a_sentence(monkeypatch, machine, tiny_size, tmp_path, photo, problem):
    def ends(*_: object) -> None:
        raise problem("/a/secret")

    rule.write_tiny(machine, "seg")
    monkeypatch.setattr(DeconvHead, "__call__", ends)
    told = told_here(tmp_path, photo, tasks="seg", size=tiny_size)
    broken_off = "Something unexpected went wrong." if problem is RuntimeError else "The work was broken off"
    assert told.startswith(broken_off) and "secret" not in told


def test_the_log_has_the_folders_that_programs_are_not_told(machine, tiny_size, tmp_path, photo, caplog):
    told = told_here(tmp_path, photo, tasks="seg", size=tiny_size)
    assert "sapiens2_tiny_seg.safetensors" in told and str(machine) not in told
    assert str(machine) in caplog.text
