"""Visitors come, rest and leave, and the page ends, however that comes: what is kept, and that nothing stays."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import clips
import gradio as gr
import numpy as np
import pytest
from browser import REPOSITORY, Server, draw_person, serving, until
from page_events import Visitor, file_data, upload_body
from slowly import slowly

from sapiens_mlx.errors import SapiensError
from sapiens_mlx.runtime import Job
from sapiens_mlx.tasks.normal import NormalResult
from sapiens_mlx.ui import process_folder, storage
from sapiens_mlx.ui.compare.run import CompareActions
from sapiens_mlx.ui.compare.view import CompareView
from sapiens_mlx.ui.process_folder import PREFIX
from sapiens_mlx.ui.storage import Visits
from sapiens_mlx.ui.video import given
from sapiens_mlx.ui.visit import Visit

# ---- who may stay ---------------------------------------------------------------------------------------------------


class Clock:
    """Stands until it is told to go on."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(storage, "monotonic", clock)
    return clock


@pytest.fixture
def visits(tmp_path: Path, clock: Clock) -> Visits:
    return Visits(tmp_path)


def add(visit: Visit, name: str = "a.png", height: int = 40) -> None:
    """A photo with a result: 3600 and 14400 bytes."""
    photo = visit.add(visit.new_photo(np.zeros((height, 30, 3), np.uint8), name))
    photo.results["normal"] = NormalResult(photo.rgb, np.zeros((height, 30, 3), np.float32))


def test_made_up_sessions_take_nobodys_place_who_runs_or_was_just_here(visits, clock):
    runs, rests, here = (visits.of(name) for name in ("runs", "rests", "here"))
    runs.job = job = Job()
    add(rests)
    add(here)
    clock.now_s += storage.RESTING_S
    visits.of("here")
    for number in range(3 * storage.MOST_SESSIONS):
        refused = pytest.raises(gr.Error, match="as many visitors as this page can serve")
        with refused if number >= storage.MOST_SESSIONS - 2 else contextlib.nullcontext():
            visits.of(f"made up {number}")
    assert [visit.closed for visit in (runs, rests, here)] == [False, True, False]
    assert len(visits) == storage.MOST_SESSIONS
    clock.now_s += storage.EMPTY_S  # of the made-up ones there is nothing but the place
    visits.of("a real one")
    assert [visit.closed for visit in (runs, here)] == [False, False]
    assert not job.done


def test_all_tabs_of_a_page_are_one_visitor(visits):
    for number in range(storage.MOST_SESSIONS):
        for tab in (storage.STUDIO, storage.COMPARE, storage.VIDEO):
            visits.of(str(number), tab)
    assert len(visits) == 3 * storage.MOST_SESSIONS


@pytest.mark.parametrize(("hosted", "idle_s"), [(True, storage.HOUR_S), (False, storage.IDLE_S)])
def test_visitors_who_never_say_goodbye_go_in_time_but_not_while_they_run(visits, clock, monkeypatch, hosted, idle_s):
    monkeypatch.setattr(storage, "is_hosted", lambda: hosted)
    idle, runs = visits.of("idle", "api"), visits.of("runs")
    add(idle)
    runs.job = job = Job()
    clock.now_s += idle_s - 1
    visits.tidy()
    assert not idle.closed
    clock.now_s += 1
    visits.tidy()
    assert (idle.closed, idle.photos, idle.folder.exists()) == (True, [], False)
    assert not runs.closed
    job._future.set_result(None)
    clock.now_s += idle_s - 1
    visits.tidy()
    assert not runs.closed  # the run was until now
    clock.now_s += 1
    visits.tidy()
    assert runs.closed


# ---- memory ---------------------------------------------------------------------------------------------------------


def limit(monkeypatch: pytest.MonkeyPatch, kilobytes: float) -> None:
    monkeypatch.setattr(storage.runtime, "memory_limit_bytes", lambda: 1000 * kilobytes / storage.MEMORY_SHARE)


def results(visit: Visit) -> list[bool]:
    return [bool(photo.results) for photo in visit.photos]


def test_room_is_made_first_of_ones_own_then_of_who_rests_then_of_what_others_do_not_look_at(
    visits, clock, monkeypatch
):
    rests, other, mine = (visits.of(name) for name in ("rests", "other", "mine"))
    for visit in (rests, other, mine):
        add(visit, "first.png")
        add(visit, "second.png")
    clock.now_s += storage.RESTING_S
    for name in ("other", "mine"):
        visits.of(name)
    coming = np.zeros((40, 30, 3), np.uint8)
    state = [3 * 2 * (3600 + 14400) + 3600]
    for kilobytes, mine_kept, rests_is_here, others_kept in [
        (112, [True, True], True, [True, True]),
        (98, [False, True], True, [True, True]),
        (62, [False, True], False, [True, True]),
        (48, [False, True], False, [False, True]),
    ]:
        limit(monkeypatch, kilobytes)
        mine.make_room(coming)
        state.append(kilobytes)
        assert (results(mine), not rests.closed, results(other)) == (mine_kept, rests_is_here, others_kept), state
    limit(monkeypatch, 46)
    with pytest.raises(SapiensError, match="memory that is kept for photos and results is full"):
        mine.make_room(coming)
    assert len(mine.photos) == len(other.photos) == 2


def test_photos_alone_fill_it_for_one_visitor_and_one_result_is_always_allowed(visits, monkeypatch):
    limit(monkeypatch, 20)
    visit = visits.of("a")
    for number in range(24):
        try:
            visit.make_room(rgb := np.zeros((40, 30, 3), np.uint8))
        except SapiensError:
            break
        visit.add(visit.new_photo(rgb, f"{number}.png"))
    assert len(visit.photos) == 5
    alone = visits.of("b")
    visits.leave("a")
    add(alone)
    alone.photo.results.clear()
    large = NormalResult(alone.photo.rgb, np.zeros((400, 30, 3), np.float32))
    alone.make_room(large)
    alone.photo.results["normal"] = large
    with pytest.raises(SapiensError, match="is full"):
        alone.make_room(NormalResult(alone.photo.rgb, np.zeros((40, 30, 3), np.float32)))


def test_the_studios_photo_for_which_there_is_no_room_is_told(visits, monkeypatch):
    add(visits.of("a"), "mine.png")
    view = CompareView(**{one.name: one.name for one in fields(CompareView)})
    do, request = CompareActions(view, visits, None, {}), gr.Request(session_hash="a")
    add(visits.of("a", do.tab), "before.png")
    limit(monkeypatch, 17)
    told = do.studio_photo_taken(request)
    assert "memory that is kept for photos and results is full" in told["status"]
    assert (told["photo"], visits.of("a", do.tab).photo) == (None, None)
    limit(monkeypatch, 22)
    assert do.studio_photo_taken(request)["status"] == ""
    assert visits.of("a", do.tab).photo.name == "mine.png"


# ---- after the end --------------------------------------------------------------------------------------------------


def test_a_visit_that_has_ended_makes_no_folder_again(visits):
    visit = visits.of("a")
    add(visit)
    photo = visit.photo
    photo.next_folder("picture")
    visits.leave("a")
    for make in (
        lambda: photo.next_folder("picture"),
        lambda: visit.new_photo(photo.rgb, "b.png").next_folder("photo"),
        lambda: given.take(visit.folder / "clip-1", Path("clip.mp4"), "clip.mp4"),
    ):
        with pytest.raises(SapiensError, match="has ended"):
            make()
    assert not visit.folder.exists()
    visits.close()
    with pytest.raises(gr.Error, match="being closed"):
        visits.of("a")


def test_a_disk_that_takes_nothing_is_a_sentence_without_a_path(visits, tmp_path):
    visit = visits.of("a")
    add(visit)
    visit.photo.folder.write_bytes(b"in the way")
    for make in (
        lambda: visit.photo.next_folder("picture"),
        lambda: given.take(visit.photo.folder / "clip", Path("clip.mp4"), "clip.mp4"),
    ):
        with pytest.raises(SapiensError, match=r"^No file can be kept on the server now \(") as told:
            make()
        assert str(tmp_path) not in str(told.value)
    shutil.rmtree(tmp_path)
    (tmp_path).write_bytes(b"in the way")
    with pytest.raises(gr.Error, match=r"^'No file can be kept on the server now \("):
        visits.of("b")


def test_a_page_without_a_folder_ends_with_one_line(tmp_path):
    (tmp_path / "full").write_bytes(b"in the way")
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path / "full/served")}
    ended = subprocess.run([sys.executable, "app.py"], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: The page has no folder for its files") and ended.stderr.count("\n") == 1


# ---- the end of the process -----------------------------------------------------------------------------------------


def left(files: Path) -> list[Path]:
    """What lies where the page's files were. Gradio makes one empty folder there when it is imported."""
    return [path for path in files.rglob("*") if path.name != "vibe_edit_history"]


def begin_upload(server: Server) -> socket.socket:
    """Sends a part of a photo."""
    address = urlsplit(server.url)
    line = socket.create_connection((address.hostname, address.port))
    body, kind = upload_body("photo.jpg", bytes(4_000_000))
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {kind}\r\n"
    line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:3_000_000])
    until(lambda: any(path.stat().st_size for path in server.files.glob(f"{PREFIX}*/tmp*")))
    return line


def begin_run(server: Server, folder: Path) -> Visitor:
    """Has a run at work that takes long."""
    visitor = Visitor(server.url)
    photo = visitor.upload(draw_person(folder / "person.png", people=3))
    visitor.call(file_data(photo), *(["seg", "normal", "pointmap", "albedo", "matting"]))
    until(lambda: list(server.files.rglob("call-*")), 60)
    return visitor


def begin_clip(server: Server, folder: Path) -> Visitor:
    """Has a clip at work, with frames done."""
    visitor = Visitor(server.url)
    clip = file_data(visitor.upload(clips.write(folder / "clip.mp4", 200)))
    visitor.ask("clip_given", "file", file=clip)
    visitor.begin("run", "file", file=clip)
    until(lambda: list(server.files.rglob("run-1/*")), 100)
    return visitor


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGHUP, signal.SIGINT))],
    ids=lambda one: one.name,
)
def test_nothing_stays_when_the_page_is_told_to_end_at_work(tmp_path, number):
    with serving(["app.py"], tmp_path, {}) as server:
        line = begin_upload(server)
        begin_clip(server, tmp_path)
        begin_run(server, tmp_path)
        server.process.send_signal(number)
        server.process.wait(30)
        line.close()
        assert left(server.files) == []
    time.sleep(0.5)
    assert left(server.files) == []


@pytest.mark.slow
def test_what_is_written_while_the_process_ends_goes_too(tmp_path):
    """Work that notices late, and an end that takes its time, as that of a library may."""
    program = """
import atexit, time
atexit.register(time.sleep, 1)
from sapiens_mlx import runtime
from sapiens_mlx.ui.process_folder import make_process_folder
from sapiens_mlx.ui.storage import Visits
visits = Visits(make_process_folder())
visit = visits.of("a")
def work(progress):
    try:
        while True:
            progress("network", 0, 1)
            time.sleep(0.01)
    finally:
        time.sleep(0.3)
        (visit.folder / "clip-1").mkdir(parents=True)
        (visit.folder / "clip-1/clip.mp4").write_bytes(b"video")
job = visit.job = runtime.aside(work)
time.sleep(0.1)
assert list(visit.folder.parent.iterdir())
"""
    environment = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, env=environment, check=True)
    assert left(tmp_path) == []


@pytest.mark.parametrize("begin", [begin_run, slowly(begin_clip)])
def test_nothing_stays_of_a_visitor_who_leaves_at_work(tmp_path, begin):
    with serving(["app.py"], tmp_path, {}) as server:
        (folder,) = server.files.glob(f"{PREFIX}*")
        before = {path for path in folder.rglob("*") if path.is_file()}
        visitor = begin(server, tmp_path)
        with visitor.page():
            assert list(folder.glob("visit-*"))
        until(lambda: not list(folder.glob("visit-*")), 60)
        time.sleep(1)  # for what is at work to notice
        assert {path for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_what_a_page_that_was_killed_has_left_goes_with_the_next_start_and_of_a_living_one_nothing(tmp_path):
    with serving(["app.py"], tmp_path, {}) as living, serving(["app.py"], tmp_path, {}) as server:
        begin_run(server, tmp_path)
        folders = set(server.files.glob(f"{PREFIX}*"))
        server.process.kill()
        server.process.wait()
        assert set(server.files.glob(f"{PREFIX}*")) == folders and len(folders) == 2
        with serving(["app.py"], tmp_path, {}) as again:
            (own,) = set(again.files.glob(f"{PREFIX}*")) - folders
            (kept,) = set(again.files.glob(f"{PREFIX}*")) - {own}
            assert (kept / "examples/face.jpg").is_file()
    assert json.dumps(left(living.files)) == "[]"


def test_a_second_ctrl_c_does_not_come_in_between_and_jobs_are_waited_for(monkeypatch, tmp_path):
    before = {number: signal.getsignal(number) for number in process_folder.ENDING}
    job, ends = Job(), []

    def closing() -> list[Job]:
        """As it holds the lock of all visits."""
        ends.append("closing")
        if len(ends) == 1:
            signal.raise_signal(signal.SIGINT)
        return [job] if len(ends) == 1 else []

    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda seconds: job._future.set_result(None))
    monkeypatch.setattr(storage, "close_all", closing)
    monkeypatch.setattr(process_folder, "time", clock)
    try:
        for number in process_folder.ENDING:
            signal.signal(number, process_folder._leave)
        with pytest.raises(KeyboardInterrupt):
            process_folder._leave(signal.SIGINT, None)
        assert ends == ["closing"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        process_folder._end(tmp_path / "ours")
        assert job.done  # was waited for
    finally:
        process_folder._at_work.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def test_what_is_no_folder_of_a_page_is_not_swept(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(outside)
    (tmp_path / f"{PREFIX}file").write_bytes(b"")
    (tmp_path / "somebody-elses").mkdir()
    (tmp_path / f"{PREFIX}left").mkdir()
    before = set(tmp_path.iterdir())
    process_folder.sweep(tmp_path)
    assert set(tmp_path.iterdir()) == before - {tmp_path / f"{PREFIX}left"}
