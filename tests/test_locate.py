"""Where weights are found, and how they are downloaded, against a local server that stands for the hub."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_machine import ALBEDO, CONTENT, FILES, SEG, Machine, finished
from hub_server import COMMIT, Hub

from sapiens_mlx import zoo


def place(folder: Path, checkpoint: zoo.Checkpoint = SEG, content: bytes = b"weights") -> Path:
    path = folder / checkpoint.local_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


# ---- on this machine ------------------------------------------------------------------------------------------------


def test_places_are_searched_in_their_order_and_without_the_network(machine):
    given, root, host = (place(machine.home / name) for name in ("given", "root", "sapiens2_host"))
    both = {"weights": machine.home / "given", "SAPIENS_CHECKPOINT_ROOT": str(machine.home / "root")}
    for expected in (given, root):
        report = machine.run(None, **both)
        assert (report["found"], report["network"]) == (str(expected), False)
        expected.unlink()
    assert machine.run(None)["found"] == str(host)
    root_is_set = machine.run(None, call="find_local", SAPIENS_CHECKPOINT_ROOT=str(machine.home / "root"))
    assert root_is_set["found"] == "None"


def test_weights_may_be_the_file_itself(machine):
    path = machine.home / "my.safetensors"
    path.write_bytes(b"weights")
    assert machine.run(None, weights=path)["found"] == str(path)
    assert machine.run(None, weights=Path("~/my.safetensors"))["found"] == str(path)


@pytest.mark.parametrize("call", ["find", "find_local"])
def test_weights_that_do_not_exist_are_an_error_and_not_a_download(machine, call):
    with Hub(FILES) as hub:
        report = machine.run(hub, call=call, weights=machine.home / "typo")
    assert report["error"] == "WeightsError"
    assert str(machine.home / "typo") in report["message"]
    assert not hub.requests


def test_file_that_another_program_downloaded_is_found_in_the_cache(machine):
    snapshot = machine.repo_cache / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / SEG.filename).write_bytes(b"weights")
    (machine.repo_cache / "refs").mkdir()
    (machine.repo_cache / "refs/main").write_text(COMMIT)
    (machine.home / "empty").mkdir()
    for order in ({"call": "find_local"}, {"weights": machine.home / "empty"}, {"HF_HUB_OFFLINE": "1"}):
        assert machine.run(None, **order)["found"] == str(snapshot / SEG.filename)


def test_unpublished_weights_are_taken_from_a_folder_and_never_asked_for(machine):
    with Hub(FILES) as hub:
        report = machine.run(hub, checkpoint=ALBEDO)
    path = machine.home / "sapiens2_host" / ALBEDO.local_path
    assert report["error"] == "WeightsMissingError"
    assert "not published yet" in report["message"]
    assert str(path) in report["message"]
    assert not hub.requests
    assert machine.run(None, checkpoint=ALBEDO, weights=place(path.parents[1], ALBEDO).parents[1])["found"] == str(path)


# ---- downloads ------------------------------------------------------------------------------------------------------


def test_download_reports_every_step_and_enters_the_cache(machine):
    with Hub(FILES) as hub:
        (machine.home / "empty").mkdir()
        report = machine.run(hub, weights=machine.home / "empty", HF_TOKEN="hf_secret")
        machine.assert_downloaded(report)
        stages, done, totals = zip(*report["heard"], strict=True)
        assert set(stages) == {"download"}
        assert set(totals) == {len(CONTENT)}
        assert done[0] == 0
        assert done[-1] == len(CONTENT)
        assert list(done) == sorted(done)
        assert len(set(done)) > 20
        assert {request.token for request in hub.requests if request.path.startswith("/cdn/")} == {None}
        assert "Bearer hf_secret" in {request.token for request in hub.requests}
        assert machine.run(None)["found"] == report["found"]
        assert machine.run(hub, call="size")["found"] == len(CONTENT)
        requests = len(hub.requests)
        machine.run(hub)
        assert len(hub.requests) == requests  # the second time nothing is asked


def test_the_library_itself_finds_our_download(machine):
    with Hub(FILES) as hub:
        report = machine.run(hub)
        process = subprocess.run(
            [
                sys.executable,
                "-c",
                f"import huggingface_hub as h; print(h.hf_hub_download({SEG.repo!r}, {SEG.filename!r}));"
                "print([r.repo_id for r in h.scan_cache_dir().repos], h.scan_cache_dir().warnings)",
            ],
            env={"HOME": str(machine.home), "HF_HOME": str(machine.cache.parent), "HF_ENDPOINT": hub.endpoint},
            capture_output=True,
            text=True,
            check=True,
        )
        assert process.stdout.splitlines() == [report["found"], f"{[SEG.repo]} []"]
        assert len(hub.starts) == 1


def test_broken_connections_are_resumed_at_once(machine):
    with Hub(FILES, cut_after=1_300_000) as hub:
        machine.assert_downloaded(machine.run(hub))
    assert hub.starts == [0, 1_300_000, 2_600_000]


def test_download_that_failed_is_resumed_by_the_next_process(machine):
    with Hub(FILES, cut_after=1_000_000, cuts=1, cdn_status=503) as hub:
        report = machine.run(hub)
        assert report["error"] == "WeightsMissingError"
        assert "HTTP 503" in report["message"]
        assert hub.starts == [0, 1_000_000, 1_000_000]
        hub.cdn_status = None
        report = machine.run(hub)
    machine.assert_downloaded(report)
    assert hub.starts[3:] == [1_000_000]
    assert report["heard"][0] == ["download", 1_000_000, len(CONTENT)]


def test_download_that_was_cancelled_is_resumed(machine):
    with Hub(FILES) as hub:
        report = machine.run(hub, cancel_at=1_200_000)
        assert report["error"] == "CancelledError"
        kept = machine.partial.stat().st_size
        assert 1_200_000 <= kept < len(CONTENT)
        machine.assert_downloaded(machine.run(hub))
    assert hub.starts == [0, kept]


STALLS = {
    "between two bytes": ({"pause_s": 60}, {"cancel_at": 1}),
    "before the first answer": ({"silent_s": 60}, {"cancel_at": 0}),
    "before the answer about a repository": ({"silent_s": 60}, {"cancel_at": 0, "level": "4bit"}),
}


@pytest.mark.parametrize(("fault", "order"), STALLS.values(), ids=STALLS)
def test_stop_ends_a_download_that_has_stalled_and_the_next_one_carries_on(machine, fault, order):
    slow = {"HF_HUB_DOWNLOAD_TIMEOUT": "60", "HF_HUB_ETAG_TIMEOUT": "60"}
    with Hub(FILES, **fault) as hub:
        report = machine.run(hub, call="stop", **order, **slow)
        assert report["error"] == "CancelledError"
        assert report["seconds"] < 10  # a fraction of one; the hub would be silent for a minute
        assert not machine.blob.exists()
        kept = machine.partial.read_bytes() if machine.partial.exists() else b""
        assert CONTENT.startswith(kept)
        assert bool(kept) == bool(order["cancel_at"])
        hub.pause_s = hub.silent_s = 0
        machine.assert_downloaded(machine.run(hub))
    assert hub.starts[-1] == len(kept)


def test_download_whose_process_was_killed_is_resumed(machine):
    with Hub(FILES, pause_s=0.02) as hub:
        process = machine.start(hub)
        while not (machine.partial.exists() and machine.partial.stat().st_size > 500_000):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept = machine.partial.stat().st_size
        hub.pause_s = 0
        machine.assert_downloaded(machine.run(hub))
    assert hub.starts == [0, kept]


def test_server_without_ranges_sends_everything_again(machine):
    machine.partial.parent.mkdir(parents=True)
    machine.partial.write_bytes(CONTENT[:1_000_000])
    with Hub(FILES, ranges=False) as hub:
        machine.assert_downloaded(machine.run(hub))


def test_two_processes_download_once(machine):
    with Hub(FILES, pause_s=0.2) as hub:
        first = machine.start(hub)
        while not hub.starts:
            time.sleep(0.01)
        second = machine.start(hub)
        while [request.method for request in hub.requests].count("HEAD") < 2:
            time.sleep(0.01)
        time.sleep(1)  # the second one now waits and looks twice a second
        hub.pause_s = 0
        reports = [finished(first), finished(second)]
    for report in reports:
        machine.assert_downloaded(report)
    assert hub.starts == [0]
    assert any(
        0 < done < len(CONTENT) for _, done, _ in reports[1]["heard"]
    )  # the waiting one shows the other's progress


@pytest.mark.parametrize("kept", [CONTENT[:-1] + b"?", bytes(1_000_000), CONTENT + b"?"], ids=["whole", "part", "more"])
def test_damaged_partial_download_never_becomes_weights(machine, kept):
    machine.partial.parent.mkdir(parents=True)
    machine.partial.write_bytes(kept)
    with Hub(FILES) as hub:
        first = machine.run(hub)
        if first["error"]:
            assert "damaged" in first["message"]
            first = machine.run(hub)
        machine.assert_downloaded(first)


# ---- what can go wrong ----------------------------------------------------------------------------------------------

GATED = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."}
FAULTS = {
    "nobody answers": (None, {}, ["the connection to http://127.0.0.1:9 failed", "Check it"]),
    "offline mode": ({}, {"HF_HUB_OFFLINE": "1"}, ["HF_HUB_OFFLINE", "Unset it"]),
    "login needed": (
        {"status": 401},
        {},
        ["accepted its licence", "hf auth login", f"https://huggingface.co/{SEG.repo}"],
    ),
    "licence needed": ({"status": 403, "headers": GATED}, {}, ["accepted its licence", "hf auth login"]),
    "no such repo": ({"status": 404, "headers": {"X-Error-Code": "RepoNotFound"}}, {}, ["HTTP 404"]),
    "no such file": ({"files": {}}, {}, [f"no {SEG.filename}", "HTTP 404"]),
    "too many requests": ({"status": 429, "headers": {"Retry-After": "77"}}, {}, ["HTTP 429", "in 77 seconds"]),
    "hub is down": ({"status": 500}, {}, ["HTTP 500", "Try again later"]),
    "cdn refuses": ({"cdn_status": 403}, {}, ["HTTP 403"]),
    "captive portal": ({"page": "hub"}, {}, ["web page", "Log in to the network"]),
    "portal before the cdn": ({"page": "cdn"}, {}, ["web page", "Log in to the network"]),
    "size too small": ({"announced": 1000}, {}, ["announced 1,000 bytes", "sends 3000000"]),
    "size too large": ({"announced": 4_000_000}, {}, ["announced 4,000,000 bytes"]),
    "disk too small": ({"announced": 10**18}, {}, ["1000000000.0 GB are needed", "Free some space"]),
    "damaged on the way": ({"damaged": True}, {}, ["SHA-256", "Try again"]),
    "cache is a file": ({}, {"HF_HUB_CACHE": __file__}, ["cannot be written to", "HF_HOME"]),
}


@pytest.mark.parametrize(("fault", "environment", "words"), FAULTS.values(), ids=FAULTS)
def test_fault_is_explained_with_every_place_and_what_to_do(machine, fault, environment, words):
    folder = machine.home / "given"
    folder.mkdir()
    with Hub(**{"files": FILES, **(fault or {})}) as hub:
        start_s = time.perf_counter()
        report = machine.run(hub if fault is not None else None, weights=folder, **environment)
        seconds = time.perf_counter() - start_s
    assert report["error"] == "WeightsMissingError"
    cache = environment.get("HF_HUB_CACHE", str(machine.cache))
    places = [str(folder / SEG.local_path), str(machine.home / "sapiens2_host" / SEG.local_path), cache]
    by_hand = [f"https://huggingface.co/{SEG.repo}", "Sapiens2 License", f"put it at {folder / SEG.local_path}."]
    for part in (*words, *places, *by_hand):
        assert part in report["message"]
    assert not machine.blob.exists()
    assert seconds < 15


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to stand for a full disk")
def test_disk_that_fills_up_on_the_way_is_explained(machine):
    machine.partial.parent.mkdir(parents=True)
    machine.partial.symlink_to("/dev/full")
    with Hub(FILES) as hub:
        report = machine.run(hub)
    assert f"the disk of {machine.cache} is full" in report["message"]
    assert os.strerror(errno.ENOSPC) not in report["message"]


@pytest.mark.parametrize(
    "hub_fault", [None, {"status": 401}, {"page": "hub"}], ids=["nobody answers", "gated", "portal"]
)
def test_size_of_a_download_is_unknown_when_the_hub_does_not_tell(machine, hub_fault):
    with Hub(FILES, **(hub_fault or {})) as hub:
        report = machine.run(hub if hub_fault else None, call="size")
    assert (report["found"], report["error"]) == (None, None)
