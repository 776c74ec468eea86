"""Ctrl-C, SIGTERM and SIGHUP during a job: the first asks for an end after the file in hand, another Ctrl-C ends it."""

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP: mlx.launch's ssh, or the terminal, has gone


class Stop:
    """Whether the job has been asked to end, and by which signal. A context in which the signals are heard."""

    def __init__(self, told: Callable[[], None]) -> None:
        """`told` is called at the first of them, in the main thread."""
        self._told = told
        self._before: dict[int, Any] = {}
        self.asked, self.signal = threading.Event(), 0

    def ask(self) -> None:
        self.asked.set()

    @property
    def exit_status(self) -> int:
        """As a shell names an end by a signal; 0 without one."""
        return 128 + self.signal if self.signal else 0

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self.signal:
            self.signal = number
            self.ask()
            with contextlib.suppress(OSError, RuntimeError):  # who would read it may be gone
                self._told()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
