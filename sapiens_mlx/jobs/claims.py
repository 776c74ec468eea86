"""How processes on one shared folder share out the files: by moving small batches, which a disk does for one of them.

In the board's folder, `todo` holds batches that nobody has, `taken/K` those of rank K, `alive/K` its sign of life, and
`listed` says that no more will come. Rank 0 lists: it alone decides names, and stays a few batches ahead of the others.
A batch is moved from `todo` to `taken/K`, and removed when its files are done. A rank that gives no sign of life for
DEAD_S seconds loses its batches to whoever has nothing left to do; clocks of machines are not compared.
"""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import SapiensError
from ..files import not_written
from . import manifest
from .index import Work
from .kinds import is_video
from .plan import Item

BEAT_S = 2.0
DEAD_S = 30.0
POLL_S = 0.2
BATCH_S = 3.0  # of work: what one rank may be idle in the end
MOST_A_BATCH = 64
OTHERWISE = "give --out another folder"


class Board:
    """The shared board as rank `rank` of `count` sees it."""

    def __init__(self, folder: Path, rank: int, count: int, asked: threading.Event, dead_s: float = DEAD_S) -> None:
        """Once `asked` is set, no batch is taken or laid out any more."""
        self._folder, self._rank, self._count, self._dead_s = folder, rank, count, dead_s
        self._mine = folder / "taken" / str(rank)
        self._open: dict[str, dict[str, Item]] = {}  # batch: its items that are not finished, by file
        self._seen: dict[int, tuple[str, float]] = {}  # rank: its last sign of life, and when it was new
        self._lock, self._asked, self._left = threading.Lock(), asked, threading.Event()
        self._listing: threading.Thread | None = None
        self._problem: BaseException | None = None  # with the listing
        self.orphaned = False  # rank 0 went before all files were listed
        try:
            for other in range(count):
                (folder / "taken" / str(other)).mkdir(exist_ok=True)
            self._beat()
        except OSError as problem:
            raise not_written(folder, problem, OTHERWISE) from problem
        self._heart = threading.Thread(target=self._keep_beating, name="alive", daemon=True)
        self._heart.start()

    # ---- rank 0 -----------------------------------------------------------------------------------------------------

    def lay_out(self, items: Iterator[Item], seconds_each: Callable[[], float]) -> None:
        """Begins to lay out batches of `items`, in a thread of its own; a batch is about BATCH_S of work at what a file
        takes here. What goes wrong is raised where items are taken."""

        def work() -> None:
            try:
                self._fill(items, seconds_each)
            except BaseException as problem:
                self._problem = problem

        self._listing = threading.Thread(target=work, name="listing", daemon=True)
        self._listing.start()

    def _fill(self, items: Iterator[Item], seconds_each: Callable[[], float]) -> None:
        number = 0
        batch: list[Item] = []
        for item in items:
            alone = is_video(self._folder.parent / item.file)  # which may take hours
            if alone and batch:
                self._lay(number, batch)
                number, batch = number + 1, []
            batch.append(item)
            each = seconds_each()
            if alone or len(batch) >= (min(MOST_A_BATCH, max(1, int(BATCH_S / each))) if each else 1):
                self._lay(number, batch)
                number, batch = number + 1, []
                while len(os.listdir(self._folder / "todo")) > 2 * self._count:
                    if self._asked.wait(POLL_S):
                        return
            if self._asked.is_set():
                return
        if batch:
            self._lay(number, batch)
        (self._folder / "listed").touch()

    def _lay(self, number: int, batch: list[Item]) -> None:
        self._write(self._folder / "todo" / f"{number:08d}", batch)

    def _write(self, path: Path, batch: list[Item]) -> None:
        partial = self._folder / f".{path.name}.{self._rank}"
        partial.write_text(json.dumps([item._asdict() for item in batch]))
        partial.replace(path)

    # ---- every rank -------------------------------------------------------------------------------------------------

    def items(self, done: Callable[[int, list[Item]], list[Item]]) -> Iterator[Item]:
        """Files for this rank, until none is left for anybody or this one is asked to stop.

        Args:
            done: takes a dead rank and the items it had, and returns those that it has not done.
        """
        try:
            while not self._asked.is_set():
                if self._problem is not None:
                    raise self._problem
                if (name := self._claim("todo")) is not None:
                    yield from self._batch(name)
                elif (dead := self._orphans()) is not None:
                    other, name = dead
                    left = done(other, self._read(self._mine / name))
                    self._write(self._mine / name, left)
                    yield from self._batch(name)
                elif self._is_over():
                    return
                else:
                    self._asked.wait(POLL_S)
        except FileNotFoundError as problem:
            raise SapiensError(
                f"{self._folder}, by which the processes share out the work, was removed. Run the same again."
            ) from problem
        except OSError as problem:
            raise not_written(self._folder, problem, OTHERWISE) from problem

    def finished(self, item: Item) -> None:
        """Everything that is to be written of the item is."""
        with self._lock:
            batch = self._open[item.batch]
            del batch[item.file]
            if not batch:
                del self._open[item.batch]
                (self._mine / item.batch).unlink(missing_ok=True)

    def leave(self) -> None:
        """Hands back what is not finished, and gives no more signs of life. The last one clears up."""
        self._asked.set()
        if self._listing is not None:
            self._listing.join()
        self._left.set()
        self._heart.join()
        with contextlib.suppress(OSError):
            for name, left in self._open.items():
                self._write(self._folder / "todo" / f"{name}-{self._rank}", list(left.values()))
                (self._mine / name).unlink()
            (self._folder / "alive" / str(self._rank)).unlink()
            if not os.listdir(self._folder / "alive"):
                shutil.rmtree(self._folder, ignore_errors=True)

    def _claim(self, place: str) -> str | None:
        """The name of a batch of `place` that is this rank's now."""
        for name in sorted(os.listdir(self._folder / place)):
            try:
                (self._folder / place / name).rename(self._mine / name)
            except FileNotFoundError:  # another was faster
                continue
            return name
        return None

    def _batch(self, name: str) -> Iterator[Item]:
        items = self._read(self._mine / name)
        with self._lock:
            self._open[name] = {item.file: item for item in items}
        if not items:
            del self._open[name]
            (self._mine / name).unlink(missing_ok=True)
        for item in items:
            yield item._replace(batch=name)

    def _read(self, path: Path) -> list[Item]:
        return [Item(**fields) for fields in json.loads(path.read_text())]

    def _orphans(self) -> tuple[int, str] | None:
        """A dead rank and the name of a batch that it had, which is this rank's now."""
        for other in range(self._count):
            if other != self._rank and not self._is_alive(other):
                name = self._claim(f"taken/{other}")
                if name is not None:
                    return other, name
        return None

    def _is_over(self) -> bool:
        """Nothing is left to do, nor will be, nor can a rank that is at work leave something."""
        if not (self._folder / "listed").exists():
            self.orphaned = self._rank != 0 and not self._is_alive(0)
            return self.orphaned
        todo = self._folder / "todo"
        others = (self._folder / "taken" / str(other) for other in range(self._count) if other != self._rank)
        # Once more in the end: who took leave meanwhile has brought back what it had.
        return not os.listdir(todo) and not any(os.listdir(folder) for folder in others) and not os.listdir(todo)

    # ---- signs of life ----------------------------------------------------------------------------------------------

    def _keep_beating(self) -> None:
        while not self._left.wait(BEAT_S):
            with contextlib.suppress(OSError):
                self._beat()

    def _beat(self) -> None:
        path = self._folder / "alive" / str(self._rank)
        partial = self._folder / f".alive.{self._rank}"
        partial.write_text(str(time.time_ns()))
        partial.replace(path)

    def _is_alive(self, rank: int) -> bool:
        """Whether a rank's sign of life has changed in the last seconds, of this machine's clock."""
        last, when = self._seen.get(rank, (None, 0.0))
        try:
            sign = (self._folder / "alive" / str(rank)).read_text()
        except FileNotFoundError:
            if last:  # it took leave
                return False
            sign = ""
        if sign != last:
            self._seen[rank] = (sign, when := time.monotonic())
        return time.monotonic() - when < self._dead_s


def undone(
    rows: Iterator[tuple[int, dict[str, Any]]], items: list[Item], works: Sequence[Work], out: Path
) -> list[Item]:
    """Of `items` what the rows of a manifest do not hold of these `works`, and of the files as they are."""
    wanted = {item.file: [work.for_file(out / item.file) for work in works] for item in items}
    held = {
        (row["file"], row["task"])
        for _, row in rows
        if "outputs" in row
        and Work.of(row) in wanted.get(row["file"], ())
        and not manifest.is_stale(row, out / row["file"])
    }
    left = [item._replace(tasks=[task for task in item.tasks if (item.file, task) not in held]) for item in items]
    return [item for item in left if item.tasks]
