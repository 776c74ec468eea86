"""What the Studio makes of results, in Chromium: relight, recolour, and the 3-D view. With the demo weights, whose
pictures are not judged here."""

import io
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import (
    UPLOAD_MS,
    Server,
    changed,
    check,
    draw_person,
    files_shown,
    radio,
    run,
    show,
    shown,
    tick,
    upload,
    visiting,
)

from sapiens_mlx.tasks.seg import classes

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_person(tmp_path_factory.mktemp("photo") / "one person.png")


@pytest.fixture(scope="module")
def page(chromium: "playwright.Browser", server: Server, person: Path) -> Iterator["playwright.Page"]:
    """A page on which has been run what others are made of."""
    with visiting(chromium, server.url) as open_page:
        page = open_page()
        upload(page, person)
        tick(page, "seg", "normal", "albedo", "pointmap")
        run(page)
        yield page


@pytest.fixture(scope="module")
def labels(page: "playwright.Page") -> np.ndarray:
    show(page, "seg")
    return np.load(io.BytesIO(files_shown(page)["one_person_seg.npz"]))["labels"]


def differs(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W) bool: where two pictures are not the same."""
    return (before != after).any(-1)


def around(mask: np.ndarray, reach: int = 12) -> np.ndarray:
    """The mask with what lies around it, as far as soft edges reach."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).astype(bool)


def test_relight_changes_people_alone_and_stands_before_and_after_in_the_slider(
    page: "playwright.Page", labels: np.ndarray
) -> None:
    show(page, "relit")
    photo, lit = shown(page, 0), shown(page)
    people = labels > 0
    assert differs(photo, lit)[people].mean() > 0.5
    assert not differs(photo, lit)[~around(people)].any()
    ball = page.locator(".ball img:visible")
    ball.wait_for()
    box = ball.bounding_box()
    azimuth = page.locator(".style:visible input[type=number]").first
    assert float(azimuth.input_value()) == -40

    def press_right() -> None:
        ball.click(position={"x": 0.85 * box["width"], "y": 0.5 * box["height"]})

    from_right = changed(page, press_right)
    assert float(azimuth.input_value()) > 30
    assert differs(lit, from_right)[people].mean() > 0.5
    assert not differs(photo, from_right)[~around(people)].any()
    expect(page.locator(".files button:visible:enabled", has_text="PNG").first).to_be_visible()
    assert "one_person_relit.png" in files_shown(page)


def test_recolour_changes_the_chosen_part_alone(page: "playwright.Page", labels: np.ndarray) -> None:
    show(page, "recoloured")
    photo, largest = shown(page, 0), shown(page)
    counts = np.bincount(labels.ravel(), minlength=len(classes().names))
    counts[0] = 0
    first, second = np.argsort(-counts, kind="stable")[:2]
    assert differs(photo, largest)[labels == first].mean() > 0.5
    assert not differs(photo, largest)[~around(labels == first)].any()

    def pick() -> None:
        page.locator(".pick-one input:visible").first.click()
        page.get_by_role("option", name=classes().title(int(second)), exact=True).click()

    other = changed(page, pick)
    assert differs(photo, other)[labels == second].mean() > 0.5
    assert not differs(photo, other)[~around(labels == second)].any()


def test_pointmaps_turn_in_a_viewer_as_mesh_and_as_points(page: "playwright.Page") -> None:
    show(page, "space")
    expect(page.locator(".space canvas")).to_be_visible(timeout=UPLOAD_MS)
    before = in_space(page)
    assert set(before) == {"one_person_pointmap.ply", "one_person_pointmap.glb"}
    assert before["one_person_pointmap.ply"].startswith(b"ply\n")
    assert modes(before["one_person_pointmap.glb"]) == {4}  # triangles
    buttons = page.locator(".space .files")
    mesh = buttons.inner_text()
    check(radio(page, "points", ".space"))
    expect(buttons).not_to_have_text(mesh, timeout=UPLOAD_MS)
    expect(page.locator(".space canvas")).to_be_visible(timeout=UPLOAD_MS)
    assert modes(in_space(page)["one_person_pointmap.glb"]) == {0}  # points
    check(radio(page, "normal", ".space"))
    expect(page.locator(".space .aside")).to_have_count(0)
    page.get_by_role("button", name="Everything").wait_for()


def test_what_is_missing_for_the_colours_is_told(visit: Callable, person: Path) -> None:
    page = visit()
    upload(page, person)
    tick(page, "pointmap")
    run(page)
    show(page, "space")
    expect(page.locator(".space canvas")).to_be_visible(timeout=UPLOAD_MS)
    check(radio(page, "seg", ".space"))
    expect(page.locator(".space .aside")).to_contain_text("no results of Body parts for this photo")


def in_space(page: "playwright.Page") -> dict[str, bytes]:
    """The files of the 3-D view by their names."""
    found = {}
    for button in page.locator(".space .files button:visible", has_text="·").all():
        with page.expect_download() as started:
            button.click()
        found[started.value.suggested_filename] = Path(started.value.path()).read_bytes()
    return found


def modes(glb: bytes) -> set[int]:
    """What a GLB file draws: 0 points, 4 triangles."""
    assert glb[:4] == b"glTF"
    (length,) = struct.unpack("<I", glb[12:16])
    meshes = json.loads(glb[20 : 20 + length])["meshes"]
    return {primitive.get("mode", 4) for mesh in meshes for primitive in mesh["primitives"]}
