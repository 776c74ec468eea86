"""What weights occupy on the disk and how they are removed: by the command line, and in the page by whoever runs it."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import browser
import pytest
from browser import REPOSITORY, RUN_MS, Server, serving
from hub_machine import CONTENT, FILES, SEG, Machine
from hub_server import COMMIT, Hub

from sapiens_mlx.ui import disk

OTHER = "somebody/else"


def put(cache: Path, repo: str, content: bytes = CONTENT, filename: str = "model.safetensors") -> Path:
    """A download as the hub's own programs leave it: a blob, a link to it, a reference. Returns the repo's folder."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    blob, pointer = folder / "blobs/0123456789abcdef", folder / "snapshots" / COMMIT / filename
    for path in (blob, pointer, folder / "refs/main"):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    (folder / "refs/main").write_text(COMMIT)
    return folder


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def models(machine: Machine, *arguments: str) -> tuple[int, dict | None, str]:
    """Exit status, JSON and standard error of `models` on that machine."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(machine.home),
        "HF_HOME": str(machine.cache.parent),
        "SAPIENS_MLX_CACHE": str(machine.home / "ours"),
    }
    command = [sys.executable, "-m", "sapiens_mlx", "models", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


# ---- the command line -----------------------------------------------------------------------------------------------


def test_downloads_of_ours_are_listed_with_their_sizes_and_nothing_else(machine):
    community = f"mlx-community/{SEG.repo.rpartition('/')[2]}-4bit"
    for repo in (SEG.repo, community, OTHER):
        put(machine.cache, repo)
    listing = models(machine)[1]
    assert listing["downloads"] == [
        {"repo": repo, "bytes": len(CONTENT) + len(COMMIT)} for repo in sorted((SEG.repo, community))
    ]


def test_a_download_is_removed_whole_and_others_stay(machine):
    others = [put(machine.cache, f"{OTHER}-{number}") for number in range(6)]  # of the same commit, as renamed ones are
    folder = put(machine.cache, SEG.repo)
    status, told, _ = models(machine, "--remove", SEG.repo)
    assert (status, told) == (0, {"removed": [SEG.repo], "freed_bytes": len(CONTENT) + len(COMMIT)})
    assert not folder.exists()
    for other in others:
        assert (other / "snapshots" / COMMIT / "model.safetensors").read_bytes() == CONTENT
    assert models(machine)[1]["downloads"] == []


def test_what_a_broken_download_left_is_listed_and_removed(machine):
    machine.partial.parent.mkdir(parents=True)
    machine.partial.write_bytes(CONTENT[:1_000_000])
    assert models(machine)[1]["downloads"] == [{"repo": SEG.repo, "bytes": 1_000_000}]
    assert models(machine, "--remove", SEG.repo)[1]["freed_bytes"] == 1_000_000
    assert not machine.partial.exists()


def test_what_is_being_downloaded_is_not_removed(machine):
    with Hub(FILES, pause_s=0.05) as hub:
        download = machine.start(hub)
        while not (machine.partial.exists() and machine.partial.stat().st_size):
            time.sleep(0.01)
        status, _, error = models(machine, "--remove", SEG.repo)
        assert status == 2
        assert f"{SEG.repo} is being downloaded" in error
        hub.pause_s = 0
        machine.assert_downloaded(json.loads(download.communicate(timeout=30)[0]))


@pytest.mark.parametrize("name", [OTHER, SEG.repo, "../../outside", "a/b/c"])
def test_only_what_the_tables_name_can_be_removed(machine, name):
    other = put(machine.cache, OTHER)
    status, _, error = models(machine, "--remove", name)
    assert status == 2
    assert "There is no download" in error
    assert other.exists()


def test_all_is_all_conversions_and_no_download(machine):
    folder = put(machine.cache, SEG.repo)
    for name in ("seg-0.4b-8bit-0123456789ab", "pose-1b-4bit-0123456789ab"):
        (machine.home / "ours" / name).mkdir(parents=True)
        (machine.home / "ours" / name / "model.safetensors").write_bytes(bytes(1000))
    assert models(machine, "--remove", "all")[1]["freed_bytes"] == 2000
    assert models(machine)[1]["conversions"] == []
    assert folder.exists()


def test_a_beginning_of_a_name_removes_another_size_or_a_wrong_name_leaves_half(machine):
    names = ["features-1b-4bit-0123456789ab", "features-1b-4k-4bit-0123456789ab", "seg-1b-4bit-0123456789ab"]
    for name in names:
        (machine.home / "ours" / name).mkdir(parents=True)
    status, _, error = models(machine, "--remove", "seg-1b", "features-1b", "seg-1bb")
    assert status == 2 and "There is no conversion 'seg-1bb'" in error
    assert [row["name"] for row in models(machine)[1]["conversions"]] == names
    assert models(machine, "--remove", "features-1b", "seg", names[0])[1]["removed"] == [names[0], names[2]]
    assert [row["name"] for row in models(machine)[1]["conversions"]] == [names[1]]


def test_a_users_own_weights_are_neither_listed_nor_removed(machine):
    own = machine.home / "sapiens2_host" / SEG.local_path
    own.parent.mkdir(parents=True)
    own.write_bytes(b"weights")
    listing = models(machine)[1]
    assert next(row for row in listing["checkpoints"] if row["file"] == str(own))
    assert (listing["downloads"], listing["conversions"]) == ([], [])
    assert models(machine, "--remove", "all")[0] == 0
    assert models(machine, "--remove", "seg-0.4b")[0] == 2
    assert own.read_bytes() == b"weights"


# ---- who may --------------------------------------------------------------------------------------------------------


def asking(client: str | None = "127.0.0.1", username: str | None = None, **headers: str) -> SimpleNamespace:
    """What gr.Request has of a request."""
    named = {"host": "127.0.0.1:7860"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(client=client and SimpleNamespace(host=client), username=username, headers=named)


@pytest.mark.parametrize(
    ("request_", "owner"),
    [
        (asking(), True),
        (asking("::1", host="[::1]:7860", origin="http://[::1]:7860"), True),
        (asking(host="localhost:7860", origin="http://localhost:7860", referer="http://localhost:7860/"), True),
        (asking("192.168.1.7"), False),
        (asking(None), False),
        (asking(host="0123456789abcdef.gradio.live"), False),
        (asking(origin="https://studio.example"), False),
        (asking(referer="https://studio.example/"), False),
        (asking(host="127.0.0.1.example:7860"), False),
        (asking(x_forwarded_for="10.0.0.7"), False),
        (asking(origin="null"), False),
        (asking(username="visitor"), False),
        (asking(host=""), False),
        (None, False),
    ],
)
def test_only_a_request_from_the_machine_itself_is_its_owners(request_, owner, monkeypatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert disk.is_owner(request_) is owner
    monkeypatch.setenv("SPACE_ID", "somebody/space")
    assert not disk.is_owner(request_)


# ---- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    put(tmp_path / "hf/hub", SEG.repo)
    put(tmp_path / "hf/hub", OTHER)
    for name in ("seg-0.4b-8bit-0123456789ab", "pose-1b-4bit-0123456789ab"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "model.safetensors").write_bytes(bytes(2_000_000))
    with serving(["-m", "tests.disk_page_process"], tmp_path, {}) as server:
        yield server


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_lists_asks_and_removes(visit: Callable, server: Server, tmp_path: Path) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    page = visit(1000, 700)
    page.get_by_role("tab", name="Help").click()
    table = page.locator("#disk table")
    expect(table).to_contain_text(SEG.repo, timeout=RUN_MS)
    expect(table.locator("tbody tr")).to_have_count(4)  # with their sum
    expect(table.locator("tbody tr").last).to_contain_text("7.0 MB")
    assert OTHER not in table.inner_text()
    page.locator("#disk-remove").click()
    question = page.locator("#disk").get_by_role("alert")
    expect(question).to_contain_text(f"Remove {SEG.repo}, 3.0 MB?")
    page.locator("#disk-keep").click()
    expect(question).to_have_count(0)
    assert (tmp_path / "hf/hub" / f"models--{SEG.repo.replace('/', '--')}").exists()
    page.locator("#disk-remove").click()
    page.locator("#disk-confirm").click()
    expect(page.locator("#disk-status")).to_contain_text("3.0 MB of the disk are free again", timeout=RUN_MS)
    assert not (tmp_path / "hf/hub" / f"models--{SEG.repo.replace('/', '--')}").exists()
    expect(table.locator("tbody tr")).to_have_count(3)
    page.get_by_label("What to remove").click()
    page.get_by_role("option", name=re.compile("All 2 conversions")).click()
    page.locator("#disk-remove").click()
    expect(question).to_contain_text("Remove all 2 conversions, 4.0 MB?")
    page.locator("#disk-confirm").click()
    expect(page.locator("#disk")).to_contain_text("No downloaded weights and no conversions", timeout=RUN_MS)
    assert list((tmp_path / "cache").glob("*-*")) == []
    assert (tmp_path / "hf/hub" / f"models--{OTHER.replace('/', '--')}").exists()


@pytest.mark.slow
@pytest.mark.browser
def test_a_hosted_page_shows_nothing_and_removes_nothing(tmp_path: Path, chromium) -> None:
    put(tmp_path / "hf/hub", SEG.repo)
    hosted = {"SPACE_ID": "somebody/space", "GRADIO_ANALYTICS_ENABLED": "False"}
    with (
        serving(["-m", "tests.disk_page_process"], tmp_path, hosted) as server,
        browser.visiting(chromium, server.url) as open_page,
    ):
        page = open_page()
        page.get_by_role("tab", name="Help").click()
        page.get_by_text("for whoever runs this page").wait_for()
        assert SEG.repo not in page.content()
        assert page.locator("#disk-remove").count() == 0
