"""The tab Features in Chromium: colours of one photo and two, a press on a picture and what is like it, people alone,
files, Stop, and problems told in a sentence. With the demo weights, whose pictures are not judged here."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import browser
import numpy as np
import pytest
from browser import RUN_MS, Server, draw_photo, fetched, until, visiting
from PIL import Image

import sapiens_mlx as sm
from sapiens_mlx import inventory, runtime, zoo
from sapiens_mlx.tasks import draw

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

upload = partial(browser.upload, tab="features")
run = partial(browser.run, tab="features")
download = partial(browser.download, tab="features")


@pytest.fixture
def visit(visit: Callable) -> Callable:
    """Opens the page at the tab."""
    return lambda *size: browser.open_tab(visit(*size), "Features", "features")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return draw_photo(tmp_path / "wide.png", (700, 400))


def upload_second(page: "playwright.Page", photo: Path) -> None:
    frame = page.locator("#features .second")
    if not frame.locator(".photo").is_visible():
        frame.get_by_role("button", name="A second photo").click()
    frame.locator("input[type=file]").set_input_files(photo)
    expect(frame.locator("img")).to_be_visible()
    page.wait_for_timeout(1000)  # until the page has it from the server, upright


def choose(page: "playwright.Page", name: str) -> None:
    browser.check(page.locator("#features").get_by_role("radio", name=name, exact=True))


def shown(page: "playwright.Page", which: str) -> str:
    """The address of a picture: "colours-0", "alike-1"."""
    return page.locator(f"#features .{which} img").evaluate("image => image.src")


def picture(page: "playwright.Page", which: str) -> np.ndarray:
    return fetched(page, shown(page, which))


def press(page: "playwright.Page", which: str, x: float, y: float) -> None:
    """A press on a picture at a share of its width and height; waits for what it brings."""
    index = which[-1]
    before = shown(page, f"alike-{index}")
    image = page.locator(f"#features .{which} img")
    box = image.bounding_box()
    image.click(position={"x": x * box["width"], "y": y * box["height"]})
    expect(page.locator(f"#features .alike-{index} img")).not_to_have_attribute("src", before)


def test_an_example_shows_its_features_at_once(visit: Callable) -> None:
    page = visit()
    page.locator("#features .example").first.click()
    expect(page.locator("#features-status .done")).to_be_visible(timeout=RUN_MS)
    expect(page.locator("#features-told")).to_contain_text("Press any place in a picture")
    expect(page.locator("#features .card")).to_contain_text("18 x 24 patches, 192 numbers each")
    expect(page.locator("#features .notes")).to_contain_text("trained on drawn figures")
    expect(page.locator("#features .card").get_by_role("link", name="MIT License")).to_be_visible()
    expect(page.locator("#features .colours-1")).to_be_hidden()


@pytest.mark.slow
def test_the_picture_is_another_than_pythons_or_a_press_asks_for_another_patch(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    run(page)
    expected = sm.load("features", "demo", "fp32" if runtime.device() == "cpu" else "bf16")(photo)
    np.testing.assert_array_equal(picture(page, "colours-0"), expected.picture())
    np.testing.assert_array_equal(picture(page, "alike-0"), np.array(Image.open(photo)))

    press(page, "colours-0", 0.33, 0.4)
    told = page.locator("#features-told [role=status]")
    expect(told).to_contain_text("Like the place at")
    x, y = (int(part) for part in told.inner_text().split(" at ")[1].split(" of ")[0].split(","))
    assert abs(x - 0.33 * 480) <= 2 and abs(y - 0.4 * 640) <= 2
    # The ring may be a pixel beside ours, where the browser has rounded the press; the colours are the same.
    ours = expected.similarity(x, y).picture().astype(int)
    differing = np.abs(picture(page, "alike-0") - ours).max(-1) > 8
    assert differing.mean() < 0.002

    before = picture(page, "alike-0")
    press(page, "alike-0", 0.9, 0.05)
    expect(told).not_to_contain_text(f"{x}, {y}")
    assert (picture(page, "alike-0") != before).any()


@pytest.mark.slow
def test_a_second_photo_is_searched_and_can_be_asked_about(visit: Callable, photo: Path, second: Path) -> None:
    page = visit()
    upload(page, photo)
    run(page)
    upload_second(page, second)
    run(page)
    assert picture(page, "colours-1").shape == (400, 700, 3)
    press(page, "colours-0", 0.33, 0.4)
    expect(page.locator("#features-told")).to_contain_text("The best match in the other photo has a cosine of")
    assert picture(page, "alike-1").shape == (400, 700, 3)
    press(page, "colours-1", 0.5, 0.1)
    expect(page.locator("#features-told")).to_contain_text("of the second photo")
    assert "predict 'two people.png' wide.png --task features" in command(page)
    for label in ("Colours 1", "Arrays 2", "Similarity 2"):
        expect(page.locator("#features").get_by_role("button", name=label)).to_be_visible()
    with np.load(download(page, "Arrays 2")) as arrays:
        assert arrays["features"].shape == (24, 18, 192) and arrays["storage"].shape == (8, 192)
    similar = download(page, "Similarity 1 · PNG")
    assert similar.name == "two_people_similarity.png" and Image.open(similar).size == (480, 640)

    page.locator("#features .second").get_by_label("Clear").or_(
        page.locator("#features .second").get_by_role("button", name="Remove")
    ).first.click()
    expect(page.locator("#features .colours-1")).to_be_hidden()
    run(page)
    expect(page.locator("#features .colours-1")).to_be_hidden()


def command(page: "playwright.Page") -> str:
    return page.locator("#features .cm-content").inner_text().replace("\n", " ")


@pytest.mark.slow
def test_people_alone_are_coloured_before_and_after_the_run(visit: Callable) -> None:
    page = visit()
    page.locator("#features .example").first.click()
    expect(page.locator("#features-status .done")).to_be_visible(timeout=RUN_MS)
    whole = picture(page, "colours-0")
    before = shown(page, "colours-0")
    choose(page, "People")
    expect(page.locator("#features .colours-0 img")).not_to_have_attribute("src", before, timeout=RUN_MS)
    cut = picture(page, "colours-0")
    black = (cut == draw.BLACK).all(-1)
    assert 0.2 < black.mean() < 1 and not (whole == draw.BLACK).all(-1).any()
    expect(page.locator("#features .cm-content")).to_contain_text("--foreground auto")
    run(page)
    np.testing.assert_array_equal(picture(page, "colours-0"), cut)
    before = shown(page, "colours-0")
    choose(page, "All of the photo")
    expect(page.locator("#features .colours-0 img")).not_to_have_attribute("src", before, timeout=RUN_MS)
    np.testing.assert_array_equal(picture(page, "colours-0"), whole)


@pytest.mark.slow
def test_the_look_changes_without_a_run(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    run(page)
    smooth, before = picture(page, "colours-0"), shown(page, "colours-0")
    page.get_by_role("checkbox", name="Smooth between patches").uncheck()
    expect(page.locator("#features .colours-0 img")).not_to_have_attribute("src", before)
    blocks = picture(page, "colours-0")
    assert (blocks[3, 3] == blocks[20, 20]).all() and (blocks != smooth).any()


@pytest.mark.slow
def test_other_weights_are_told_before_the_run(visit: Callable, photo: Path) -> None:
    page = visit()
    choose(page, "1b-4k")
    about = page.locator("#features .choice")
    expect(about).to_contain_text("1.6 billion parameters")
    expect(about).to_contain_text("Sapiens2 License")
    expect(page.locator("#features .choices")).to_contain_text("3072 x 4096 pixels")
    too_large = [level for level in zoo.LEVELS if inventory.too_large("features", "5b", level)]
    if too_large:
        choose(page, "5b")
        choose(page, too_large[0])
        expect(page.locator("#features .choices")).to_contain_text(f"5b at {too_large[0]} takes about")
    choose(page, "0.1b")
    upload(page, photo)
    page.locator("#features-run").click()
    expect(page.get_by_role("alert")).to_contain_text("sapiens2_0.1b_pretrain.safetensors", timeout=RUN_MS)
    expect(page.locator("#features-run")).to_be_enabled()
    expect(page.locator("#features .empty")).to_be_visible()


@pytest.mark.slow
def test_no_photo_and_a_bad_one_are_told(visit: Callable, photo: Path, tmp_path: Path) -> None:
    page = visit()
    page.locator("#features-run").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no photo yet")
    page.locator("#features").get_by_role("button", name="Take the photo of the Studio").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no photo in the Studio yet")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    upload(page, bad)
    expect(page.get_by_role("alert")).to_contain_text("bad.jpg is not an image that can be read")
    upload(page, photo)
    expect(page.get_by_role("alert")).to_have_count(0)  # the notice of the photo before is gone
    run(page)
    page.locator("#features .second").get_by_role("button", name="A second photo").click()
    page.locator("#features .second input[type=file]").set_input_files(bad)
    expect(page.get_by_role("alert")).to_contain_text("bad.jpg is not an image that can be read")
    expect(page.locator("#features .colours-0 img")).to_be_visible()  # what is shown of the first photo stays


@pytest.mark.slow
def test_the_studios_photo_is_taken(visit: Callable, photo: Path) -> None:
    page = visit()
    page.get_by_role("tab", name="Studio").click()
    browser.upload(page, photo)
    page.get_by_role("tab", name="Features").click()
    page.locator("#features").get_by_role("button", name="Take the photo of the Studio").click()
    expect(page.locator("#features .empty .done")).to_be_visible()
    run(page)
    assert "two people.png" in command(page)


@pytest.mark.slow
def test_a_phone_has_to_scroll_sideways(visit: Callable, photo: Path) -> None:
    page = visit(390, 844)
    upload(page, photo)
    run(page)
    press(page, "colours-0", 0.33, 0.4)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    tops = [page.locator(f"#features .{name}-0 img").bounding_box()["y"] for name in ("colours", "alike")]
    assert tops[1] > tops[0] + 100  # one below the other


@pytest.mark.slow
def test_leaving_the_page_removes_what_was_computed(visit: Callable, server: Server, photo: Path, second: Path) -> None:
    page = visit()
    upload(page, photo)
    upload_second(page, second)
    run(page)
    files = {*server.files.rglob("two_people*"), *server.files.rglob("wide*")}
    assert len(files) >= 4
    page.context.close()
    until(lambda: not any(file.exists() for file in files), 60)


@pytest.mark.slow
def test_the_tab_compare_judges_features_by_cosine_and_refuses_two_sizes(chromium, server: Server, photo: Path) -> None:
    with visiting(chromium, server.url) as open_page:
        page = open_page()
        page.get_by_role("tab", name="Compare levels").click()
        tab = page.locator("#compare")
        tab.locator(".photo input[type=file]").set_input_files(photo)
        expect(tab.locator(".empty .done")).to_be_visible(timeout=30_000)
        browser.check(tab.get_by_role("radio", name="Features", exact=True))
        expect(page.locator("#sizes label")).to_have_text(["demo", "0.1b", "0.4b", "0.8b", "1b", "5b", "1b-4k"])
        page.locator("#compare-run").click()
        expect(page.locator("#compare-status .done")).to_be_visible(timeout=RUN_MS)
        expect(page.locator("#levels thead")).to_contain_text("Mean cosine")
        expect(page.locator("#levels .reference")).to_contain_text("1.0000")
        expect(page.locator("#charts svg").first).to_contain_text("Mean cosine (up is better)")
        browser.check(page.locator("#sizes").get_by_role("checkbox", name="0.1b"))
        expect(page.locator("#levels_0_1b")).to_be_visible()
        page.locator("#compare-run").click()
        expect(page.get_by_role("alert")).to_contain_text("Choose one size", timeout=RUN_MS)
