"""predict of folders by one process: what it writes and what it passes over; stopped, killed, and gone on with."""

import gc
import json
import os
import signal
import subprocess
import sys
import weakref

import clips
import numpy as np
import pytest
import rule
from command_line import run
from job_files import ROOT, ended, rows, started, wait_until, write_photos

from sapiens_mlx import predict_files
from sapiens_mlx.jobs import manifest
from sapiens_mlx.jobs import run as at_work
from sapiens_mlx.jobs.index import Work
from sapiens_mlx.jobs.plan import Item
from sapiens_mlx.options import Options
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.stop import Stop

TASKS = ("seg", "normal", "pose")


@pytest.fixture
def weights(machine, tiny_size):
    for task in TASKS:
        rule.write_tiny(machine, task)
    return machine


def predict(capsys, *arguments):
    status, out, error = run(capsys, "predict", *arguments, "--size", "tiny", "--json")
    return status, json.loads(out) if out else None, error


def test_a_folder_twice(weights, tmp_path, capsys):
    photos = write_photos(tmp_path / "in", 3)
    (tmp_path / "in/sub").mkdir()
    photos[2] = photos[2].rename(tmp_path / "in/sub" / photos[2].name)
    arguments = (tmp_path / "in", "--out", tmp_path / "out", "--task", "seg,normal")
    status, summary, error = predict(capsys, *arguments)
    assert (status, error) == (0, "")
    assert (summary["done"], summary["skipped"], summary["failed"]) == (3, 0, 0)
    assert summary["manifest"] == str(tmp_path / "out/manifest.jsonl")
    assert 0 < summary["network_share"] <= 1
    lines = rows(tmp_path / "out")
    assert {(line["file"], line["task"]) for line in lines} == {
        (f"../{photo.relative_to(tmp_path)}", task) for photo in photos for task in ("seg", "normal")
    }
    for line in lines:
        photo = tmp_path / "out" / line["file"]
        assert line["digest"] == manifest.digest(photo)
        assert line["bytes"] == photo.stat().st_size
        assert (line["size"], line["options"]) == ("tiny", {})
        assert {"network", "decode", "draw"} <= line["seconds"].keys()
        assert line["outputs"] and all((tmp_path / "out" / output).is_file() for output in line["outputs"])
    assert (tmp_path / "out/sub/photo 002_seg.npz").is_file()
    status, summary, _ = predict(capsys, *arguments)
    assert (status, summary["done"], summary["skipped"]) == (0, 0, 3)
    assert len(rows(tmp_path / "out")) == 6


def test_options_of_videos_are_no_reason_to_do_photos_again(weights, tmp_path, capsys):
    write_photos(tmp_path / "in", 2)
    clips.write(tmp_path / "in/clip.mp4", 4)
    arguments = (tmp_path / "in", "--out", tmp_path / "out")
    assert predict(capsys, *arguments)[1]["done"] == 3
    for option, done in (("--segment 7", 0), ("--no-sound --every 2", 1), ("--no-sound --every 2", 0)):
        summary = predict(capsys, *arguments, *option.split())[1]
        assert (summary["done"], summary["skipped"]) == (done, 3 - done)
    assert run(capsys, "predict", "--merge", tmp_path / "out")[0] == 0


def test_a_photo_that_changed_since_is_missing_from_what_is_merged(weights, tmp_path, capsys):
    photos = write_photos(tmp_path / "in", 3)
    predict(capsys, tmp_path / "in", "--out", tmp_path / "out")
    os.utime(photos[0], (1, 1))
    photos[1].write_bytes(photos[2].read_bytes())
    status, text, _ = run(capsys, "predict", "--merge", tmp_path / "out")
    assert status == 1
    assert "2 of 3 files done, 1 missing" in text and photos[1].name in text


def test_a_damaged_video_is_named_with_what_it_lacks(weights, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        whole = clips.write(tmp_path / "in" / name, 30, container_options={"movflags": "faststart"}, draw=clips.noisy)
        os.truncate(whole, whole.stat().st_size * 6 // 10)
    status, _, error = predict(capsys, tmp_path / "in", "--out", tmp_path / "out")
    assert status == 0
    assert error.count("note: ../in/a.mp4: Missing") == error.count("note: ../in/b.mp4: Missing") == 1
    assert all(line["missing"] for line in rows(tmp_path / "out"))


def test_what_killed_runs_left_half_written_is_removed(weights, tmp_path, capsys):
    write_photos(tmp_path / "in", 1)
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "import os, sys; from sapiens_mlx.files import writing\n"
        "with writing(sys.argv[1]) as half: half.touch(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(out / "a.npz")], cwd=ROOT, check=False)
    (left,) = out.iterdir()
    predict(capsys, tmp_path / "in", "--out", out)
    assert not left.exists()


def test_a_second_run_leaves_the_work_of_several_processes_alone(weights, tmp_path, capsys):
    write_photos(tmp_path / "in", 1)
    with manifest.Manifest(tmp_path / "in", 1):
        (tmp_path / "in/.job-1").mkdir()
        (tmp_path / "photos").mkdir()
        write_photos(tmp_path / "photos", 1)
        status, _, error = predict(capsys, tmp_path / "photos", "--out", tmp_path / "in")
    assert status == 2 and "Another run is writing" in error
    assert (tmp_path / "in/.job-1").is_dir()


def test_only_what_changed_is_done_again(weights, tmp_path, capsys):
    photos = write_photos(tmp_path / "in", 4)
    arguments = (tmp_path / "in", "--out", tmp_path / "out")
    predict(capsys, *arguments)
    os.utime(photos[0], (1, 1))  # touched, but the same
    photos[1].write_bytes(photos[2].read_bytes())
    (tmp_path / "out" / "photo 002_seg.npz").unlink()
    picture = (tmp_path / "out/photo 000_seg.png").stat().st_mtime_ns
    status, summary, _ = predict(capsys, *arguments)
    assert (status, summary["done"], summary["skipped"]) == (0, 3, 1)
    assert (tmp_path / "out/photo 000_seg.png").stat().st_mtime_ns == picture
    assert (tmp_path / "out" / "photo 002_seg.npz").is_file()
    same = [(tmp_path / f"out/photo 00{n}_seg_labels.png").read_bytes() for n in (1, 2)]
    assert same[0] == same[1]
    assert predict(capsys, *arguments)[1]["skipped"] == 4
    assert predict(capsys, *arguments, "--style", "reference")[1]["done"] == 4
    assert predict(capsys, *arguments, "--points", "5")[1]["skipped"] == 4  # which is nothing to seg
    assert predict(capsys, *arguments, "--task", "seg,normal")[1]["done"] == 4


def test_a_bad_file_is_reported_once_and_the_rest_goes_on(weights, tmp_path, capsys):
    write_photos(tmp_path / "in", 2)
    (tmp_path / "in/bad.jpg").write_text("no photo")
    (tmp_path / "in/film.mp4").write_text("no film")
    arguments = (tmp_path / "in", "--out", tmp_path / "out", "--task", "seg,normal")
    status, summary, error = predict(capsys, *arguments)
    assert (status, summary["done"], summary["failed"]) == (1, 2, 2)
    assert error.count("bad.jpg is not an image") == 1
    failed = [line for line in rows(tmp_path / "out") if "error" in line]
    assert {(line["file"], line["task"]) for line in failed} >= {("../in/bad.jpg", "seg"), ("../in/bad.jpg", "normal")}
    (tmp_path / "in/film.mp4").unlink()
    status, summary, _ = predict(capsys, *arguments)
    assert (status, summary["skipped"], summary["failed"]) == (1, 2, 1)
    (tmp_path / "in/bad.jpg").unlink()
    assert predict(capsys, *arguments)[0] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: [folder / "gone.mp4", folder / "photo 000.png"],
        lambda folder: [(folder / "loop.mp4").symlink_to("loop.mp4") or folder],
        lambda folder: [(folder / "list.txt").write_text("in/gone.mp4\nin/photo 000.png\n") and folder / "list.txt"],
        pytest.param(
            lambda folder: [(folder / "closed.mov").touch(0) or folder],
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file"),
        ),
    ],
    ids=["named", "a ring", "listed", "closed"],
)
def test_a_video_that_cannot_be_read_is_told_and_does_not_hold_the_job_up(weights, tmp_path, make):
    write_photos(tmp_path / "in", 1)
    process = started(*make(tmp_path / "in"), "--out", tmp_path / "out", "--resume", "--json", cwd=tmp_path)
    status, printed, error = ended(process)
    assert status == 1, error
    summary = json.loads(printed)
    assert (summary["done"], summary["failed"]) == (1, 1)
    (told,) = [line["error"] for line in rows(tmp_path / "out") if "error" in line]
    assert "cannot be read" in told and "mistake in the program" not in told and told in error


def test_nothing_but_bad_files_is_exit_2_and_nothing_at_all_an_error(weights, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    arguments = (tmp_path / "in", "--out", tmp_path / "out")
    status, summary, error = predict(capsys, *arguments)
    assert (status, summary) == (2, None)
    assert "No photo" in error
    (tmp_path / "in/bad.jpg").write_text("no photo")
    assert predict(capsys, *arguments)[0] == 2
    assert predict(capsys, tmp_path / "in/*.gif", "--out", tmp_path / "out")[0] == 2
    for text in (tmp_path, tmp_path / "out"):
        status, summary, error = predict(capsys, text, "--out", text)
        assert (status, summary) == (2, None)
        assert "read and written at once" in error


def test_missing_weights_end_a_job_at_its_first_file(machine, tiny_size, tmp_path, capsys):
    write_photos(tmp_path / "in", 5)
    status, summary, error = predict(capsys, tmp_path / "in", "--out", tmp_path / "out")
    assert (status, summary) == (2, None)
    assert error.count("error: ") == 1


def test_names_of_every_kind(weights, tmp_path, capsys):
    (photo,) = write_photos(tmp_path / "in", 1)
    names = ["ünï 日本.png", "line\nbreak.png", "a.PNG", "-v.png", "%s{0}.png", "photo 000.bmp", "日" * 80 + ".png"]
    names.append(os.fsdecode(b"no\xfftext.png"))
    for name in names:
        (photo.parent / name).write_bytes(photo.read_bytes())
    status, summary, error = predict(capsys, tmp_path / "in", "--out", tmp_path / "out")
    assert (status, summary["done"], error) == (0, 9, "")
    stems = {path.name.removesuffix("_seg.npz") for path in (tmp_path / "out").glob("*.npz")}
    assert stems >= {"ünï 日本", "line\nbreak", "a", "-v", "%s{0}", "photo 000", "photo 000-2"}
    assert len(stems) == 9
    (photo.parent / "bad\n\x1b[31m.png").write_text("no photo")
    status, _, error = run(capsys, "predict", tmp_path / "in", "--out", tmp_path / "out", "--size", "tiny")[::1]
    assert status == 1
    assert "\x1b" not in error
    assert error.count("\n") == 1


def test_named_photos_keep_a_manifest_only_with_resume(weights, tmp_path, capsys):
    photos = write_photos(tmp_path / "in", 2)
    assert "results" in predict(capsys, *photos, "--out", tmp_path / "out")[1]
    assert not list((tmp_path / "out").glob("manifest*"))
    assert predict(capsys, *photos, "--out", tmp_path / "out", "--resume")[1]["done"] == 2
    assert predict(capsys, *photos, "--out", tmp_path / "out", "--resume")[1]["skipped"] == 2


def test_results_of_a_photo_stay_in_memory(weights, tmp_path, capsys, monkeypatch):
    seen, alive, save = [], [], predict_files.save

    def watched(result, *rest, **options):
        gc.collect()
        alive.append(sum(one() is not None for one in seen))
        seen.append(weakref.ref(result))
        return save(result, *rest, **options)

    monkeypatch.setattr(predict_files, "save", watched)
    photo = write_photos(tmp_path / "in", 1)[0]
    assert predict(capsys, photo, "--out", tmp_path / "out", "--task", "seg,normal")[0] == 0
    assert alive == [0, 0]


def test_a_file_that_two_inputs_hold_is_done_once(weights, tmp_path, capsys):
    photos = write_photos(tmp_path / "in", 2)
    (tmp_path / "list.txt").write_text(f"{photos[0]}\n{tmp_path}/in/../in/{photos[1].name}\n")
    inputs = (tmp_path / "in", tmp_path / "list.txt", tmp_path / "in/*.png", photos[0])
    assert predict(capsys, *inputs, "--out", tmp_path / "out")[1]["done"] == 2


# ---- the way of a photo ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_what_is_begun_ahead_gives_what_a_call_gives(weights, tmp_path, task):
    predictor = Predictor(task, "tiny", "fp32")
    photo = np.random.default_rng(1).integers(0, 255, (50, 70, 3), np.uint8)
    options = Options(detector="none")
    ahead = predictor.begin(predictor.prepare(photo), options).result()()
    called = predictor(photo, detector="none")
    for name, array in vars(called).items():
        if isinstance(array, np.ndarray):
            np.testing.assert_array_equal(getattr(ahead, name), array, err_msg=name)
    assert ahead.report.seconds.keys() >= {"network", "decode"}


def test_what_is_read_ahead_is_bounded(weights, tmp_path):
    """However many files there are, only a few are in hand: read, in the network, or being written."""
    photos = write_photos(tmp_path / "in", 30)
    work, out = Work("seg", "tiny", "fp32", {}), tmp_path / "out"
    out.mkdir()
    taken, finished, most = 0, [], 0

    def items():
        nonlocal taken, most
        for photo in photos:
            taken += 1
            most = max(most, taken - len(finished))
            yield Item(f"../in/{photo.name}", photo.stem, ["seg"])

    tally = at_work.Tally()
    with manifest.Manifest(out) as book, Stop(lambda: None) as stop:
        runner = at_work.Runner(
            out, [Predictor("seg", "tiny", "fp32")], [work], Options(), {}, book, stop, tally, finished=finished.append
        )
        runner.run(items())
    assert (tally.done, len(finished)) == (30, 30)
    assert most <= at_work.READERS + at_work.READ_AHEAD + 1 + at_work.WRITERS + 1


# ---- stopped and killed ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGINT, 130),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((signal.SIGTERM, 143), (signal.SIGHUP, 129))),
    ],
)
def test_a_signal_ends_it_after_the_file_in_hand(weights, tmp_path, capsys, number, expected):
    write_photos(tmp_path / "in", 90)
    out = tmp_path / "out"
    process = started(tmp_path / "in", "--out", out, "--task", "seg,normal", "--json")
    wait_until(lambda: len(rows(out)) > 5, process)
    process.send_signal(number)
    status, printed, error = ended(process)
    summary = json.loads(printed)
    assert status == expected, error
    assert summary["stopped"]
    assert 0 < summary["done"] < 90
    files = [line["file"] for line in rows(out)]
    assert all(files.count(file) == 2 for file in files)  # both tasks of each that was begun
    assert len({*files}) == summary["done"]
    assert not [path for path in out.rglob("*") if "partial" in path.name]
    left = predict(capsys, tmp_path / "in", "--out", out, "--task", "seg,normal")[1]
    assert left["done"] + left["skipped"] == 90
    assert left["skipped"] == summary["done"]


@pytest.mark.slow
def test_killed_it_loses_what_was_in_hand_and_no_more(weights, tmp_path, capsys):
    write_photos(tmp_path / "in", 90)
    out = tmp_path / "out"
    process = started(tmp_path / "in", "--out", out)
    wait_until(lambda: len(rows(out)) > 5, process)
    process.kill()
    ended(process)
    before = rows(out)
    assert all((out / output).stat().st_size for line in before for output in line["outputs"])
    written = len(list(out.glob("*_seg.npz")))
    assert written - len(before) <= at_work.WRITERS
    status, summary, _ = predict(capsys, tmp_path / "in", "--out", out)
    assert (status, summary["skipped"], summary["done"]) == (0, len(before), 90 - len(before))
    status, text, _ = run(capsys, "predict", "--merge", out)
    assert status == 0
    assert "90 of 90 files done" in text
