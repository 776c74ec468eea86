"""Places in the Studio's picture, pressed or typed, in Chromium: what is told of one is what the files hold there, and
of two their distance. With the demo weights, whose pictures are not judged here."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import (
    Server,
    changed,
    check,
    draw_person,
    files_shown,
    press,
    radio,
    run,
    show,
    shown,
    tick,
    until,
    upload,
    visiting,
)

from sapiens_mlx.tasks.keypoints import readable_name
from sapiens_mlx.tasks.seg import classes

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHEST, BELLY = (0.52, 0.38), (0.55, 0.55)  # of the drawn person, as shares of the photo's width and height
SIZE = np.array((360, 480))


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_person(tmp_path_factory.mktemp("photo") / "one person.png")


@pytest.fixture(scope="module")
def page(chromium: "playwright.Browser", server: Server, person: Path) -> Iterator["playwright.Page"]:
    """A page on which four tasks have been run."""
    with visiting(chromium, server.url) as open_page:
        page = open_page()
        upload(page, person)
        tick(page, "seg", "pose", "normal", "pointmap")
        run(page)
        yield page


def told(page: "playwright.Page", places: int) -> str:
    """What is said about so many places; a press after two begins anew."""
    expect(page.locator(".probe h3", has_text="Place")).to_have_count(places)
    return page.locator(".probe").inner_text()


def at(text: str, number: int = 1) -> tuple[int, int]:
    """The pixel of the photo that place `number` is said to be at."""
    x, y = re.search(rf"Place {number}\s+at (\d+), (\d+) px", text).groups()
    return int(x), int(y)


def ask_one(page: "playwright.Page", x: float, y: float) -> str:
    """The first of two places, whatever has been asked before."""
    if page.locator(".probe h3", has_text="Place").count() == 1:
        type_place(page, "1, 1")
        told(page, 2)
    press(page, x, y)
    return told(page, 1)


def type_place(page: "playwright.Page", text: str) -> None:
    field = page.locator(".place").locator("input, textarea").first
    field.fill(text)
    field.press("Enter")


def numbers(pattern: str, text: str) -> list[float]:
    return [float(number) for number in re.search(pattern, text).groups()]


def test_a_press_tells_what_the_files_hold_there(page: "playwright.Page") -> None:
    show(page, "pointmap")
    arrays = np.load(io.BytesIO(files_shown(page)["one_person_pointmap.npz"]))
    show(page, "normal")
    normals = np.load(io.BytesIO(files_shown(page)["one_person_normal.npz"]))
    show(page, "seg", "picture")
    labels = np.load(io.BytesIO(files_shown(page)["one_person_seg.npz"]))["labels"]
    text = ask_one(page, *CHEST)
    x, y = at(text)
    assert np.abs(np.subtract((x, y), SIZE * CHEST)).max() <= 1.5
    assert re.search(r"Body part\s+(.+)", text)[1] == classes().title(int(labels[y, x]))
    (depth_m,) = numbers(r"Depth\s+([\d.]+) m", text)
    points = arrays[next(key for key in arrays if arrays[key].shape == (480, 360, 3))]
    assert depth_m == pytest.approx(points[y, x, 2], abs=0.006)
    across, _, away = numbers(r"Position\s+([\d.]+) m (?:left|right), ([\d.]+) m (?:up|down), ([\d.]+) m away", text)
    assert away == depth_m
    assert across == pytest.approx(abs(points[y, x, 0]), abs=0.006)
    told_normal = np.array(numbers(r"Normal\s+([\d.]+) \w+, ([\d.]+) \w+, ([\d.]+) ", text))
    expected = np.abs(normals[next(key for key in normals if normals[key].shape == (480, 360, 3))][y, x])
    np.testing.assert_allclose(told_normal, expected, atol=0.006)


def test_a_press_at_a_keypoint_names_it(page: "playwright.Page") -> None:
    show(page, "pose", "picture")
    person = json.loads(files_shown(page)["one_person_pose.json"])["people"][0]
    points = np.array([(one["x"], one["y"]) for one in person["keypoints"]])
    apart = np.hypot(*(points[:, None] - points).transpose(2, 0, 1)) + 1e6 * np.eye(len(points))
    apart[:, [one["score"] <= 0.3 for one in person["keypoints"]]] = np.inf
    inside = ((points > 5) & (points < SIZE - 5)).all(1) & np.array([one["score"] > 0.5 for one in person["keypoints"]])
    lonely = int(np.argmax(np.where(inside, apart.min(1), 0)))
    text = ask_one(page, *((points[lonely] + 0.5) / SIZE))
    name = readable_name(lonely)
    assert re.search(rf"Keypoint\s+{re.escape(name)} of person 1, [01] px away", text, re.IGNORECASE)


def test_a_second_press_tells_the_distance_and_a_third_begins_anew(page: "playwright.Page") -> None:
    show(page, "pointmap", "picture")
    arrays = np.load(io.BytesIO(files_shown(page)["one_person_pointmap.npz"]))
    points = arrays[next(key for key in arrays if arrays[key].shape == (480, 360, 3))]
    ask_one(page, *CHEST)
    press(page, *BELLY)
    text = told(page, 2)
    first, second = (np.array(at(text, number)) for number in (1, 2))
    apart = points[second[1], second[0]] - points[first[1], first[0]]
    straight, horizontal, vertical = numbers(
        r"Straight\s+([\d.]+) cm\s+Horizontal\s+([\d.]+) cm\s+Vertical\s+([\d.]+) cm", text
    )
    assert straight == pytest.approx(100 * np.linalg.norm(apart), abs=0.06)
    assert vertical == pytest.approx(100 * abs(apart[1]), abs=0.06)
    assert straight == pytest.approx(np.hypot(horizontal, vertical), abs=0.15)
    assert "taken as level" in text
    press(page, *CHEST)
    assert "From 1 to 2" not in told(page, 1)


def test_places_are_marked_where_they_are(page: "playwright.Page") -> None:
    show(page, "seg", "picture")
    ask_one(page, *BELLY)
    marked = changed(page, lambda: press(page, *CHEST)).astype(int)
    check(radio(page, "slider", ".look"))
    page.locator(".slider-wrap img:visible").first.wait_for()
    plain = shown(page).astype(int)
    rows, columns = np.nonzero(np.abs(marked - plain).sum(-1))
    assert rows.size
    for place in (CHEST, BELLY):  # between the two, and the room of a ring and its number around them
        assert np.hypot(columns - 360 * place[0], rows - 480 * place[1]).min() < 20
    assert rows.min() > 480 * CHEST[1] - 60
    assert rows.max() < 480 * BELLY[1] + 60


def test_the_photo_can_be_asked_and_a_typed_place_is_the_same(page: "playwright.Page") -> None:
    show(page, "seg", "photo")
    pressed = ask_one(page, *CHEST)
    type_place(page, "1 1")
    told(page, 2)
    type_place(page, "{}, {}".format(*at(pressed)))
    typed = told(page, 1)
    assert at(typed) == at(pressed)
    assert re.search(r"Depth\s+[\d.]+", typed)[0] == re.search(r"Depth\s+[\d.]+", pressed)[0]
    show(page, "seg")
    type_place(page, "1e9")
    expect(page.get_by_role("alert")).to_contain_text("such as 120, 340")
    type_place(page, "100, 479")  # in the slider too, of which a press cannot be told
    assert "From 1 to 2" in told(page, 2) or "No distance" in told(page, 2)


def test_a_place_outside_the_photo_is_told_and_not_kept(page: "playwright.Page") -> None:
    show(page, "seg", "picture")
    before = ask_one(page, *CHEST)
    type_place(page, "5000, 20")
    expect(page.get_by_role("alert")).to_contain_text("5000, 20 is outside the photo")
    show(page, "normal")
    assert told(page, 1) == before


def test_with_some_results_alone_the_others_are_not_guessed(visit: Callable, person: Path) -> None:
    page = visit()
    upload(page, person)
    tick(page, "normal")
    run(page)
    show(page, "normal", "picture")
    text = ask_one(page, *CHEST)
    assert "Normal" in text
    for other in ("Body part", "Keypoint", "Depth", "Position", "Albedo"):
        assert other not in text
    press(page, *BELLY)
    until(lambda: "No distance" in told(page, 2))
