"""How many threads a BLAS product has: one number for the whole process, which several threads may want to change.

Who begins while another has it changed must neither take that for the number to go back to, nor bring back the other's
too early.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import threadpoolctl

_lock = threading.Lock()
_inside = 0
_before: Any = None  # what brings the number back


@contextmanager
def one_thread() -> Iterator[None]:
    """Products have one thread each, until the last who wanted that has left."""
    global _inside, _before
    with _lock:
        if not _inside:
            _let_any_thread()
            _before = _libraries().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _let_any_thread()
                _before.restore_original_limits()


@cache
def _libraries() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()  # looks through all that is loaded, which takes a while


def _let_any_thread() -> None:
    """From 3.8 on threadpoolctl listens only to the thread that came first; who is last here may be another."""
    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    if clear := getattr(openblas, "clear_controlling_thread", None):
        clear(force=True)
