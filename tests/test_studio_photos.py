"""Several photos in the Studio, in Chromium: taken together, a strip of them, results for each, one removed. On
checkpoints of the size "tiny", whose pictures are not judged here."""

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rule
from browser import (
    UPLOAD_MS,
    Server,
    choose,
    chromium_path,
    draw_photo,
    everything,
    files_shown,
    remove_photo,
    run,
    serving,
    show,
    shown,
    surfaces,
    until,
    upload,
)

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SIZES = {"wide.png": (200, 100), "tall.png": (90, 210), "square.png": (150, 150)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chromium_path()
    folder = tmp_path_factory.mktemp("page")
    for task in ("seg", "albedo"):
        rule.write_tiny(folder / "weights", task)
    with serving(["-m", "tests.page_process"], folder, {}) as server:
        yield server


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return [draw_photo(tmp_path / name, size) for name, size in SIZES.items()]


def add(page: "playwright.Page", *photos: Path) -> None:
    page.locator(".studio .choices input[type=file][multiple]").first.set_input_files(photos)


def strip(page: "playwright.Page") -> "playwright.Locator":
    """The small pictures of the photos."""
    return page.locator(".strip:visible .thumbnail-item, .strip:visible .gallery-item button")


def take(page: "playwright.Page", number: int) -> None:
    strip(page).nth(number).click()


def hw(photo: Path) -> tuple[int, int, int]:
    return (*SIZES[photo.name][::-1], 3)


def test_photos_have_results_each_and_are_switched_between(visit: Callable, photos: list[Path]) -> None:
    page = visit()
    upload(page, photos[0])
    assert strip(page).count() == 0
    add(page, *photos[1:])
    expect(strip(page)).to_have_count(3, timeout=UPLOAD_MS)
    choose(page, "seg", "tiny")
    run(page)
    for number, photo in enumerate(photos):
        take(page, number)
        until(lambda photo=photo: shown(page).shape == hw(photo))
        expect(page.locator(".report .cm-content").first).to_contain_text(photo.name)
        assert f"{photo.stem}_seg.png" in files_shown(page)
    take(page, 0)
    until(lambda: shown(page).shape == hw(photos[0]))
    choose(page, "seg", "albedo")
    run(page)  # of what is there already, nothing again
    for number in (2, 1, 0):
        take(page, number)
        until(lambda number=number: shown(page).shape == hw(photos[number]))
        assert surfaces(page) == ["seg", "albedo", "recoloured", "all"]
        show(page, "albedo")
    with zipfile.ZipFile(everything(page)) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {photo.stem for photo in photos}
    assert {f"{photo.stem}/{photo.stem}_albedo.png" for photo in photos} <= set(names)


def test_a_bad_photo_is_told_and_the_others_are_taken(visit: Callable, photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    page = visit()
    add(page, photos[0], bad, photos[1])  # without one in the frame before
    expect(page.get_by_role("alert")).to_contain_text("bad.jpg is not an image that can be read", timeout=UPLOAD_MS)
    expect(strip(page)).to_have_count(2)
    choose(page, "seg", "tiny")
    run(page)
    assert shown(page).shape == hw(photos[1])


def test_one_photo_is_removed_and_the_others_stay(visit: Callable, server: Server, photos: list[Path]) -> None:
    page = visit()
    add(page, *photos)
    expect(strip(page)).to_have_count(3, timeout=UPLOAD_MS)
    choose(page, "seg", "tiny")
    run(page)
    take(page, 1)
    until(lambda: shown(page).shape == hw(photos[1]))
    remove_photo(page)
    expect(strip(page)).to_have_count(2)
    until(lambda: shown(page).shape == hw(photos[0]))
    take(page, 1)
    until(lambda: shown(page).shape == hw(photos[2]))
    remove_photo(page)
    expect(strip(page)).to_have_count(0)
    until(lambda: shown(page).shape == hw(photos[0]))
    until(lambda: not list(server.files.rglob("tall_seg*")))  # with the next one that goes
    remove_photo(page)
    expect(page.locator(".studio .empty:visible")).to_be_visible()
    expect(page.locator(".studio .empty .done")).to_have_count(0)
    until(lambda: not list(server.files.rglob("square_seg*")))


def test_progress_says_which_photo_and_how_many(visit: Callable, photos: list[Path]) -> None:
    page = visit()
    add(page, *photos)
    expect(strip(page)).to_have_count(3, timeout=UPLOAD_MS)
    choose(page, "seg", "albedo", "tiny")
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text(re.compile(r"(wide|tall|square)\.png: .*\([2-6] of 6\)"))
    expect(page.locator("#status .done")).to_be_visible(timeout=UPLOAD_MS)


def test_an_example_can_be_removed(visit: Callable) -> None:
    page = visit()
    choose(page, "seg", "tiny")
    page.locator(".studio .example").first.click()
    expect(page.locator("#status .done")).to_be_visible(timeout=UPLOAD_MS)
    remove_photo(page)
    expect(page.locator(".studio .empty:visible")).to_be_visible()
    expect(page.locator(".studio .empty .done")).to_have_count(0)
