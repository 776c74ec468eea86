"""Web addresses in place of uploads: no request leaves the page, whatever the address is and whichever input it is for.

The page's machine has a neighbour, a server that notes who asks it; by the names of addresses_page_process.py it is
reached too, past Gradio's own check where that makes an exception.
"""

import json
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import pytest
from browser import Server, draw_photo, serving
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from local_server import LocalServer
from plain_calls import META, called, post, uploaded
from slowly import slowly

from sapiens_mlx.ui import addresses


class Neighbour(LocalServer):
    """Has a photo for everybody, and remembers what it was asked for."""

    def __init__(self, photo: bytes) -> None:
        self.photo, self.asked = photo, []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        neighbour = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                neighbour.asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(neighbour.photo)))
                self.end_headers()
                self.wfile.write(neighbour.photo)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(["-m", "tests.addresses_page_process"], tmp_path_factory.mktemp("page"), {}) as server:
        yield server


@pytest.fixture
def neighbour(photo: Path) -> Iterator[Neighbour]:
    with Neighbour(photo.read_bytes()) as neighbour:
        yield neighbour
        assert neighbour.asked == []


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return draw_photo(tmp_path / "two people.png", (120, 160))


# ---- refused --------------------------------------------------------------------------------------------------------

HOSTS = {
    "a name": "photos.example",
    "a name that Gradio makes an exception for": "photos.hf.co",
    "this machine": "127.0.0.1",
    "this machine in one number": "2130706433",
    "this machine in hexadecimals": "0x7f.1",
    "this machine as IPv6": "[::1]",
    "IPv4 in IPv6": "[::ffff:127.0.0.1]",
    "a carrier's network": "100.100.100.200",
    "a site's network": "[fec0::1]",
    "6to4 of this machine": "[2002:7f00:1::]",
    "a user and a password": "127.0.0.1@photos.hf.co",
}


@pytest.mark.parametrize(
    "host", [host if host.startswith("127") else slowly(host) for host in HOSTS.values()], ids=list(HOSTS)
)
def test_no_address_is_opened(client, neighbour, host):
    address = f"http://{host}:{neighbour.port}/photo.png"
    with pytest.raises(AppError) as told:
        client.predict(photo=handle_file(address), size="demo", api_name="/predict")
    assert str(told.value) == addresses.REFUSED


def test_nor_is_one_for_a_background_or_a_comparison(client, neighbour, photo):
    address = handle_file(f"http://photos.hf.co:{neighbour.port}/photo.png")
    with pytest.raises(AppError, match="No web address is opened"):
        client.predict(
            handle_file(photo), tasks="matting", size="demo", background_picture=address, api_name="/predict"
        )
    with pytest.raises(AppError, match="No web address is opened"):
        client.predict(address, size="demo", api_name="/compare")


def test_no_input_of_the_page_opens_one(server, neighbour):
    """Every kind of input that takes files, by an event of it alone."""
    page = json.loads(urllib.request.urlopen(f"{server.url}config").read())
    types = {component["id"]: component["type"] for component in page["components"]}
    events = {
        types[event["inputs"][0]]: event["id"]
        for event in page["dependencies"]
        if len(event["inputs"]) == 1 and types[event["inputs"][0]] in ("image", "uploadbutton", "file")
    }
    assert sorted(events) == ["file", "image", "uploadbutton"]
    given = {"path": f"http://photos.hf.co:{neighbour.port}/photo.png", "meta": META}
    for kind, event in events.items():
        post(server, "queue/join", {"data": [given], "fn_index": event, "session_hash": kind})
        told = urllib.request.urlopen(f"{server.url}gradio_api/queue/data?session_hash={kind}").read().decode()
        assert "No web address is opened" in told
        assert '"success":false' in told


NO_FILES = {
    "a stream": ({"is_stream": True}, "What was sent as photo is not here any more. Send it again."),
    "another protocol": ({"path": "ftp://127.0.0.1/photo.png"}, "event: error"),
    "a file's address": ({"path": "file:///etc/passwd"}, "event: error"),
    "capitals": ({"path": "HTTP://127.0.0.1/photo.png"}, "event: error"),
    "no protocol": ({"path": "//127.0.0.1/photo.png"}, "event: error"),
}


@pytest.mark.parametrize(("part", "sentence"), NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_web_address_is_no_file_either(server, neighbour, part, sentence):
    told = called(server, photo={"path": f"http://photos.hf.co:{neighbour.port}/photo.png", "meta": META} | part)
    assert "event: error" in told
    assert sentence in told
    assert "root:" not in told
    server.log.write_text("")  # Gradio logs its own refusals with a stack trace


def test_an_address_beside_a_photo_is_not_looked_at(server, neighbour, photo):
    beside = f"http://photos.hf.co:{neighbour.port}/photo.png"
    told = called(server, photo={"path": uploaded(server, photo), "url": beside, "meta": META})
    assert "event: complete" in told
    assert beside not in told


# ---- addresses of the page itself -----------------------------------------------------------------------------------


def test_the_address_of_an_upload_is_the_upload(server, client, neighbour, photo):
    """As Gradio's helper for MCP sends files. The host, which may have another name outside, is not asked."""
    path = uploaded(server, photo)
    for page in (server.url, f"http://photos.hf.co:{neighbour.port}/"):
        address = f"{page}gradio_api/file={quote(path)}"
        files, _, _ = client.predict(photo=handle_file(address), size="demo", api_name="/predict")
        assert any(file.endswith("_seg.npz") for file in files)


def test_an_upload_that_has_gone_is_told_so(server):
    (folder,) = server.files.glob("sapiens-studio-*")
    told = called(server, photo={"path": f"{folder}/{'0' * 64}/photo.png", "meta": META})
    assert "What was sent as photo is not here any more. Send it again." in told


OTHERS = {
    "a file outside": "/etc/passwd",
    "a way out": "{folder}/../outside.png",
    "a way out in other letters": "{folder}/%2e%2e/outside.png",
    "a link out": "{folder}/link.png",
    "a zero byte": "{folder}/a%00.png",
    "a name too long": "{folder}/" + 5000 * "a" + "/../../a",
    "nothing": "",
}


@pytest.mark.parametrize("path", OTHERS.values(), ids=OTHERS)
def test_an_address_of_the_page_names_nothing_outside_its_folder(tmp_path, path):
    folder = tmp_path / "served"
    folder.mkdir()
    (tmp_path / "outside.png").write_text("secret")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    assert addresses.here(f"http://a/gradio_api/file={path.format(folder=folder)}", folder) is None


@pytest.mark.parametrize("address", ["http://a/photo.png", "http://[", "http://a/gradio_api/file", "http://"])
def test_what_is_no_address_of_the_page_names_nothing(tmp_path, address):
    assert addresses.here(address, tmp_path) is None


def test_names_with_spaces_and_marks_come_through(tmp_path):
    path = tmp_path / "two people? #1 ü.png"
    assert addresses.here(f"https://a.example/below/gradio_api/file={quote(str(path))}", tmp_path) == str(path)
