"""convert and the hub: folders that are sent there, and sources that come from it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import Hub

from sapiens_mlx import zoo
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.shipped import demo_folder
from sapiens_mlx.weights import publish

PROJECT = Path(__file__).resolve().parents[1]
DEMO = ("--task", "seg", "--size", "demo", "--level", "4bit")


class Home:
    """A machine whose hub is a local server. Files go the way of LFS: the server does not speak Xet."""

    def __init__(self, folder: Path, hub: Hub | None, **environment: str) -> None:
        self.out = folder / "sapiens2-seg-demo-4bit"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "HOME": str(folder),
            "HF_HOME": str(folder / "hf"),
            "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_TOKEN": "hf_writer",
            **environment,
        }

    def convert(self, *arguments: str, answer: str | None = None) -> subprocess.CompletedProcess:
        """`answer` is what somebody types who sits at the terminal; None is no terminal."""
        command = [sys.executable, "-m", "sapiens_mlx", "convert", *arguments]
        keyboard, terminal = pty.openpty()
        os.write(keyboard, (answer or "").encode() + b"\n")
        try:
            return subprocess.run(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL if answer is None else terminal,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        finally:
            os.close(keyboard)
            os.close(terminal)

    def upload(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        return self.convert(*DEMO, "--out", str(self.out), "--upload", "me/demo-4bit", *arguments, **options)


def test_a_folder_is_sent_after_showing_what_and_asking(tmp_path):
    with Hub({}) as hub:
        home = Home(tmp_path, hub)
        done = home.upload(answer="y")
        assert done.returncode == 0, done.stderr
        assert f"sent to {hub.endpoint}/me/demo-4bit" in done.stdout
        local = {f"me/demo-4bit/{path.name}": path.read_bytes() for path in home.out.iterdir()}
        assert len(local) == 4
        assert hub.files == local
        assert hub.commits == ["Sapiens2 seg demo at 4bit for MLX"]
        for path in home.out.iterdir():
            assert f"{path.stat().st_size:,} bytes" in done.stderr
        assert "a new repository" in done.stderr
        assert "Licence: MIT License" in done.stderr
        assert done.stderr.rstrip().endswith("[y/N]")
        assert "hf download me/demo-4bit" in (home.out / "README.md").read_text(encoding="utf-8")
        again = json.loads(home.upload("--yes", "--json").stdout)  # what is there from before is sent as it is
        assert (again["was_there"], again["uploaded"]) == (True, f"{hub.endpoint}/me/demo-4bit")
        posts = [request for request in hub.requests if request.method == "POST"]
        assert {request.token for request in posts} == {"Bearer hf_writer"}


@pytest.mark.parametrize("answer", ["", "n", "yes please", "\x04"], ids=["enter", "no", "neither", "end of input"])
def test_anything_but_yes_sends_nothing_and_keeps_the_folder(tmp_path, answer):
    with Hub({}) as hub:
        home = Home(tmp_path, hub)
        done = home.upload(answer=answer)
        assert done.returncode == 0
        assert "Nothing was sent" in done.stdout
        assert {request.method for request in hub.requests} == {"GET"}
        assert home.out.is_dir()


def test_a_repository_that_exists_is_told_before_it_is_changed(tmp_path):
    with Hub({"me/demo-4bit/README.md": b"mine"}) as hub:
        done = Home(tmp_path, hub).upload(answer="n")
    assert "which exists: files of the same names are replaced" in done.stderr


@pytest.mark.parametrize(
    ("fault", "environment", "says"),
    [
        ({"write_status": 403}, {}, "does not let this login write to me/demo-4bit (HTTP 403)"),
        ({"write_status": 500}, {}, "HTTP 500"),
        (None, {}, "the connection to http://127.0.0.1:9 failed"),
    ],
    ids=["not allowed", "hub is down", "nobody answers"],
)
def test_what_cannot_be_sent_is_one_sentence_and_the_folder_stays(tmp_path, fault, environment, says):
    with Hub({}, **(fault or {})) as hub:
        home = Home(tmp_path, hub if fault else None, **environment)
        done = home.upload("--yes")
        assert done.returncode == 2
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
        assert says in line
        assert "Traceback" not in done.stderr
        assert publish.is_whole(home.out, zoo.checkpoint("seg", "demo"), zoo.level("4bit"))
        assert hub.files == {}


def test_a_problem_without_words_is_told_by_its_name(tmp_path):
    with (
        pytest.raises(SapiensError, match=r"was not sent: ValueError\. Try again"),
        publish._explaining(tmp_path, "me/a"),
    ):
        raise ValueError


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        ((), {}, "Add --yes"),
        (("--yes",), {"HF_TOKEN": ""}, "hf auth login"),
        (("--yes",), {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE"),
        (("--yes", "--upload", "demo"), {}, "OWNER/NAME"),
    ],
    ids=["no terminal", "nobody logged in", "offline", "no owner"],
)
def test_what_cannot_be_sent_is_said_before_the_work(tmp_path, arguments, environment, says):
    with Hub({}) as hub:
        home = Home(tmp_path, hub, **environment)
        done = home.upload(*arguments)
        assert done.returncode == 2
        assert says in done.stderr
        assert not home.out.exists()
        assert not hub.requests


def test_a_repository_of_somebody_else_is_downloaded_and_named_as_the_source(tmp_path):
    weights = (demo_folder() / "sapiens2_demo_seg.safetensors").read_bytes()
    with Hub({"me/sapiens2-seg-demo/sapiens2_demo_seg.safetensors": weights}) as hub:
        home = Home(tmp_path, hub)
        done = home.convert("me/sapiens2-seg-demo", "--level", "bf16", "--out", str(tmp_path / "out"), "--json")
        assert done.returncode == 0, done.stderr
        source = json.loads(done.stdout)["source"]
        assert (source["repo"], source["bytes"]) == ("me/sapiens2-seg-demo", len(weights))
        done = home.convert("me/sapiens2-pose-demo", "--level", "bf16", "--out", str(tmp_path / "pose"))
    assert done.returncode == 2
    assert "the hub has no repository me/sapiens2-pose-demo" in done.stderr


@pytest.mark.parametrize("repo", ["facebook/sapiens2-seg-0.4b", "somebody/sapiens2-seg-0.4b"])
@pytest.mark.parametrize(
    ("environment", "says"),
    [({}, "the connection to http://127.0.0.1:9 failed"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE")],
    ids=["nobody answers", "offline"],
)
def test_a_source_that_cannot_be_downloaded_is_a_sentence(tmp_path, repo, environment, says):
    done = Home(tmp_path, None, **environment).convert(repo, "--level", "8bit", "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
