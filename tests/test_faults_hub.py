"""What the hub may answer in place of what a repository has, and what a visitor of the page reads of its refusals."""

import json
from collections.abc import Iterator
from pathlib import Path

import clips
import pytest
from browser import Server, serving
from hub_machine import FILES, SEG, Machine
from hub_server import COMMIT, Hub
from PIL import Image

OTHER = "owner/other"


def about(**changes: object) -> dict[str, bytes]:
    """What the hub says of a repository, with some of it changed."""
    sound = {"id": OTHER, "sha": COMMIT, "siblings": [{"rfilename": SEG.filename, "size": 3_000_000}]}
    return {"about": json.dumps(sound | changes).encode()}


NO_HUB = ("web page", "Log in to the network")
LISTINGS = {
    "a web page": ({"page": "hub"}, NO_HUB),
    "no JSON": ({"about": b"<html>Sign in"}, NO_HUB),
    "cut short": ({"about": about()["about"][:-9]}, NO_HUB),
    "deep brackets": ({"about": b"[" * 100_000}, NO_HUB),
    "a list": ({"about": b"[]"}, NO_HUB),
    "null": ({"about": b"null"}, NO_HUB),
    "nothing in it": ({"about": b"{}"}, NO_HUB),
    "no commit": (about(sha=None), NO_HUB),
    "a commit that is a number": (about(sha=7), NO_HUB),
    "a commit that is a path": (about(sha="../../../" + COMMIT[9:]), NO_HUB),
    "files that are words": (about(siblings=["a", "b"]), NO_HUB),
    "a file without a name": (about(siblings=[{"size": 3}]), NO_HUB),
    "a size that is a word": (about(siblings=[{"rfilename": SEG.filename, "size": "large"}]), NO_HUB),
    "no files": (about(siblings=None), (f"{OTHER} has neither {SEG.filename}", "Name another")),
    "401": ({"status": 401}, ("HTTP 401", "hf auth login")),
    "403": ({"status": 403}, ("HTTP 403", "hf auth login")),
    "404": ({"status": 404}, ("no repository owner/other", "Correct its name")),
    "429": ({"status": 429, "headers": {"Retry-After": "77"}}, ("HTTP 429", "in 77 seconds")),
    "500": ({"status": 500}, ("HTTP 500", "Try again later")),
}


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "words"), LISTINGS.values(), ids=LISTINGS)
def test_a_repository_that_cannot_be_listed_is_a_sentence(tmp_path, fault, words):
    with Hub(FILES, **fault) as hub:
        report = Machine(tmp_path).run(hub, weights=OTHER)
    assert report["error"] == "WeightsMissingError"
    for word in (f"Weights cannot be had from {OTHER}", *words):
        assert word in report["message"]
    assert not list(tmp_path.rglob("*.safetensors"))


SOUND = {"X-Repo-Commit": COMMIT, "ETag": '"abc"', "X-Linked-Size": "3000000"}
HEADS = {
    "nowhere to go": {"status": 302, "headers": {}},
    "an address that is none": {"status": 302, "headers": {"Location": "http://[x/"}},
    "an address of another kind": {"status": 302, "headers": {"Location": "file:///etc/passwd"}},
    "round and round": {"status": 302, "headers": {"Location": "/anywhere"}},
    "no commit": {"status": 200, "headers": SOUND | {"X-Repo-Commit": ""}},
    "a commit that is a path": {"status": 200, "headers": SOUND | {"X-Repo-Commit": "../" * 13 + "a"}},
    "an etag that is a path": {"status": 200, "headers": SOUND | {"ETag": '"../../../abc"'}},
    "a size that is a word": {"status": 200, "headers": SOUND | {"X-Linked-Size": "large"}},
    "a size below nothing": {"status": 200, "headers": SOUND | {"X-Linked-Size": "-5"}},
    "an etag as long as a page": {"status": 200, "headers": SOUND | {"ETag": f'"{"a" * 5000}"'}},
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", HEADS.values(), ids=HEADS)
def test_an_answer_about_a_file_that_makes_no_sense_is_a_sentence(tmp_path, fault):
    machine = Machine(tmp_path)
    with Hub(FILES, **fault) as hub:
        report = machine.run(hub)
    assert report["error"] == "WeightsMissingError" and "put it at" in report["message"]
    assert not machine.cache.exists()


def test_a_listing_that_makes_no_sense_is_no_obstacle_to_the_original(tmp_path):
    """Asked first is for a conversion, which is no more than a smaller way."""
    machine = Machine(tmp_path)
    with Hub(FILES, about=b"[]") as hub:
        machine.assert_downloaded(machine.run(hub, level="4bit"))


@pytest.mark.parametrize("name", ["owner/a--b", "owner/a..b", "owner/a.git"])
def test_a_name_that_no_repository_has_is_a_sentence_and_asks_nobody(tmp_path, name):
    with Hub(FILES) as hub:
        report = Machine(tmp_path).run(hub, weights=name)
    assert report["error"] == "WeightsMissingError" and "cannot be the name of a repository" in report["message"]
    assert not hub.requests


# ---- what a visitor reads -------------------------------------------------------------------------------------------

REFUSALS = {
    "nobody to accept a licence": ({"status": 401}, ("accepted its licence", "hf auth login")),
    "not allowed": ({"status": 403}, ("accepted its licence", "hf auth login")),
    "gone": ({"status": 404}, ("HTTP 404", "Update this program")),
    "too often": ({"status": 429}, ("HTTP 429", "in a few minutes")),
    "down": ({"status": 500}, ("HTTP 500", "Try again later")),
    "a web page": ({"page": "hub"}, ("web page", "Log in to the network")),
    "a web page for the bytes": ({"page": "cdn"}, ("web page", "Log in to the network")),
    "cut in the middle": ({"cut_after": 0}, ("the connection", "carries on where it broke off")),
    "damaged": ({"damaged": True}, ("SHA-256", "Try again")),
}


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub(FILES) as hub:
        yield hub


@pytest.fixture(scope="module")
def server(tmp_path_factory, hub) -> Iterator[Server]:
    settings = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.endpoint, "HF_HUB_DOWNLOAD_TIMEOUT": "2"}
    folder = tmp_path_factory.mktemp("page")
    with serving(["app.py"], folder, settings | {"HOME": str(folder)}) as server:
        yield server


@pytest.mark.slow
def test_a_visitor_reads_what_the_hub_refused_and_no_path(client, hub, tmp_path):
    """One page for all, which has to go on after each."""
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    photo = tmp_path / "photo.png"
    Image.fromarray(clips.noisy(3, (96, 128))).save(photo)
    sound = {name: getattr(hub, name) for fault, _ in REFUSALS.values() for name in fault}
    for name, (fault, words) in REFUSALS.items():
        vars(hub).update(sound | fault)
        with pytest.raises(AppError) as problem:
            client.predict(photo=handle_file(photo), tasks="seg", size="0.4b", level="fp32", api_name="/predict")
        said = str(problem.value)
        assert all(word in said for word in words), f"{name}: {said}"
        assert str(Path.home()) not in said and "/tmp" not in said and "Traceback" not in said, f"{name}: {said}"
    vars(hub).update(sound)
    assert client.predict(photo=handle_file(photo), tasks="seg", size="demo", api_name="/predict")
