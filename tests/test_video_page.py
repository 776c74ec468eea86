"""The tab Video: what it says and asks for; and in Chromium a clip from the drop to the player, Stop, problems told in
a sentence, and nothing left behind. With the demo weights, whose pictures are not judged here."""

import argparse
import json
import shlex
import threading
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

from sapiens_mlx import costs, runtime, zoo
from sapiens_mlx.arguments import argument_parser
from sapiens_mlx.errors import CancelledError, ClipError, SapiensError
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.ui.video import given, options, run, sentences
from sapiens_mlx.ui.video.given import Facts, Running
from sapiens_mlx.ui.visit import Visit
from sapiens_mlx.video import arguments, frames, read_file
from sapiens_mlx.video.choices import ClipChoices
from sapiens_mlx.video.clip import run_clip
from sapiens_mlx.video.read import open_clip
from sapiens_mlx.video.report import ClipReport, Newest

EXAMPLE = browser.REPOSITORY / "examples/clip.mp4"
LEVEL = zoo.default_level(runtime.device())
FACTS = Facts((720, 960), 72, 24.0, False)
VALUES = {
    "task": "seg",
    "size": "demo",
    "level": LEVEL,
    "view": "overlay",
    "foreground": "auto",
    "first_frame": 0,
    "last_frame": 0,
    "every": 1,
    "longest_side": 0,
    "sound": True,
    "detect_every": 1,
    "box_threshold": zoo.DEFAULTS.box_threshold,
    "flip": True,
}


def newest(done: int, total: int | None = 4) -> Newest:
    return Newest(done - 1, 0.1 * done, done, total, 2.0, 1.0, np.full((2, 2, 3), done, np.uint8))


# ---- what is asked for ----------------------------------------------------------------------------------------------


def test_what_is_left_empty_is_what_it_was_at_first():
    assert options.choices(VALUES) == ClipChoices()
    assert options.choices(VALUES | {"first_frame": None, "last_frame": None, "every": 0}) == ClipChoices()
    chosen = VALUES | {"task": "pose", "view": "alone", "first_frame": 3, "last_frame": 9, "every": 2}
    chosen |= {"longest_side": 640, "detect_every": 5, "sound": False}
    assert options.choices(chosen) == ClipChoices("alone", 3, 9, 2, 640, 5, sound=False)
    # The slider is hidden there; what it stands at must not count.
    assert options.choices(chosen | {"task": "seg"}).detect_every == 1


def test_the_command_line_asks_for_something_else_than_the_page():
    values = VALUES | {"task": "pose", "flip": False, "box_threshold": 0.45, "detect_every": 4, "sound": False}
    values |= {"view": "side-by-side", "first_frame": 2, "last_frame": 40, "every": 3, "longest_side": 854}
    report = ClipReport("two people.mov", "pose", "demo", LEVEL)
    text = sentences.command("two people.mov", report, values, options.choices(values), None)
    words = shlex.split(text)
    assert words[:5] == ["python", "-m", "sapiens_mlx", "predict", "two people.mov"]
    of_clips = argparse.ArgumentParser()
    arguments.add_arguments(of_clips)
    seen, rest = of_clips.parse_known_args(words[4:])
    of_photos = argument_parser().parse_args(["predict", *rest])
    for name in ("style", "keypoint_threshold", "side_by_side"):
        setattr(seen, name, getattr(of_photos, name))
    assert arguments.choices_of(seen) == options.choices(values)
    assert (of_photos.task, of_photos.size, of_photos.level) == ("pose", "demo", LEVEL)
    assert of_photos.no_flip and of_photos.box_threshold == 0.45 and of_photos.inputs == ["two people.mov"]


def test_the_command_line_cuts_out_what_the_page_does():
    report = ClipReport("a.mp4", "normal", "0.4b", "8bit")
    values = VALUES | {"task": "normal", "size": "0.4b", "level": "8bit"}
    assert sentences.command("a.mp4", report, values, ClipChoices(), "w").endswith(
        "--task normal --size 0.4b --level 8bit --weights w --out out --foreground auto"
    )
    assert options.of_predictor(values).foreground == "auto"
    assert options.of_predictor(VALUES).foreground == "none"


# ---- limits and costs -----------------------------------------------------------------------------------------------


def test_where_a_page_is_shared_a_run_may_have_so_many_frames(monkeypatch):
    assert options.most_frames() is None
    monkeypatch.setenv("SPACE_ID", "someone/something")
    most = options.most_frames()
    long = Facts((720, 960), 10 * most, 30.0, True)
    with pytest.raises(SapiensError, match=f"{10 * most} frames.*takes {most} at a time.*every 10th one"):
        options.within(ClipChoices(), long, most)
    with pytest.raises(SapiensError, match="every 14th one"):
        options.within(ClipChoices(every=2, last_frame=14 * most - 1), Facts((720, 960), 14 * most, 30.0, True), most)
    options.within(ClipChoices(every=10), long, most)  # the advice holds
    assert options.within(ClipChoices(), long, None) == ClipChoices()


def test_a_clip_that_does_not_say_its_length_cannot_go_round_the_limit():
    unknown = Facts((720, 960), None, 30.0, True)
    chosen = options.within(ClipChoices(first_frame=5, every=3), unknown, 100)
    assert chosen.chosen.count(10_000) == 100
    assert options.within(ClipChoices(last_frame=7), unknown, 100).last_frame == 7


def test_the_cost_is_that_of_the_frames_and_what_is_wrong_is_told_before_the_run(machine):
    cost = options.cost(VALUES, FACTS, None, None)
    assert "72 frames; how long they take here, the first run tells" in cost and "memory" in cost
    costs.remember_frames("seg", "demo", LEVEL, 0.5)
    assert "72 frames, about 36 s." in options.cost(VALUES, FACTS, None, None)
    assert "12 frames, about 6.0 s." in options.cost(VALUES | {"last_frame": 23, "every": 2}, FACTS, None, None)
    assert "About 0.5 s a frame." in options.cost(VALUES, None, None, None)
    wrong = options.cost(VALUES | {"first_frame": 9, "last_frame": 3}, FACTS, None, None)
    assert "The last frame, 3, comes before the first, 9" in wrong
    assert "takes 50 at a time" in options.cost(VALUES, FACTS, None, 50)
    assert "Up to 200 MB, and 50 frames a run." in sentences.limits("200mb", 50)


def test_clips_and_photos_are_remembered_beside_each_other(machine):
    from sapiens_mlx.tasks.base import Report

    costs.remember_frames("pose", "demo", LEVEL, 0.5, "mirrored")
    costs.remember(Report("pose", "demo", LEVEL, runtime.device_name(), "float32", "", {"network": 4.0}), 2)
    costs.remember_frames("pose", "demo", LEVEL, 0.7, "mirrored")
    assert costs.frame_seconds("pose", "demo", LEVEL, "mirrored") == pytest.approx(0.6)
    assert costs.frame_seconds("pose", "demo", LEVEL) is None  # without the mirrored pass nobody knows
    assert costs.expected_seconds("pose", "demo", LEVEL) == 2


# ---- a run ----------------------------------------------------------------------------------------------------------


def test_seconds_a_frame_are_without_the_loading_and_of_both_passes():
    running = Running()
    for done, now_s in ((1, 100.0), (2, 101.0), (3, 102.0)):
        running.tell(newest(done), now_s)
    assert running.seconds_a_frame == 1 and running.passes == 1
    for done, now_s in ((1, 110.0), (2, 110.5), (3, 111.0)):
        running.tell(newest(done), now_s)
    assert running.seconds_a_frame == 1.5 and running.passes == 2
    assert Running().seconds_a_frame is None


@pytest.mark.parametrize(
    ("stage", "now", "passes", "words", "share"),
    [
        (("load", 3, 4), None, (False, 0), "Loading weights, 75%", 0.75),
        (("frames", 0, 4), None, (False, 0), "Working on the first frame", None),
        (("frames", 2, 4), newest(2), (False, 1), "Frame 2 of 4, 2 frames/s, 1 s left", 0.5),
        (("frames", 2, 0), newest(2, None), (False, 1), "Frame 2, 2 frames/s, 1 s left", None),
        (("frames", 4, 4), newest(4), (False, 1), "Writing the files", None),
        (("frames", 4, 4), newest(4), (True, 1), "Pass 1 of 2: frame 4 of 4, 2 frames/s, 1 s left", 1),
        (("frames", 4, 4), newest(4), (True, 2), "Writing the files", None),
    ],
)
def test_how_far_a_run_is(stage, now, passes, words, share):
    step = sentences.running(stage, now, *passes)
    assert (step.words, step.share) == (words, share)


def test_work_aside_gives_its_result_its_problem_and_ends_when_it_is_told_to():
    assert runtime.aside(lambda number, progress: number + 1, 2).result(10) == 3
    with pytest.raises(SapiensError, match="no"):
        runtime.aside(_refuse).result(10)
    going = threading.Event()

    def work(progress):
        while True:
            progress("frames", 0, 0)
            going.set()

    job = runtime.aside(work)
    assert going.wait(10) and not job.done
    assert runtime.inference.run(lambda progress: "free") == "free"
    job.cancel()
    with pytest.raises(CancelledError):
        job.result(10)


def _refuse(progress):
    raise SapiensError("no")


def test_the_report_that_is_downloaded_names_a_folder_of_the_server(tmp_path):
    report = ClipReport("a.mp4", "seg", "demo", LEVEL, video=str(tmp_path / "a_seg.mp4"))
    report.files = [report.video, str(tmp_path / "a_seg_clip.json")]
    assert run._without_folders(report) == [tmp_path / "a_seg.mp4", tmp_path / "a_seg_clip.json"]
    text = (tmp_path / "a_seg_clip.json").read_text()
    assert str(tmp_path) not in text and json.loads(text)["files"] == ["a_seg.mp4", "a_seg_clip.json"]


def test_a_problem_names_a_folder_of_the_server():
    visit = Visit(Path("/tmp/served/visit-abc"))
    full = SapiensError("/tmp/served/visit-abc/clip-1/run-2/a b_seg.mp4 could not be written (No space left).")
    assert str(run._without_folder(full, visit)) == "a b_seg.mp4 could not be written (No space left)."
    other = SapiensError("a.mp4 is empty")
    assert run._without_folder(other, visit) is other


# ---- a visitor's file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tame"),
    [
        ("a holiday.MOV", "a holiday.MOV"),
        ("../../etc/passwd", "passwd"),
        ("two\nlines\0.mp4", "twolines.mp4"),
        ("größe 测试.webm", "größe 测试.webm"),
        (".mp4", "mp4"),
        ("", "clip"),
        ("...", "clip"),
        ("é" * 300 + ".mp4", "é" * 90 + ".mp4"),
    ],
)
def test_a_file_has_a_name_that_any_disk_takes(name, tame):
    assert given.tame_name(name) == tame


@pytest.mark.parametrize(
    ("name", "settings", "size_hw", "sound"),
    [
        ("phone.mov", {"rotation": 90, "audio": "aac"}, (128, 96), True),
        ("web.webm", {"codec": "libvpx-vp9", "audio": "libopus"}, (96, 128), True),
        ("small.gif", {"codec": "gif", "pix_fmt": "rgb8", "rate": 10}, (96, 128), False),
        ("ten bits.mkv", {"codec": "libx265", "pix_fmt": "yuv420p10le"}, (96, 128), False),
    ],
)
def test_what_a_browser_cannot_play_is_taken_too(tmp_path, name, settings, size_hw, sound):
    source = clips.write(tmp_path / name, 6, **settings)
    taken = given.take(tmp_path / "visit/clip", source, "its own name" + source.suffix)
    source.unlink()  # as when another visitor had the same upload, and left
    assert taken.facts.size_hw == size_hw and taken.facts.has_sound == sound and taken.facts.frames == 6
    assert taken.name == "its own name" + source.suffix and taken.stem == "its_own_name" and taken.path.is_file()
    assert taken.poster.startswith("data:image/jpeg;base64,")


def test_of_a_file_that_is_no_clip_nothing_is_kept(tmp_path):
    (tmp_path / "upload").write_bytes(b"no video")
    with pytest.raises(ClipError, match=r"^my clip\.mp4 is not a video"):
        given.take(tmp_path / "visit/clip", tmp_path / "upload", "my clip.mp4")
    assert not (tmp_path / "visit/clip").exists()


def test_frames_that_would_fill_the_memory_are_refused_before_one_is_made(tmp_path, monkeypatch):
    source = clips.write(tmp_path / "clip.mp4", 2)
    monkeypatch.setattr(frames, "MAX_PIXELS", 96 * 128 - 1)
    monkeypatch.setattr(read_file, "Decoder", None)
    with pytest.raises(ClipError, match="128 x 96 pixels; the limit is"):
        open_clip(source)


def test_names_cannot_bring_html():
    nasty = "<img src=x onerror=alert(1)>.mp4"
    report = ClipReport(nasty, "seg", "demo", LEVEL, device="<b>")
    shown = sentences.given(nasty, "", FACTS, False) + sentences.card(report, None)
    shown += sentences.video(Path("/x") / nasty, "", nasty, "seg")
    assert "<img src=x" not in shown and "<b>" not in sentences.card(report, None)


def test_where_and_with_what_a_clip_was_taken_is_not_in_the_video(tmp_path):
    plain, secret = clips.write(tmp_path / "plain.mov", 6, audio="aac"), tmp_path / "secret.mov"
    said = {"title": "SECRET title", "location": "+52.5163+013.3777/", "com.apple.quicktime.make": "SECRET maker"}
    with av.open(str(plain)) as source, av.open(str(secret), "w", options={"movflags": "use_metadata_tags"}) as copy:
        copy.metadata.update(said)
        streams = {stream.index: copy.add_stream_from_template(stream) for stream in source.streams}
        for stream in streams.values():
            stream.metadata["handler_name"] = "SECRET lens"
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)
    assert all(words.encode() in secret.read_bytes() for words in (*said.values(), "SECRET lens"))
    report = run_clip(secret, Predictor("detect", "demo"), tmp_path / "out")
    with av.open(report.video) as made:
        assert len(made.streams.audio) == 1
    for path in report.files:
        assert not any(words in Path(path).read_bytes() for words in (b"SECRET", b"52.5163"))


# ---- in a browser ---------------------------------------------------------------------------------------------------

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

    page.locator("#video-stop").click()
    expect(page.locator("#video-status .stopped")).to_contain_text("The video shows the", timeout=RUN_MS)
    assert 0 < playing(page).seconds < 3
    expect(page.locator("#video .cm-content")).to_contain_text("--last-frame")
    expect(page.locator("#video-run")).to_be_enabled()
    expect(page.locator("#video-stop")).to_be_disabled()
    other.get_by_role("tab", name="Video").click()
    expect(other.locator("#video-status .done")).to_be_visible(timeout=RUN_MS)  # its turn has come
    assert playing(other).height == 360  # and it is its own clip


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
