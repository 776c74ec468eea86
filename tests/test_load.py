"""Many programs at once: whose answer is whose, what a full queue says, and whom it still takes.

benchmarks/load.py has the programs and what must come of them; it does the same for ten minutes."""

import json
import os
import threading
import urllib.error
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from browser import Server, draw_photo, serving, until
from doors_page import Served, page_here
from page_events import Visitor, file_data

from benchmarks import load
from sapiens_mlx.runtime import inference
from sapiens_mlx.ui import doors, storage


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> list[load.Program]:
    return load.prepared(4, tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As everywhere, but for whoever has no browser too."""
    with serving(["app.py"], tmp_path_factory.mktemp("page"), {}) as one:
        yield one


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(storage, "TIDY_S", 0.1)
    with page_here(tmp_path) as one:
        yield one
    assert inference.settle(60)  # the process may end now, which must not be in the middle of a network


@pytest.fixture
def held() -> Iterator[threading.Event]:
    """Nobody's run begins until this is set."""
    gate = threading.Event()
    inference.submit(lambda progress: gate.wait(120))
    yield gate
    gate.set()


def connected(programs: Sequence[load.Program], url: str) -> Sequence[load.Program]:
    for program in programs:
        program.connect(url)
    return programs


def test_twenty_programs_and_a_visitor_are_taken_and_the_sixtieth_is_told(served, held, tmp_path):
    programs, visitor = Visitor(served.url), Visitor(served.url)
    photo = file_data(programs.upload(draw_photo(tmp_path / "photo.png", (60, 80))))
    for _ in range(20):
        programs.call(photo, "seg")
    visitor.begin("run", "image")
    assert visitor.ask("redraw")["success"]
    with pytest.raises(urllib.error.HTTPError) as told:
        for _ in range(39):
            programs.call(photo, "seg")
    assert json.loads(told.value.read()) == {"detail": doors.QUEUE_FULL}


@pytest.mark.slow
def test_names_of_files_that_are_gone_are_kept_by_nobody(served, tmp_path):
    def listed() -> set[str]:
        return set().union(*served.demo.temp_file_sets)

    before, visitor = listed(), Visitor(served.url)
    with visitor.page():
        photo = visitor.upload(draw_photo(tmp_path / "photo.png", (60, 80)))
        visitor.ask("redraw")
        visitor.answer(visitor.call(file_data(photo), "seg"))
        came = {Path(name).name for name in listed() - before}
        assert came >= {"photo.png", "photo_seg.npz", "preview.png"}
    until(lambda: listed() <= before)
    assert len(served.demo._queue.event_analytics) == 1  # of two events


def test_gradio_does_not_count_up_all_events_after_each(served):
    assert Visitor(served.url).ask("redraw")["success"]
    until(lambda: not served.demo._queue.event_ids_to_events)  # what comes after the answer is done too
    assert served.demo._queue.cached_event_analytics_summary == {"functions": {}}


@pytest.mark.slow
@pytest.mark.parametrize("part", [load.steady, load.changing, load.crowd])
def test_every_answer_is_right_and_in_order_and_none_is_lost(programs, server, part):
    tally = load.loaded(connected(programs, server.url), part, load.Tally(server.process.pid), least_runs=12)
    assert tally.problems == []
    assert tally.runs >= 12
    assert len(tally.answered) == len(programs)


@pytest.mark.slow
def test_an_answer_to_somebody_else_would_be_noticed(programs, server):
    first, second, *_ = connected(programs, server.url)
    first.answers, second.answers = second.answers, first.answers
    try:
        tally = load.loaded([first, second], load.steady, load.Tally(server.process.pid), least_runs=2)
    finally:
        first.answers, second.answers = second.answers, first.answers
    assert len(tally.problems) == tally.runs


@pytest.mark.slow
def test_whom_the_full_queue_refuses_is_told_and_answered_in_the_end(programs, served, held):
    served.demo._queue.max_size = 2
    tally = load.Tally(os.getpid())
    each = [[load.STEADY] * 2]
    everyone = threading.Thread(
        target=load.loaded, args=(connected(programs, served.url), lambda program: iter(each), tally, 300)
    )
    everyone.start()
    until(lambda: len(tally.told) > 0, 60)
    held.set()
    everyone.join()
    assert tally.problems == []
    assert tally.runs == 2 * len(programs)
    assert doors.QUEUE_FULL in tally.told
