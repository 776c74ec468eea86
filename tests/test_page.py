"""The page in Chromium: a photo in, a picture out, redrawn, edited, stopped, left; every problem told in a sentence.

The page runs in a process of its own on checkpoints of the size "tiny", so that a run takes a second.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import browser
import numpy as np
import pytest
import rule
from browser import (
    RUN_MS,
    Server,
    changed,
    choose,
    download,
    draw_photo,
    remove_photo,
    serving,
    shown,
    stop,
    until,
    upload,
)
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

TASKS = ("seg", "pose", "pointmap")  # normal's weights are left out, to be missed
SECRET = "taken at 48.2082 N 16.3738 E"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    browser.chromium_path()
    folder = tmp_path_factory.mktemp("page")
    for task in TASKS:
        rule.write_tiny(folder / "weights", task)
    rule.write_detector(folder / "weights/detector/rtmdet_m.pth")
    with serving(["-m", "tests.page_process"], folder, {}) as server:
        yield server


def run(page: "playwright.Page", *names: str) -> None:
    """Chooses, runs, and waits for the end."""
    choose(page, *names)
    browser.run(page)
    expect(page.locator("#run")).to_be_enabled(timeout=RUN_MS)


def replace_photo(page: "playwright.Page", photo: Path) -> None:
    """Takes the photo out of the frame, and gives another one."""
    remove_photo(page)
    expect(page.locator(".empty:visible")).to_be_visible(timeout=RUN_MS)
    expect(page.locator(".empty:visible .done")).to_have_count(0)
    upload(page, photo)


@pytest.mark.slow
def test_a_photo_becomes_a_picture_which_controls_redraw_without_another_run(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    run(page, "seg", "tiny")

    original = np.array(Image.open(photo))
    np.testing.assert_array_equal(shown(page, 0), original)  # PNG from end to end
    first = shown(page)
    assert first.shape == original.shape
    assert (first != original).mean() > 0.1

    card = page.locator(".card").inner_text()
    without_legend = changed(page, page.get_by_role("checkbox", name="Legend").uncheck)
    assert (without_legend != first).any()
    reference = changed(page, lambda: choose(page, "reference"))
    assert (reference != without_legend).mean() > 0.1
    assert page.locator(".card").inner_text() == card  # what was run is still the one run


@pytest.mark.slow
def test_every_file_of_a_task_can_be_taken_in_the_style_shown(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    run(page, "seg", "tiny")
    labels = Image.open(download(page, "Labels"))
    assert (labels.mode, labels.size) == ("P", (480, 640))
    with np.load(download(page, "Arrays")) as arrays:
        np.testing.assert_array_equal(arrays["labels"], np.array(labels))
    picture = download(page, "Picture")
    assert picture.name == "two_people_seg.png"
    np.testing.assert_array_equal(np.array(Image.open(picture)), shown(page))

    changed(page, lambda: choose(page, "reference"))
    # The files are written again after the picture is shown.
    until(lambda: (np.array(Image.open(download(page, "Picture"))) == shown(page)).all())

    run(page, "pointmap")
    expect(page.get_by_role("button", name="PLY")).to_be_enabled()
    names = page.locator(".files button:visible").all_inner_texts()
    assert [name.split(" · ")[1] for name in names if name] == ["PNG", "PNG", "PLY", "GLB", "NPZ", "PNG", "ZIP"]


@pytest.mark.slow
def test_people_are_listed_and_boxes_of_ones_own_are_used_instead(visit: Callable, tmp_path: Path) -> None:
    page = visit()
    upload(page, draw_photo(tmp_path / "square.png", (640, 640)))
    run(page, "detect", "rtmdet-m")
    found = json.loads(download(page, "Data").read_text())["people"]
    assert found

    page.get_by_role("button", name="People in the photo").click()
    page.get_by_role("button", name="Add a box").click()
    expect(page.get_by_role("radio", name="Boxes below")).to_be_checked()
    page.get_by_test_id("cell-0-0").dblclick()
    page.keyboard.press("Control+A")
    page.keyboard.type("150.5")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("cell-0-0")).to_contain_text("150.5")
    run(page)
    own = json.loads(download(page, "Data").read_text())["people"]
    assert own[0]["box_xyxy"] == [150.5, 80, 480, 560]
    assert len(own) == len(found) + 1
    assert page.locator(".report .cm-content").inner_text().count("--boxes=") == len(own)

    choose(page, "whole")
    run(page)
    whole = json.loads(download(page, "Data").read_text())["people"]
    assert [person["box_xyxy"] for person in whole] == [[0, 0, 639, 639]]


@pytest.mark.slow
def test_people_are_cut_out_after_the_run_with_one_more_network(visit: Callable, photo: Path, tmp_path: Path) -> None:
    page = visit()
    upload(page, draw_photo(tmp_path / "before.png", (60, 80)))
    run(page, "pointmap", "tiny")
    changed(page, lambda: choose(page, "none"))
    replace_photo(page, photo)
    run(page)
    whole = shown(page)
    choose(page, "auto")
    expect(page.locator("#status")).to_contain_text("People are cut out", timeout=RUN_MS)
    until(lambda: (shown(page) != whole).any())
    choose(page, "none")  # and back, without any
    until(lambda: (shown(page) == whole).all())


@pytest.mark.slow
def test_stop_ends_a_run_and_the_next_one_works(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    choose(page, "pose", "tiny")  # the small detector sees dozens of people, so this takes a while
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text(re.compile(r"Person \d+ of \d+"), timeout=RUN_MS)
    stop(page)
    expect(page.locator("#stop")).to_be_disabled()
    run(page, "seg")
    assert shown(page).shape == (640, 480, 3)


@pytest.mark.slow
def test_another_photo_ends_the_run_of_the_first(visit: Callable, photo: Path, tmp_path: Path) -> None:
    page = visit()
    upload(page, photo)
    choose(page, "pose", "tiny")
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text(re.compile(r"Person \d+ of \d+"), timeout=RUN_MS)
    other = tmp_path / "other.png"
    Image.new("RGB", (300, 200), "white").save(other)
    replace_photo(page, other)
    expect(page.locator("#run")).to_be_enabled(timeout=RUN_MS)
    expect(page.locator(".empty")).to_be_visible(timeout=RUN_MS)
    run(page, "seg")
    assert shown(page).shape == (200, 300, 3)


@pytest.mark.slow
def test_missing_weights_are_told_with_what_to_do(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    choose(page, "normal", "tiny")
    page.locator("#run").click()
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("The weights are not on this machine", timeout=RUN_MS)
    expect(notice).to_contain_text("sapiens2_tiny_normal.safetensors")
    expect(notice).to_contain_text("HF_HUB_OFFLINE")
    expect(page.locator("#run")).to_be_enabled()
    expect(page.locator(".empty")).to_be_visible()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\xff\xd8\xff no photo", "bad.jpg is not an image that can be read"), (b"", "bad.jpg is empty")],
    ids=["not an image", "empty"],
)
def test_a_bad_photo_is_told_at_once(visit: Callable, tmp_path: Path, content: bytes, sentence: str) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(content)
    page = visit()
    page.locator(".photo input[type=file]").set_input_files(bad)
    expect(page.get_by_role("alert")).to_contain_text(sentence)


@pytest.mark.slow
def test_run_without_a_photo_says_so(visit: Callable) -> None:
    page = visit()
    page.locator("#run").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no photo yet")
    expect(page.locator("#run")).to_be_enabled()


@pytest.mark.slow
def test_a_turned_photo_is_shown_upright_and_nothing_of_its_exif_stays(
    visit: Callable, server: Server, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    exif[0x010E] = SECRET
    page = visit()
    upload(page, draw_photo(tmp_path / "turned.jpg", (640, 480), exif=exif))
    run(page, "seg", "tiny")
    assert shown(page).shape == (640, 480, 3)
    for file in server.files.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_leaving_the_page_removes_the_visitors_photo(visit: Callable, server: Server, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    run(page, "seg", "tiny")
    files = {file for file in server.files.rglob("two_people*")}
    assert files
    page.context.close()
    until(lambda: not any(file.exists() for file in files), 60)


@pytest.mark.slow
def test_on_a_phone_nothing_is_wider_than_the_screen(visit: Callable, photo: Path) -> None:
    page = visit(390, 844)
    upload(page, photo)
    run(page, "seg", "tiny")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_a_full_size_network_runs_in_the_page(
    chromium: "playwright.Browser", reference: Path, tmp_path: Path, photo: Path
) -> None:
    rule.write_checkpoint(tmp_path / "weights/seg/sapiens2_0.4b_seg.safetensors", rule.manifest("seg-0.4b"))
    with serving(["app.py"], tmp_path, {}) as server:
        page = chromium.new_page()
        page.goto(server.url)
        upload(page, photo)
        choose(page, "seg", "0.4b")
        page.locator("#run").click()
        expect(page.locator("#status")).to_contain_text(re.compile(r"Block \d+ of 24"), timeout=300_000)
        expect(page.locator("#status .done")).to_be_visible(timeout=300_000)
        assert shown(page).shape == (640, 480, 3)
        page.close()
