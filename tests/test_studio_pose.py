"""The panel below a pose, in Chromium: groups, people, a keypoint to find, joint angles, the table, and files in every
layout. With the demo weights, whose pictures are not judged here."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import (
    UPLOAD_MS,
    Server,
    changed,
    check,
    choose,
    draw_person,
    files_shown,
    run,
    show,
    shown,
    until,
    upload,
    visiting,
)

from sapiens_mlx.tasks.joint_angles import NOTE
from sapiens_mlx.tasks.keypoints import keypoints, readable_name
from sapiens_mlx.ui.studio import pose_panel

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

POINTS = len(keypoints().names)
ELBOW = keypoints().names.index("left_elbow")


@pytest.fixture(scope="module")
def page(
    chromium: "playwright.Browser", server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["playwright.Page"]:
    """A page with the pose of at least two people."""
    photo = draw_person(tmp_path_factory.mktemp("photo") / "people.png", 2)
    with visiting(chromium, server.url) as open_page:
        page = open_page()
        upload(page, photo)
        choose(page, "pose")
        run(page)
        page.get_by_role("button", name="Table of the keypoints").click()
        expect(page.get_by_test_id("cell-0-2")).to_have_text(readable_name(0), timeout=UPLOAD_MS)
        yield page


def people(page: "playwright.Page") -> int:
    return page.locator(".pose-chips input[type=checkbox]").count() - len(pose_panel.GROUPS)


def box(page: "playwright.Page", name: str) -> "playwright.Locator":
    return page.locator(f".pose-chips input[type=checkbox][name='{name}']")


def column(page: "playwright.Page", number: int) -> list[str]:
    """A column of those rows of the table that are on the screen."""
    cells = page.locator(f".outcome [data-testid^='cell-'][data-testid$='-{number}']")
    return [text.strip() for text in cells.all_inner_texts()]


def test_groups_and_people_are_taken_out_of_the_picture_and_the_table(page: "playwright.Page") -> None:
    show(page, "pose")
    assert people(page) >= 2
    whole = shown(page)
    without_body = changed(page, lambda: check(box(page, "body"), False))
    assert (without_body != whole).any()
    until(lambda: column(page, 3) and "Body" not in column(page, 3))
    without_first = changed(page, lambda: check(box(page, "0"), False))
    assert (without_first != without_body).any()
    until(lambda: column(page, 0) and "1" not in column(page, 0))
    changed(page, lambda: check(box(page, "0")))
    back = changed(page, lambda: check(box(page, "body")))
    assert (back == whole).all()
    until(lambda: (column(page, 0)[0], column(page, 3)[0]) == ("1", "Body"))


def test_a_keypoint_is_found_by_its_name(page: "playwright.Page") -> None:
    show(page, "pose")
    whole = shown(page)
    field = page.locator(".pose-find input:not([type=checkbox])").first

    def find(name: str) -> None:
        field.click()
        field.fill(name)
        page.get_by_role("option", name=name, exact=True).click()

    marked = changed(page, lambda: find(readable_name(ELBOW)))
    assert (marked != whole).any()
    until(lambda: column(page, 2)[:1] == [readable_name(ELBOW)])
    assert (changed(page, lambda: find("None")) == whole).all()


def test_joint_angles_stand_below_and_in_the_picture(page: "playwright.Page") -> None:
    show(page, "pose")
    whole = shown(page)
    angles = page.locator(".outcome .block.pose-angles:visible")
    assert angles.count() == 0
    drawn = changed(page, lambda: check(page.locator(".pose-find input[type=checkbox]")))
    assert (drawn != whole).any()
    expect(angles).to_contain_text(NOTE)
    expect(angles.locator("th", has_text="Elbow")).to_have_count(people(page))
    expect(angles).to_contain_text("°")
    changed(page, lambda: check(page.locator(".pose-find input[type=checkbox]"), False))
    expect(angles).to_have_count(0)


def test_files_come_in_every_layout(page: "playwright.Page") -> None:
    show(page, "pose")
    files = files_shown(page)
    count = people(page)
    ours = json.loads(files["people_pose.json"])["people"]
    assert [len(person["keypoints"]) for person in ours] == [POINTS] * count
    for name, key, points in (("coco17", "keypoints", 17), ("wholebody133", "wholebody_keypoints", 133)):
        found = json.loads(files[f"people_pose_{name}.json"])["annotations"]
        assert [len(person[key]) for person in found] == [3 * points] * count
    openpose = json.loads(files["people_pose_openpose.json"])
    assert len(openpose["people"]) == count
    rows = list(csv.DictReader(io.StringIO(files["people_pose.csv"].decode())))
    assert len(rows) == POINTS * count
    assert len(list(csv.DictReader(io.StringIO(files["people_pose_angles.csv"].decode())))) >= count
    assert {Path(name).suffix for name in files} == {".png", ".json", ".npz", ".csv"}
