"""A machine of its own for each test of downloads: a home folder, an environment, and processes that look for weights.

huggingface_hub reads its environment when it is imported, hence the processes. Nothing of the real environment, such as
proxies, a login or a cache, reaches them.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hub_server import COMMIT, Hub

from sapiens_mlx import zoo

SEG = zoo.checkpoint("seg", "0.4b")
ALBEDO = zoo.checkpoint("albedo", "0.4b")
CONTENT = np.random.default_rng(0).bytes(3_000_000)
ETAG = hashlib.sha256(CONTENT).hexdigest()
FILES = {f"{SEG.repo}/{SEG.filename}": CONTENT}

PROGRAM = """
import json, sys, time
from sapiens_mlx import zoo
from sapiens_mlx.errors import CancelledError, SapiensError
from sapiens_mlx.runtime import inference
from sapiens_mlx.weights import hub, locate

order = json.loads(sys.argv[1])
checkpoint = zoo.checkpoint(order["task"], order["size"])
level = zoo.level(order["level"]) if order["level"] else None
heard, told, coming = [], [], []

def progress(stage, done, total):
    if stage == "download":  # and not that the hub is being asked, which takes as long as the machine is busy
        heard.append((stage, done, total))
        coming.append(locate.coming.sentence(total))
    if order["cancel_at"] is not None and done >= order["cancel_at"]:
        raise CancelledError

report = {"found": None, "error": None, "message": ""}
try:
    if order["call"] == "find":
        report["found"] = str(locate.find(checkpoint, order["weights"], level, progress=progress, tell=told.append))
    elif order["call"] == "find_local":
        report["found"] = str(locate.find_local(checkpoint, order["weights"], level))
    elif order["call"] == "stop":  # from outside, once so many bytes are there, as the page's button does
        job = inference.submit(lambda progress: locate.find(checkpoint, order["weights"], level, progress=progress))
        asked = "download" if order["cancel_at"] else "load"
        while not (job.newest[0] == asked and job.newest[1] >= order["cancel_at"]):
            time.sleep(0.01)
        time.sleep(1)  # whatever was on its way is there
        start_s = time.monotonic()
        job.cancel()
        try:
            job.result(60)
        finally:
            report["seconds"] = time.monotonic() - start_s
    else:
        report["found"] = locate.offer(checkpoint, level).size_bytes or hub.size_bytes(
            checkpoint.repo, checkpoint.filename
        )
except (SapiensError, CancelledError) as problem:
    report["error"], report["message"] = type(problem).__name__, str(problem)
report |= {"heard": heard, "told": told, "coming": sorted(set(coming))}
print(json.dumps(report | {"network": "huggingface_hub" in sys.modules}))
"""


class Machine:
    """A home folder, an environment, and processes that call sapiens_mlx.weights.locate in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.cache = home / "hf" / "hub"
        self.repo_cache = self.cache / f"models--{SEG.repo.replace('/', '--')}"
        self.blob = self.repo_cache / "blobs" / ETAG
        self.partial = self.blob.with_name(f"{ETAG}.incomplete")

    def start(
        self,
        hub: Hub | None,
        *,
        call: str = "find",
        checkpoint: zoo.Checkpoint = SEG,
        weights: Path | str | None = None,
        level: str | None = None,
        cancel_at: int | None = None,
        **environment: str,
    ) -> subprocess.Popen:
        """`hub` of None is a hub that nobody answers for."""
        order = {
            "call": call,
            "task": checkpoint.task,
            "size": checkpoint.size,
            "weights": weights and str(weights),
            "level": level,
            "cancel_at": cancel_at,
        }
        settings = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]),
            "HOME": str(self.home),
            "HF_HOME": str(self.cache.parent),
            "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9",
            "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        }
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(order)],
            env=settings | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, hub: Hub | None, **order) -> dict:
        return finished(self.start(hub, **order))

    def assert_downloaded(self, report: dict) -> None:
        assert report["error"] is None, report["message"]
        assert Path(report["found"]) == self.repo_cache / "snapshots" / COMMIT / SEG.filename
        assert Path(report["found"]).read_bytes() == CONTENT
        assert not self.partial.exists()


def finished(process: subprocess.Popen) -> dict:
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return json.loads(output)
