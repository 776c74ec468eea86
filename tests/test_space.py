"""The surface 3-D: its files, and what a browser shows of them at first: the photo's own view."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import browser
import numpy as np
import pytest
import space_page
import trimesh
from browser import Server, serving, until, visiting
from PIL import Image
from space_page import GRASS, HEIGHT, LEGS, PERSON_M, SHIRT, SKY, WALL_M, WIDTH

from sapiens_mlx.ui.studio import space

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

VALUES = {"space_as": "mesh", "space_colours": "photo", "space_points": 20_000}


# ---- files ----------------------------------------------------------------------------------------------------------


def bounds(path: Path) -> np.ndarray:
    return trimesh.load(path).bounds


@pytest.mark.parametrize("shown_as", ["mesh", "points"])
def test_the_middle_of_what_the_viewer_gets_is_not_straight_ahead_at_the_people(tmp_path, shown_as):
    results = space_page.results()
    people_m = np.where(space_page.photo()[..., 0] > 0, results["pointmap"].depth_m, 0)[space_page.PERSON]
    assert space.distance_m(results) == np.median(people_m) == PERSON_M
    viewed = bounds(space.make(results, tmp_path, VALUES | {"space_as": shown_as}))
    np.testing.assert_allclose(viewed.mean(0), (0, 0, -PERSON_M), atol=1e-5)
    assert viewed[0, 2] == pytest.approx(-WALL_M)
    saved = bounds(space.files(results, tmp_path, "a", VALUES | {"space_as": shown_as})[1])
    np.testing.assert_allclose(saved[:, 2], (-WALL_M, -PERSON_M), atol=1e-5)  # nothing added


@pytest.mark.parametrize("points", [20_000, 100_000])
@pytest.mark.parametrize("shown_as", ["mesh", "points"])
def test_a_download_holds_more_points_than_allowed_or_others_than_shown(tmp_path, shown_as, points):
    values = VALUES | {"space_as": shown_as, "space_points": points}
    ply, glb = space.files(space_page.results(), tmp_path, "a", values)
    assert [ply.name, glb.name] == ["a_pointmap.ply", "a_pointmap.glb"]
    counts = [len(next(iter(_geometry(path))).vertices) for path in (ply, glb)]
    assert counts[0] == counts[1] and 0.8 * points <= counts[0] <= points


def _geometry(path: Path) -> list:
    loaded = trimesh.load(path)
    return list(loaded.geometry.values()) if isinstance(loaded, trimesh.Scene) else [loaded]


def test_colours_are_of_another_result_or_missing_ones_break_the_view(tmp_path):
    results = space_page.results()
    for choice in ("seg", "normal", "photo"):
        colours = space.colours(results, choice)
        cloud = trimesh.load(space.files(results, tmp_path, "a", VALUES | {"space_colours": choice})[0])
        assert set(map(tuple, cloud.colors[:, :3])) == set(map(tuple, colours.reshape(-1, 3)))
    assert (space.colours(results, "normal")[0, 0] == (127, 127, 255)).all()
    alone = {"pointmap": results["pointmap"]}
    for choice in ("seg", "normal"):
        assert (space.colours(alone, choice) == results["pointmap"].photo_rgb).all()
    assert "Tick Body parts and press Run" in space.told(alone, VALUES | {"space_colours": "seg"})
    assert "Tick" not in space.told(results, VALUES | {"space_colours": "seg"})


def test_normals_of_people_alone_blacken_the_rest():
    results = space_page.results()
    people = results["seg"].foreground_mask()
    results["normal"] = replace(results["normal"], person_mask=people)
    assert (space.colours(results, "normal") == (127, 127, 255)).all()


def test_the_viewer_does_not_stand_where_a_camera_of_its_own_field_of_view_stood():
    alpha, beta, radius = space.camera_position(space_page.results())
    assert (alpha, beta) == (90, 90) and radius == pytest.approx(PERSON_M, rel=1e-4)
    wider = space_page.results(space_page.FOCAL_PX / 2)  # shows twice as much, so the viewer steps back
    assert space.camera_position(wider)[2] == pytest.approx(2 * PERSON_M, rel=1e-4)


def test_nothing_before_the_camera_breaks_the_surface(tmp_path):
    results = space_page.results()
    results["pointmap"].points[:] = np.nan
    for shown_as in ("mesh", "points"):
        space.make(results, tmp_path, VALUES | {"space_as": shown_as})
        space.files(results, tmp_path, "a", VALUES | {"space_as": shown_as})
    assert np.isfinite(space.camera_position(results)).all()
    assert "nothing before the camera" in space.told(results, VALUES)


# ---- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    browser.chromium_path()
    with serving(["-m", "tests.space_page"], tmp_path_factory.mktemp("space"), {}) as server:
        yield server


@pytest.fixture
def visit(chromium, server: Server) -> Iterator[Callable]:
    with visiting(chromium, server.url) as open_page:
        yield open_page


def picture(viewer: "Locator") -> np.ndarray:
    return np.array(Image.open(io.BytesIO(viewer.screenshot())).convert("RGB")).astype(int)


def opened(page: "Page") -> np.ndarray:
    """Presses Run; the viewer's picture, once there is the person's shirt in it."""
    page.locator("#run").click()
    return once(page, SHIRT)


def once(page: "Page", colour: tuple[int, int, int]) -> np.ndarray:
    """The viewer's picture, once there is enough of a colour in it."""
    viewer = page.locator(".space canvas")
    viewer.wait_for(timeout=60_000)
    until(lambda: near(picture(viewer), colour).mean() > 0.01, 60)
    page.wait_for_timeout(500)  # until it stands still
    return picture(viewer)


def near(shown: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.abs(shown - colour) <= 24).all(-1)


def photo_in(shown: np.ndarray) -> np.ndarray:
    """The part of the viewer's picture where the photo is, at the photo's size."""
    height, width = shown.shape[:2]
    half = round(height * WIDTH / HEIGHT / 2)
    part = shown[:, width // 2 - half : width // 2 + half].astype(np.uint8)
    return np.array(Image.fromarray(part).resize((WIDTH, HEIGHT), Image.Resampling.NEAREST)).astype(int)


@pytest.mark.browser
@pytest.mark.slow
def test_the_first_view_is_mirrored_turned_or_framed_otherwise_than_the_photo(visit: Callable) -> None:
    page = visit()
    shown = photo_in(opened(page))
    expected = space_page.photo().astype(int)
    assert (np.abs(shown - expected).max(-1) <= 24).mean() > 0.97


@pytest.mark.browser
@pytest.mark.slow
def test_points_do_not_stand_where_the_mesh_does(visit: Callable) -> None:
    page = visit()
    opened(page)
    page.get_by_role("radio", name="Points", exact=True).check(force=True)
    until(lambda: page.locator(".space .cloud").count() == 1)
    page.wait_for_timeout(3000)
    shown = photo_in(picture(page.locator(".space canvas")))
    for colour, rows, columns in ((SHIRT, (150, 350), (100, 250)), (LEGS, (350, 550), (100, 250))):
        there = near(shown, colour)
        assert there[slice(*rows), slice(*columns)].mean() > 0.1  # between points it is dark
        there[rows[0] - 4 : rows[1] + 4, columns[0] - 4 : columns[1] + 4] = False
        assert there.mean() < 0.002
    for colour in (SKY, GRASS):
        assert near(shown, colour).mean() > 0.02


@pytest.mark.browser
@pytest.mark.slow
def test_colours_need_results_that_are_told_and_the_files_are_what_is_shown(visit: Callable) -> None:
    page = visit()
    opened(page)
    page.get_by_role("radio", name="Normals").check(force=True)
    once(page, (127, 127, 255))
    cloud = trimesh.load(browser.download(page, "Points · PLY"))
    assert (cloud.colors[:, :3] == (127, 127, 255)).all()
    assert 0.8 * space.POINTS[2] < len(cloud.vertices) <= space.POINTS[2]
    mesh = next(iter(trimesh.load(browser.download(page, "3-D mesh · GLB")).geometry.values()))
    assert len(mesh.vertices) == len(cloud.vertices)
    page.get_by_role("checkbox", name="Pointmap alone").check()
    page.get_by_role("radio", name="Body parts").check(force=True)
    page.locator(".space .aside", has_text="Tick Body parts and press Run").wait_for()
    once(page, SHIRT)


@pytest.mark.browser
@pytest.mark.slow
def test_a_view_that_was_turned_or_left_does_not_come_back(visit: Callable) -> None:
    page = visit()
    first = opened(page)
    box = page.locator(".space canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 + 200, box["y"] + box["height"] / 2 + 60, steps=8)
    page.mouse.up()
    page.wait_for_timeout(1500)
    assert (np.abs(picture(page.locator(".space canvas")) - first).max(-1) > 24).mean() > 0.1
    page.get_by_role("button", name="Back to the camera's view").click()
    until(lambda: (np.abs(picture(page.locator(".space canvas")) - first).max(-1) > 24).mean() < 0.01)
    page.get_by_role("button", name="Away").click()
    page.locator(".space").wait_for(state="hidden")
    assert (np.abs(opened(page) - first).max(-1) > 24).mean() < 0.01


@pytest.mark.browser
@pytest.mark.slow
def test_a_phone_shows_less_than_the_photos_width(visit: Callable) -> None:
    page = visit(390, 844)
    shown = opened(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert shown.shape[1] / shown.shape[0] >= WIDTH / HEIGHT - 0.02
    assert (np.abs(photo_in(shown) - space_page.photo().astype(int)).max(-1) <= 24).mean() > 0.95
