"""Processes killed hard (SIGKILL) while they download, convert and write: what they leave half made is never used, and
nothing of it has to be deleted by hand."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import clips
import numpy as np
import pytest
import rule
from browser import serving
from hub_server import Hub
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
REPO, FILE = "facebook/sapiens2-seg-tiny", "sapiens2_tiny_seg.safetensors"
LEFTOVER = re.compile(r"partial|incomplete|\.tmp$|\.parts|config\.json\.\d|sapiens-mlx-bench|sapiens-studio")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, bytes]:
    """What the hub has: the small network for seg."""
    path = tmp_path_factory.mktemp("hub") / FILE
    return {f"{REPO}/{FILE}": rule.write_checkpoint(path, rule.tiny_shapes("seg")).read_bytes()}


class Machine:
    """A home of its own, and processes in it that are killed at a moment, or never."""

    def __init__(self, home: Path, hub: Hub | None = None) -> None:
        self.home, self._hub = home, hub
        (home / "scratch").mkdir(parents=True)
        self.photo = home / "photo.png"
        Image.fromarray(clips.noisy(3, (96, 128))).save(self.photo)

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "scratch"),
            "HF_HOME": str(self.home / "hf"),
            "HF_ENDPOINT": self._hub.endpoint if self._hub else "http://127.0.0.1:9",
            "HF_HUB_OFFLINE": "0",
            "SAPIENS_MLX_CACHE": str(self.home / "cache"),
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}",
        }

    def run(self, *arguments: object, event: str = "never", pattern: str = "") -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "tests.killed_process", event, pattern, *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"]} | self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def is_killed(self, *arguments: object, event: str, pattern: str) -> None:
        done = self.run(*arguments, event=event, pattern=pattern)
        assert done.returncode == -signal.SIGKILL, f"it ended before the moment came: {done.stderr}"

    def succeeds(self, *arguments: object) -> subprocess.CompletedProcess:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done

    def files(self) -> dict[str, Path]:
        """Everything in the home, by its name without the numbers that differ from home to home."""
        return {re.sub("[0-9a-f]{8,}", "#", str(path.relative_to(self.home))): path for path in self.home.rglob("*")}

    def leftovers(self) -> list[str]:
        return [name for name in self.files() if LEFTOVER.search(name)]


# ---- the command line -----------------------------------------------------------------------------------------------

MOMENTS = {
    "the download, half there": ("os.rename", "/blobs/"),
    "the download, whole and of no name": ("os.symlink", ""),
    "which download is the newest": ("os.rename", "refs/main$"),
    "what a conversion is of": ("os.rename", "config.json$"),
    "a conversion": ("os.rename", r"seg-tiny-8bit-\w+$"),
    "numbers": ("os.rename", "photo_seg.npz$"),
    "a picture": ("os.rename", "photo_seg.png$"),
    "how long it took": ("os.rename", "seconds.json$"),
}


@pytest.mark.slow
def test_killed_at_one_place_after_the_other_a_run_ends_as_if_nothing_had_been(tmp_path, weights):
    """Each start finds what the one before left, and gets as far as the next place."""
    with Hub(weights) as hub:
        machine, undisturbed = Machine(tmp_path / "killed", hub), Machine(tmp_path / "undisturbed", hub)
        command = ("--task", "seg", "--size", "tiny", "--level", "8bit")
        undisturbed.succeeds("predict", undisturbed.photo, "--out", undisturbed.home / "out", *command)
        whole = undisturbed.files()
        for name, (event, pattern) in MOMENTS.items():
            machine.is_killed(
                "predict", machine.photo, "--out", machine.home / "out", *command, event=event, pattern=pattern
            )
            for found, path in machine.files().items():
                if found in whole and path.is_file() and path.suffix in (".npz", ".png", ".safetensors"):
                    assert path.read_bytes() == whole[found].read_bytes(), f"{found} after {name}"
        assert machine.leftovers()
        machine.succeeds("predict", machine.photo, "--out", machine.home / "out", *command)
    assert machine.leftovers() == []
    assert machine.files().keys() == whole.keys()
    results = {name for name in whole if name.startswith("out/")}
    assert len(results) >= 2
    for name in results:
        assert machine.files()[name].read_bytes() == whole[name].read_bytes(), name


def test_a_download_that_was_killed_before_it_was_entered_can_be_removed(tmp_path, weights):
    with Hub(weights) as hub:
        machine = Machine(tmp_path, hub)
        command = ("predict", machine.photo, "--out", tmp_path / "out", "--task", "seg", "--size", "tiny")
        for event, pattern in (("os.symlink", ""), ("os.rename", "refs/main$")):
            machine.is_killed(*command, event=event, pattern=pattern)
            removed = json.loads(machine.succeeds("models", "--remove", REPO, "--json").stdout)
            assert removed["freed_bytes"] >= len(*weights.values())
            assert not [path for path in (tmp_path / "hf").rglob("*.safetensors")]
            assert machine.leftovers() == []


KEEPS_MANO = """
import made_up_hands
from sapiens_mlx.hands import mano
mano.keep(mano.Mano(made_up_hands.mano_arrays()))
mano.read(mano.cache_file())
"""
ACCEPTS = "from sapiens_mlx.weights import consent; consent.accept(); consent.check()"
PLACES = {
    "a comparison's table": ("os.rename", r"\.csv$", "compare", "PHOTO", "--levels", "fp32,8bit", "--runs", "1"),
    "a clip's piece": ("os.rename", r"000000\.json$", "predict", "CLIP"),
    "a clip's video": ("os.rename", r"clip_seg\.mp4$", "predict", "CLIP"),
    "a folder to publish": ("os.rename", r"/out$", "convert", "WEIGHTS", "--level", "8bit"),
    "bench's random weights": ("subprocess.Popen", "", "bench", "--size", "tiny", "--turns", "1"),
    "MANO": ("os.rename", r"mano\.npz$", "call", KEEPS_MANO),
    "accepted licences": ("os.rename", "accepted_licences.json$", "call", ACCEPTS),
}


@pytest.mark.slow
@pytest.mark.parametrize(("event", "pattern", "command"), [(e, p, c) for e, p, *c in PLACES.values()], ids=PLACES)
def test_what_a_killed_command_left_goes_with_the_next(tmp_path, weights, event, pattern, command):
    machine = Machine(tmp_path)
    clips.write(tmp_path / "clip.mp4", 3)
    (tmp_path / FILE).write_bytes(*weights.values())
    names = {
        "PHOTO": machine.photo,
        "CLIP": tmp_path / "clip.mp4",
        "WEIGHTS": tmp_path / FILE,
    }
    command = [names.get(word, word) for word in command]
    if command[0] in ("compare", "predict", "convert"):
        command += ["--out", tmp_path / "out"]
    machine.is_killed(*command, event=event, pattern=pattern)
    assert machine.leftovers()
    again = ["bench", "--turns", "1"] if command[0] == "bench" else command  # of the shipped weights: tiny has none
    machine.succeeds(*again)
    assert machine.leftovers() == []
    for path in tmp_path.rglob("*.np*"):
        np.load(path).close()
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text())
    for path in tmp_path.rglob("*.png"):
        Image.open(path).load()


# ---- the page -------------------------------------------------------------------------------------------------------

ON_THE_PAGE = {
    "downloading": ("os.rename", "/blobs/"),
    "converting": ("os.rename", r"seg-tiny-8bit-\w+$"),
    "writing": ("os.rename", r"_seg\.npz$"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", [*(pytest.param(one, marks=pytest.mark.slow) for one in ("downloading", "converting")), "writing"]
)
def test_a_page_that_was_killed_starts_as_if_nothing_had_been(tmp_path, weights, moment):
    from gradio_client import Client, handle_file

    def ask(url: str) -> object:
        client = Client(url, verbose=False, download_files=str(tmp_path / "received"))
        with contextlib.closing(client):
            return client.predict(
                photo=handle_file(machine.photo), tasks="seg", size="tiny", level="8bit", api_name="/predict"
            )

    with Hub(weights) as hub:
        machine = Machine(tmp_path, hub)
        environment = machine.environment()
        page = ["-m", "tests.killed_process"]
        with serving([*page, *ON_THE_PAGE[moment], "page"], tmp_path, environment) as server:
            with contextlib.suppress(Exception):  # whatever the client makes of it
                ask(server.url)
            assert server.process.wait(60) == -signal.SIGKILL
        assert machine.leftovers()
        with serving([*page, "never", "", "page"], tmp_path, environment) as server:
            assert len(list(server.files.glob("sapiens-studio-*"))) == 1  # its own
            ask(server.url)
            (kept,) = (tmp_path / "cache").glob("seg-tiny-8bit-*")
            assert ".partial-" not in kept.name
            assert not list((tmp_path / "hf").rglob("*.incomplete"))
    assert machine.leftovers() == []
