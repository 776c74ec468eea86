"""Which files for hands are taken, whose licences are asked for, and what comes from the hub."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import made_up_hands as made_up
import numpy as np
import pytest
from hub_server import Hub
from PIL import Image
from test_hands_mano_pickle import write_pickle
from test_torch_file_hostile import ATTACKS, canary  # noqa: F401  (a fixture)

from sapiens_mlx import fetch, inventory, zoo
from sapiens_mlx.errors import LicencesError, WeightsError
from sapiens_mlx.hands import mano
from sapiens_mlx.hands import weights as files
from sapiens_mlx.options import Options
from sapiens_mlx.predictor import Predictor
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import consent

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture
def home(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return machine


# ---- which file is taken --------------------------------------------------------------------------------------------


def test_ones_own_mano_does_not_come_first(home):
    cache = made_up.write_mano(mano.cache_file())
    assert files.local("fp32").mano == cache
    own = write_pickle(home / "mano/MANO_RIGHT.pkl")
    assert files.local("fp32").mano == own
    better = made_up.write_mano(home / "mano.npz")
    assert files.local("fp32").mano == better
    given = write_pickle(home.parent / "given/MANO_RIGHT.pkl")
    assert files.local("fp32", given.parent).mano == given


def test_a_checkpoint_at_hand_is_not_used(home):
    made_up.write_checkpoint(home / "hands/wilor_final.ckpt")
    assert files.local("fp32").mano is None  # half of it
    made_up.write_mean(home / "hands/mano_mean_params.npz")
    found = files.local("fp32").mano
    made_up.same(files._mano(found, lambda *_: None))
    made_up.same(mano.read(mano.cache_file()))


@pytest.mark.parametrize("nested", [True, False])
def test_files_beside_a_given_one_are_not_taken(home, tmp_path, nested):
    folder = tmp_path / "mine"
    place = folder / "hands" if nested else folder
    place.mkdir(parents=True)
    for name in ("wilor-mlx", "hand-detector", "wilor-mlx-int4"):
        (place / f"{name}.safetensors").touch()
    found = files.local("fp32", folder)
    assert (found.pose, found.detector) == (place / "wilor-mlx.safetensors", place / "hand-detector.safetensors")
    assert files.local("4bit", folder).pose == place / "wilor-mlx-int4.safetensors"
    beside = files.local("fp32", place / "wilor-mlx.safetensors")
    assert beside.detector == place / "hand-detector.safetensors"
    with pytest.raises(WeightsError, match="no file or folder"):
        files.local("fp32", tmp_path / "nowhere")
    assert files.local("fp32", "mlx-community/sapiens2-pose-0.4b-4bit") == files.local("fp32")  # of the other task


def test_what_to_do_about_a_damaged_mano_harms_its_owner(home):
    arrays = made_up.mano_arrays()
    del arrays["faces"]
    own, cache = home / "mano.npz", mano.cache_file()
    for path in (cache, own):
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
        with pytest.raises(WeightsError, match="has no faces") as problem:
            files._mano(files.local("fp32").mano, lambda *_: None)
        assert str(path) in str(problem.value)
        assert ("Remove" in str(problem.value)) == (path == cache)
    own.unlink()
    cache.unlink()
    del arrays["lbs_weights"]
    checkpoint = made_up.write_checkpoint(home / "hands/wilor_final.ckpt", arrays)
    made_up.write_mean(home / "hands/mano_mean_params.npz")
    with pytest.raises(WeightsError, match="is no checkpoint of WiLoR") as problem:
        files._mano(files.local("fp32").mano, lambda *_: None)
    assert str(checkpoint) in str(problem.value) and "Remove" not in str(problem.value)
    repo = zoo.WILOR_MINI.repo
    downloaded = home / f"models--{repo.replace('/', '--')}/snapshots/0/wilor_final.ckpt"
    assert f"models --remove {repo}`" in files._remedy(downloaded)


def test_models_do_not_list_them(home, monkeypatch):
    rows = {
        row["size"]: row for row in inventory.listing(None, 16_000_000_000)["checkpoints"] if row["task"] == "hands"
    }
    assert set(rows) == {"wilor", "4bit", "detector", "mano"} and not any(row["file"] for row in rows.values())
    assert {row["licence"] for row in rows.values()} == {one.name for one in zoo.HANDS_LICENCES.values()}
    (home / "hands").mkdir()
    (home / "hands/wilor-mlx.safetensors").write_bytes(b"12345678")
    listing = inventory.listing(None, 16_000_000_000)
    assert any(row["size"] == "wilor" and row["bytes"] == 8 for row in listing["checkpoints"])
    text = inventory.as_text(listing)
    assert "BasinShapers/wilor-mlx" in text and "https://mano.is.tue.mpg.de/license.html" in text


# ---- licences -------------------------------------------------------------------------------------------------------


def test_licences_are_accepted_by_themselves(home, monkeypatch):
    pytest.importorskip("wilor_mlx", reason=made_up.REASON)
    predictor = Predictor("hands")
    assert not consent.is_accepted()
    assert predictor.to_accept() == consent.lines() and len(consent.lines()) == 3
    with pytest.raises(
        LicencesError, match=r"CC BY-NC-ND 4\.0.*ultralytics.*mano\.is\.tue\.mpg\.de.*--accept-licences"
    ):
        predictor(np.zeros((50, 50, 3), np.uint8))
    consent.accept()
    assert consent.is_accepted() and predictor.to_accept() == []
    consent.file().unlink()
    assert not consent.is_accepted()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2, "accepted": []}', '{"format": 1, "accepted": 3}'])
def test_a_damaged_memory_of_licences_is_an_acceptance(home, tmp_path, content):
    consent.accept()
    path = consent.file()
    assert json.loads(path.read_text())["accepted"]
    path.write_text(content)
    assert not consent.is_accepted()


def test_everybody_waits_while_they_are_downloaded(home):
    predictor = Predictor("hands", level="fp32")
    wanted = fetch.missing(predictor, Options())
    assert [one.checkpoint for one in wanted] == [zoo.WILOR_POSE]
    heard: list[str] = []
    with pytest.raises(LicencesError):  # before anything waits for its turn
        fetch.then_run(wanted, lambda progress: heard.append("ran"), progress=lambda *_: None)
    assert heard == []


def test_licences_are_asked_for_where_all_is_here(home, monkeypatch):
    made_up.shrink(monkeypatch)
    inference.run(lambda progress: made_up.write_all(home))
    assert Predictor("hands", level="fp32").to_accept() == []
    assert len(Predictor("hands", level="fp32")(made_up.discs("r"))) == 1


# ---- from the hub, in a process of its own --------------------------------------------------------------------------

PROGRAM = """
import sapiens_mlx, sys, pytest, made_up_hands
made_up_hands.shrink(pytest.MonkeyPatch())
from sapiens_mlx.__main__ import run
run()
"""


class Elsewhere:
    """A hub with all files, and processes that run the command line with small networks."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        made_up.shrink(monkeypatch)
        self.files = made_up.hub_files()
        self.folder, self.photo = folder, folder / "photo.png"
        self.mano = folder / ".cache/wilor-mlx/mano.npz"
        Image.fromarray(made_up.discs("rl")).save(self.photo)

    def run(self, hub: Hub | None, *options: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess:
        command = ["predict", str(self.photo), "--task", "hands", "--out", str(self.folder / "out"), "--json", *options]
        return self.command(hub, *command, stdin=stdin)

    def command(self, hub: Hub | None, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess:
        settings = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}",
            "HOME": str(self.folder),
            "HF_HOME": str(self.folder / "hf"),
            "SAPIENS_MLX_CACHE": str(self.folder / "cache"),
            "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        }
        command = [sys.executable, "-c", PROGRAM, *arguments]
        return subprocess.run(
            command, env=settings, capture_output=True, stdin=stdin, text=True, timeout=120, check=False
        )


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    return Elsewhere(tmp_path, monkeypatch)


def test_without_a_terminal_it_downloads_unasked(elsewhere):
    with Hub(elsewhere.files) as hub:
        done = elsewhere.run(hub)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "--accept-licences" in done.stderr and "MANO licence" in done.stderr
        assert not hub.requests
        done = elsewhere.run(hub, "--accept-licences")
        report = json.loads(done.stdout)
        assert done.returncode == 0 and len(report["files"]) == 5, done.stderr
        assert "Downloading BasinShapers/wilor-mlx" in done.stderr and "CC BY-NC-ND 4.0" in done.stderr
        # Of the checkpoint only parts, and none of it is kept.
        checkpoint = [one.path for one in hub.requests if "wilor_final.ckpt" in one.path and one.method == "GET"]
        assert len(checkpoint) > 1
    assert not list((elsewhere.folder / "hf").rglob("*wilor_final*"))
    with np.load(elsewhere.mano) as kept:
        assert set(kept.files) == {*mano.TABLE, *mano.STARTS}
        np.testing.assert_array_equal(kept["posedirs"], made_up.mano_arrays()["posedirs"])
    again = elsewhere.run(None)  # offline, and nothing more is asked
    assert again.returncode == 0, again.stderr


def test_what_hands_brought_stays(elsewhere):
    with Hub(elsewhere.files) as hub:
        assert elsewhere.run(hub, "--accept-licences").returncode == 0
    remove = ("models", "--remove", "hands", "--json")
    done = elsewhere.command(None, *remove)
    removed = json.loads(done.stdout)["removed"]
    assert set(removed) == {zoo.WILOR_POSE.repo, zoo.WILOR_MINI.repo, "mano.npz", consent.FILE}, done.stderr
    assert not elsewhere.mano.exists() and not list((elsewhere.folder / "hf").rglob("*.safetensors"))
    assert not (elsewhere.folder / "cache" / consent.FILE).exists()
    made_up.write_mano(elsewhere.mano)  # by wilor-mlx
    done = elsewhere.command(None, *remove)
    assert done.returncode == 2 and "nothing of hands to remove" in done.stderr
    assert elsewhere.mano.exists()


def test_a_hub_without_ranges_gives_no_mano(elsewhere):
    with Hub(elsewhere.files, ranges=False) as hub:
        done = elsewhere.run(hub, "--accept-licences", "--level", "4bit")
    assert done.returncode == 0, done.stderr
    assert "The hub gives no parts of files: all 2.4 GB of wilor_final.ckpt come, of which MANO is 5 MB." in done.stderr
    made_up.same(mano.read(elsewhere.mano))
    assert json.loads(done.stdout)["level"] == "4bit"


@pytest.mark.parametrize("status", [429, 503])
def test_all_of_the_checkpoint_is_downloaded_for_another_fault(elsewhere, status):
    with Hub(elsewhere.files) as hub:
        assert elsewhere.run(hub, "--accept-licences").returncode == 0
    elsewhere.mano.unlink()
    with Hub(elsewhere.files, cdn_status=status) as hub:
        done = elsewhere.run(hub)
        asked = [one for one in hub.requests if "wilor_final.ckpt" in one.path and one.method == "GET"]
    error = done.stderr.splitlines()[-1]
    assert done.returncode == 2 and f"HTTP {status}" in error and "download the file of 2.4 GB from" in error
    assert asked and all(one.start is not None for one in asked)
    assert not list((elsewhere.folder / "hf").rglob("*wilor_final*"))


@pytest.mark.parametrize("answer", ["n", "", "y"])
def test_at_a_terminal_it_downloads_without_a_yes(elsewhere, answer):
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    with Hub(elsewhere.files) as hub:
        done = elsewhere.run(hub, stdin=theirs)
        asked = len(hub.requests)
    os.close(ours)
    os.close(theirs)
    assert all(line in done.stderr for line in consent.lines()) and "Accept them and download? [y/N]" in done.stderr
    assert (done.returncode, bool(asked)) == ((0, True) if answer == "y" else (2, False)), done.stderr
    assert (elsewhere.folder / "cache" / consent.FILE).exists() == (answer == "y")


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["gone", "cut", "web page", "nobody"])
def test_what_the_hub_does_not_give_is_no_sentence(elsewhere, fault):
    kept = dict(elsewhere.files)
    if fault == "gone":
        del kept[f"{zoo.WILOR_MINI.repo}/{zoo.WILOR_MINI.filename}"]
    how = {"cut": {"cut_after": 0}, "web page": {"page": "hub"}}.get(fault, {})
    with Hub(kept, **how) as hub:
        done = elsewhere.run(None if fault == "nobody" else hub, "--accept-licences")
    assert done.returncode == 2 and done.stdout == ""
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: The weights for Hands (") and "https://huggingface.co/" in error
    assert "Traceback" not in done.stderr
