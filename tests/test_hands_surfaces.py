"""Hands where they are one task among others: the tabs Compare levels and Video, the endpoints, the listing of models.

In a page of its own with small networks of made-up weights, whose 4-bit file is given only where it is wanted.
"""

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import browser
import clips
import made_up_hands as made_up
import numpy as np
import pytest
import rule
from browser import RUN_MS, Server, serving
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from sapiens_mlx import inventory, zoo
from sapiens_mlx.arguments import argument_parser
from sapiens_mlx.compare import Comparison
from sapiens_mlx.errors import LicencesError
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.runtime import inference
from sapiens_mlx.ui import consent
from sapiens_mlx.ui.video import options, sentences
from sapiens_mlx.ui.visit import Visit
from sapiens_mlx.video import arguments
from sapiens_mlx.video.report import ClipReport
from sapiens_mlx.weights import consent as kept

pytest.importorskip("wilor_mlx", reason=made_up.REASON)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

PHOTO = made_up.discs("rl")
PACKED = "hands/wilor-mlx-int4.safetensors"
PAGE = """
import sapiens_mlx, pytest, sys
sys.path.insert(0, "tests")
import made_up_hands, page_process
from sapiens_mlx.ui.page import serve
page_process.add_tiny()
made_up_hands.shrink(pytest.MonkeyPatch())
serve()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        made_up.shrink(patch)
        inference.run(lambda progress: made_up.write_all(folder / "weights"))
    (folder / "weights" / PACKED).rename(folder / "packed")
    rule.write_tiny(folder / "weights", "pose")
    with serving(["-c", PAGE], folder, {"HOME": str(folder)}) as server:
        yield server


@contextmanager
def packed(server: Server) -> Iterator[None]:
    """While the 4-bit file is there."""
    folder = server.files.parent
    (folder / "packed").rename(folder / "weights" / PACKED)
    try:
        yield
    finally:
        (folder / "weights" / PACKED).rename(folder / "packed")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "two hands.png"
    Image.fromarray(PHOTO).save(path)
    return path


def names(files: list[str]) -> list[str]:
    return [Path(file).name for file in files]


def refused(call: Callable) -> str:
    with pytest.raises(AppError) as told:
        call()
    return str(told.value)


# ---- the endpoints --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_programs_are_not_told_of_licences_that_nobody_accepted(client, photo):
    for call in (
        partial(client.predict, photo=handle_file(photo), tasks="hands", level="4bit", api_name="/predict"),
        partial(client.predict, photo=handle_file(photo), task="hands", api_name="/compare"),
    ):
        told = refused(call)
        for words in ("licences of their own", "creativecommons.org/licenses/by-nc-nd/4.0/", "--accept-licences"):
            assert words in told
        assert "tab Studio" in told and "wilor:fp32" not in told


@pytest.mark.slow
def test_programs_get_hands_without_their_files_or_options(client, photo):
    predict = partial(client.predict, photo=handle_file(photo), tasks="hands", level="fp32", api_name="/predict")
    files, report, _ = predict()
    assert names(files) == [f"two_hands_hands.{ending}" for ending in ("png", "json", "npz", "glb", "obj")]
    assert (report["task"], report["size"]) == ("hands", "wilor") and "MANO" in report["licence"]
    assert {hand["side"] for hand in json.loads(Path(files[1]).read_text())["hands"]} == {"left", "right"}
    files, report, _ = predict(hand_crop="left", vertices=False)
    assert names(files) == [f"two_hands_hands.{ending}" for ending in ("png", "json", "npz")]
    assert [hand["side"] for hand in json.loads(Path(files[1]).read_text())["hands"]] == ["left"]
    assert any("No hand was found" in notice for notice in predict(hand_threshold=1)[1]["notices"])
    assert "hand_crop is 'both'. Choose one of: none, left, right" in refused(lambda: predict(hand_crop="both"))
    assert "mesh_opacity is 2" in refused(lambda: predict(mesh_opacity=2))
    assert "Hands do not come at 8bit" in refused(lambda: predict(level="8bit"))


@pytest.mark.slow
def test_programs_do_not_learn_whose_a_hand_is(client, photo):
    files, report, _ = client.predict(
        photo=handle_file(photo),
        tasks="pose,hands",
        size="tiny",
        level="fp32",
        boxes=[[0, 0, 639, 479]],
        flip=False,
        api_name="/predict",
    )
    assert [one["task"] for one in report["results"]] == ["pose", "hands"]
    assert "two_hands_hands_people.json" in names(files)
    assert "two_hands_hands_people.json" in report["results"][1]["files"]


@pytest.mark.slow
def test_programs_compare_hands_at_levels_that_they_do_not_come_at(client, photo, server):
    with packed(server):
        report, _, sheet = client.predict(photo=handle_file(photo), task="hands", runs=1, api_name="/compare")
    assert [(row["level"], row["error"]) for row in report["levels"]] == [
        (level, None) for level in ("fp32", "bf16", "4bit")
    ]
    assert Path(sheet).name == "two_hands_compare_hands.png"


@pytest.mark.slow
def test_on_a_space_a_call_has_hands_without_its_own_yes(server, photo, tmp_path):
    """Where all files are there, as after the first visitor."""
    environment = {"SPACE_ID": "me/space", "GRADIO_ANALYTICS_ENABLED": "False", "HOME": str(tmp_path)}
    environment |= {"SAPIENS_CHECKPOINT_ROOT": str(server.files.parent / "weights")}
    (tmp_path / "space").mkdir()
    with serving(["-c", PAGE], tmp_path / "space", environment) as hosted:
        client = Client(hosted.url, verbose=False, download_files=str(tmp_path / "received"))
        of_hands = partial(client.predict, photo=handle_file(photo))
        calls = (
            partial(of_hands, tasks="hands", level="fp32", api_name="/predict"),
            partial(of_hands, task="hands", levels="fp32,bf16", runs=1, api_name="/compare"),
        )
        for call in calls:
            assert "Send accept_licences=True with each call" in refused(call)
            assert call(accept_licences=True)
            assert "CC BY-NC-ND 4.0" in refused(call)
        client.close()


def test_elsewhere_a_calls_yes_is_not_remembered(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SPACE_ID", raising=False)
    predictors = [Predictor("pose"), Predictor("hands", level="fp32")]
    with pytest.raises(LicencesError, match="Send accept_licences=True"):
        consent.check_call(predictors, accepts=False)
    consent.check_call(predictors, accepts=True)
    assert kept.is_accepted()
    consent.check_call(predictors, accepts=False)


# ---- the listing of models ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_listing_leaves_hands_out(machine, monkeypatch, tmp_path, client):
    monkeypatch.setenv("HOME", str(tmp_path))
    listing = inventory.listing(None, int(2.5e9))
    rows = {row["size"]: row for row in listing["checkpoints"] if row["task"] == "hands"}
    assert [row["licence"] for row in rows.values()] == ["CC BY-NC-ND 4.0"] * 2 + ["Ultralytics' terms", "MANO licence"]
    assert rows["4bit"]["download_bytes"] == 490_000_000 and rows["wilor"]["download_bytes"] == 4 * 632_000_000
    assert listing["fits"]["wilor"] == ["bf16", "4bit"]
    text = inventory.as_text(listing)
    for words in ("no (2.53 GB)", "no (0.49 GB)", "under a licence of its own"):
        assert words in text
    of_page = {row["size"]: row for row in client.predict(api_name="/models")["checkpoints"] if row["task"] == "hands"}
    assert [row["here"] for row in of_page.values()] == [True, False, True, True]


# ---- Compare levels -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_photo_without_hands_is_compared(machine, monkeypatch, tmp_path):
    made_up.shrink(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    inference.run(lambda progress: made_up.write_all(machine))
    comparison = Comparison(np.zeros_like(PHOTO), "hands", ["wilor:fp32", "wilor:bf16"])
    assert all("no hand was found" in entry.error for entry in comparison)


@pytest.mark.slow
def test_licences_of_the_reference_are_not_asked_for(machine):
    comparison = Comparison(PHOTO, "hands", ["wilor:bf16", "wilor:4bit"], "wilor:fp32")
    assert [one.level for one in comparison.predictors] == ["fp32", "bf16", "4bit"]
    assert [one.level for one in Comparison(PHOTO, "hands", ["wilor:fp32", "wilor:bf16"]).predictors] == [
        "fp32",
        "bf16",
    ]


def test_on_a_space_the_yes_of_another_visitor_counts(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SPACE_ID", "me/space")
    first, second, predictors = Visit(tmp_path / "a"), Visit(tmp_path / "b"), [Predictor("hands", level="fp32")]
    consent.accept(first)
    consent.check(first, predictors)
    with pytest.raises(LicencesError, match="Accept them in the tab Studio"):
        consent.check(second, predictors)


@pytest.mark.slow
@pytest.mark.browser
def test_levels_of_hands_are_not_compared(chromium, server, photo):
    with browser.visiting(chromium, server.url) as visit:
        page = browser.open_tab(visit(), "Compare levels", "compare")
        browser.upload(page, photo, "compare")
        browser.check(page.locator("#compare").get_by_role("radio", name="Hands", exact=True))
        expect(page.locator("#levels_wilor label")).to_have_text(list(zoo.HANDS.levels))
        expect(page.locator("#sizes")).to_have_count(0)
        chosen = page.locator("#compare .choice")
        expect(chosen).to_contain_text("3 variants are ticked")
        for name in ("CC BY-NC-ND 4.0", "Ultralytics' terms", "MANO licence"):
            expect(chosen.get_by_role("link", name=name)).to_be_visible()
        page.locator("#compare-run").click()
        problem = page.locator("#compare-status").get_by_role("alert")
        expect(problem).to_contain_text("licences of their own", timeout=RUN_MS)
        expect(problem).to_contain_text("Accept them in the tab Studio")
        with packed(server):
            browser.run(page, "compare")
        rows = page.locator("#levels tbody tr")
        assert [text.split()[0] for text in rows.locator("th").all_inner_texts()] == ["fp32", "bf16", "4bit"]
        expect(page.locator("#levels .failed")).to_have_count(0)
        expect(page.locator("#compare .notes")).to_contain_text("over 42 points of 2 hands")
        expect(page.locator("#compare .notes")).to_contain_text("the hand model MANO: MANO licence")
        browser.check(page.locator("#compare").get_by_role("radio", name="Body parts", exact=True))
        expect(page.locator("#sizes label.selected")).to_have_text(["demo"])  # as it was
        expect(page.locator("#levels_wilor")).to_have_count(0)


# ---- Video ----------------------------------------------------------------------------------------------------------

VALUES = {
    "task": "hands",
    "size": "demo",
    "level": "bf16",
    "view": "overlay",
    "foreground": "auto",
    "first_frame": 0,
    "last_frame": 0,
    "every": 1,
    "longest_side": 0,
    "sound": True,
    "detect_every": 7,
    "box_threshold": 0.5,
    "hand_threshold": 0.45,
    "mesh_opacity": 0.25,
    "flip": True,
}


def test_the_command_line_of_a_clip_asks_for_other_hands():
    report = ClipReport("a.mp4", "hands", "wilor", "bf16")
    chosen = options.choices(VALUES)
    words = shlex.split(sentences.command("a.mp4", report, VALUES, chosen, None))
    told = argument_parser().parse_args(words[3:])
    assert arguments.choices_of(told, mesh_opacity=told.mesh_opacity) == chosen and chosen.mesh_opacity == 0.25
    assert (told.task, told.size, told.level, told.hand_threshold) == ("hands", "wilor", "bf16", 0.45)
    assert options.of_predictor(VALUES).hand_threshold == 0.45
    assert options.choices(VALUES | {"task": "seg"}).mesh_opacity == zoo.DEFAULTS.mesh_opacity  # hidden there


@pytest.mark.browser
@pytest.mark.slow
def test_a_clip_of_hands_gives_no_file_of_them(chromium, server, tmp_path):
    frames = [made_up.discs(sides) for sides in ("rl", "rl", "r")]
    clip = clips.write(tmp_path / "waving.mp4", 3, size_hw=PHOTO.shape[:2], rate=3, draw=lambda index, _: frames[index])
    with browser.visiting(chromium, server.url) as visit:
        page = browser.open_tab(visit(), "Video", "video")
        page.locator("#video-clip input[type=file]").set_input_files(clip)
        page.locator("#video .empty .done").wait_for(timeout=RUN_MS)
        browser.check(page.locator("#video").get_by_role("radio", name="Hands", exact=True))
        expect(page.locator("#video-about")).to_contain_text("WiLoR, 632 million parameters")
        expect(page.locator("#video-about").get_by_role("link", name="MANO licence")).to_be_visible()
        expect(page.locator("#video-size label")).to_have_text(["WiLoR"])
        problem = page.locator("#video-status").get_by_role("alert")
        browser.check(page.locator("#video").get_by_role("radio", name="4bit", exact=True))
        page.locator("#video-run").click()
        expect(problem).to_contain_text("Accept them in the tab Studio", timeout=RUN_MS)
        browser.check(page.locator("#video").get_by_role("radio", name="bf16", exact=True))
        browser.run(page, "video")
        lines = browser.download(page, "Hands, a line a frame", "video").read_text().splitlines()
        assert [len(json.loads(line)["hands"]) for line in lines] == [2, 2, 1]
        expect(page.locator("#video .card")).to_contain_text("Hands wilor")
        browser.check(page.locator("#video").get_by_role("radio", name="Pose", exact=True))
        expect(page.locator("#video-size label.selected")).to_have_text(["demo"])  # as it was
