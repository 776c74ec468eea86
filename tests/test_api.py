"""The page for programs: its endpoints called by gradio_client, on a page of its own with "tiny" checkpoints."""

import base64
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import rule
from browser import Server, draw_photo, serving, until
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from plain_calls import META, called, uploaded

from sapiens_mlx import zoo
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.ui.addresses import REFUSED
from sapiens_mlx.ui.api import endpoints
from sapiens_mlx.ui.api.files import KEPT_CALLS

TASKS = ("seg", "pose", "pointmap", "matting")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    for task in TASKS:
        rule.write_tiny(folder / "weights", task)
    rule.write_detector(folder / "weights/detector/rtmdet_m.pth")
    with serving(["-m", "tests.page_process"], folder, {}) as server:
        yield server


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return draw_photo(tmp_path / "two people.png", (240, 320))


def predict(client: Client, photo: Path, **options: object) -> tuple[list[str], dict, str]:
    return client.predict(photo=handle_file(photo), api_name="/predict", **{"size": "tiny", **options})


def names(files: list[str]) -> list[str]:
    return [Path(file).name for file in files]


def refused(call) -> str:
    """The sentence that a call is refused with."""
    with pytest.raises(AppError) as told:
        call()
    return str(told.value)


# ---- what there is --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_programs_see_three_endpoints_each_described_and_typed(client):
    about = client.view_api(return_format="dict", print_info=False)
    endpoints = about["named_endpoints"]
    assert sorted(endpoints) == ["/compare", "/models", "/predict"]
    assert about["unnamed_endpoints"] == {}
    for endpoint in endpoints.values():
        assert len(endpoint["description"]) > 60
        assert all(one["python_type"]["type"] not in ("", "Any") for one in endpoint["parameters"])
    parameters = {one["parameter_name"]: one for one in endpoints["/predict"]["parameters"]}
    assert parameters["photo"]["python_type"]["type"] == "filepath"
    for name in ("size", "box_threshold", "nms_threshold", "keypoint_threshold", "flip", "foreground", "style"):
        assert parameters[name]["parameter_default"] == getattr(zoo.DEFAULTS, name)
    assert parameters["tasks"]["parameter_default"] == zoo.DEFAULTS.task
    assert set(zoo.LEVELS) <= set(parameters["level"]["type"]["oneOf"][1]["enum"])


def test_every_argument_of_an_endpoint_is_described():
    from gradio.utils import get_function_description, get_function_params

    for endpoint in (endpoints.Programs.predict, endpoints.Programs.compare):
        _, described, _ = get_function_description(endpoint)
        told = [name for name, *_ in get_function_params(endpoint) if name != "self"]
        assert all(len(described[name]) > 20 for name in told)


# ---- predict --------------------------------------------------------------------------------------------------------


def test_predict_gives_the_files_and_the_command_lines_report(client, photo, server, tmp_path):
    files, report, preview = predict(client, photo)
    assert names(files) == ["two_people_seg.png", "two_people_seg_labels.png", "two_people_seg.npz"]
    assert np.load(files[2])["labels"].shape == (320, 240)
    assert Image.open(preview).size == (240, 320)
    command = [sys.executable, "-m", "tests.command_line_process", "predict", str(photo), "--size", "tiny", "--json"]
    environment = os.environ | {"SAPIENS_CHECKPOINT_ROOT": str(server.files.parent / "weights")}
    printed = subprocess.run([*command, "--out", str(tmp_path)], env=environment, capture_output=True, check=True)
    expected = json.loads(printed.stdout)
    assert report.keys() == expected.keys()
    for same in ("task", "size", "level", "device", "compute_dtype", "licence", "weights_bytes", "notices"):
        assert report[same] == expected[same]
    assert report["seconds"].keys() == expected["seconds"].keys()
    assert report["files"] == names(files)
    assert report["input"] == "two people.png"
    assert (np.load(files[2])["labels"] == np.load(tmp_path / "two people_seg.npz")["labels"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [["seg", "pointmap"], "seg, pointmap"], ids=["a list", "commas"])
def test_several_tasks_come_together_and_one_that_fails_says_why(client, photo, tasks):
    tasks = [*tasks, "normal"] if isinstance(tasks, list) else f"{tasks},normal"
    files, report, preview = predict(client, photo, tasks=tasks, points=50, foreground="seg")
    assert {"two_people_seg.npz", "two_people_pointmap.ply", "two_people_pointmap.glb"} <= set(names(files))
    assert [one["task"] for one in report["results"]] == ["seg", "pointmap"]
    assert [one["task"] for one in report["failed"]] == ["normal"]
    assert "sapiens2_tiny_normal.safetensors" in report["failed"][0]["error"]
    width, height = Image.open(preview).size
    assert width > 2 * 240
    assert height == 320


def test_a_task_that_is_named_twice_is_run_once(client, photo):
    files, report, _ = predict(client, photo, tasks="seg, seg,seg")
    assert names(files) == ["two_people_seg.png", "two_people_seg_labels.png", "two_people_seg.npz"]
    assert report["task"] == "seg"
    assert "results" not in report


@pytest.mark.slow
def test_options_reach_their_task(client, photo, tmp_path):
    pose = {"tasks": "pose", "boxes": [[-5, 0, 100, 200], [90, 10, 200, 300]], "flip": False}
    files, _, _ = predict(client, photo, **pose, level="8bit", keypoint_threshold=0.1, style="reference")
    people = json.loads(Path(files[1]).read_text())["people"]
    assert [person["box_xyxy"] for person in people] == [[-5, 0, 100, 200], [90, 10, 200, 300]]
    behind = draw_photo(tmp_path / "behind.png", (64, 64))
    blue, _, _ = predict(client, photo, tasks="matting", background="navy")
    picture, _, _ = predict(client, photo, tasks="matting", background_picture=handle_file(behind))
    pictures = [np.asarray(Image.open(files[-1]).convert("RGB")) for files in (blue, picture)]
    assert (pictures[0] != pictures[1]).any()


def test_features_are_had_by_the_same_endpoint(client, photo):
    files, report, _ = predict(client, photo, tasks="features", size="demo")
    assert names(files) == ["two_people_features.png", "two_people_features.npz"]
    assert report["task"] == "features"


def test_calls_of_two_programs_at_once_do_not_mix(server, tmp_path):
    photos = [draw_photo(tmp_path / f"{size[0]}.png", size) for size in ((120, 160), (160, 120), (200, 100))]
    clients = [Client(server.url, verbose=False, download_files=str(tmp_path / photo.stem)) for photo in photos]
    jobs = [
        client.submit(photo=handle_file(photo), size="tiny", api_name="/predict")
        for client, photo in zip(clients, photos, strict=True)
    ]
    for job, photo in zip(jobs, photos, strict=True):
        files, report, _ = job.result(timeout=60)
        assert report["input"] == photo.name
        assert Image.open(files[0]).size == Image.open(photo).size
    for client in clients:
        client.close()


@pytest.mark.slow
def test_one_photo_can_be_sent_for_many_calls_at_once(client, photo):
    jobs = [client.submit(photo=handle_file(photo), size="tiny", api_name="/predict") for _ in range(6)]
    assert [names(job.result(timeout=60)[0])[0] for job in jobs] == ["two_people_seg.png"] * 6


# ---- compare and models ---------------------------------------------------------------------------------------------


def test_compare_gives_the_report_a_table_and_a_sheet(client, photo):
    report, table, sheet = client.predict(
        photo=handle_file(photo), size="tiny", levels=["fp32", "bf16"], runs=1, api_name="/compare"
    )
    assert [(one["level"], one["error"]) for one in report["levels"]] == [("fp32", None), ("bf16", None)]
    assert [one["name"] for one in report["figures"]] == list(report["levels"][1]["figures"])
    assert report["reference"] == "fp32"
    rows = csv.DictReader(Path(table).read_text().splitlines())
    assert [row["level"] for row in rows] == ["fp32", "bf16"]
    assert Path(sheet).name == "two_people_compare_seg.png"
    assert Image.open(sheet).width > 500


def test_what_is_compared_may_be_given_as_text_and_as_variants(client, photo):
    report, _, _ = client.predict(
        photo=handle_file(photo), task="pointmap", variants="tiny:fp32, tiny:4bit", runs=1, api_name="/compare"
    )
    assert [(one["size"], one["level"]) for one in report["levels"]] == [("tiny", "fp32"), ("tiny", "4bit")]


def test_models_says_what_is_here_without_saying_where(client, server):
    listing = client.predict(api_name="/models")
    rows = {(row["task"], row["size"]): row for row in listing["checkpoints"]}
    assert rows["seg", "tiny"]["here"]
    assert rows["seg", "demo"]["here"]
    assert not rows["normal", "tiny"]["here"]
    assert rows["seg", "0.4b"]["repo"] == "facebook/sapiens2-seg-0.4b"
    assert "fp32" in listing["fits"]["demo"]
    assert str(server.files.parent) not in json.dumps(listing)
    assert str(Path.home()) not in json.dumps(listing)


# ---- what is refused ------------------------------------------------------------------------------------------------

BAD = {
    "a task": ({"tasks": "nose"}, "There is no task 'nose'"),
    "no task": ({"tasks": " , "}, "There is no task. Choose"),
    "tasks of numbers": ({"tasks": [1]}, "Give names as a list"),
    "a size": ({"size": "7b"}, "does not come in size '7b'"),
    "a level": ({"level": "2bit"}, "There is no quantization level '2bit'"),
    "a detector": ({"tasks": "pose", "detector": "yolo"}, "detector is 'yolo'. Choose one of"),
    "a box": ({"tasks": "pose", "boxes": [[5, 5, 1, 1]]}, "box"),
    "too many boxes": ({"tasks": "pose", "boxes": [[0, 0, 9, 9]] * 101}, "boxes are 101. Give at most 100"),
    "a threshold": ({"box_threshold": "high"}, "box_threshold is 'high'. Give a number"),
    "a threshold too high": ({"keypoint_threshold": 2}, "keypoint_threshold is 2. Give a number from 0 to 1"),
    "points": ({"points": 0}, "points is 0"),
    "too many points": ({"points": 10_000_001}, "Give a number from 1 to 10000000"),
    "megabytes": ({"style": "nice" * 10**6}, "style is 'nicenicenice..."),
    "a style": ({"style": "nice"}, "style is 'nice'. Choose one of: readme, reference"),
    "a file of the server's as the foreground": ({"foreground": __file__}, "foreground is"),
    "a file of the server's as the background": ({"tasks": "matting", "background": __file__}, "is not known"),
    "weights that are not here": ({"tasks": "normal"}, "sapiens2_tiny_normal.safetensors"),
}


@pytest.mark.parametrize(("options", "sentence"), BAD.values(), ids=BAD)
def test_what_cannot_be_is_refused_in_a_sentence(client, photo, options, sentence):
    assert sentence in refused(lambda: predict(client, photo, **options))


def test_errors_name_no_folder_of_the_server(client, photo, server):
    told = refused(lambda: predict(client, photo, tasks="normal"))
    for folder in (server.files.parent, Path.home(), Path("/tmp")):
        assert str(folder) not in told
    assert "sapiens2_tiny_normal.safetensors" in told


def test_a_photo_must_be_sent_and_cannot_be_the_name_of_a_file(client, photo, tmp_path):
    bad = tmp_path / "notes.jpg"
    bad.write_text("no photo")
    assert "notes.jpg is not an image" in refused(lambda: predict(client, bad))
    for value in (str(photo), {"path": str(photo)}, 7):
        sentence = refused(lambda value=value: client.predict(photo=value, size="tiny", api_name="/predict"))
        assert "photo is no file. Send one" in sentence


def test_a_file_that_was_not_uploaded_is_not_read(client, photo, server):
    """With the mark of an upload, but of a path that nobody has uploaded."""
    told = called(server, photo={"path": str(photo), "meta": META}, size="tiny")
    assert "event: error" in told
    assert "two_people" not in told
    there = {"path": uploaded(server, photo), "meta": META}
    assert "two_people_seg.npz" in called(server, photo=there, size="tiny")  # all the rest of the call is right
    _drop_last_trace(server)


def test_a_comparison_of_nothing_is_refused(client, photo):
    def compare(**options):
        return refused(lambda: client.predict(photo=handle_file(photo), api_name="/compare", **options))

    assert "tiny:fp32 is listed twice" in compare(size="tiny", levels="fp32,fp32")
    assert "compared with itself" in compare(size="tiny", levels="fp32")
    assert "cannot be compared" in compare(task="detect")
    assert "runs is 0" in compare(runs=0)
    assert "foreground is" in compare(foreground=str(photo))


# ---- stopping and leaving -------------------------------------------------------------------------------------------


def test_a_call_that_is_cancelled_ends_and_the_next_one_runs(server, client, photo):
    before = set(server.files.rglob("call-*"))
    job = client.submit(
        photo=handle_file(photo), tasks="pose", size="tiny", boxes=[[0, 0, 200, 300]] * 100, api_name="/predict"
    )
    until(lambda: any("Person" in str(output) for output in job.outputs()))
    job.cancel()
    files, _, _ = predict(client, photo)
    assert names(files)[0] == "two_people_seg.png"
    cancelled, _ = sorted(set(server.files.rglob("call-*")) - before)
    assert list(cancelled.iterdir()) == []


@pytest.mark.slow
def test_a_session_keeps_its_newest_files_and_leaving_removes_them(server, photo, tmp_path):
    client = Client(server.url, verbose=False, download_files=str(tmp_path / "received"))
    before = set(server.files.rglob("call-*"))
    for _ in range(KEPT_CALLS + 2):
        predict(client, photo)
    folders = set(server.files.rglob("call-*")) - before
    assert len(folders) == KEPT_CALLS
    client.close()
    until(lambda: not any(folder.exists() for folder in folders), 60)


# ---- MCP ------------------------------------------------------------------------------------------------------------


def test_mcp_without_its_packages_is_told_in_a_line(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SapiensError, match=r"pip install \"gradio\[mcp\]\""):
        endpoints.prepare_mcp(tmp_path)


def test_mcp_offers_the_endpoints_as_tools(tmp_path):
    pytest.importorskip("mcp", reason='the MCP server\'s packages are not installed (pip install "gradio[mcp]")')
    import anyio
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    picture = draw_photo(tmp_path / "two people.png", (240, 320)).read_bytes()
    photo = f"data:image/png;base64,{base64.b64encode(picture).decode()}"

    async def hear(done: float, total: float | None, message: str | None) -> None:
        """Only who listens gets the outputs one by one: Gradio gives others a single text."""

    async def ask(url: str) -> tuple:
        async with (
            streamablehttp_client(f"{url}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as one,
        ):
            await one.initialize()
            tools = (await one.list_tools()).tools
            models = await one.call_tool("models", {})
            bad = await one.call_tool("predict", {"photo": photo, "tasks": "nose"})
            web = await one.call_tool("predict", {"photo": "https://photos.example/a.png", "tasks": "seg"})
            own = await one.call_tool("predict", {"photo": address, "tasks": "seg"})
            good = await one.call_tool("predict", {"photo": photo, "tasks": "seg"}, progress_callback=hear)
            return tools, models, bad, web, own, good

    with serving(["app.py", "--mcp"], tmp_path, {}) as server:
        address = f"{server.url}gradio_api/file={quote(uploaded(server, tmp_path / 'two people.png'))}"
        tools, models, bad, web, own, good = anyio.run(ask, server.url)
    assert sorted(tool.name for tool in tools) == ["compare", "models", "predict"]
    schema = next(tool.inputSchema for tool in tools if tool.name == "predict")
    assert schema["required"] == ["photo"]
    assert all(about.get("description") for about in schema["properties"].values())
    assert "checkpoints" in models.content[0].text
    assert bad.isError
    assert "There is no task 'nose'" in bad.content[0].text
    assert web.isError
    assert REFUSED in web.content[0].text
    assert not own.isError
    assert not good.isError
    assert [part.type for part in good.content].count("image") == 1
    assert "_seg.npz" in good.content[0].text
    assert not list(server.files.rglob("*.png"))  # nor does the photo stay when the page has ended


def _drop_last_trace(server: Server) -> None:
    """Gradio logs its own refusal with a stack trace, which the end of the page would be judged by."""
    server.log.write_text("")
