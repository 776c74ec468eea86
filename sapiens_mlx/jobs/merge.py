"""`predict --merge OUT`: one manifest of what all processes wrote, what is missing of the job, and the exit status."""

import os
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SapiensError
from ..files import expanded, writing
from . import manifest, plan
from .index import Index
from .job import Job

NAMED = 10  # of the missing and failed files, in what is printed


@dataclass
class Merged:
    """What came of a job. Counts are of files; the lists hold the first NAMED of each, by their path from `out`.

    `lost` counts files whose results were written and are not there now, `results` the lines of results, whatever job
    they are of. `problem` says why the inputs could not be looked through, "" where they were.
    """

    manifest: str
    files: int = 0
    done: int = 0
    failed: int = 0
    missing: int = 0
    lost: int = 0
    results: int = 0
    named: dict[str, list[str]] = field(default_factory=dict)
    problem: str = ""

    @property
    def exit_status(self) -> int:
        """0 when everything is done; 1 when some is not; 2 when nothing is."""
        if self.files and self.files == self.done and not self.problem:
            return 0
        return 1 if self.results else 2

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"exit_status": self.exit_status}

    def as_text(self) -> str:
        parts = [f"{self.done} of {self.files} files done"]
        parts += [f"{count} {name}" for name, count in self._counts().items() if count]
        lines = [f"{self.manifest}: {', '.join(parts)}"]
        for name, count in self._counts().items():
            shown_names = [f"  {name}: {shown(file)}" for file in self.named.get(name, [])]
            lines += shown_names + ([f"  ... and {count - NAMED} more"] if count > NAMED else [])
        if self.problem:
            lines.append(f"What is missing cannot be told: {self.problem}")
        elif self.exit_status:
            lines.append("Run the same command again to complete it.")
        return "\n".join(lines)

    def _counts(self) -> dict[str, int]:
        return {"failed": self.failed, "missing": self.missing, "lost": self.lost}

    def count(self, name: str, file: str) -> None:
        setattr(self, name, getattr(self, name) + 1)
        if name != "done" and len(names := self.named.setdefault(name, [])) < NAMED:
            names.append(file)


def merge(folder: str | Path) -> Merged:
    """Joins the manifests of an output folder to manifest.jsonl: of each file and task the newest line. No other goes.

    Raises:
        SapiensError: the folder holds no job or no manifest, one is being written, or the new one cannot be.
    """
    out = expanded(folder).resolve()
    job = Job.read(out)
    if not manifest.paths(out):
        raise SapiensError(f"{out} holds no manifest: nothing of the job was begun. Run it again.")
    if busy := manifest.being_written(out):
        raise SapiensError(f"{busy[0]} is still being written. Wait for that process to end, then merge.")
    with closing(Index(out)) as index:
        merged = Merged(str(out / manifest.name(None)))
        with writing(merged.manifest) as partial, partial.open("wb") as file:
            for row, line in index.newest():
                merged.results += "outputs" in row
                file.write(line.rstrip(b"\n") + b"\n")
        _count(merged, job, out, index)
    return merged


def _count(merged: Merged, job: Job, out: Path, index: Index) -> None:
    """Looks up every file that the job's inputs hold."""
    try:
        for found in job.found(out):
            file = os.path.relpath(found.path, out)
            if index.seen(file):
                continue
            merged.files += 1
            found_rows = (index.find(file, work.for_file(found.path)) for work in job.works)
            rows = [row for row in found_rows if row is not None]
            if len(rows) < len(job.works) or any(manifest.is_stale(row, found.path) for row in rows):
                merged.count("missing", file)
                if not os.path.lexists(found.path):
                    merged.problem = f"{shown(found.path)} is not here. Merge where the photos are."
            elif any("error" in row for row in rows):
                merged.count("failed", file)
            elif all(plan.whole(str(out), row) for row in rows):
                merged.count("done", file)
            else:
                merged.count("lost", file)
    except SapiensError as problem:
        merged.problem = str(problem)


def shown(file: str) -> str:
    """A name for one line of a terminal: line breaks and bytes that are no text are spelt out."""
    text = os.fsencode(file).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
