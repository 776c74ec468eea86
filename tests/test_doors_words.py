"""What a visitor or a program reads names no folder of this machine; whoever runs it does read them."""

import errno
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import fields
from html import unescape
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from browser import REPOSITORY
from compared import PHOTO
from gradio.data_classes import FileData
from PIL import Image

from sapiens_mlx import boxes, compare_files, files, image, zoo
from sapiens_mlx.compare import Comparison
from sapiens_mlx.errors import SapiensError, WeightsError, WeightsMissingError
from sapiens_mlx.hands import mano
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.shipped import demo_folder
from sapiens_mlx.tasks.base import Report
from sapiens_mlx.ui import command, outside, page, photos, problems, words
from sapiens_mlx.ui.compare import sentences as of_compare
from sapiens_mlx.ui.compare.run import CompareActions
from sapiens_mlx.ui.compare.view import CompareView
from sapiens_mlx.ui.features import sentences as of_features
from sapiens_mlx.ui.outside import for_others
from sapiens_mlx.ui.storage import Visits
from sapiens_mlx.video.read import open_clip
from sapiens_mlx.weights import described, hub_faults, locate, original, torch_file

SPACES = "my models and more/newest"  # folders that nothing told of
ANYTHING = "J's models, old (the 2nd)/v. 1"  # one that the page was started with


@pytest.fixture(params=[SPACES, ANYTHING])
def folder(request: pytest.FixtureRequest, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the owner's on a machine with nothing else."""
    monkeypatch.setattr(outside, "_hidden", set())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = tmp_path / request.param
    folder.mkdir(parents=True)
    if request.param == ANYTHING:
        outside.hide(folder)
    return folder


def no_folder_in(text: str) -> None:
    """Neither a path nor the name of a folder on the way, in a text or HTML."""
    text = unescape(re.sub(r"</?\w[^>]*>", " ", text))
    assert not re.search(r"(?<![\w/:])~?/\w", text), text
    for name in ("my", "models", "more", "pytest-of", "J's", "old", "2nd", str(REPOSITORY), str(Path.home())):
        assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text), text


# ---- problems -------------------------------------------------------------------------------------------------------


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def text(path: Path, what: str) -> Path:
    path.write_text(what)
    return path


def is_a_file(folder: Path) -> Path:
    return empty(folder / "taken") / "out"


def damaged(folder: Path) -> None:
    with original.naming(folder / "sapiens2_0.4b_seg.safetensors"):
        raise WeightsError("it is cut short")


def damaged_demo(folder: Path) -> None:
    with original.naming(demo_folder() / "sapiens2_demo_seg.safetensors"):
        raise WeightsError("it is cut short")


def half_written(folder: Path) -> None:
    with files.writing(folder / "gone/photo_seg.png") as partial:
        partial.write_bytes(b"")


def full_disk(folder: Path) -> None:
    try:
        with hub_faults.explaining("facebook/sapiens2", "x.safetensors", folder):
            raise OSError(errno.ENOSPC, "No space left on device", str(folder / "x"))
    except hub_faults.UnavailableError as problem:
        raise WeightsMissingError(f"Weights cannot be had from facebook/sapiens2: {problem}") from problem


SEG = zoo.checkpoint("seg", "0.4b")
RAISED: dict[str, Callable[[Path], object]] = {
    "weights are nowhere": lambda folder: locate.find(SEG, folder),
    "weights are not in the standing folder": lambda folder: locate.find(SEG),
    "no such --weights": lambda folder: Predictor("seg", "0.4b", weights=str(folder / "no such")),
    "demo weights": damaged_demo,
    "weights are damaged": damaged,
    "checkpoint is empty": lambda folder: torch_file.read_tensors(empty(folder / "x.pth")),
    "checkpoint is a web page": lambda folder: torch_file.read_tensors(text(folder / "x.pth", "<html>")),
    "checkpoint is a pickle": lambda folder: torch_file.read_tensors(text(folder / "x.pth", "\x80")),
    "hand model": lambda folder: mano.read(text(folder / "mano.npz", "PK")),
    "pickled hand model": lambda folder: mano.read(text(folder / "MANO_RIGHT.pkl", "c")),
    "config.json": lambda folder: described.read(text(folder / "config.json", "{").parent),
    "folder to write to": lambda folder: files.output_folder(is_a_file(folder)),
    "file to write": half_written,
    "disk is full": full_disk,
    "photo has vanished": lambda folder: image.read_image(folder / "photo.jpg"),
    "photo is a folder": lambda folder: image.read_image(folder),
    "clip has vanished": lambda folder: open_clip(str(folder / "clip.mp4")),
    "boxes": lambda folder: boxes.read_boxes(text(folder / "boxes.csv", "1,2,3")),
}


@pytest.mark.parametrize("case", RAISED)
def test_a_problem_names_folders_to_a_visitor_or_none_to_the_owner(case, folder, caplog):
    with pytest.raises(SapiensError) as met:
        RAISED[case](folder)
    problem, whole = met.value, str(met.value)
    assert re.search(r"(?<![\w/:])/\w", whole), "the owner is told of no folder"
    no_folder_in(problems.explained(problem))
    no_folder_in(str(problems.raised(problem)))
    no_folder_in(problems.sentence(problem))
    no_folder_in(words.notice(whole))
    no_folder_in(words.asides_area([whole]))
    no_folder_in(json.dumps(for_others({"errors": [whole]})))
    about_the_server = not isinstance(problem, problems.OF_VISITORS)
    assert (whole in caplog.text) == about_the_server


def test_missing_weights_are_told_without_what_to_do(folder):
    with pytest.raises(WeightsMissingError) as met:
        locate.find(SEG, folder)
    told = problems.explained(met.value)
    for needed in ("The weights are not on this machine", "HF_HUB_OFFLINE", SEG.filename, "Unset it", "log"):
        assert needed in told
    assert f"https://huggingface.co/{SEG.repo}" in told
    assert f"{SEG.filename} or {SEG.filename}" not in told  # of two places


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_an_error_of_the_disk_is_told_as_python_tells_it(code, folder, caplog):
    told = problems.explained(OSError(code, "It is so", str(folder / "x.png")))
    no_folder_in(told)
    assert "Errno" not in told and "x.png" not in told
    assert "could not read or write a file (It is so)" in told
    assert "x.png" in caplog.text


def test_too_little_memory_outside_a_run_is_unexpected(caplog):
    told = problems.explained(MemoryError())
    assert "not enough memory on the server" in told and "unexpected" not in told
    assert "MemoryError" in caplog.text


def test_an_error_in_a_modal_is_taken_for_html():
    raised = problems.raised(SapiensError("<img src=x onerror=alert(1)> is not a photo"))
    assert isinstance(raised, gr.Error) and not raised.print_exception
    assert "<img" not in raised.message


# ---- notices, tables, files -----------------------------------------------------------------------------------------


def test_a_comparison_names_folders(folder, two_sizes, monkeypatch):
    monkeypatch.setenv("SAPIENS_CHECKPOINT_ROOT", str(folder))
    comparison = Comparison(PHOTO, "seg", ["tiny:fp32", "tiny:8bit"], weights=str(folder), name="a.jpg")
    ended = [next(comparison.run(), None) for _ in range(3)]  # as pages ask, an entry at a time
    assert ended[-1] is None, "what fails is tried for ever"
    comparison.notices.append(f"The conversion was not kept: {folder}/x.safetensors could not be written.")
    assert str(folder) in comparison.entries[0].error
    outside.clear(comparison)
    assert comparison.entries[0].error.startswith("tiny:fp32: ")
    no_folder_in(of_compare.table(comparison) + of_compare.notes(comparison))
    no_folder_in(compare_files.to_csv(comparison))
    no_folder_in(for_others(compare_files.command_line(comparison)))
    no_folder_in(json.dumps(for_others(compare_files.to_json(comparison))))
    assert compare_files.sheet(comparison).ndim == 3
    assert str(folder) in shlex.split(compare_files.command_line(comparison))


@pytest.mark.parametrize("stopped", [False, True])
def test_a_comparison_that_fails_or_is_stopped_names_folders(folder, two_sizes, monkeypatch, tmp_path, stopped):
    monkeypatch.setenv("SAPIENS_CHECKPOINT_ROOT", str(folder))
    (tmp_path / "served").mkdir()
    visits = Visits(tmp_path / "served")
    view = CompareView(**{one.name: one.name for one in fields(CompareView)} | {"levels": {"tiny": None}})
    do = CompareActions(view, visits, str(folder), {})
    request = gr.Request(session_hash="a")
    visit = visits.of("a", do.tab)
    photo = photos.keep(visit, PHOTO, "a.jpg")
    values = {"photo": FileData(path=str(photo.shown)), "task": "seg", "sizes": ["tiny"], "foreground": "auto"}
    asked = {"levels_tiny": ["fp32", "8bit"], "reference": "best" if stopped else "tiny:fp32"}
    shown = []
    for updates in do._run(request, **values, **asked):
        shown.append(updates)
        if stopped and photo.compared.comparison.entries:
            photo.compared.comparison.notices.append(f"Kept nothing: {folder}/x.safetensors could not be written.")
            shown.append(do.stopped(request))
            break
    seen = " ".join(str(one[name]) for one in shown for name in ("table", "notes", "status") if name in one)
    assert "sapiens2_tiny_seg.safetensors" in seen
    no_folder_in(seen)
    table = Path(shown[-1]["csv"]["value"]).read_text()
    assert "sapiens2_tiny_seg.safetensors" in table
    no_folder_in(table)


def test_a_command_line_names_the_folder_of_the_weights(folder):
    from page_values import VALUES

    from sapiens_mlx.ui.video import sentences as of_video
    from sapiens_mlx.video.choices import ClipChoices
    from sapiens_mlx.video.report import ClipReport

    report = Report("seg", "0.4b", "8bit", "CPU", "float32", "")
    lines = [
        command.command_line("a.jpg", [report], VALUES, str(folder)),
        of_features.command(["a.jpg"], report, "none", str(folder)),
        of_video.command("a.mp4", ClipReport("a.mp4", "seg", "0.4b", "8bit"), VALUES, ClipChoices(), str(folder)),
    ]
    for line in lines:
        assert "--weights DIR --out" in line
        no_folder_in(line)


def test_the_page_itself_names_folders(folder, tmp_path):
    """Its whole description, which the browser gets, of a page that no one has used."""
    demo = page.build(tmp_path / "served", str(folder))
    sent = json.dumps(demo.get_config_file(), default=str).replace(str(tmp_path / "served"), "")
    for place in (folder, REPOSITORY, demo_folder(), Path.home()):
        assert str(place) not in sent
    assert "MIT%20License" in sent  # the text of the demo weights' licence comes with its link


# ---- texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("There is no file /a/b c/d/e f.png. Check it.", "There is no file e f.png. Check it."),
        ("at /srv/w/seg/x.safetensors or in /srv/my cache/hub, and", "at x.safetensors or in hub, and"),
        ("no /srv/my models or ~/other ones/x y.pth.", "no my models or x y.pth."),
        ("'/mnt/Disk (old)/a/b.png' //srv/x file:///srv/x y/z ~me/a", "'b.png' x z a"),
        ("/x/y.pth could not be read (Input/output error).", "y.pth could not be read (Input/output error)."),
        ("put it at /srv/a b/x.pth, or https://h.co/a/b", "put it at x.pth, or https://h.co/a/b"),
        ("from https://me:secret@mirror.org/a/b", "from https://mirror.org/a/b"),
        (f"in {Path.home()}/a/x.png, {Path.home()}.", "in x.png, DIR."),
        (f"{Path.home()}-old/x.png", "x.png"),
        ("from https://huggingface.co/facebook/sapiens2-seg-0.4b.", None),
        ("facebook/sapiens2-seg-0.4b and 1/2, w / h, C:\\x", None),
    ],
)
def test_paths_are_left_in_a_text_or_more_than_paths_is_cut_out(text, told):
    assert for_others({"a": (text, 1)}) == {"a": [text if told is None else told, 1]}


def test_a_long_text_of_slashes_hangs_or_changes():
    for text in ("/" * 200_000, "a " * 100_000 + "/", "~" * 200_000, " (" * 100_000):
        assert for_others(text) == text
    assert len(for_others("/a b" * 50_000)) < 10


# ---- the tabs -------------------------------------------------------------------------------------------------------


def test_a_files_own_words_reach_the_modal_of_an_example(folder, tmp_path):
    from sapiens_mlx.ui.photos import open_file
    from sapiens_mlx.ui.visit import Visit

    with pytest.raises(SapiensError) as met:
        open_file(Visit(tmp_path), folder / "example.jpg", "example.jpg")
    no_folder_in(problems.raised(met.value).message)
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(folder / "example.jpg")
    assert open_file(Visit(tmp_path / "visit"), folder / "example.jpg", "example.jpg") is not None
