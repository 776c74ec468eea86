"""The tab Compare levels in Chromium: levels computed in turn, seen side by side, sorted, exported, stopped; and its
problems told in a sentence. With the demo weights, whose pictures are not judged here."""

import csv
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import browser
import numpy as np
import pytest
from browser import RUN_MS, Server, fetched, until
from PIL import Image

from sapiens_mlx import inventory, runtime, zoo
from sapiens_mlx.compare import Comparison
from sapiens_mlx.ui.compare import sentences as compare_words
from sapiens_mlx.ui.compare.chart import COLOURS, charts

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = pytest.mark.browser

upload = partial(browser.upload, tab="compare")
run = partial(browser.run, tab="compare")
download = partial(browser.download, tab="compare")


@pytest.fixture
def visit(visit: Callable) -> Callable:
    """Opens the page at the tab."""
    return lambda *size: browser.open_tab(visit(*size), "Compare levels", "compare")


def tick(page: "playwright.Page", group: str, *names: str) -> None:
    """Makes these the ones that are ticked in a group of the left side, "sizes" or "levels_demo"."""
    boxes = page.locator(f"#{group}").get_by_role("checkbox").all()
    boxes.sort(key=lambda box: box.get_attribute("name") not in names)  # one size is always ticked
    for box in boxes:
        wanted = box.get_attribute("name") in names
        if box.is_checked() != wanted:
            browser.check(box, wanted)
            page.wait_for_timeout(400)  # what belongs to a size comes and goes with it


def view(page: "playwright.Page", name: str) -> None:
    browser.check(page.locator("#compare").get_by_role("radio", name=name, exact=True))


def pick(page: "playwright.Page", dropdown: str, name: str) -> None:
    page.locator("#compare").get_by_role("combobox", name=dropdown, exact=True).click()
    page.get_by_role("option", name=name, exact=True).click()


def names(page: "playwright.Page") -> list[str]:
    """The variants in the order in which the table has them."""
    return [text.split()[0] for text in page.locator("#levels tbody th").all_inner_texts()]


def picture(page: "playwright.Page", selector: str, which: int = 0) -> np.ndarray:
    return fetched(page, page.locator(selector).nth(which).evaluate("image => image.src"))


SLIDER = "#compare .picture .slider-wrap img"


def test_an_example_is_compared_at_once_and_everything_is_shown(visit: Callable) -> None:
    page = visit()
    page.locator("#compare .example").first.click()
    expect(page.locator("#compare-status .done")).to_be_visible(timeout=RUN_MS)
    assert names(page) == ["fp32", "8bit", "4bit"]
    expect(page.locator("#levels .reference")).to_contain_text("100.00 %")
    expect(page.locator("#compare .notes")).to_contain_text("Compared with fp32")
    expect(page.locator("#compare .notes")).to_contain_text("trained on drawn figures")
    expect(page.locator("#compare .notes").get_by_role("link", name="MIT License")).to_be_visible()
    if runtime.device() == "cpu":
        expect(page.locator("#compare .notes")).to_contain_text("every level computes in float32")
    assert page.locator("#charts svg").count() == 2
    for drawing in page.locator("#charts svg").all():
        for name in ("fp32 (reference)", "8bit", "4bit"):
            expect(drawing.get_by_text(name, exact=True)).to_be_visible()


@pytest.mark.slow
def test_any_two_pictures_stand_in_the_slider_and_differences_have_one_of_their_own(
    visit: Callable, photo: Path
) -> None:
    page = visit()
    upload(page, photo)
    run(page)
    original = np.array(Image.open(photo))
    newest = picture(page, SLIDER, 1)
    before = page.locator(SLIDER).first.get_attribute("src")
    pick(page, "Left", "Photo")
    expect(page.locator(SLIDER).first).not_to_have_attribute("src", before)
    np.testing.assert_array_equal(picture(page, SLIDER, 0), original)  # PNG from end to end
    np.testing.assert_array_equal(picture(page, SLIDER, 1), newest)

    view(page, "Differences of one")
    shown = "#compare .picture img[alt^='Where the variant differs']"
    expect(page.locator(shown)).to_be_visible()
    of_4bit, before = picture(page, shown), page.locator(shown).get_attribute("src")
    pick(page, "Differences of", "fp32")
    expect(page.locator(shown)).not_to_have_attribute("src", before)
    of_reference = picture(page, shown)
    assert of_reference.shape == of_4bit.shape == original.shape


@pytest.mark.slow
def test_all_pictures_zoom_and_move_in_step(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    run(page)
    view(page, "All in step")
    expect(page.locator("#gallery figure")).to_have_count(4)

    def windows() -> list[list[int]]:
        """Zoom, left and top in pixels of each picture; rounded, since tiles can be a fraction of one apart."""
        script = "[...document.querySelectorAll('#gallery img')].filter(image => image.offsetParent)"
        matrices = page.evaluate(f"{script}.map(image => new DOMMatrix(getComputedStyle(image).transform))")
        return [[round(matrix[name]) for name in "aef"] for matrix in matrices]

    assert windows() == [[1, 0, 0]] * 4
    tile = page.locator("#gallery .window").nth(1)
    tile.scroll_into_view_if_needed()
    box = tile.bounding_box()
    left, top = box["x"] + 5, box["y"] + 5
    page.mouse.dblclick(left, top)
    zoomed = windows()
    assert zoomed == [zoomed[0]] * 4
    assert zoomed[0][0] == 2
    page.mouse.move(left + 60, top + 60)
    page.mouse.down()
    page.mouse.move(left + 20, top + 30)
    page.mouse.up()
    moved = windows()
    assert moved == [moved[0]] * 4
    np.testing.assert_allclose(moved[0], np.add(zoomed[0], (0, -40, -30)), atol=1)
    tile.focus()
    page.keyboard.press("+")
    assert [zoom for zoom, _, _ in windows()] == [4] * 4
    page.get_by_role("button", name="Show the whole picture").click()
    assert windows() == [[1, 0, 0]] * 4

    page.get_by_role("checkbox", name="Differences instead of results").check()
    visible = "[...document.querySelectorAll('#gallery img')].filter(image => image.offsetParent).map(one => one.alt)"
    assert page.evaluate(visible) == ["Photo", "Differences of fp32", "Differences of 8bit", "Differences of 4bit"]


@pytest.mark.slow
def test_the_table_sorts_and_the_exports_say_what_it_says(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    run(page)
    page.get_by_role("button", name="File", exact=True).click()
    assert names(page) == ["4bit", "8bit", "fp32"]  # the best, which is the smallest, first
    page.get_by_role("button", name="File", exact=True).click()
    assert names(page) == ["fp32", "8bit", "4bit"]
    expect(page.get_by_role("columnheader", name="File")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="Equal labels").click()
    assert names(page)[0] == "fp32"

    with download(page, "Table · CSV").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["level"] for row in rows] == ["fp32", "8bit", "4bit"]
    cell = page.locator("#levels tbody tr", has_text="4bit").locator("td").first
    assert float(cell.get_attribute("data-value")) == float(rows[2]["pixel_agreement"])
    sheet = download(page, "All as one picture · PNG")
    assert sheet.name == "two_people_compare_seg.png"
    assert Image.open(sheet).width > 1000
    words = page.locator("#compare .cm-content").inner_text().replace("\n", " ")
    assert "compare 'two people.png' --task seg --size demo --levels fp32,8bit,4bit --reference fp32" in words


@pytest.mark.slow
def test_stop_keeps_what_is_done_and_compare_goes_on_from_there(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    tick(page, "levels_demo", *zoo.LEVELS)
    expect(page.locator("#compare .choice")).to_contain_text("10 variants are ticked")
    page.locator("#compare-run").click()
    expect(page.locator("#levels tbody tr").nth(1)).to_be_visible(timeout=RUN_MS)  # results stream in
    browser.stop(page, "compare")
    expect(page.locator("#compare-stop")).to_be_disabled()
    kept = page.locator("#levels tbody tr").all_inner_texts()
    assert 2 <= len(kept) < len(zoo.LEVELS)
    with download(page, "Table · CSV").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(kept)

    run(page)
    assert names(page) == list(zoo.LEVELS)
    assert page.locator("#levels tbody tr").all_inner_texts()[: len(kept)] == kept  # not computed again


@pytest.mark.slow
def test_a_size_without_weights_fails_in_its_row_and_the_others_go_on(visit: Callable, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    tick(page, "sizes", "demo", "0.4b")
    tick(page, "levels_0_4b", "fp32")
    tick(page, "levels_demo", "fp32", "4bit")
    expect(page.locator("#compare .choice")).to_contain_text("Sapiens2 License")
    run(page)
    failed = page.locator("#levels .failed")
    expect(failed).to_have_count(1)
    expect(failed).to_contain_text("0.4b fp32")
    expect(failed).to_contain_text("HF_HUB_OFFLINE")
    expect(page.locator("#compare .notes")).to_contain_text("0.4b:fp32 failed, so demo:fp32 is the reference")
    assert page.locator("#levels tbody tr:not(.failed)").count() == 2

    pick(page, "Reference, by which all are measured", "0.4b fp32")
    page.locator("#compare-run").click()
    expect(page.get_by_role("alert")).to_contain_text("There is nothing to compare with", timeout=RUN_MS)
    expect(page.locator("#compare-run")).to_be_enabled()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("levels", "sentence"),
    [(["8bit"], "demo:8bit would be compared with itself"), ([], "There is nothing to compare")],
    ids=["one", "none"],
)
def test_too_few_variants_are_told(visit: Callable, photo: Path, levels: list[str], sentence: str) -> None:
    page = visit()
    upload(page, photo)
    tick(page, "levels_demo", *levels)
    page.locator("#compare-run").click()
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    expect(page.locator("#compare-run")).to_be_enabled()
    expect(page.locator("#compare .empty")).to_be_visible()


@pytest.mark.slow
def test_no_photo_and_a_bad_one_are_told(visit: Callable, tmp_path: Path) -> None:
    page = visit()
    page.locator("#compare-run").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no photo yet")
    page.get_by_role("button", name="Take the photo of the Studio").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no photo in the Studio yet")
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    upload(page, bad)
    expect(page.get_by_role("alert")).to_contain_text("bad.jpg is not an image that can be read")


@pytest.mark.slow
def test_the_studios_photo_can_be_compared(visit: Callable, photo: Path) -> None:
    page = visit()
    page.get_by_role("tab", name="Studio").click()
    browser.upload(page, photo)
    page.get_by_role("tab", name="Compare levels").click()
    page.get_by_role("button", name="Take the photo of the Studio").click()
    expect(page.locator("#compare .empty .done")).to_be_visible()
    run(page)
    expect(page.locator("#compare .cm-content")).to_contain_text("two people.png")
    browser.remove_photo(page, "compare")
    expect(page.locator("#compare .empty")).to_be_visible()
    expect(page.locator("#compare .empty .done")).to_have_count(0)


@pytest.mark.slow
def test_what_does_not_fit_into_the_memory_cannot_be_ticked_and_says_why(visit: Callable) -> None:
    limit = runtime.memory_limit_bytes()
    too_large = [level for level in zoo.LEVELS if inventory.needed_bytes("5b", level) > limit]
    if not too_large:
        pytest.skip("the largest network fits into this machine")
    page = visit()
    tick(page, "sizes", "5b")
    expect(page.locator("#compare .too-large")).to_contain_text("Too large for this machine")
    assert page.locator("#compare .too-large li").all_inner_texts() == too_large
    offered = page.locator("#levels_5b label").all_inner_texts()
    assert offered == [level for level in zoo.LEVELS if level not in too_large]


@pytest.mark.slow
def test_a_task_offers_the_sizes_it_comes_in(visit: Callable) -> None:
    page = visit()
    tick(page, "sizes", "0.4b")
    view(page, "Cut-out")
    expect(page.locator("#sizes label")).to_have_text(list(zoo.TASKS["matting"].sizes))
    expect(page.locator("#sizes label.selected")).to_have_text(["1b"])  # and not the demo's
    expect(page.locator("#levels_1b")).to_be_visible()
    expect(page.locator("#levels_0_4b")).to_have_count(0)


@pytest.mark.slow
def test_leaving_the_page_removes_what_was_compared(visit: Callable, server: Server, photo: Path) -> None:
    page = visit()
    upload(page, photo)
    run(page)
    files = set(server.files.rglob("two_people*"))
    assert files
    page.context.close()
    until(lambda: not any(file.exists() for file in files), 60)


@pytest.mark.slow
def test_on_a_phone_nothing_is_wider_than_the_screen(visit: Callable, photo: Path) -> None:
    page = visit(390, 844)
    upload(page, photo)
    run(page)
    for name in ("All in step", "Differences of one", "Two in a slider"):
        view(page, name)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


# ---- without a browser ----------------------------------------------------------------------------------------------


def test_charts_show_what_is_equal_and_take_the_pages_colours(photo: Path) -> None:
    comparison = Comparison(photo, "albedo", ["demo:fp32", "demo:bf16", "demo:4bit"], runs=1)
    assert charts(comparison) == ""
    assert all(entry.error is None for entry in comparison)
    drawn = charts(comparison)  # the reference's PSNR against itself is infinite
    assert drawn.count("<svg") == 2
    assert drawn.count("fp32 (reference)") == 2
    assert "style>" not in drawn  # which would reach the whole page
    for stand_in, colour in COLOURS.items():
        assert stand_in not in drawn
        assert colour in drawn
    table = compare_words.table(comparison)
    assert re.search(r'data-value="inf">equal<', table)
