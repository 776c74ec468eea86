"""The Studio in Chromium, with all tasks ticked: results come one by one from one run, are switched between without
another, and go into one sheet and one ZIP. With the demo weights, whose pictures are not judged here."""

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from browser import (
    UPLOAD_MS,
    Server,
    choose,
    draw_person,
    everything,
    files_shown,
    run,
    show,
    shown,
    surfaces,
    tick,
    upload,
    visiting,
)
from PIL import Image

from sapiens_mlx import zoo
from sapiens_mlx.ui import controls, words

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

TASKS = tuple(task for task in controls.TASKS if task in zoo.TASKS)  # hands need a package and weights of others
MADE = ("space", "relit", "recoloured", "all")  # of the results of tasks
SECONDS = re.compile(r"(about|perhaps) (\d+ min )?[\d.]+ s\b")
# Writes down how many surfaces there are whenever that changes.
WATCH = """() => {
    window.counts = [];
    new MutationObserver(() => {
        const count = document.querySelectorAll(".surfaces input").length;
        if (count !== window.counts.at(-1)) window.counts.push(count);
    }).observe(document.body, {childList: true, subtree: true});
}"""


@dataclass
class Done:
    """A page on which everything has been run, and what it said before and meanwhile."""

    page: "playwright.Page"
    cost_before: str
    counts: list[int]


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_person(tmp_path_factory.mktemp("photo") / "one person.png")


@pytest.fixture(scope="module")
def done(chromium: "playwright.Browser", server: Server, person: Path) -> Iterator[Done]:
    with visiting(chromium, server.url) as open_page:
        page = open_page()
        upload(page, person)
        tick(page, *TASKS)
        cost = page.locator("#about .cost").inner_text()
        page.evaluate(WATCH)
        run(page)
        expect(page.locator("#run")).to_be_enabled()
        yield Done(page, cost, page.evaluate("window.counts"))


@pytest.mark.slow
def test_results_arrive_one_by_one_as_surfaces(done: Done) -> None:
    assert surfaces(done.page) == [*TASKS, *MADE]
    assert done.counts[-1] == len(TASKS) + len(MADE)
    assert done.counts == sorted(done.counts)
    assert len(done.counts) >= len(TASKS)


@pytest.mark.slow
def test_what_a_run_takes_is_said_before_it_and_seconds_after_the_first(done: Done) -> None:
    assert "Nothing to download" in done.cost_before
    assert "of memory" in done.cost_before
    assert not SECONDS.search(done.cost_before)
    expect(done.page.locator("#about .cost")).to_contain_text(SECONDS)


@pytest.mark.slow
def test_people_are_looked_for_once(done: Done) -> None:
    stage, card = words.STAGES["detect"], done.page.locator(".report .card").first
    show(done.page, "detect")
    expect(card).to_contain_text(stage)
    found = json.loads(files_shown(done.page)["one_person_detect.json"])["people"]
    show(done.page, "pose")
    expect(card).not_to_contain_text(stage)
    people = json.loads(files_shown(done.page)["one_person_pose.json"])["people"]
    assert found
    assert [person["box_xyxy"] for person in people] == [person["box_xyxy"] for person in found]


@pytest.mark.slow
def test_surfaces_are_drawn_without_a_run(done: Done) -> None:
    page = done.page
    show(page, "normal")
    before, card = shown(page), page.locator(".report .card").first.inner_text()
    page.evaluate("document.querySelector('#status .status').classList.add('old')")
    pictures = {}
    for name in TASKS:
        show(page, name)
        pictures[name] = shown(page).tobytes()
        expect(page.locator(".report .card").first).to_contain_text(zoo.task_row(name).title)
    assert len(set(pictures.values())) == len(TASKS)
    show(page, "normal")
    np.testing.assert_array_equal(shown(page), before)
    after = page.locator(".report .card").first.inner_text()
    assert _without_drawing(after) == _without_drawing(card)
    assert page.locator("#status .old").count() == 1  # a run would have said that it is at work


@pytest.mark.slow
def test_each_view_shows_the_photo_the_picture_or_both(done: Done, person: Path) -> None:
    page, photo = done.page, np.asarray(Image.open(person))
    show(page, "seg")
    picture = shown(page)
    np.testing.assert_array_equal(shown(page, 0), photo)
    for view, expected in (("picture", picture), ("photo", photo), ("beside", None)):
        show(page, "seg", view)
        if expected is not None:
            np.testing.assert_array_equal(shown(page), expected)
    both = shown(page)
    np.testing.assert_array_equal(both[:, :360], photo)
    np.testing.assert_array_equal(both[:, -360:], picture)


def test_everything_is_one_sheet_and_one_zip(done: Done) -> None:
    page = done.page
    singles = {}
    for name in TASKS:
        show(page, name)
        singles |= files_shown(page)
    show(page, "all")
    (sheet,) = files_shown(page).items()
    singles |= dict([sheet])
    for name in ("relit", "recoloured"):
        show(page, name)
        singles |= files_shown(page)
    assert sheet[0] == "one_person_all.png"
    with Image.open(io.BytesIO(sheet[1])) as picture:
        assert picture.width > 3 * 360
    with zipfile.ZipFile(everything(page)) as archive:
        assert archive.testzip() is None
        packed = {name: archive.read(name) for name in archive.namelist()}
    assert sorted(packed) == sorted(singles)
    assert [name for name in packed if packed[name] != singles[name]] == []
    assert {f"one_person_pose{end}" for end in ("_coco17.json", "_wholebody133.json", "_openpose.json", ".csv")} <= {
        *packed
    }
    assert len(list(csv.reader(io.StringIO(packed["one_person_pose.csv"].decode())))) > 308


def test_the_command_line_does_all_of_it(done: Done) -> None:
    show(done.page, "all")
    shown_command = done.page.locator(".report .cm-content").first
    for task in TASKS:
        expect(shown_command).to_contain_text(task)
    assert shown_command.inner_text().count("sapiens_mlx predict") == 2  # the people alone have no level


@pytest.mark.slow
def test_on_a_phone_no_surface_is_wider_than_the_screen(done: Done) -> None:
    page = done.page
    page.set_viewport_size({"width": 390, "height": 844})
    for name in surfaces(page):
        show(page, name)
        if name == "space":
            expect(page.locator(".space canvas")).to_be_visible(timeout=UPLOAD_MS)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    page.set_viewport_size({"width": 1440, "height": 900})


@pytest.mark.slow
def test_ticking_one_more_runs_that_one_alone(person: Path, visit: Callable) -> None:
    page = visit()
    upload(page, person)
    choose(page, "seg")
    run(page)
    card = page.locator(".report .card").first
    before = _without_drawing(card.inner_text())
    tick(page, "seg", "normal")
    run(page)
    assert surfaces(page) == ["seg", "normal", "relit", "recoloured", "all"]
    expect(page.locator(".surfaces input[value=normal]")).to_be_checked()
    show(page, "seg")
    expect(card).to_contain_text(zoo.task_row("seg").title)
    assert _without_drawing(card.inner_text()) == before  # with its seconds to the hundredth


def _without_drawing(card: str) -> str:
    """What a card says, but for how long the newest drawing took."""
    return re.sub(r"(draw\s*[\d.]+ s\s*)|([\d.]+ s in all)", "", card)
