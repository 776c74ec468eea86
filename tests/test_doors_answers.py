"""What a served page tells over HTTP when something goes wrong: no folder, no secret, no stack trace."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import rule
from browser import REPOSITORY, Server, draw_photo, serving
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

SECRET = "hf_thisIsNobodysToken"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A page whose weights lie in a folder with spaces; those of seg are damaged, and pose has none."""
    folder = tmp_path_factory.mktemp("page") / "my models and more"
    rule.write_tiny(folder / "weights", "matting")
    (folder / "weights/seg").mkdir()
    (folder / "weights/seg/sapiens2_tiny_seg.safetensors").write_bytes(b"no weights")
    with serving(["-m", "tests.page_process"], folder, {"HF_TOKEN": SECRET}) as server:
        yield server
        server.log.write_text("")  # stack traces of what Gradio refuses by itself: for the owner, and not looked for


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return draw_photo(tmp_path / "two people.png", (120, 160))


def check(told: str, server: Server) -> None:
    for own in (str(server.files), quote(str(server.files))):  # examples and results are asked for by their path
        told = told.replace(own, "")
    for place in (server.files.parent, REPOSITORY, Path.home(), "more/", "site-packages"):
        assert str(place) not in told
    assert SECRET not in told and "Traceback" not in told and 'File "' not in told


def ask(server: Server, path: str, sent: object = None, kind: str = "application/json") -> str:
    """What the server answers, whatever the status."""
    data = None if sent is None else sent if isinstance(sent, bytes) else json.dumps(sent).encode()
    request = urllib.request.Request(f"{server.url}{path}", data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.read().decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("/predict", {"tasks": "seg", "size": "tiny"}, "sapiens2_tiny_seg.safetensors"),
        pytest.param("/predict", {"tasks": "normal", "size": "tiny"}, "The weights for", marks=pytest.mark.slow),
        ("/compare", {"task": "seg", "size": "tiny", "levels": "fp32,8bit"}, "sapiens2_tiny_seg.safetensors"),
    ],
)
def test_a_call_that_fails_tells_where_weights_are(client, server, photo, name, values, said):
    with pytest.raises(AppError) as told:
        client.predict(photo=handle_file(photo), api_name=name, **values)
    assert said in str(told.value)
    check(str(told.value), server)


def test_a_report_or_a_list_tells_where_weights_are(client, server, photo):
    _, report, _ = client.predict(photo=handle_file(photo), tasks="matting,seg", size="tiny", api_name="/predict")
    assert report["failed"], report
    check(json.dumps(report), server)
    check(json.dumps(client.predict(api_name="/models")), server)


def test_a_file_or_values_that_gradio_itself_refuses_tell_of_the_server(server):
    for path in ("/etc/passwd", "/no/such", "../server.log", "http://127.0.0.1:1/x"):
        sent = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}, "matting", "tiny"]}
        call = json.loads(ask(server, "gradio_api/call/predict", sent))["event_id"]
        told = ask(server, f"gradio_api/call/predict/{call}")
        assert "event: error" in told
        check(told, server)
    for data in ([], ["x"], [{"path": None}], [[[]]] * 40, None):
        told = ask(server, "gradio_api/call/predict", {"data": data})
        check(told, server)
        if "event_id" in told:
            check(ask(server, f"gradio_api/call/predict/{json.loads(told)['event_id']}"), server)


@pytest.mark.parametrize(
    "path", ["", "config", "gradio_api/info", "gradio_api/startup-events", "gradio_api/file=/etc/passwd", "no/such"]
)
def test_a_page_tells_of_the_server(server, path):
    check(ask(server, path), server)


def test_a_broken_upload_tells_of_the_server(server):
    check(ask(server, "gradio_api/upload", b"--x\r\nnothing", "multipart/form-data; boundary=x"), server)
    check(ask(server, "gradio_api/queue/join", b"{", "application/json"), server)


def test_gradio_shows_the_text_of_any_error(server):
    config = Client(server.url, verbose=False).config
    assert config["show_error"] is False
