"""Several tasks at once in the Studio, in Chromium, when not all goes well: weights that are missing, Stop, sizes that
do not fit; and two visitors at once. On checkpoints of the size "tiny", whose pictures are not judged here."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rule
from browser import (
    RUN_MS,
    Server,
    address,
    check,
    choose,
    chromium_path,
    draw_photo,
    radio,
    run,
    serving,
    show,
    shown,
    stop,
    surfaces,
    until,
    upload,
)

from sapiens_mlx import inventory, runtime, zoo

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chromium_path()
    folder = tmp_path_factory.mktemp("page")
    for task in ("seg", "pose", "pointmap"):  # normal's weights are left out, to be missed
        rule.write_tiny(folder / "weights", task)
    rule.write_detector(folder / "weights/detector/rtmdet_m.pth")
    with serving(["-m", "tests.page_process"], folder, {}) as server:
        yield server


@pytest.mark.slow
def test_one_task_that_fails_is_told_and_the_others_are_there(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    choose(page, "seg", "normal", "pointmap", "tiny")
    run(page, end=".notice")
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text(f"{zoo.task_row('normal').title}: ")
    expect(notice).to_contain_text("sapiens2_tiny_normal.safetensors")
    expect(notice).not_to_contain_text("sapiens2_tiny_seg")
    expect(page.locator("#run")).to_be_enabled()
    assert surfaces(page) == ["seg", "pointmap", "space", "recoloured", "all"]
    for name in ("seg", "pointmap"):
        show(page, name)
        assert shown(page).shape == (640, 480, 3)


@pytest.mark.slow
def test_all_tasks_that_fail_are_told(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    choose(page, "normal", "albedo", "tiny")
    run(page, end=".notice")
    expect(page.get_by_role("alert")).to_contain_text("sapiens2_tiny_")
    expect(page.locator(".studio .empty:visible")).to_be_visible()
    assert surfaces(page) == []


@pytest.mark.slow
def test_nothing_ticked_is_told(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    check(page.locator(".studio .choices input[name=seg]").first, False)
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("Tick at least one")
    expect(page.locator("#run")).to_be_enabled()


@pytest.mark.slow
def test_stop_keeps_what_is_done_and_the_next_run_does_the_rest(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    choose(page, "seg", "pose", "pointmap", "tiny")
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text(re.compile(r"\(2 of 3\).*Person \d+ of \d+"), timeout=RUN_MS)
    until(lambda: surfaces(page) == ["seg", "recoloured"])
    stop(page)
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator("#stop")).to_be_disabled()
    assert surfaces(page) == ["seg", "recoloured"]
    show(page, "seg")
    kept = shown(page)
    choose(page, "seg", "pointmap")
    run(page)
    assert surfaces(page) == ["seg", "pointmap", "space", "recoloured", "all"]
    show(page, "seg")
    assert (shown(page) == kept).all()


@pytest.mark.slow
def test_what_does_not_fit_into_the_memory_is_not_offered_and_says_why(visit: Callable) -> None:
    limit = runtime.memory_limit_bytes()
    too_large = [level for level in zoo.LEVELS if inventory.needed_bytes("5b", level) > limit]
    if not too_large or len(too_large) == len(zoo.LEVELS):
        pytest.skip("of the largest network, all levels fit into this machine, or none")
    page = visit()
    choose(page, "seg", "5b")
    told = page.locator(".studio .too-large")
    expect(told).to_contain_text("Too large for this machine")
    lines = told.locator("li").all_inner_texts()
    assert [line.split(":")[0] for line in lines] == too_large
    assert all(re.search(r": [\d.]+ GB", line) for line in lines)
    for level in zoo.LEVELS:
        expect(radio(page, level)).to_have_count(0 if level in too_large else 1)


@pytest.mark.slow
def test_two_visitors_at_once_see_neither_photos_nor_settings_of_each_other(visit: Callable, tmp_path: Path) -> None:
    pages = visit(), visit()
    sizes = (120, 200), (240, 160)
    for page, size in zip(pages, sizes, strict=True):
        upload(page, draw_photo(tmp_path / f"photo{size[0]}.png", size))
    choose(pages[0], "seg", "pointmap", "tiny")
    choose(pages[1], "seg", "tiny", "8bit")
    for page in pages:
        page.locator("#run").click()
    for page, size in zip(pages, sizes, strict=True):
        expect(page.locator("#status .done")).to_be_visible(timeout=RUN_MS)
        assert shown(page).shape == (*size[::-1], 3)
        assert shown(page, 0).shape == (*size[::-1], 3)
        expect(page.locator(".report .cm-content").first).to_contain_text(f"photo{size[0]}.png")
    assert surfaces(pages[0]) == ["seg", "pointmap", "space", "recoloured", "all"]
    assert surfaces(pages[1]) == ["seg", "recoloured"]
    expect(radio(pages[0], "fp32")).to_be_checked()
    expect(radio(pages[1], "8bit")).to_be_checked()
    folders = [re.search(r"visit-\w+", address(page))[0] for page in pages]
    assert folders[0] != folders[1]


@pytest.mark.slow
def test_the_page_for_programs_lists_three_endpoints(visit: Callable) -> None:
    page = visit()
    page.locator("footer button, footer a").filter(has_text="API").first.click()
    drawer = page.locator(".api-docs")
    expect(drawer).to_contain_text("/predict", timeout=RUN_MS)
    found = set(re.findall(r'api_name="(/\w+)"', drawer.inner_text()))
    assert found == {"/predict", "/compare", "/models"}
    listed = page.request.get(page.url.split("?")[0] + "gradio_api/info").json()
    assert set(listed["named_endpoints"]) == {"/predict", "/compare", "/models"}
    assert listed["unnamed_endpoints"] == {}
