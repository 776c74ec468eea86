"""What is to be done: the files that INPUTs stand for, less what the manifests say is done, each with its name."""

import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..predict_files import PEOPLE, TOGETHER
from .index import Index, Work
from .inputs import Found
from .kinds import is_video


class Item(NamedTuple):
    """A file and the tasks that are to be done of it.

    `file` is its path from the output folder, `stem` where results go there. `held` are rows of tasks that were done of
    a file of this name and length that was touched since: the same digest means that they are done. `batch` is for
    claims.py.
    """

    file: str
    stem: str
    tasks: list[str]
    problem: str = ""
    held: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    batch: str = ""


class Plan:
    """The items of a job, and how many files it has passed over since they were done."""

    def __init__(self, found: Iterator[Found], out: Path, works: Sequence[Work], index: Index) -> None:
        self._found, self._out, self._works, self._index = found, str(out), works, index
        self.skipped = 0

    def items(self, rank: int = 0, count: int = 1) -> Iterator[Item]:
        """What is to be done; of several ranks without a shared folder, what falls to this one. Which that is depends
        on a file's name and place among the inputs alone."""
        for found in self._found:
            file = os.path.relpath(found.path, self._out)
            if self._index.seen(file):
                continue
            stem = self._index.stem(file, self._clear_of_inputs(found))
            if zlib.crc32(os.fsencode(found.stem + os.path.splitext(found.path)[1])) % count != rank:
                continue
            item = Item(file, stem, [], found.problem) if found.problem else self._looked_up(found.path, file, stem)
            if item is None:
                self.skipped += 1
            else:
                yield item._replace(tasks=item.tasks or [work.task for work in self._works])

    def _looked_up(self, path: str, file: str, stem: str) -> Item | None:
        """None where everything is done."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return Item(file, stem, [])  # which will be told when it is read
        tasks, held, done = [], {}, {}
        for work in self._works:
            row = self._index.find(file, work.for_file(path))
            if row is None or "error" in row or row.get("bytes") != status.st_size or not whole(self._out, row):
                tasks.append(work.task)
            elif row.get("mtime_ns") != status.st_mtime_ns:
                tasks.append(work.task)
                held[work.task] = row
            else:
                done[work.task] = row
        if set(TOGETHER) <= {work.task for work in self._works} and not (
            _are_together(held) or _are_together(done) or is_video(path)
        ):
            tasks = [work.task for work in self._works if work.task in {*tasks, *TOGETHER}]
            held = {task: row for task, row in held.items() if task not in TOGETHER}
        return Item(file, stem, tasks, held=held) if tasks else None

    def _clear_of_inputs(self, found: Found) -> str:
        """The stem that is wanted, unless it leads from an output folder beside or above an input folder into it."""
        root, folder = f"{found.root}/", os.path.dirname(os.path.join(self._out, found.stem))
        into = found.root and f"{folder}/".startswith(root) and not f"{self._out}/".startswith(root)
        return os.path.join("results", found.stem) if into else found.stem


def _are_together(rows: dict[str, dict[str, Any]]) -> bool:
    """Whether the tasks that say something together are among these rows, by task, and have said it of one photo."""
    found = [rows[task] for task in TOGETHER if task in rows]
    outputs = [output for row in found for output in row["outputs"]]
    return (
        len(found) == len(TOGETHER)
        and len({row.get("digest") for row in found}) == 1
        and any(output.endswith(PEOPLE) for output in outputs)
    )


def whole(out: str, row: dict[str, Any]) -> bool:
    """Whether the files that a row names are there, and none is empty: a power cut can leave that of a new file."""
    try:
        return all(os.stat(os.path.join(out, output)).st_size for output in row["outputs"])
    except OSError:
        return False
