"""The manifest: what came of each file and task, a JSON object a line, appended as it happens.

A line says `file` (from the manifest's folder), `stem`, `bytes`, `mtime_ns`, `digest`, `task`, `size`, `level`,
`options` (what differs from the defaults), `time`, and either `outputs` (from the manifest's folder) and `seconds` by
stage, or `error`. One process alone writes manifest.jsonl; of several, each writes its own manifest.rank-K.jsonl.

Each line is handed to the system whole and at once, so a killed process loses none; it is on the disk within SYNC_S
seconds, which is what a power cut can cost. A line that is cut off is passed over when it is read.
"""

import fcntl
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import SapiensError
from ..files import locked, not_written

SYNC_S = 5.0
NAME = re.compile(r"manifest(\.rank-\d+)?\.jsonl")


def name(rank: int | None) -> str:
    """The manifest's file name: of the only process, or of one of several."""
    return "manifest.jsonl" if rank is None else f"manifest.rank-{rank}.jsonl"


def paths(out: Path) -> list[Path]:
    """All manifests in the folder `out`."""
    return sorted(path for path in out.glob("manifest*.jsonl") if NAME.fullmatch(path.name))


def digest(path: str | Path) -> str:
    """Of a file's bytes, as manifests write it. Raises OSError."""
    with Path(path).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(offset of the line, row) of each whole line; what is no row is passed over."""
    with path.open("rb") as file:
        offset = 0
        for line in file:
            row = parsed(line)
            if row is not None:
                yield offset, row
            offset += len(line)


def parsed(line: bytes) -> dict[str, Any] | None:
    """The row of a line, None where a kill or a power cut left less than one."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    wanted = isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("file", "task", "size", "level"))
    finished = wanted and (isinstance(row.get("outputs"), list) or isinstance(row.get("error"), str))
    return row if finished and isinstance(row.get("options"), dict) else None


def is_stale(row: dict[str, Any], path: str | Path) -> bool:
    """Whether a row that says done is of other bytes than the file has now; False where that cannot be told."""
    if "error" in row:
        return False
    try:
        status = os.stat(path)
        if status.st_size != row.get("bytes"):
            return True
        return status.st_mtime_ns != row.get("mtime_ns") and digest(path) != row.get("digest")
    except OSError:
        return False


class Manifest:
    """One manifest, open to be added to by the threads of this process and by no other process."""

    def __init__(self, out: Path, rank: int | None = None) -> None:
        """Raises SapiensError where another process is writing it, or nothing can be written."""
        self.path, self._rank = out / name(rank), rank
        self._lock, self._synced = threading.Lock(), time.monotonic()
        try:
            self._file = self.path.open("a+b", buffering=0)
        except OSError as problem:
            raise self._unwritable(problem) from problem
        if not locked(self._file):
            self._file.close()
            raise SapiensError(
                f"Another run is writing {self.path}. Wait for it, stop it, or give --out another folder."
            )
        if self._file.seek(0, os.SEEK_END):  # a line that a kill has cut off must not swallow the next
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._write(b"\n")

    def add(self, row: dict[str, Any]) -> None:
        """Appends a row, with the time of now. Raises SapiensError where the disk is full."""
        stamped = row | {"time": datetime.now(UTC).isoformat(timespec="milliseconds")}
        if self._rank is not None:
            stamped["rank"] = self._rank
        line = json.dumps(stamped, allow_nan=False).encode() + b"\n"
        with self._lock:
            self._write(line)
            if time.monotonic() - self._synced > SYNC_S:
                self._sync()

    def close(self) -> None:
        with self._lock:
            if not self._file.closed:
                self._sync()
                self._file.close()

    def _write(self, line: bytes) -> None:
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as problem:
            raise self._unwritable(problem) from problem

    def _sync(self) -> None:
        self._synced = time.monotonic()
        try:
            os.fsync(self._file.fileno())
        except OSError as problem:
            raise self._unwritable(problem) from problem

    def _unwritable(self, problem: OSError) -> SapiensError:
        return not_written(self.path, problem, "give --out another folder")

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def being_written(out: Path) -> list[Path]:
    """The manifests in `out` that a process of this machine is adding to."""
    busy = []
    for path in paths(out):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                busy.append(path)
            except OSError:
                pass
    return busy
