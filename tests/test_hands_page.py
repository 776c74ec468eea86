"""Hands in the Studio: pictures, close-ups, the 3-D view, whose they are, files, licences; on made-up weights."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import browser
import made_up_hands as made_up
import numpy as np
import pytest
from browser import (
    REPOSITORY,
    UPLOAD_MS,
    Server,
    changed,
    choose,
    files_shown,
    radio,
    run,
    serving,
    show,
    shown,
    surfaces,
    tick,
    until,
    upload,
)
from hub_server import Hub
from page_values import VALUES
from PIL import Image

import sapiens_mlx as sm
from sapiens_mlx import zoo
from sapiens_mlx.hosted import is_hosted
from sapiens_mlx.options import Options
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.probe import reading
from sapiens_mlx.runtime import inference
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.tasks.hands import JOINTS
from sapiens_mlx.tasks.hands_mesh import SIDE_RGB
from sapiens_mlx.tasks.hands_people import keypoint_indices
from sapiens_mlx.tasks.pose import PoseResult
from sapiens_mlx.ui import command, consent, controls, hands, words
from sapiens_mlx.ui.findings import findings
from sapiens_mlx.ui.studio import exports, hands_panel, hands_space, probing
from sapiens_mlx.ui.studio import surfaces as all_surfaces
from sapiens_mlx.ui.visit import Visit
from sapiens_mlx.weights import consent as kept

PHOTO = made_up.discs("rl")
FILES = ["hands.png", "hands.json", "hands.npz", "hands.glb", "hands.obj", "hands_side_by_side.png"]


# ---- without a browser ----------------------------------------------------------------------------------------------


@pytest.fixture
def visit(hand_weights, tmp_path) -> Visit:
    """A visit with hands of a photo, and a pose: of two people, the second of whom has the second hand."""
    visit = Visit(tmp_path / "visit")
    photo = visit.add(visit.new_photo(PHOTO, "my hands.png"))
    result = sm.load("hands", level="fp32")(PHOTO)
    keypoints, scores = np.zeros((2, 308, 2), np.float32), np.ones((2, 308), np.float32)
    keypoints[1, keypoint_indices(result.sides[1])] = result.keypoints_xy[1] + [3, 4]
    boxes = np.float32([[0, 0, 100, 100], [0, 0, 640, 480]])
    pose = PoseResult(PHOTO, keypoints, scores, boxes, np.ones(2, np.float32))
    pose.report = Report("pose", "demo", "fp32", "CPU", "float32", zoo.DEMO_LICENCE.name)
    photo.results = {"hands": result}
    photo.ran_with = dict.fromkeys(("hands", "pose"), VALUES)
    photo.made_up_pose = pose
    return visit


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        ({}, {}, ""),
        ({"hand_threshold": 0.45, "hand_iou": 0.2}, {"hand_threshold": 0.45, "hand_iou": 0.2},
         "--hand-threshold 0.45 --hand-iou 0.2"),
        ({"hand_crop": "left", "hand_norms": "trained"}, {"hand_crop": "left", "hand_norms": "trained"},
         "--hand-crop left --hand-norms trained"),
        ({"hand_vertices": False, "hands_opacity": 0}, {"vertices": False}, "--no-vertices --mesh-opacity 0"),
    ],
)  # fmt: skip
def test_what_is_run_is_not_what_the_page_and_its_command_line_say(values, options, said):
    assert Options(**hands.options(VALUES | values)) == Options(**options)
    report = Report("hands", "wilor", "bf16", "CPU", "float32", "")
    line = command.command_line("a.jpg", [report], VALUES | values, None).split(" predict ")[1]
    assert line == f"a.jpg --task hands --size wilor --level bf16 --out out {said}".strip()


@pytest.mark.parametrize(
    ("reports", "lines"),
    [
        (["seg 0.4b bf16", "pose 1b bf16", "hands wilor bf16"],
         ["seg --size 0.4b --level bf16", "pose,hands --size 1b --level bf16"]),
        (["hands wilor bf16", "seg demo bf16"], ["seg,hands --size demo --level bf16"]),
        (["seg demo 8bit", "hands wilor bf16", "detect demo fp32"],
         ["seg --size demo --level 8bit", "hands --size wilor --level bf16", "detect --size demo"]),
    ],
)  # fmt: skip
def test_hands_and_pose_of_one_level_are_two_command_lines(reports, lines):
    made = [Report(*text.split(), "CPU", "float32", "") for text in reports]
    found = command.command_lines("a.jpg", made, VALUES, None).splitlines()
    assert [line.split("--task ")[1].replace(" --out out", "") for line in found] == lines


def test_the_card_does_not_name_every_licence_and_what_was_found(visit):
    result = visit.photo.results["hands"]
    card = words.card(result.report, findings(result))
    for what, licence in zoo.HANDS_LICENCES.items():
        assert f'href="{licence.url}"' in card and f"({what.replace(chr(39), '&#x27;')})" in card
    assert "2 hands: 1 left, 1 right" in card and "find hands" in card and "find people" not in card
    assert words.cards([result, visit.photo.made_up_pose]).count("<a ") == 4


def test_a_hand_is_not_told_to_be_its_persons(visit):
    photo = visit.photo
    alone = hands_panel.table(photo.results["hands"], None, None)
    assert "Person" not in alone and "Tick Pose too" in alone
    assert not any("people" in path.name for path in exports.written(visit, photo, "hands", VALUES))
    photo.results["pose"] = photo.made_up_pose
    panel = hands_panel.HandsPanel(*"abcd")
    updates = hands_panel.drawn(panel, photo, VALUES)
    assert len(updates["b"]["value"]) == 2 and len(updates["d"]["value"]) == 1
    assert updates["d"]["value"][0][1].startswith("2: ") and updates["d"]["value"][0][1].endswith("of person 2")
    assert f'colspan="2">{hands_panel.NOBODY}' in updates["c"] and "<td>2</td><td>5.0 px</td>" in updates["c"]
    paths = {path.name: path for path in exports.written(visit, photo, "hands", VALUES)}
    assert set(paths) == {f"my_hands_{end}" for end in (*FILES, "hands_people.json", "hands_people.png")}
    found = json.loads(paths["my_hands_hands_people.json"].read_text())["hands"]
    assert [hand["person"] for hand in found] == [None, 1]
    assert all(words.file_label(path) for path in paths.values())


def test_close_ups_do_not_follow_the_look(visit):
    def close_ups(**look):
        value = hands_panel.drawn(hands_panel.HandsPanel(*"abcd"), visit.photo, VALUES | look)["b"]["value"]
        return [np.asarray(Image.open(path)).astype(int) for path, _ in value]

    bare, solid = close_ups(hands_opacity=0, hands_skeleton=False), close_ups(hands_opacity=1.0)
    assert all(np.abs(a - b).mean() > 5 for a, b in zip(bare, solid, strict=True))


def test_points_alone_and_no_hands_have_a_3d_view(hand_weights, tmp_path):
    visit = Visit(tmp_path / "visit")
    predictor = Predictor("hands", level="fp32")
    for photo_rgb, options, there in (
        (PHOTO, {}, True),
        (PHOTO, {"vertices": False}, False),
        (np.zeros((90, 120, 3), np.uint8), {}, False),
    ):
        photo = visit.add(visit.new_photo(photo_rgb, "a.png"))
        photo.results = {"hands": predictor(photo_rgb, **options)}
        offered = [name for _, name in all_surfaces.offered(photo)]
        assert offered == ["hands", *([all_surfaces.HANDS_SPACE] if there else [])]
        exports.written(visit, photo, "hands", VALUES)
        hands_panel.drawn(hands_panel.HandsPanel(*"abcd"), photo, VALUES)


def test_a_place_on_a_joint_is_told_as_another(visit):
    result = visit.photo.results["hands"]
    inside = [(n, j) for n in range(2) for j in range(21) if ((result.keypoints_xy[n, j] > 1).all())]
    number, index = inside[7]
    x, y = (float(value) + 0.5 for value in result.keypoints_xy[number, index])
    found = reading({"hands": result}, x, y).joint
    assert found.distance_px < 0.01 and found.side == result.sides[found.hand]
    np.testing.assert_allclose(result.keypoints_xy[found.hand, JOINTS.index(found.name)], (x - 0.5, y - 0.5), atol=0.02)
    told = probing.told([reading({"hands": result}, x, y)])
    assert f"of hand {found.hand + 1}, a {found.side} one, 0 px away" in told
    assert reading({"hands": result}, 3, 3).joint is None


def test_the_first_view_cuts_hands_off():
    rng = np.random.default_rng(0)
    for scale in ([0.1, 0.1, 0.1], [1, 0.05, 0.2], [0.05, 0.4, 2]):
        vertices = np.float32(scale) * rng.uniform(-1, 1, (500, 3)).astype(np.float32) + np.float32([3, -2, 5])
        radius, (height, width) = hands_space.first_view(vertices)
        about = vertices - (vertices.min(0) + vertices.max(0)) / 2
        ahead = radius + about[:, 2]
        assert (ahead > 0).all()
        seen = np.abs(about[:, :2]) / ahead[:, None] / np.tan(hands_space.VIEW_RAD / 2)
        shares = seen / [width / height, 1]  # 1 is the rim
        assert 0.6 < shares.max() <= 1
        assert height / width >= hands_space.LEAST_SHARE - 1e-6


@pytest.mark.slow
def test_licences_are_asked_for_too_often_or_not_at_all(machine, monkeypatch, tmp_path):
    pytest.importorskip("wilor_mlx", reason=made_up.REASON)
    monkeypatch.setenv("HOME", str(tmp_path))
    first, second, predictor = Visit(tmp_path / "a"), Visit(tmp_path / "b"), Predictor("hands", level="fp32")
    assert consent.is_wanted(first, predictor)
    consent.accept(first)
    assert kept.is_accepted() and not consent.is_wanted(second, predictor)
    monkeypatch.setenv("SPACE_ID", "me/space")  # where each visitor is asked
    assert consent.is_wanted(second, predictor) and not consent.is_wanted(first, predictor)
    told = words.to_accept(2_600_000_000, is_hosted())
    assert "2.60 GB" in told and "once a visit" in told
    assert all(licence.url in told for licence in zoo.HANDS_LICENCES.values())
    monkeypatch.delenv("SPACE_ID")
    kept.file().unlink()
    made_up.shrink(monkeypatch)
    inference.run(lambda progress: made_up.write_all(machine))
    assert not consent.is_wanted(second, predictor), "all is here"


# ---- in a browser ---------------------------------------------------------------------------------------------------


@contextmanager
def page_of(which: str, folder: Path, **environment: str) -> Iterator[Server]:
    pytest.importorskip("wilor_mlx", reason=made_up.REASON)
    browser.chromium_path()
    folder.mkdir(exist_ok=True)
    own = {"PYTHONPATH": str(REPOSITORY), "HOME": str(folder)}
    with serving(["tests/hands_page_process.py", which], folder, own | environment) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with page_of("files", tmp_path_factory.mktemp("hands")) as server:
        yield server


@pytest.fixture
def open_page(chromium, server: Server) -> Iterator[Callable]:
    with browser.visiting(chromium, server.url) as open_page:
        yield open_page


def photo_of(folder: Path, photo_rgb: np.ndarray = PHOTO) -> Path:
    path = folder / "my hands.png"
    Image.fromarray(photo_rgb).save(path)
    return path


@pytest.mark.slow
@pytest.mark.browser
def test_hands_are_not_shown_redrawn_turned_and_given_away(open_page: Callable, tmp_path: Path) -> None:
    page = open_page()
    upload(page, photo_of(tmp_path))
    tick(page, "hands")
    sizes = page.locator(".studio .weights input[type=radio]")
    until(lambda: sizes.evaluate_all("all => all.map(one => one.value)") == ["wilor", *zoo.HANDS.levels])
    choose(page, "fp32")
    run(page)
    until(lambda: surfaces(page) == ["hands", "hands_space"])
    assert page.locator(".hands-gallery.of-6 img").count() == 2
    assert "Tick Pose too" in page.locator(".block.hands-table").inner_text()
    card = page.locator(".report .card").first.inner_text()
    assert "find hands" in card and "2 hands: 1 left, 1 right" in card and "CC BY-NC-ND 4.0" in card
    show(page, "hands", "picture")
    before = shown(page)
    assert before.shape == PHOTO.shape and (before != PHOTO).any(-1).mean() > 0.02
    page.evaluate("document.querySelector('#status .status').classList.add('old')")
    slider = page.locator(".style:visible input[type=range]").first

    def fade() -> None:
        box = slider.bounding_box()
        slider.click(position={"x": 0.2 * box["width"], "y": box["height"] / 2})

    assert (changed(page, fade) != before).any(-1).mean() > 0.01
    assert page.locator("#status .old").count() == 1  # a run would have said that it is at work
    page.locator(".report .cm-content", has_text="--mesh-opacity 0.").wait_for()
    assert set(files_shown(page)) == {f"my_hands_{end}" for end in FILES}

    show(page, "hands_space")
    viewer = page.locator(".space canvas")
    viewer.wait_for(timeout=UPLOAD_MS)
    until(lambda: all(_share_of(viewer, colour) > 0.01 for colour in SIDE_RGB.values()))
    assert not radio(page, "points", ".space").is_visible()  # of the pointmap
    names = [_name_of(button, page) for button in page.locator(".space .files button:visible", has_text="·").all()]
    assert names == ["my_hands_hands.glb", "my_hands_hands.obj"]


def _share_of(viewer, colour: tuple[int, int, int]) -> float:
    """How much of the viewer's picture has a colour's hue, in whichever light."""
    picture = np.array(Image.open(io.BytesIO(viewer.screenshot())).convert("RGB")).astype(float)
    strong = np.ptp(picture, axis=-1) > 40
    towards = (picture - picture.mean(-1, keepdims=True)) @ (np.float64(colour) - np.mean(colour))
    apart = np.linalg.norm(picture - picture.mean(-1, keepdims=True), axis=-1) * np.std(colour) * 3**0.5
    return float((strong & (towards > 0.9 * apart)).mean())


def _name_of(button, page) -> str:
    with page.expect_download() as started:
        button.click()
    return started.value.suggested_filename


@pytest.mark.browser
@pytest.mark.slow
def test_licences_are_not_shown_or_the_run_does_not_go_on(chromium, tmp_path: Path, monkeypatch) -> None:
    made_up.shrink(monkeypatch)
    with (
        Hub(made_up.hub_files()) as hub,
        page_of("none", tmp_path / "page", HF_ENDPOINT=hub.endpoint, HF_HUB_OFFLINE="0") as server,
        browser.visiting(chromium, server.url) as open_page,
    ):
        page = open_page()
        upload(page, photo_of(tmp_path))
        choose(page, "hands", "fp32")
        run(page, end=".stopped")
        panel = page.locator(".to-accept")
        panel.wait_for()
        links = panel.locator("a").evaluate_all("all => all.map(one => one.href)")
        assert links == [licence.url for licence in zoo.HANDS_LICENCES.values()]
        assert not any("resolve" in request.path for request in hub.requests)
        page.evaluate("document.querySelector('#status .status').classList.add('old')")
        page.get_by_role("button", name="Accept and run").click()
        page.locator("#status .done:not(.old)").wait_for(timeout=browser.RUN_MS)
        until(lambda: surfaces(page) == ["hands", "hands_space"])
        assert not panel.is_visible()
        assert (tmp_path / "page/cache" / kept.FILE).exists()


@pytest.mark.browser
@pytest.mark.slow
def test_without_the_package_there_is_no_sentence_or_no_other_result(chromium, tmp_path: Path) -> None:
    line = 'pip install ".[hands]"'
    with page_of("missing", tmp_path / "page") as server, browser.visiting(chromium, server.url) as open_page:
        page = open_page()
        upload(page, photo_of(tmp_path))
        tick(page, "hands")
        page.locator("#about .aside", has_text=line).wait_for()
        run(page, end=".notice")
        assert line in page.locator("#status").inner_text() and not page.locator(".to-accept").is_visible()
        tick(page, "seg", "hands")
        run(page, end=".notice")
        assert surfaces(page) == ["seg", "recoloured"] and line in page.locator("#status").inner_text()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize(
    ("photo_rgb", "sentence"),
    [
        (np.zeros((120, 160, 3), np.uint8), "No hand was found. Lower the hand threshold"),
        (made_up.discs("r", 400, 400)[:, 180:], "1 hand reaches beyond the photo"),
        (made_up.discs("rl" * 10, 960, 1280), "20 hands were found, and computed a few at a time"),
        (made_up.discs("rl", 3000, 4000), "In one of 4000 x 3000"),
    ],
    ids=["none", "part", "twenty", "12 megapixels"],
)
def test_what_there_is_to_know_does_not_come_to_the_visitor(open_page, tmp_path, photo_rgb, sentence) -> None:
    page = open_page()
    upload(page, photo_of(tmp_path, np.ascontiguousarray(photo_rgb)))
    choose(page, "hands", "fp32")
    run(page)
    assert sentence.lower() in page.locator(".notes-area .notes").first.inner_text().lower()
    count = 0 if "No hand" in sentence else 20 if "20" in sentence else None
    assert count is None or page.locator(".hands-gallery.of-6 img").count() == count


@pytest.mark.browser
@pytest.mark.slow
def test_hands_and_pose_together_or_a_phone_break_the_page(open_page: Callable, tmp_path: Path) -> None:
    page = open_page(390, 844)
    upload(page, photo_of(tmp_path))
    tick(page, "pose", "hands")
    run(page)
    until(lambda: surfaces(page) == ["pose", "hands", "hands_space", "all"])
    show(page, "hands")
    assert "Apart from Pose" in page.locator(".block.hands-table").inner_text()
    assert "my_hands_hands_people.json" in files_shown(page)
    page.locator(".report .cm-content", has_text="--task hands --size wilor").wait_for()
    show(page, "all")
    page.locator(".report .cm-content", has_text="--task pose,hands --size demo").wait_for()
    for name in surfaces(page):
        show(page, name)
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


def test_every_control_of_hands_is_remembered_or_a_chip_is_missing() -> None:
    from sapiens_mlx.ui.studio.layout import REMEMBERED

    assert "hands" in controls.TASKS and {*controls.names("hands"), "hand_norms", "hand_vertices"} <= {*REMEMBERED}
    assert not {"hand_crop", "hand_threshold"} & {*REMEMBERED}  # which are of one photo
