"""The command line in a process of its own, with the size "tiny" of conftest.py in its tables."""

import sapiens_mlx  # noqa: F401  isort: skip

import signal

from sapiens_mlx.__main__ import run
from tests.page_process import add_tiny

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP):  # which tests that run in the background, or by nohup, ignore
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    add_tiny()
    run()
