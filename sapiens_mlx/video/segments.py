"""A video on its way: closed pieces of so many frames, each there whole or not at all, that a later run goes on from.

A piece is a file of video, one of JSON lines where there are results, and last the record that says it counts. All are
written under another name, brought to the disk, and renamed.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SapiensError
from ..files import locked, not_writable, write_bytes
from .write import Encoder, Piece


@dataclass(frozen=True)
class Made:
    """One frame of the video: its time, the picture (H, W, 3) uint8, and its line of results."""

    pts: int
    duration: int
    picture: np.ndarray
    line: str | None = None


class Parts:
    """The folder of the pieces of one video, `length` frames each. One process at a time.

    `job` says what they are pieces of. A run that asks for something else cannot use them and begins anew; that is then
    said by `notice`.
    """

    def __init__(self, folder: Path, job: dict[str, Any], length: int, *, resume: bool) -> None:
        """
        Raises:
            SapiensError: for a folder that cannot be written, or another run that is at it.
        """
        self.folder, self._length = folder, length
        self.notice: str | None = None
        self._encoder: Encoder | None = None
        self._records: list[dict[str, Any]] = []
        self._state: Any = None
        self._waiting: list[tuple[int, int, str | None]] = []  # time, duration and line of each frame in the encoder
        try:
            folder.mkdir(exist_ok=True)
            self._lock = (folder / "lock").open("a")
        except OSError as problem:
            raise not_writable(folder, problem) from problem
        if not locked(self._lock):
            self._lock.close()
            raise SapiensError(f"Another run is writing to {folder}. Wait for it, or choose another folder.")
        try:
            before = _read_json(folder / "job.json")
            if not resume or before != job:
                self._clear()
                write_bytes(folder / "job.json", json.dumps(job).encode(), lasting=True)
            if resume and before not in (None, job):
                changed = sorted(name for name in {*before, *job} if before.get(name) != job.get(name))
                self.notice = f"What was half done had another {', '.join(changed)}, so it was begun anew."
            for record in self._there():
                self._take(record)
        except BaseException:
            self._lock.close()
            raise

    @property
    def frames(self) -> int:
        """How many frames are in finished pieces."""
        return sum(len(record["pts"]) for record in self._records)

    @property
    def state(self) -> Any:
        """What the last finished piece was closed with; None before the first."""
        return self._state

    def add(self, made: Made, rate: Fraction, time_base: Fraction, state: Any = None) -> None:
        """Adds a frame; with the last one of a piece, `state` is kept beside it."""
        if self._encoder is None:
            self._encoder = Encoder(made.picture.shape[:2], rate, time_base)
        self._encoder.add(made.picture, made.pts)
        self._waiting.append((made.pts, made.duration, made.line))
        if len(self._waiting) >= self._length:
            self.close_piece(state)

    def close_piece(self, state: Any = None, *, counts: bool = True) -> None:
        """Makes what has been added a piece, however short. One that does not count is there for this run alone: a
        later one makes it anew, so that all pieces come out as they would have without a stop."""
        if self._encoder is None:
            return
        video, frames = self._encoder.finished(), self._waiting
        self._encoder, self._waiting = None, []
        number = len(self._records)
        lines = "".join(f"{line}\n" for _, _, line in frames if line is not None).encode()
        last_pts, last_duration, _ = frames[-1]
        record = {
            "pts": [pts for pts, _, _ in frames],
            "end": last_pts + last_duration,
            "video_bytes": len(video),
            "lines_bytes": len(lines),
            "state": state,
        }
        write_bytes(self._path(number, "jsonl"), lines, lasting=True)
        write_bytes(self._path(number, "mp4"), video, lasting=True)
        if counts:
            write_bytes(self._path(number, "json"), json.dumps(record).encode(), lasting=True)
        self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        """A finished piece more. Of the states, which are large, none but the newest is needed."""
        self._state = record.pop("state")
        self._records.append(record)

    def pieces(self) -> list[Piece]:
        """The finished pieces in order."""
        return [
            Piece(self._path(number, "mp4"), record["pts"], record["end"])
            for number, record in enumerate(self._records)
        ]

    def lines(self) -> Iterator[bytes]:
        """The results of the finished pieces, one piece's lines at a time."""
        for number in range(len(self._records)):
            yield self._path(number, "jsonl").read_bytes()

    def is_worth_keeping(self) -> bool:
        """Whether there is anything that a later run could go on from."""
        return bool(self._records) or any(self.folder.glob("depth/*.png"))

    def close(self, *, remove: bool) -> None:
        """Lets another run have the folder, or takes it away."""
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _there(self) -> Iterator[dict[str, Any]]:
        """The records of pieces that are whole, up to the first that is not."""
        for number in range(10**9):
            record = _read_json(self._path(number, "json"))
            if record is None or any(
                not (path := self._path(number, ending)).is_file() or path.stat().st_size != record[size]
                for ending, size in (("mp4", "video_bytes"), ("jsonl", "lines_bytes"))
            ):
                return
            yield record

    def _path(self, number: int, ending: str) -> Path:
        return self.folder / f"{number:06d}.{ending}"

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != "lock":
                path.unlink(missing_ok=True)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
