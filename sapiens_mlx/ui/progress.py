"""How far a job is, in words and as a share of a bar; and a way to follow it that Stop can interrupt."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..runtime import Job

LEAST_SHARE = 0.2  # of the blocks, from which on those that are done tell of the others
POLL_S = 0.2  # Stop reaches a generator only where it yields

_WORDS = {
    "queued": "Waiting for its turn",
    "start": "Starting",
    "load": "Loading weights",
    "detect": "Looking for people",
    "hands": "Looking for hands",
    "decode": "Reading the result",
}


@dataclass(frozen=True)
class Step:
    """`words` for people; `share` of this stage that is done, 0..1, or None where that cannot be told. A `network` is
    at work: what is left of it can be told from what is done."""

    words: str
    share: float | None = None
    network: bool = False


def step(stage: str, done: float, total: float) -> Step:
    """A report of a Job's `newest` (see runtime.Progress) as a Step.

    >>> step("download", 4e8, 1.6e9).words
    'Downloading 0.4 of 1.6 GB'
    """
    share = done / total if total > 1 else None
    if stage == "download":
        return Step(_download(done, total), share)
    if stage == "load" and share:
        return Step(f"Loading weights, {share:.0%}", share)
    if stage == "network":
        return Step(_block(done, total) or "Working", share, network=True)
    if stage == "foreground":
        return Step(", ".join(filter(None, ("Cutting out people", _block(done, total).lower()))), share)
    if stage.startswith(("person ", "hand ")):
        return Step(", ".join(filter(None, (stage.capitalize(), _block(done, total).lower()))), share)
    return Step(_WORDS.get(stage, stage.capitalize()), None)


def _download(done: float, total: float) -> str:
    if not total:
        return "Downloading"
    unit, size = ("GB", 1e9) if total >= 1e9 else ("MB", 1e6)
    digits = 1 if unit == "GB" else 0
    from ..weights import locate  # brings the networks, which the page does without until its first run

    what = f": {locate.coming.repo}" if locate.coming else ""
    return f"Downloading {done / size:.{digits}f} of {total / size:.{digits}f} {unit}{what}"


def _block(done: float, total: float) -> str:
    return f"Block {done:.0f} of {total:.0f}" if total > 1 else ""


def seconds_left(now: Step, seconds: float, expected: Sequence[float | None]) -> float | None:
    """How much longer a run takes, about; None where nothing tells.

    Args:
        now: what the job under way is at.
        seconds: since that job began.
        expected: what earlier runs make of that job and of those after it, in seconds.
    """
    this, *others = expected
    after = [one for one in others if one is not None]
    if not now.network or len(after) < len(others):
        return None
    if this is None or this < seconds:
        this = seconds / now.share if now.share and now.share >= LEAST_SHARE else None
    return None if this is None else this - seconds + sum(after)


def follow(job: Job) -> Iterator[tuple[Step, float]]:
    """(step, seconds since the start) again and again until the job is done. Closing it, as Stop does, cancels the job.

    The job's own problem, if it had one, is left for job.result() to raise.
    """
    start = time.monotonic()
    try:
        while not job.done:
            yield step(*job.newest), time.monotonic() - start
            time.sleep(POLL_S)
    finally:
        job.cancel()  # nothing, where it is done
