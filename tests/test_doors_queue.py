"""A full queue, as a program and as a visitor sees it, and presses of a browser whose clock is set back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import RUN_MS, ready, run, stop, upload
from doors_page import Served, page_here

from sapiens_mlx.ui import doors, examples, page, tab
from sapiens_mlx.ui.wiring import MODEL

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SET_BACK = "let now = Date.now(); Date.now = () => (now -= 3600e3);"  # an hour at every look


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with page_here(tmp_path_factory.mktemp("page")) as one:
        yield one


@pytest.fixture
def full(served: Served) -> Iterator[None]:
    """The queue takes no one, until the test is over or makes room()."""
    served.demo._queue.max_size = 0
    yield
    room(served)


def room(served: Served) -> None:
    served.demo._queue.max_size = page.MOST_WAITING


@pytest.fixture
def visitor(chromium: "Browser", served: Served) -> "Iterator[Page]":
    """Not by browser.visiting: the console holds what was refused."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script(SET_BACK)
    one = context.new_page()
    one.goto(served.url)
    ready(one)
    yield one
    context.close()


@pytest.mark.parametrize("path", ["queue/join", "call/predict", "call/v2/models"])
def test_a_full_queue_says_what_to_do(served: Served, full: None, path: str) -> None:
    body = {"data": [], "session_hash": "late", "fn_index": 0} if path == "queue/join" else {"data": []}
    body = {} if path == "call/v2/models" else body
    status, text, _ = served.ask(f"POST /gradio_api/{path}", json.dumps(body), {"Content-Type": "application/json"})
    assert (status, json.loads(text)) == (503, {"detail": doors.QUEUE_FULL})


@pytest.mark.browser
def test_a_visitor_whom_the_queue_refuses_can_run_again(served: Served, visitor: "Page", photo: Path) -> None:
    upload(visitor, photo)
    served.demo._queue.max_size = 0
    try:
        visitor.locator("#run").click()
        visitor.locator("#status .notice", has_text=tab.NOT_TAKEN).wait_for(timeout=RUN_MS)
        assert visitor.locator("#run").is_enabled()
        assert visitor.locator("#stop").is_disabled()
    finally:
        room(served)
    visitor.locator("#run").click()
    visitor.locator("#status .done").wait_for(timeout=RUN_MS)


@pytest.mark.browser
def test_a_run_that_is_stopped_while_it_waits_is_not_told_to_be_refused(
    served: Served, visitor: "Page", photo: Path
) -> None:
    upload(visitor, photo)
    run(visitor)  # of what has never run, Gradio has no turns yet
    turns = served.demo._queue.event_queue_per_concurrency_id[MODEL["concurrency_id"]]
    turns.current_concurrency += 1  # somebody else's run, that does not end
    try:
        visitor.locator("#run").click()
        visitor.locator("#status .working").wait_for(timeout=RUN_MS)
        stop(visitor)
        assert visitor.locator("#run").is_enabled()
    finally:
        turns.current_concurrency -= 1
    run(visitor)


@pytest.mark.slow
@pytest.mark.browser
def test_a_browser_whose_clock_is_set_back_still_gets_the_example_it_pressed(visitor: "Page") -> None:
    first, second = examples.files()[:2]
    for path in (first, second):
        visitor.get_by_role("button", name=examples.caption(path)).first.click()
        visitor.locator(".studio .cm-content", has_text=f"predict {path.name} ").wait_for(timeout=RUN_MS)
