"""Waiting for the hub: tries after tries, and a look now and then at whether to go on."""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

PAUSES_S = (0.5, 1.5)  # before the second and the third try
WATCH_S = 0.3  # between two looks at whether to go on, where nothing else happens


def wait_for(lock: Callable[[], Any], report: Callable[[], None]) -> None:
    """Waits while another process downloads the same file, showing how far that one is."""
    from filelock import Timeout

    while True:
        try:
            lock()
            return
        except Timeout:
            report()


def persisting(attempt: Callable[[], Any], kept_bytes: Callable[[], int], report: Callable[[], None]) -> Any:
    """The result of `attempt`, made up to three times, and for as long as each one keeps more bytes."""
    from huggingface_hub.errors import HTTPError

    pauses_s, before = iter(PAUSES_S), kept_bytes()
    while True:
        try:
            return attempt()
        except HTTPError as problem:
            status = _status(problem)
            if status is not None and status < 500:
                raise
            if kept_bytes() > before:
                pauses_s, before = iter(PAUSES_S), kept_bytes()
            pause_s = next(pauses_s, None)
            if pause_s is None:
                raise
            _pause(pause_s, report)


def _pause(seconds: float, report: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, WATCH_S))
        report()


def watched(call: Callable[[], Any], report: Callable[[], None]) -> Any:
    """The result of `call`, made in a thread of its own. `report` is called meanwhile; what it raises ends the wait."""
    answer: queue.SimpleQueue = queue.SimpleQueue()

    def work() -> None:
        try:
            answer.put((call(), None))
        except Exception as problem:  # for whoever waits
            answer.put((None, problem))

    threading.Thread(target=work, name="hub", daemon=True).start()
    while True:
        try:
            result, problem = answer.get(timeout=WATCH_S)
        except queue.Empty:
            report()
            continue
        if problem is not None:
            raise problem
        return result


def _status(problem: Exception) -> int | None:
    """The HTTP status of a refusal; None where the connection itself failed."""
    from huggingface_hub.errors import HfHubHTTPError

    return problem.response.status_code if isinstance(problem, HfHubHTTPError) else None
