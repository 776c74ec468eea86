"""Runs every target in turns until all together have been executed so often: `python -m fuzz.run --executions 1000000`.

What was reached stands in the folder (state.json, a corpus a target), so that a run that was interrupted goes on.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
FOUND = HERE.parent / "tests/data/found"
TARGETS = tuple(sorted(path.stem for path in (HERE / "targets").glob("[!_]*.py")))
LIMITS = ("-timeout=2", "-rss_limit_mb=1024", "-max_len=20000", "-print_final_stats=1")
KEPT, KEPT_BYTES = 30, 1000  # about so many of a target beside the sources, and of how many bytes each
HANGS_S = 120  # an input alone, with all imports, on a busy machine
_EXECUTED = re.compile(r"(?:stat::number_of_executed_units:\s+|^#)(\d+)", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000, help="wanted in all (1000000)")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS, help="those to run (all)")
    parser.add_argument("--seconds", type=int, default=60, help="of one target before the next has its turn (60)")
    parser.add_argument("--jobs", type=int, choices=(1, 2), default=1, help="processes at once (1)")
    parser.add_argument("--folder", type=Path, default=HERE.parent / "results/fuzz", help="what is kept between runs")
    parser.add_argument("--keep", action="store_true", help="run nothing: a small corpus out of it becomes fuzz/corpus")
    options = parser.parse_args()
    options.folder = options.folder.resolve()
    if options.keep:
        for name in options.targets:
            _keep_corpus(options.folder, name)
        return
    executed = _executed(options.folder)
    with ThreadPoolExecutor(options.jobs) as pool:
        while sum(executed.values()) < options.executions:  # a round, in which each has its turn
            turns = pool.map(lambda name: _turn(options.folder, name, options.seconds), options.targets)
            for name, count in zip(options.targets, turns, strict=True):
                if count is None:
                    sys.exit(
                        f"{name} did not start: see {options.folder / f'{name}.log'}. What it needs comes with "
                        "pip install -r requirements-fuzz.txt"
                    )
                executed[name] = executed.get(name, 0) + count
                print(f"{name}: {count:,} more, {executed[name]:,}; in all {sum(executed.values()):,}", flush=True)
                partial = options.folder / "state.json.partial"
                partial.write_text(json.dumps(executed, indent=1))
                partial.replace(options.folder / "state.json")


def _executed(folder: Path) -> dict[str, int]:
    """How often each target was run so far."""
    try:
        return json.loads((folder / "state.json").read_text())
    except FileNotFoundError:
        return {}


def _turn(folder: Path, name: str, seconds: int) -> int | None:
    """Fuzzes a target for so long, or until it finds something. Returns how often it was executed; None where it could
    not start."""
    corpus, finds = folder / "corpus" / name, folder / "finds" / name
    for made in (corpus, finds):
        made.mkdir(parents=True, exist_ok=True)
    words = folder / f"{name}.dict"
    if not any(corpus.iterdir()) or not words.exists():
        subprocess.run([sys.executable, "-m", "fuzz.seeds", name, corpus, words], cwd=HERE.parent, check=True)
    committed = [HERE / "corpus" / name] if (HERE / "corpus" / name).is_dir() else []
    arguments = [
        corpus,
        *committed,
        *LIMITS,
        f"-max_total_time={seconds}",
        f"-dict={words}",
        f"-artifact_prefix={finds}/",
    ]
    log = folder / f"{name}.log"
    with log.open("wb") as file:
        command = [sys.executable, "-m", "fuzz.one", name, *arguments]
        status = subprocess.run(command, cwd=HERE.parent, stdout=file, stderr=file).returncode
    found = sorted(finds.glob("*"))
    for find in found:
        _judge(folder, name, find)
    count = max((int(count) for count in _EXECUTED.findall(log.read_text(errors="replace"))), default=0)
    return None if status and not count and not found else count


def _judge(folder: Path, name: str, find: Path) -> None:
    """Copies what is a find alone, too, to where a test reads it. What only took its time on a busy machine is kept in
    the folder."""
    digest = hashlib.sha256(find.read_bytes()).hexdigest()[:12]
    command = [sys.executable, "-m", "fuzz.one", name, "--again", find]
    try:
        alone = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, timeout=HANGS_S)
        reason = alone.stderr.strip().rpartition("\n")[2] if alone.returncode else None
    except subprocess.TimeoutExpired:
        reason = "it does not end"
    kept = folder / "slow" if reason is None else FOUND
    kept.mkdir(parents=True, exist_ok=True)
    shutil.move(find, kept / f"{name}-{digest}")
    print(f"{name}: {reason or 'slow here, and not alone'}: {kept / f'{name}-{digest}'}", flush=True)


def _keep_corpus(folder: Path, name: str) -> None:
    """A few inputs of all sizes, of those that each reached something new; the seeds are not kept twice."""
    kept = HERE / "corpus" / name
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    paths = [path for path in (folder / "corpus" / name).iterdir() if not path.name.startswith("seed-")]
    paths = sorted((path for path in paths if path.stat().st_size <= KEPT_BYTES), key=lambda one: one.stat().st_size)
    for path in paths[:: max(1, len(paths) // KEPT)]:
        shutil.copyfile(path, kept / path.name)


if __name__ == "__main__":
    main()
