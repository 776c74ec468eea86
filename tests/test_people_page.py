"""The parts of the page for people and backgrounds: their values as options, as a command line, and in Chromium."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import browser
import numpy as np
import pytest
import rule
from browser import Server, choose, chromium_path, download, radio, serving, until, upload
from page_values import VALUES
from PIL import Image

from sapiens_mlx.errors import BoxError, SapiensError
from sapiens_mlx.options import Options
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.ui import background, command, people, problems
from sapiens_mlx.ui.storage import Visits
from sapiens_mlx.ui.visit import Visit

# ---- without a browser ----------------------------------------------------------------------------------------------


def line(task: str, **values: object) -> str:
    report = Report(task, "demo", "fp32", "CPU", "float32", "MIT License")
    return command.command_line("a.jpg", [report], VALUES | values, None, "beach.jpg").split("--out out")[1].strip()


@pytest.mark.parametrize(
    ("values", "boxes", "detector", "words"),
    [
        ({}, None, "rtmdet", ""),
        ({"detector": "rfdetr"}, None, "rfdetr", "--detector rfdetr"),
        ({"people": "whole", "detector": "rfdetr"}, None, "none", "--detector none"),
        ({"people": "own", "boxes": [["-1", "2", "3", "4", ""]]}, [[-1, 2, 3, 4]], "rtmdet", "--boxes=-1,2,3,4"),
    ],
)
def test_who_is_looked_at_is_not_what_the_page_says(values, boxes, detector, words):
    options = Options(**people.options(VALUES | values))
    assert (options.boxes_xyxy, options.detector) == (boxes, detector)
    assert line("pose", **values) == words


@pytest.mark.parametrize(
    ("values", "chosen", "words"),
    [
        ({}, None, ""),
        ({"background": "blur"}, "blur", "--background blur"),
        ({"background": "colour"}, "#00b140", "--background '#00b140'"),
        ({"background": "colour", "background_colour": "rgba(12.4, 300, 7, 1)"}, "#0cff07", "--background '#0cff07'"),
        ({"background": "picture"}, "the array", "--background beach.jpg"),
    ],
)
def test_the_background_is_not_what_the_page_says(tmp_path, values, chosen, words):
    visit = Visit(tmp_path, background=np.zeros((2, 3, 3), np.uint8))
    found = background.chosen(visit, VALUES | values)
    assert found is visit.background if chosen == "the array" else found == chosen
    assert line("matting", **values) == words


def test_a_background_that_is_no_picture_is_a_sentence_and_the_one_before_stays(tmp_path):
    visits, visit = Visits(tmp_path), Visit(tmp_path)
    wanted = VALUES | {"background": "picture"}
    assert background.is_missing(visit, wanted) and background.chosen(visit, wanted) is None  # the checkerboard
    received = tmp_path / ("ab" * 32)  # where Gradio would put them
    received.mkdir()
    bad, good = received / "bad.png", received / "beach.png"
    bad.write_bytes(b"no picture")
    Image.new("RGB", (20, 10), "red").save(good)
    assert background.take(visits, visit, str(good)) == visit.background_name == "beach.png"
    with pytest.raises(SapiensError, match=r"bad\.png is not an image"):
        background.take(visits, visit, str(bad))
    assert (visit.background_name, visit.background.shape) == ("beach.png", (10, 20, 3))
    visits.release(visit)
    assert not bad.exists() and not good.exists()


def test_a_bad_file_of_boxes_is_told_with_its_folder(tmp_path):
    bad = tmp_path / ("ab" * 32) / "bad.csv"
    bad.parent.mkdir()
    bad.write_text("1,2,3\n")
    with pytest.raises(BoxError) as told:
        people.from_file(Visits(tmp_path), Visit(tmp_path), str(bad))
    assert problems.sentence(told.value).startswith("bad.csv is not a list of boxes (line 1 has 3")


# ---- in Chromium ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chromium_path()
    folder = tmp_path_factory.mktemp("page")
    for task in ("pose", "matting"):
        rule.write_tiny(folder / "weights", task)
    (folder / "no").mkdir()  # mlx-vlm as if it were not installed
    (folder / "no/sitecustomize.py").write_text("import sys\nsys.modules['mlx_vlm'] = None\n")
    with serving(["-m", "tests.page_process"], folder, {"PYTHONPATH": str(folder / "no")}) as server:
        yield server


@pytest.fixture
def page(visit, photo: Path):
    page = visit()
    upload(page, photo)
    page.locator(".empty .done").wait_for()
    return page


run = partial(browser.run, end=".done, .notice")


def shown_command(page) -> str:
    return page.locator(".report .cm-content").first.inner_text()


@pytest.mark.browser
@pytest.mark.slow
def test_backgrounds_are_not_drawn_behind_the_cut_out_nor_saved(page, tmp_path: Path) -> None:
    choose(page, "matting", "tiny")
    run(page)
    buttons = page.locator(".files button:visible", has_text="·")
    until(lambda: buttons.count() == 4)  # with the one for everything
    choose(page, "colour")
    until(lambda: buttons.count() == 5 and "'#00b140'" in shown_command(page))
    with np.load(download(page, "Arrays")) as arrays:
        foreground, behind = 255 * arrays["foreground"], 1 - arrays["alpha"][..., None]

    def differs(colour: tuple[int, int, int]) -> float:
        expected = np.clip(foreground + behind * colour, 0, 255)
        return np.abs(np.asarray(Image.open(download(page, "With background"))) - expected).max()

    assert differs((0, 177, 64)) <= 0.51

    browser.check(radio(page, "picture", ".style"))
    upload = page.locator("button.upload, .upload button").first
    upload.wait_for()
    run(page)
    page.locator(".notes .aside", has_text="no picture for the background yet").wait_for()
    Image.new("RGB", (60, 20), (200, 30, 90)).save(tmp_path / "wall.png")
    page.locator(".style input[type=file]").first.set_input_files(tmp_path / "wall.png")
    until(lambda: "--background wall.png" in shown_command(page))
    until(lambda: differs((200, 30, 90)) <= 0.51)

    browser.check(radio(page, "none", ".style"))
    until(lambda: buttons.count() == 4 and "--background" not in shown_command(page))


@pytest.mark.browser
@pytest.mark.slow
def test_boxes_from_a_file_are_not_those_that_pose_takes(page, tmp_path: Path) -> None:
    choose(page, "pose", "tiny")
    page.get_by_role("button", name="People in the photo").click()
    files = page.locator(".people .add input[type=file]")
    (tmp_path / "bad.csv").write_text("1,2,three,4\n")
    files.set_input_files(tmp_path / "bad.csv")
    page.get_by_role("alert").get_by_text("bad.csv is not a list of boxes (line 1 holds").wait_for()
    (tmp_path / "boxes.csv").write_text("x1;y1;x2;y2\n100;60;220.5;600\n")
    files.set_input_files(tmp_path / "boxes.csv")
    page.get_by_test_id("cell-0-2").get_by_text("220.5").wait_for()
    assert page.get_by_role("radio", name="Boxes below").first.is_checked()
    run(page)
    found = json.loads(download(page, "Data").read_text())["people"]
    assert [person["box_xyxy"] for person in found] == [[100, 60, 220.5, 600]]
    assert "--boxes=100,60,220.5,600" in shown_command(page)


@pytest.mark.browser
@pytest.mark.slow
def test_a_detector_that_is_not_installed_is_not_told_with_the_line_that_installs_it(page) -> None:
    choose(page, "pose", "tiny")
    page.get_by_role("button", name="People in the photo").click()
    choose(page, "rfdetr")
    run(page)
    notice = page.get_by_role("alert").inner_text()
    assert "mlx-vlm, which is not installed" in notice and 'pip install "mlx-vlm' in notice
    page.locator("#run:enabled").wait_for()


@pytest.mark.browser
@pytest.mark.slow
def test_poses_are_not_compared_over_the_boxes_of_a_file(page, tmp_path: Path) -> None:
    page.get_by_role("tab", name="Compare levels").click()
    page.get_by_role("button", name="Take the photo of the Studio").click()
    page.locator("#compare .empty .done").wait_for()
    tab = page.locator("#compare")
    assert not tab.get_by_role("button", name="People in the photo").is_visible()
    browser.check(tab.get_by_role("radio", name="Pose", exact=True))
    tab.get_by_role("button", name="People in the photo").click()
    (tmp_path / "boxes.json").write_text("[[100, 60, 220.5, 600]]")
    tab.locator(".people .add input[type=file]").set_input_files(tmp_path / "boxes.json")
    tab.get_by_test_id("cell-0-2").get_by_text("220.5").wait_for()
    assert tab.get_by_role("radio", name="Boxes below").is_checked()
    page.locator("#compare-run").click()
    page.locator("#compare-status .done").wait_for(timeout=60_000)
    words = tab.locator(".report .cm-content").inner_text()
    assert "--task pose" in words and words.count("--boxes") == 1 and "--boxes=100,60,220.5,600" in words
    assert "confident points of 1 person" in tab.locator(".notes").inner_text()
