"""The tab Live in Chromium, whose camera plays a file with a drawn person in it: pictures come, Stop and the time limit
end them, visitors share the machine, and what is in the way of a camera is told in a sentence."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rule
from browser import ARGUMENTS, REPOSITORY, RUN_MS, Server, chromium_path, serving, until, visiting
from PIL import Image

from sapiens_mlx import runtime, zoo
from sapiens_mlx.errors import ImageError, SapiensError
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.ui.live import run as live_run
from sapiens_mlx.ui.live import sentences as live_words
from sapiens_mlx.ui.live.view import LiveView
from sapiens_mlx.ui.storage import Visits

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

OFF = "The camera is off"
SIZE = (640, 480)


# ---- without a browser ----------------------------------------------------------------------------------------------


def test_frames_a_second_are_those_of_results() -> None:
    live = live_run.Live(end=0)
    assert live.frames_per_s is None
    live.done.extend([10.0, 10.5, 11.0])
    assert live.frames_per_s == 2
    live.done.extend(20 + 0.1 * number for number in range(live_run.RATE_FRAMES))
    assert live.frames_per_s == pytest.approx(10)  # the old ones count no more


@pytest.mark.parametrize(
    ("left_s", "clock"), [(120, "2:00"), (119.2, "2:00"), (61, "1:01"), (59.5, "1:00"), (0.2, "0:01"), (-3, "0:00")]
)
def test_the_time_left_is_told_in_minutes_and_seconds(left_s: float, clock: str) -> None:
    assert f"stops in {clock}<" in live_words.running(None, left_s, 120)


def test_a_problem_of_the_browser_cannot_bring_html() -> None:
    assert "<img" not in live_words.camera_problem("<img src=x>")


@pytest.mark.parametrize("url", [None, "", "data:image/jpeg;base64,", "data:image/jpeg;base64,A", "data:;base64,QUJD"])
def test_a_frame_that_is_no_image_is_an_image_error(url: str | None) -> None:
    from gradio.data_classes import ImageData

    with pytest.raises(ImageError):
        live_run._frame_rgb(ImageData(url=url))


@pytest.fixture
def live_actions(machine: Path, tiny_size: str, tmp_path: Path) -> live_run.LiveActions:
    """The handlers of the tab, which give their updates by the fields' names, on a machine without weights."""
    view = SimpleNamespace(**{field: field for field in LiveView.__dataclass_fields__})
    (tmp_path / "page").mkdir()
    return live_run.LiveActions(view, Visits(tmp_path / "page"), None, limit_s=60, most=1)


def test_start_asks_for_the_weights_of_pose_though_the_grey_frame_shows_nobody(
    live_actions: live_run.LiveActions, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = SimpleNamespace(boxes_xyxy=np.empty((0, 4), np.float32))
    monkeypatch.setattr(Predictor, "detector", lambda self: lambda photo, progress: nobody)
    visitor = SimpleNamespace(session_hash="a")

    def started() -> dict:
        return [one for one in live_actions.start("", "pose", "tiny", True, visitor) if "__type__" not in one][-1]

    last = started()
    assert "camera_frame" in last and not last["camera_frame"]["visible"]
    assert "weights" in last["status"]
    rule.write_tiny(machine, "pose")
    assert started()["camera_frame"]["visible"]


def test_a_detector_that_is_not_here_is_not_downloaded_while_the_camera_is_on(
    live_actions: live_run.LiveActions, machine: Path
) -> None:
    with pytest.raises(SapiensError, match=r"weights of Pose tiny.*Press Start"):
        live_actions._check_there("pose", "tiny")
    rule.write_tiny(machine, "pose")
    with pytest.raises(SapiensError, match=r"weights of People rtmdet-m.*Press Start"):
        live_actions._check_there("pose", "tiny")
    rule.write_detector(machine / "detector/rtmdet_m.pth")
    live_actions._check_there("pose", "tiny")


def test_only_sizes_that_keep_up_are_offered() -> None:
    for task in live_run.TASKS:
        sizes = live_run.sizes_of(task)
        assert sizes[0] == "demo"
        assert set(sizes) == ({"demo"} if runtime.device() == "cpu" else set(zoo.task_row(task).sizes))


# ---- in a browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the camera sees: a drawn person who is moved about."""
    with Image.open(REPOSITORY / "examples/one_person.jpg") as image:
        person = image.convert("RGB").resize((360, 480))
    frames = io.BytesIO()
    for left in (120, 135, 150, 165, 150, 135):
        frame = Image.new("RGB", SIZE, (120, 130, 120))
        frame.paste(person, (left, 0))
        frame.save(frames, "JPEG", quality=90)
    path = tmp_path_factory.mktemp("camera") / "person.mjpeg"
    path.write_bytes(frames.getvalue())
    return path


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable]:
    """Starts Chromium with more arguments."""
    path = chromium_path()
    with playwright.sync_playwright() as driver:
        browsers = []

        def launch(*arguments: str) -> "playwright.Browser":
            browsers.append(driver.chromium.launch(executable_path=path, args=[*ARGUMENTS, *arguments]))
            return browsers[-1]

        yield launch
        for browser in browsers:
            browser.close()


@pytest.fixture(scope="module")
def chromium(launch: Callable, video: Path) -> "playwright.Browser":
    """With a camera, which every page may use."""
    return launch(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chromium_path()
    with serving(["-m", "tests.live_process", "600", "2"], tmp_path_factory.mktemp("page"), {}) as server:
        yield server


def opening(browser: "playwright.Browser", url: str) -> AbstractContextManager[Callable]:
    return visiting(browser, url, lambda page: page.locator("#live-start").wait_for())


@pytest.fixture
def visit(chromium: "playwright.Browser", server: Server) -> Iterator[Callable]:
    with opening(chromium, server.url) as open_page:
        yield open_page


def start(page: "playwright.Page") -> None:
    """Presses Start and waits until frames are counted."""
    page.locator("#live-start").click()
    expect(page.locator("#live-status")).to_contain_text("frames a second", timeout=RUN_MS)


def stop(page: "playwright.Page") -> None:
    page.locator("#live-stop").click()
    expect(page.locator("#live-status")).to_contain_text(OFF)


def address(page: "playwright.Page") -> str:
    return page.locator("#live-picture img").get_attribute("src")


def picture(page: "playwright.Page") -> np.ndarray:
    data = page.locator("#live-picture img").evaluate(
        "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"
    )
    return np.array(Image.open(io.BytesIO(bytes(data))))


@pytest.mark.slow
@pytest.mark.browser
def test_pictures_come_until_stop(visit: Callable) -> None:
    page = visit()
    expect(page.locator("#live .empty")).to_contain_text("The live picture appears here")
    start(page)
    expect(page.locator("#live-status")).to_contain_text("stops in")
    expect(page.locator("#live .empty")).to_be_hidden()
    first = address(page)
    until(lambda: address(page) != first)
    shown = picture(page)
    assert shown.shape == (*SIZE[::-1], 3)
    # Over the person there is colour, at the grey edge of the frame nothing but JPEG.
    assert np.abs(shown[5:100, 5:60].astype(int) - (120, 130, 120)).max() < 20
    expect(page.locator("#live-picture figcaption")).to_contain_text("Body parts")
    stop(page)
    expect(page.locator("#live-camera video")).to_have_count(0)  # which turns the camera itself off
    expect(page.locator("#live-start")).to_be_enabled()
    last = address(page)
    page.wait_for_timeout(1500)
    assert address(page) == last
    expect(page.locator("#live-status")).to_contain_text(OFF)


@pytest.mark.slow
@pytest.mark.browser
def test_the_task_changes_while_the_camera_is_on(visit: Callable) -> None:
    page = visit()
    start(page)
    for title in ("Pose", "Depth"):
        page.locator("#live").get_by_role("radio", name=title, exact=True).check(force=True)
        expect(page.locator("#live-picture figcaption")).to_contain_text(title, timeout=RUN_MS)
    expect(page.locator("#live").get_by_label("With the surroundings of people")).to_be_visible()
    stop(page)
    page.locator("#live-start").click()  # once more, with another task
    expect(page.locator("#live-picture figcaption")).to_contain_text("m away", timeout=RUN_MS)
    expect(page.locator("#live-status")).to_contain_text("frames a second", timeout=RUN_MS)
    stop(page)


@pytest.mark.slow
@pytest.mark.browser
def test_two_visitors_get_pictures_and_a_third_is_told_to_wait(visit: Callable) -> None:
    pages, late = [visit(), visit()], visit()
    for page in pages:
        start(page)
    before = [address(page) for page in pages]
    until(lambda: all(address(page) != old for page, old in zip(pages, before, strict=True)))
    late.locator("#live-start").click()
    expect(late.get_by_role("alert")).to_contain_text("2 visitors have their camera on", timeout=RUN_MS)
    expect(late.locator("#live-start")).to_be_enabled()
    stop(pages[0])
    start(late)
    stop(late)
    stop(pages[1])


@pytest.mark.slow
@pytest.mark.browser
def test_another_tab_of_the_page_turns_the_camera_off(visit: Callable) -> None:
    page = visit()
    start(page)
    page.get_by_role("tab", name="Other").click()
    page.wait_for_timeout(1500)
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("#live-status")).to_contain_text(OFF)
    expect(page.locator("#live-camera video")).to_have_count(0)


@pytest.mark.slow
@pytest.mark.browser
def test_closing_the_page_frees_the_place_and_leaves_no_file(visit: Callable, server: Server) -> None:
    others = [visit(), visit()]
    for page in others:
        start(page)
    assert [file for file in server.files.rglob("*") if file.suffix in (".jpg", ".jpeg", ".png", ".webp")] == []
    other = visit()
    others[0].context.close()

    def free() -> bool:
        other.locator("#live-start").click()
        expect(other.locator("#live-status .notice, #live-status .live").first).to_be_visible(timeout=RUN_MS)
        return other.locator("#live-status .live").count() > 0

    until(free, 60)
    expect(other.locator("#live-status")).to_contain_text("frames a second", timeout=RUN_MS)
    stop(other)
    stop(others[1])


@pytest.mark.slow
@pytest.mark.browser
def test_the_camera_stops_by_itself_and_can_be_started_again(chromium: "playwright.Browser", tmp_path: Path) -> None:
    with (
        serving(["-m", "tests.live_process", "5", "1"], tmp_path, {}) as server,
        opening(chromium, server.url) as visit,
    ):
        page = visit()
        for _ in range(2):
            page.locator("#live-start").click()
            expect(page.locator("#live-status")).to_contain_text("stops in 0:0", timeout=RUN_MS)
            expect(page.locator("#live-status")).to_contain_text("It was on for 5.0 s", timeout=RUN_MS)
            expect(page.locator("#live-camera video")).to_have_count(0)
            expect(page.locator("#live-start")).to_have_text("Start again")
            expect(page.locator("#live-picture img")).to_be_visible()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "There is no camera on this device"),
        (("--use-fake-device-for-media-stream", "--deny-permission-prompts"), "does not let this page use the camera"),
    ],
)
def test_what_is_in_the_way_of_a_camera_is_told(
    launch: Callable, server: Server, arguments: tuple[str, ...], sentence: str
) -> None:
    with opening(launch(*arguments), server.url) as visit:
        page = visit()
        page.locator("#live-start").click()
        expect(page.get_by_role("alert")).to_contain_text(sentence, timeout=RUN_MS)
        expect(page.locator("#live-start")).to_be_enabled()
        expect(page.locator("#live .empty")).to_be_visible()


@pytest.mark.slow
@pytest.mark.browser
def test_a_phone_has_to_scroll(visit: Callable) -> None:
    page = visit(390, 844)
    start(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for part in ("#live-picture img", "#live-stop"):  # or to search for what there is to see and to press
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 844, part
    stop(page)
