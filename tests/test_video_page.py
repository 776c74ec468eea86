"""The tab Video: what it says and asks for; and in Chromium a clip from the drop to the player, Stop, problems told in
a sentence, and nothing left behind. With the demo weights, whose pictures are not judged here."""

import argparse
import json
import shlex
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import av
import browser
import clips
import numpy as np
import pytest
from gradio import FileData

from sapiens_mlx import costs, runtime, zoo
from sapiens_mlx.arguments import argument_parser
from sapiens_mlx.errors import CancelledError, ClipError, SapiensError
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.ui.storage import Visits
from sapiens_mlx.ui.video import given, options, run, sentences
from sapiens_mlx.ui.video.given import Facts, Running
from sapiens_mlx.ui.video.view import VideoView
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
        "--task normal --size 0.4b --level 8bit --weights DIR --out out --foreground auto"
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


@pytest.mark.parametrize("level", ["fp32", "8bit"])
@pytest.mark.parametrize("task", ["detect", "seg"])
def test_how_long_frames_took_is_found_at_every_level(machine, task, level):
    values = VALUES | {"task": task, "level": level}
    costs.remember_frames(*options.timed(values), 0.5)
    assert "72 frames, about 36 s." in options.cost(values, FACTS, None, None)
    predictor = Predictor(task, "demo", level)
    assert options.timed(values) == (task, predictor.size, predictor.level)  # so that all that is one is known as one


def test_clips_and_photos_are_remembered_beside_each_other(machine):
    from sapiens_mlx.tasks.base import Report

    costs.remember_frames("pose", "demo", LEVEL, 0.5, "mirrored")
    costs.remember(Report("pose", "demo", LEVEL, runtime.device_name(), "float32", "", {"network": 4.0}), 2)
    costs.remember_frames("pose", "demo", LEVEL, 0.7, "mirrored")
    assert costs.frame_seconds("pose", "demo", LEVEL, "mirrored") == pytest.approx(0.6)
    assert costs.frame_seconds("pose", "demo", LEVEL) is None  # without the mirrored pass nobody knows
    assert costs.cost("pose", "demo", LEVEL, inputs=1).seconds == 2


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
    taken = given.take(tmp_path / "clip", source, "its own name" + source.suffix)
    source.unlink()  # as when another visitor had the same upload, and left
    assert taken.facts.size_hw == size_hw and taken.facts.has_sound == sound and taken.facts.frames == 6
    assert taken.name == "its own name" + source.suffix and taken.stem == "its_own_name" and taken.path.is_file()
    assert taken.poster.startswith("data:image/jpeg;base64,")


def test_of_a_file_that_is_no_clip_nothing_is_kept(tmp_path):
    (tmp_path / "upload").write_bytes(b"no video")
    with pytest.raises(ClipError, match=r"^my clip\.mp4 is not a video"):
        given.take(tmp_path / "clip", tmp_path / "upload", "my clip.mp4")
    assert not (tmp_path / "clip").exists()


@pytest.fixture
def tab(tmp_path):
    """The handlers of the tab, which give their updates by the fields' names, and a visitor's upload."""
    view = SimpleNamespace(**{field: field for field in VideoView.__dataclass_fields__})
    folder = tmp_path / "page"
    (folder / ("0" * 64)).mkdir(parents=True)
    upload = FileData(path=str(clips.write(folder / ("0" * 64) / "clip.mp4", 3)), orig_name="clip.mp4")
    return run.VideoActions(view, Visits(folder), None, {}, None), upload


VISITOR = SimpleNamespace(session_hash="a")


def test_run_pressed_while_the_upload_is_looked_at_waits_for_that(tab, monkeypatch):
    do, upload = tab
    looking, go_on, started = threading.Event(), threading.Event(), []

    def slowly(*arguments):
        looking.set()
        assert go_on.wait(10)
        return given.take(*arguments)

    monkeypatch.setattr(run, "take", slowly)
    monkeypatch.setattr(do, "_start", lambda visit, clip, *rest: started.append(clip) or _refuse(None))
    with ThreadPoolExecutor(2) as threads:
        dropped = threads.submit(do.clip_given, upload, VISITOR)
        assert looking.wait(10)
        pressed = threads.submit(lambda: list(do._run(VISITOR, clip=upload)))
        with pytest.raises(TimeoutError):
            pressed.result(0.2)
        go_on.set()
        assert dropped.result(10)["status"] == ""
        (update,) = pressed.result(10)
    assert "here any more" not in update["status"]
    assert len(started) == 1 and do._given[do._visit(VISITOR)] is started[0]


def test_a_run_that_was_faster_than_the_look_at_the_upload_goes_on(tab):
    do, upload = tab
    visit = do._visit(VISITOR)
    assert do._take(visit, upload)
    taken = do._given[visit]
    visit.job = job = runtime.Job()
    assert do.clip_given(upload, VISITOR).keys() == {"clip", "given"}
    assert do._given[visit] is taken and Path(upload.path).is_file()
    job.progress("frames", 1, 3)  # nobody has stopped it


def test_run_says_of_a_bad_upload_what_the_drop_has_said(tab):
    do, upload = tab
    Path(upload.path).write_bytes(b"no video")
    assert "clip.mp4 is not a video" in do.clip_given(upload, VISITOR)["status"]
    (update,) = do._run(VISITOR, clip=upload)
    assert "clip.mp4 is not a video" in update["status"]
    do.clip_removed(VISITOR)
    assert not Path(upload.path).exists()


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
