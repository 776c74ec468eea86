"""Many programs at once on the real page: python -m benchmarks.load [--minutes 10] [--programs 20] [--json FILE]

Each program is a gradio_client of its own with a photo of its own, and knows what must come of it: the files that the
Predictor leaves in this process, byte for byte, computed before the page starts. Three parts, the page the same:

- "steady": each asks for body parts, one call after another, for `--minutes`, and until there are `--least-runs`;
- "changing", a quarter of that: each call is for another task or level than the one before it in the queue, so that a
  network is loaded for each;
- "crowd", a tenth: each has three calls waiting at once, which are more than the queue takes.

A call that the full queue refuses is counted as told, with the sentence, and made again. One that gets no answer is
lost, one whose answer is not what it must be is wrong. Memory is the page's resident set, read after each answer;
"after n runs" is the median of the ten readings before the n-th answer. The first 50 runs are the warm-up: imports,
weights, the arena of the C library, the sessions of all programs. Prints JSON, then a table; ends with 1 where
something was lost, wrong or out of order, or memory grew by more than 5 % from 50 runs to 500.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, repeat
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import sapiens_mlx as sm  # isort: skip  (loads BLAS before mlx.core)

from gradio_client import Client, handle_file
from gradio_client.utils import QueueError, Status
from PIL import Image, ImageEnhance

from sapiens_mlx import predict_files, runtime
from sapiens_mlx.shipped import examples_folder

Model = tuple[str, str]  # task and level, of size demo
Files = list[tuple[str, str]]  # (end of the name after the photo's stem, SHA-256 of what must be so), in order

STEADY: Model = ("seg", "fp32")
TASKS = ("seg", "pose", "normal", "pointmap", "albedo", "matting", "features", "detect")
CHANGING: list[Model] = [(task, level) for level in ("fp32", "8bit", "4bit") for task in TASKS]
CHANGING = [model for model in CHANGING if model not in (("detect", "8bit"), ("detect", "4bit"))]  # there are none
MODELS_EACH = 3  # of CHANGING that a program asks for in turn; what is expected of each has to be computed before
AT_ONCE = 3  # calls of a program in a crowd
WARM_UP, FULL_RUNS, MOST_GROWTH = 50, 500, 0.05
MOST_PROBLEMS = 20  # after which a part is given up
WAIT_S = 300  # for one answer: whoever is last waits for all others
HTTP = {"timeout": 120.0}  # gradio_client's own 5 s for an upload are little on a busy machine


# ---- what must come -------------------------------------------------------------------------------------------------


def write_photo(path: Path, number: int) -> Path:
    """The photo of one program: a drawn person in a size, a place and colours that no other's has."""
    width, height = 200 + 12 * number, 320 - 7 * number
    with Image.open(examples_folder() / "one_person.jpg") as image:
        person = ImageEnhance.Color(image.convert("RGB").resize((150, 200))).enhance(0.5 + number / 20)
    photo = Image.new("RGB", (width, max(height, 200)), (40 + 9 * number, 200 - 7 * number, 120))
    photo.paste(person, ((width - 150) * (number % 3) // 2, 0))
    photo.save(path)
    return path


def files_of(paths: Sequence[str | Path], stem: str) -> Files:
    """What names (without the photo's) and contents the files have; one whose name is another photo's keeps it."""
    return [(Path(path).name.removeprefix(f"{stem}_"), _digest(Path(path))) for path in paths]


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(json.loads(content) | {"report": None}).encode()  # of how long it took
    return hashlib.sha256(content).hexdigest()


def expected(photo: Path, model: Model) -> Files:
    """What the Predictor leaves of a photo in this process."""
    task, level = model
    with tempfile.TemporaryDirectory() as folder:
        report = predict_files.save(sm.load(task, "demo", level)(photo), folder, photo.stem, photo.name)
        return files_of(report["files"], photo.stem)


# ---- what has come --------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Of one part of the load."""

    pid: int
    answered: Counter[int] = field(default_factory=Counter)  # by program
    told: Counter[str] = field(default_factory=Counter)  # sentences of the full queue
    problems: list[str] = field(default_factory=list)  # what was wrong, lost or out of order
    resident_bytes: list[int] = field(default_factory=list)  # of the page, after each answer
    seconds: list[float] = field(default_factory=list)  # from a call to its answer
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def runs(self) -> int:
        return len(self.resident_bytes)

    def add(self, program: int, seconds: float) -> None:
        with self._lock:
            self.answered[program] += 1
            self.seconds.append(seconds)
            self.resident_bytes.append(memory_bytes(self.pid, "VmRSS"))

    def tell(self, sentence: str) -> None:
        with self._lock:
            self.told[sentence] += 1

    def complain(self, problem: str) -> None:
        with self._lock:
            self.problems.append(problem)

    def resident_after(self, runs: int) -> int | None:
        return int(statistics.median(self.resident_bytes[runs - 10 : runs])) if self.runs >= runs else None

    def growth(self) -> float | None:
        """From the end of the warm-up to 500 runs, or to the last ten where there were fewer; None for too few."""
        if self.runs < 2 * WARM_UP:
            return None
        first, last = self.resident_after(WARM_UP), self.resident_after(min(self.runs, FULL_RUNS))
        return round(last / first - 1, 4)

    def report(self) -> dict[str, Any]:
        marks = [*range(WARM_UP, self.runs + 1, WARM_UP)]
        return {
            "runs": self.runs,
            "runs_of_a_program": [min(self.answered.values(), default=0), max(self.answered.values(), default=0)],
            "told": dict(self.told),
            "problems": self.problems,
            "median_seconds": round(statistics.median(self.seconds), 2) if self.seconds else None,
            "longest_seconds": round(max(self.seconds), 2) if self.seconds else None,
            "resident_mb_after": {runs: round(self.resident_after(runs) / 1e6, 1) for runs in marks},
            "growth": self.growth(),
        }


def memory_bytes(pid: int, what: str) -> int:
    """VmRSS, what a process occupies, or VmHWM, the most it ever did."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


# ---- one program ----------------------------------------------------------------------------------------------------


class Program:
    """A gradio_client with its photo, and what must come of it by model."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.answers: dict[Model, Files] = {}
        self._folder = folder / f"program-{number:02}"
        self._folder.mkdir()
        self.photo = write_photo(self._folder / "photo.png", number)
        self._calls = 0

    def connect(self, url: str) -> None:
        received = self._folder / "received"
        self._url = url
        self._client = Client(
            url, verbose=False, download_files=str(received), analytics_enabled=False, httpx_kwargs=dict(HTTP)
        )

    def close(self) -> None:
        self._client.close()

    def call(self, models: Sequence[Model], tally: Tally) -> None:
        """Calls that wait at the same time, each sent when the one before it is in the queue: they must come back in
        this order."""
        ended: SimpleQueue[str] = SimpleQueue()
        waiting = [self._accepted(model, tally, ended) for model in models]
        for stem, model, job, start in waiting:
            try:
                paths, report, _ = job.result(WAIT_S)
            except Exception as problem:  # whatever it is, the answer is lost
                tally.complain(f"{stem}: no answer: {problem!r}")
                continue
            tally.add(self.number, time.monotonic() - start)
            if files_of(paths, stem) != self.answers[model]:
                tally.complain(f"{stem}: {model} gave {[Path(path).name for path in paths]}, not what it must")
            if (report["task"], report["level"], report["input"]) != (*model, f"{stem}.png"):
                tally.complain(f"{stem}: {model} has the report of {report['input']}, {report['task']}")
        order = [ended.get(timeout=WAIT_S) for _ in waiting]
        if order != [stem for stem, *_ in waiting]:
            tally.complain(f"calls ended in the order {order}")
        shutil.rmtree(self._folder / "received", ignore_errors=True)

    def _accepted(self, model: Model, tally: Tally, ended: SimpleQueue[str]) -> tuple[str, Model, Any, float]:
        """A call that the queue has taken; made again as long as it is full. Its number is in the photo's name."""
        self._calls += 1
        photo = self._folder / f"p{self.number:02}-{self._calls:05}.png"
        photo.hardlink_to(self.photo)
        task, level = model
        while True:
            start = time.monotonic()
            job = self._client.submit(
                photo=handle_file(photo), tasks=task, size="demo", level=level, api_name="/predict"
            )
            while not job.done() and job.status().code in (Status.STARTING, Status.JOINING_QUEUE):
                time.sleep(0.02)
            if not (job.done() and isinstance(job.exception(), QueueError)):
                job.add_done_callback(lambda done: ended.put(photo.stem))
                photo.unlink()
                return photo.stem, model, job, start
            tally.tell(self._sentence())
            time.sleep(0.5)

    def _sentence(self) -> str:
        """What the page says to one more: gradio_client has words of its own for a full queue."""
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{self._url}gradio_api/call/models", b'{"data": []}', headers)
        try:
            urllib.request.urlopen(asked, timeout=60).read()
        except urllib.error.HTTPError as refusal:
            return json.loads(refusal.read())["detail"]
        return "(there was room again)"


# What a program asks for: groups of calls that wait at the same time.
Part = Callable[[Program], Iterator[Sequence[Model]]]


# ---- all of them ----------------------------------------------------------------------------------------------------


def prepared(programs: int, folder: Path) -> list[Program]:
    """The programs, and what each must be answered. Raises ValueError where two would not be told apart."""
    made = []
    for number in range(programs):
        program = Program(number, folder)
        program.answers = {model: expected(program.photo, model) for model in (STEADY, *turns_of(number))}
        made.append(program)
    if len({program.answers[STEADY][-1] for program in made}) < programs:
        raise ValueError("Two programs expect the same arrays: an answer to the other would be taken for right.")
    return made


def turns_of(number: int) -> list[Model]:
    """What a program asks for in turn; programs with neighbouring numbers, who wait behind each other, differ."""
    return [CHANGING[(number + 7 * turn) % len(CHANGING)] for turn in range(MODELS_EACH)]


def steady(program: Program) -> Iterator[Sequence[Model]]:
    return repeat([STEADY])


def changing(program: Program) -> Iterator[Sequence[Model]]:
    return cycle([model] for model in turns_of(program.number))


def crowd(program: Program) -> Iterator[Sequence[Model]]:
    return repeat([STEADY] * AT_ONCE)


def loaded(programs: Sequence[Program], part: Part, tally: Tally, seconds: float = 0, least_runs: int = 0) -> Tally:
    """All programs at once, for so many seconds and until there are so many runs; each then ends the call it is at."""
    end = time.monotonic() + seconds

    def work(program: Program) -> None:
        for models in part(program):
            if (time.monotonic() >= end and tally.runs >= least_runs) or len(tally.problems) > MOST_PROBLEMS:
                return
            try:
                program.call(models, tally)
            except Exception as problem:
                tally.complain(f"program {program.number} broke down: {problem!r}")
                return

    threads = [threading.Thread(target=work, args=(program,)) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def measure(url: str, pid: int, programs: Sequence[Program], seconds: float, least_runs: int) -> dict[str, Any]:
    """All parts, one after another, on a page that is there."""
    for program in programs:
        program.connect(url)
    try:
        parts = {}
        for part, share in ((steady, 1), (changing, 0.25), (crowd, 0.1)):
            tally = loaded(programs, part, Tally(pid), share * seconds, int(share * least_runs))
            parts[part.__name__] = tally.report()
            print(f"{part.__name__}: {parts[part.__name__]}", file=sys.stderr, flush=True)
    finally:
        for program in programs:
            program.close()
    return {
        "programs": len(programs),
        "parts": parts,
        "peak_resident_bytes": memory_bytes(pid, "VmHWM"),
        "memory_limit_bytes": runtime.memory_limit_bytes(),
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "device": runtime.device_name(),
        "load_average": round(os.getloadavg()[0], 1),
    }


def holds(measured: dict[str, Any]) -> bool:
    parts = measured["parts"].values()
    flat = (measured["parts"]["steady"]["growth"] or 0) <= MOST_GROWTH
    within = measured["peak_resident_bytes"] <= measured["memory_limit_bytes"]
    return flat and within and not any(part["problems"] for part in parts)


def table(measured: dict[str, Any]) -> str:
    """For benchmarks/README.md."""
    lines = [
        "| part | runs | lost, wrong or out of order | told that the queue is full | median, longest wait "
        "| resident after 50 runs | after 500, or the last | growth |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, part in measured["parts"].items():
        marks = part["resident_mb_after"]
        last = marks.get(FULL_RUNS, list(marks.values())[-1] if marks else None)
        grown = "" if part["growth"] is None else f"{100 * part['growth']:+.1f} %"
        lines.append(
            f"| {name} | {part['runs']} | {len(part['problems'])} | {sum(part['told'].values())} "
            f"| {part['median_seconds']}, {part['longest_seconds']} s "
            f"| {marks.get(WARM_UP, '')} MB | {last or ''} MB | {grown} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of the steady part")
    parser.add_argument("--programs", type=int, default=20)
    parser.add_argument(
        "--least-runs", type=int, default=FULL_RUNS, help="of the steady part, however long it takes; default 500"
    )
    parser.add_argument("--json", type=Path, help="a file for what was measured")
    options = parser.parse_args()
    from tests.browser import serving

    with tempfile.TemporaryDirectory() as folder:
        programs = prepared(options.programs, Path(folder))
        page = Path(folder) / "page"
        page.mkdir()
        with serving(["app.py"], page, {"GRADIO_ANALYTICS_ENABLED": "False"}) as server:
            measured = measure(server.url, server.process.pid, programs, 60 * options.minutes, options.least_runs)
    text = json.dumps(measured)
    if options.json:
        options.json.write_text(text)
    print(text, table(measured), sep="\n")
    return 0 if holds(measured) else 1


if __name__ == "__main__":
    sys.exit(main())
