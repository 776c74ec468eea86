"""The tab Video in a browser."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import av
import browser
import clips
import numpy as np
import pytest
from browser import RUN_MS, Server, until

from sapiens_mlx import runtime, zoo

EXAMPLE = browser.REPOSITORY / "examples/clip.mp4"
LEVEL = zoo.default_level(runtime.device())


playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
VIDEO = "#video-made video"


@pytest.fixture
def visit(visit: Callable) -> Callable:
    """Opens the page at the tab."""
    return lambda *size: browser.open_tab(visit(*size), "Video", "video")


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people for eight frames, on their side and with sound, as a phone has it."""
    pictures = [picture[::2, ::2] for _, picture in clips.decoded(EXAMPLE)[:8]]
    on_their_side = [np.ascontiguousarray(np.rot90(picture, -1)) for picture in pictures]
    path = tmp_path_factory.mktemp("clips") / "two people.mov"
    size_hw = on_their_side[0].shape[:2]
    draw = lambda index, _: on_their_side[index]  # noqa: E731
    return clips.write(path, 8, size_hw=size_hw, rate=8, rotation=90, audio="aac", draw=draw)


def upload(page: "playwright.Page", clip: Path) -> None:
    """Drops a clip, and waits until the page has it or says why not."""
    page.locator("#video-clip input[type=file]").set_input_files(clip)
    page.locator("#video .empty .done, #video-status .notice").first.wait_for(
        timeout=RUN_MS
    )  # a run before may have to end first


def choose(page: "playwright.Page", name: str) -> None:
    browser.check(page.locator("#video").get_by_role("radio", name=name, exact=True))


def playing(page: "playwright.Page") -> SimpleNamespace:
    """The video on the page, once the browser has decoded a frame of it."""
    page.wait_for_function(f"document.querySelector('{VIDEO}')?.readyState >= 2")
    return SimpleNamespace(
        **page.locator(VIDEO).evaluate(
            "one => ({seconds: one.duration, width: one.videoWidth, height: one.videoHeight, error: one.error})"
        )
    )


def seen_while_running(page: "playwright.Page") -> set[str]:
    """The addresses of the frames that were shown until the run ended."""
    seen: set[str] = set()
    while page.locator("#video-status .working").count():
        images = page.locator("#video-preview:visible img")
        seen |= {images.first.evaluate("image => image.src")} if images.count() else set()
        page.wait_for_timeout(100)
    return seen


@pytest.mark.slow
@pytest.mark.browser
def test_a_phones_clip_becomes_a_video_with_its_keypoints_and_angles(visit: Callable, short: Path) -> None:
    page = visit()
    expect(page.locator("#video .empty")).to_contain_text("Your video appears here")
    upload(page, short)
    expect(page.locator(".clip-given")).to_contain_text(
        "480 x 360 · 8 frames, 0 to 7 · 8 a second · 1.0 s · with sound"
    )
    choose(page, "Pose")
    expect(page.locator("#video-about")).to_contain_text("trained on drawn figures")
    expect(page.locator("#video-about")).to_contain_text("8 frames")
    expect(page.locator("#video-about").get_by_role("link", name="MIT License")).to_be_visible()
    page.locator("#video-run").click()
    expect(page.locator("#video-preview img")).to_be_visible(timeout=RUN_MS)
    assert seen_while_running(page)
    expect(page.locator("#video-status .done")).to_contain_text("8 frames", timeout=RUN_MS)
    made = playing(page)
    assert (made.seconds, made.width, made.height, made.error) == (pytest.approx(1, abs=0.01), 480, 360, None)
    expect(page.locator("#video-preview")).to_be_hidden()
    expect(page.locator("#video-chart img")).to_be_visible()
    expect(page.locator("#video .card")).to_contain_text("Pose demo")
    command = page.locator("#video .cm-content").inner_text().replace("\n", "")
    assert (
        command == f"python -m sapiens_mlx predict 'two people.mov' --task pose --size demo --level {LEVEL} --out out"
    )

    download = partial(browser.download, page, tab="video")
    with av.open(str(download("Video"))) as video:
        assert len(video.streams.audio) == 1 and sum(1 for _ in video.decode(video=0)) == 8
    lines = download("Keypoints, a line a frame").read_text().splitlines()
    assert [len(json.loads(line)["people"]) for line in lines] == [2] * 8
    assert download("Joint angles · CSV").name == "two_people_pose_angles.csv"
    report = json.loads(download("Report").read_text())
    assert report["input"] == "two people.mov" and report["video"] == "two_people_pose.mp4"


@pytest.mark.slow
@pytest.mark.browser
def test_stop_keeps_a_video_and_others_do_not_wait_for_a_clip(visit: Callable, short: Path, photo: Path) -> None:
    page, other = visit(), visit()
    page.locator("#video .example").first.click()
    expect(page.locator("#video-preview img")).to_be_visible(timeout=RUN_MS)
    upload(other, short)
    other.locator("#video-run").click()
    expect(other.locator("#video-status")).to_contain_text("Waiting: another clip is being worked on")
    other.get_by_role("tab", name="Studio").click()
    browser.upload(other, photo)
    browser.run(other)  # between two frames of the clip
    expect(page.locator("#video-status .working")).to_contain_text("of 72")

    browser.stop(page, "video")
    expect(page.locator("#video-status .stopped")).to_contain_text("The video shows the", timeout=RUN_MS)
    assert 0 < playing(page).seconds < 3
    expect(page.locator("#video .cm-content")).to_contain_text("--last-frame")
    expect(page.locator("#video-run")).to_be_enabled()
    expect(page.locator("#video-stop")).to_be_disabled()
    other.get_by_role("tab", name="Video").click()
    expect(other.locator("#video-status .done")).to_be_visible(timeout=RUN_MS)  # its turn has come
    assert playing(other).height == 360  # and it is its own clip


@pytest.mark.slow
@pytest.mark.browser
def test_what_is_no_clip_and_what_cannot_be_asked_of_one_is_told(visit: Callable, tmp_path: Path) -> None:
    page = visit()
    page.locator("#video-run").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no clip yet", timeout=RUN_MS)
    (tmp_path / "bad clip.mov").write_bytes(b"no video")
    upload(page, tmp_path / "bad clip.mov")
    expect(page.get_by_role("alert")).to_contain_text("bad clip.mov is not a video that can be read")
    expect(page.locator(".clip-given")).to_have_count(0)
    upload(page, clips.write(tmp_path / "small.gif", 6, codec="gif", pix_fmt="rgb8", rate=10))
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator(".clip-given")).to_contain_text("6 frames, 0 to 5")
    page.get_by_role("button", name="Frames, size and sound").click()
    page.get_by_label("First frame").fill("40")
    page.locator("#video-run").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose an earlier first frame", timeout=RUN_MS)
    assert "--resume" not in page.get_by_role("alert").inner_text()  # which a page does not have
    page.get_by_label("First frame").fill("4")
    browser.run(page, "video")
    assert playing(page).seconds == pytest.approx(0.2, abs=0.01)
    page.locator("#video-clip").get_by_label("Clear").click()
    expect(page.locator(".clip-given")).to_have_count(0)
    expect(page.locator(VIDEO)).to_have_count(0)
    expect(page.locator("#video .empty")).to_be_visible()


@pytest.mark.slow
@pytest.mark.browser
def test_choices_survive_a_reload_with_what_depends_on_them(visit: Callable) -> None:
    page = visit()
    expect(page.locator("#video-given")).to_contain_text("Up to 200 MB")
    for name in ("Pose", "Side by side"):
        choose(page, name)
    page.wait_for_timeout(1000)  # one is kept for each choice
    page.reload()
    browser.ready(page)
    browser.open_tab(page, "Video", "video")
    for name in ("Pose", "Side by side"):
        expect(page.locator("#video").get_by_role("radio", name=name, exact=True)).to_be_checked()
    page.get_by_role("button", name="Frames, size and sound").click()
    expect(page.locator("#video").get_by_label("Average with the mirrored frame")).to_be_visible()


@pytest.mark.slow
@pytest.mark.browser
def test_leaving_and_another_clip_end_the_run_and_remove_its_files(
    visit: Callable, server: Server, short: Path, tmp_path: Path
) -> None:
    def kept() -> list[Path]:
        return [path for path in server.files.rglob("*") if path.is_file() and path.suffix in (".mp4", ".mov", ".json")]

    page = visit()
    page.locator("#video .example").first.click()
    expect(page.locator("#video-preview img")).to_be_visible(timeout=RUN_MS)
    assert any(".parts" in path.parent.name for path in kept())
    upload(page, short)
    until(lambda: not any(".parts" in path.parent.name for path in kept()))
    expect(page.locator("#video-preview")).to_be_hidden()
    expect(page.locator("#video .empty .done")).to_be_visible()
    page.locator("#video .example").first.click()
    expect(page.locator("#video-preview img")).to_be_visible(timeout=RUN_MS)
    page.context.close()
    until(lambda: not [path for path in server.files.rglob("*") if path.suffix in (".mp4", ".mov", ".json")], 60)


@pytest.mark.slow
@pytest.mark.browser
def test_on_a_phone_nothing_reaches_out_of_the_window_and_the_video_is_in_sight(visit: Callable, short: Path) -> None:
    page = visit(390, 844)
    upload(page, short)
    choose(page, "Side by side")
    page.get_by_role("button", name="Frames, size and sound").click()
    page.locator("#video-run").click()
    expect(page.locator("#video-status .done")).to_be_visible(timeout=RUN_MS)
    made = playing(page)
    assert made.width > 2 * 480
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(VIDEO).bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 844
