"""What the manifests of a folder say, looked up by file and work, in the memory of a few megabytes however many.

The manifests stay what counts: this is a table of where in them to look, in a temporary database that is made anew at
each start (about 20 processor seconds for a million lines) and that the system removes with the process.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..errors import SapiensError
from ..predict_files import on_disk, shortened
from . import manifest
from .kinds import is_video

CACHE_KIB = 16_000
AT_ONCE = 10_000  # lines
MOST_WORKS = 1000

OF_CLIPS = "clip"  # among a work's options: those that change nothing of a photo


class Work(NamedTuple):
    """One task as it is asked for. `options` are those that its results depend on and that differ from the default."""

    task: str
    size: str
    level: str
    options: dict[str, Any]

    @property
    def row(self) -> dict[str, Any]:
        return self._asdict()

    def for_file(self, path: str | Path) -> "Work":
        """What of it concerns this file: a photo, or a video."""
        if OF_CLIPS not in self.options or is_video(path):
            return self
        return self._replace(options={name: value for name, value in self.options.items() if name != OF_CLIPS})

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Work":
        return cls(*(row[name] for name in cls._fields))


class Index:
    """For one thread at a time. Keys are 63 bits of a digest: of a million files two are alike once in ten million."""

    def __init__(self, out: Path) -> None:
        self._out, self._paths = out, manifest.paths(out)
        self._files: dict[int, BinaryIO] = {}
        self._salts: dict[Any, bytes] = {}
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # "": a temporary file
        for line in (
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            f"PRAGMA cache_size=-{CACHE_KIB}",
            "BEGIN",
            "CREATE TABLE found (key INTEGER PRIMARY KEY, path INT, at INT, time TEXT)",  # by file and work
            "CREATE TABLE place (file INTEGER PRIMARY KEY, path INT, at INT)",  # a line that holds its stem
            "CREATE TABLE owner (stem INTEGER PRIMARY KEY, file INT)",
            "CREATE TABLE number (stem INTEGER PRIMARY KEY, used INT)",  # the last that was given
            "CREATE TABLE seen (file INTEGER PRIMARY KEY)",
        ):
            self._ask(line)
        for number, path in enumerate(self._paths):
            self._read(number, path)

    def find(self, file: str, work: Work) -> dict[str, Any] | None:
        """The newest row of that file and work, done or failed."""
        at = self._ask("SELECT path, at FROM found WHERE key=?", (self._key(file, work),)).fetchone()
        row = manifest.parsed(self._line(*at)) if at else None
        return row if row and row["file"] == file else None

    def seen(self, file: str) -> bool:
        """Whether this was asked before of that file."""
        return self._ask("INSERT OR IGNORE INTO seen VALUES (?)", (_hash(file),)).rowcount == 0

    def stem(self, file: str, wanted: str) -> str:
        """Where the results of a file go: where they have gone before, else where they are `wanted`, with a number
        where another file's are. Disks that take Photo and photo for one are reckoned with."""
        at = self._ask("SELECT path, at FROM place WHERE file=?", (_hash(file),)).fetchone()
        if at and (row := manifest.parsed(self._line(*at))):
            return row["stem"]
        chosen = wanted = shortened(wanted)
        used = self._ask("SELECT used FROM number WHERE stem=?", (_stem_key(wanted),)).fetchone()
        number = used[0] if used else 1
        while not self._own(file, chosen):
            number += 1
            chosen = f"{wanted}-{number}"
        if number > 1:
            self._ask("INSERT OR REPLACE INTO number VALUES (?, ?)", (_stem_key(wanted), number))
        return chosen

    def newest(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """(row, its line) of every file and work once, manifest by manifest as they were written."""
        for at in self._table.execute("SELECT path, at FROM found ORDER BY path, at"):
            line = self._line(*at)
            if row := manifest.parsed(line):
                yield row, line

    def close(self) -> None:
        self._table.close()
        for file in self._files.values():
            file.close()

    def _line(self, number: int, offset: int) -> bytes:
        """A line of the manifest of that number, as it stands."""
        if number not in self._files:
            self._files[number] = self._paths[number].open("rb")
        self._files[number].seek(offset)
        return self._files[number].readline()

    def _read(self, number: int, path: Path) -> None:
        lines = (
            (self._key(row["file"], Work.of(row)), number, at, str(row.get("time", "")), _hash(row["file"]), row)
            for at, row in manifest.rows(path)
        )
        slim = (
            (*line[:5], _stem_key(stem) if isinstance(stem := line[5].get("stem"), str) else None) for line in lines
        )
        while run := list(islice(slim, AT_ONCE)):
            self._ask(
                "INSERT INTO found VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET path=excluded.path, at=excluded.at, "
                "time=excluded.time WHERE excluded.time >= time",
                sorted(line[:4] for line in run),
            )
            named = [line for line in run if line[5] is not None]
            self._ask("INSERT OR IGNORE INTO owner VALUES (?, ?)", sorted((line[5], line[4]) for line in named))
            self._ask("INSERT OR IGNORE INTO place VALUES (?, ?, ?)", sorted((line[4], *line[1:3]) for line in named))

    def _own(self, file: str, stem: str) -> bool:
        """Whether `stem` is the file's, which it is from now on where it was nobody's."""
        key, own = _stem_key(stem), _hash(file)
        self._ask("INSERT OR IGNORE INTO owner VALUES (?, ?)", (key, own))
        return self._ask("SELECT file FROM owner WHERE stem=?", (key,)).fetchone()[0] == own

    def _key(self, file: str, work: Work) -> int:
        """Of a file and work together. Work is the same again and again."""
        options = json.dumps(work.options, sort_keys=True) if work.options else ""
        known = (work.task, work.size, work.level, options)
        if (salt := self._salts.get(known)) is None:
            if len(self._salts) >= MOST_WORKS:
                self._salts.clear()
            salt = self._salts[known] = hashlib.blake2b(json.dumps(known).encode(), digest_size=16).digest()
        return _hash(file, salt)

    def _ask(self, line: str, values: tuple | list[tuple] = ()) -> sqlite3.Cursor:
        """A statement with its values, or with each of a list of them."""
        try:
            return (self._table.executemany if isinstance(values, list) else self._table.execute)(line, values)
        except sqlite3.Error as problem:
            raise SapiensError(
                f"The table of what is done could not be kept ({problem}). Free some space in the folder for temporary "
                "files, or name another one by the environment variable TMPDIR."
            ) from problem


def _hash(text: str, salt: bytes = b"") -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, salt=salt).digest()
    return int.from_bytes(digest, "little") >> 1  # surrogates stand for bytes of a name that are no text


def _stem_key(stem: str) -> int:
    return _hash(on_disk(stem))
