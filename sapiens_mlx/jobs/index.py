"""What the manifests of a folder say, looked up by file and work, in the memory of a few megabytes however many.

The manifests stay what counts: this is a table of where in them to look, in a temporary database that is made anew at
each start (about 10 s for a million lines) and that the system removes with the process.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..errors import SapiensError
from . import manifest

CACHE_KIB = 16_000
MOST_STEM_BYTES = 150  # of the last part; endings and the name of a half-written file have to fit 255 with it


class Work(NamedTuple):
    """One task as it is asked for. `options` are those that its results depend on and that differ from the default."""

    task: str
    size: str
    level: str
    options: dict[str, Any]

    @property
    def row(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def of(cls, row: dict[str, Any]) -> "Work":
        return cls(*(row[name] for name in cls._fields))


class Index:
    """For one thread at a time."""

    def __init__(self, out: Path) -> None:
        self._out, self._files = out, {}
        self._table = sqlite3.connect("", isolation_level=None, check_same_thread=False)  # "": a temporary file
        for line in (
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            f"PRAGMA cache_size=-{CACHE_KIB}",
            "BEGIN",
            "CREATE TABLE found (key BLOB PRIMARY KEY, source TEXT, offset INT, time TEXT) WITHOUT ROWID",
            "CREATE TABLE owner (stem BLOB PRIMARY KEY, file BLOB) WITHOUT ROWID",
            "CREATE TABLE stem (file BLOB PRIMARY KEY, text TEXT) WITHOUT ROWID",
            "CREATE TABLE seen (file BLOB PRIMARY KEY) WITHOUT ROWID",
            "CREATE TABLE number (stem BLOB PRIMARY KEY, used INT) WITHOUT ROWID",
        ):
            self._ask(line)
        for path in manifest.paths(out):
            self._read(path)

    def find(self, file: str, work: Work) -> dict[str, Any] | None:
        """The newest row of that file and work, done or failed."""
        at = self._ask("SELECT source, offset FROM found WHERE key=?", (_key(file, work),)).fetchone()
        return manifest.parsed(self.line(*at)) if at else None

    def seen(self, file: str) -> bool:
        """Whether this was asked before of that file."""
        return self._ask("INSERT OR IGNORE INTO seen VALUES (?)", (_hash(file),)).rowcount == 0

    def stem(self, file: str, wanted: str) -> str:
        """Where the results of a file go: where they have gone before, else where they are `wanted`, with a number
        where another file's are. Disks that take Photo and photo for one are reckoned with."""
        known = self._ask("SELECT text FROM stem WHERE file=?", (_hash(file),)).fetchone()
        if known:
            return known[0].decode("utf-8", "surrogateescape")
        wanted = _shortened(wanted)
        chosen = wanted
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
        for source, offset in self._table.execute("SELECT source, offset FROM found ORDER BY source, offset"):
            line = self.line(source, offset)
            yield manifest.parsed(line), line

    def line(self, source: str, offset: int) -> bytes:
        """A line of a manifest, as it stands."""
        if source not in self._files:
            self._files[source] = (self._out / source).open("rb")
        file: BinaryIO = self._files[source]
        file.seek(offset)
        return file.readline()

    def close(self) -> None:
        self._table.close()
        for file in self._files.values():
            file.close()

    def _read(self, path: Path) -> None:
        for offset, row in manifest.rows(path):
            file = row["file"]
            key, time = _key(file, Work.of(row)), str(row.get("time", ""))
            self._ask(
                "INSERT INTO found VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET source=excluded.source, "
                "offset=excluded.offset, time=excluded.time WHERE excluded.time >= time",
                (key, path.name, offset, time),
            )
            if isinstance(row.get("stem"), str):
                self._own(file, row["stem"])

    def _own(self, file: str, stem: str) -> bool:
        """Whether `stem` is the file's, which it is from now on where it was nobody's."""
        key, own = _stem_key(stem), _hash(file)
        self._ask("INSERT OR IGNORE INTO owner VALUES (?, ?)", (key, own))
        if self._ask("SELECT file FROM owner WHERE stem=?", (key,)).fetchone()[0] != own:
            return False
        self._ask("INSERT OR IGNORE INTO stem VALUES (?, ?)", (own, stem.encode("utf-8", "surrogateescape")))
        return True

    def _ask(self, line: str, values: tuple = ()) -> sqlite3.Cursor:
        try:
            return self._table.execute(line, values)
        except sqlite3.Error as problem:
            raise SapiensError(
                f"The table of what is done could not be kept ({problem}). Free some space in the folder for temporary "
                "files, or name another one by the environment variable TMPDIR."
            ) from problem


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _key(file: str, work: Work) -> bytes:
    return _hash(json.dumps([file, *work], sort_keys=True))


def _stem_key(stem: str) -> bytes:
    return _hash(stem.casefold())


def _shortened(stem: str) -> str:
    """Names that endings would make too long for a disk end early."""
    folder, name = os.path.split(stem)
    encoded = os.fsencode(name)
    if len(encoded) <= MOST_STEM_BYTES:
        return stem
    return os.path.join(folder, encoded[:MOST_STEM_BYTES].decode("utf-8", "ignore"))
