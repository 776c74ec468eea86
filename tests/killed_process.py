"""The command line, the page or a few lines of Python, killed hard at a chosen moment:
`python -m tests.killed_process EVENT PATTERN (page | call CODE | ARGUMENTS...)`.

EVENT is what Python tells its audit hooks, such as os.rename, and PATTERN is searched for in what that is about: the
new name of a file, or a program that is started. A file that was about to get its name is cut in half first, as if the
process had died while it wrote. The size "tiny" of conftest.py is in the tables.
"""

import sapiens_mlx  # noqa: F401  isort: skip

import os
import re
import signal
import sys
import time
from pathlib import Path

from tests.page_process import add_tiny

ABOUT = {"os.rename": 1, "os.symlink": 1, "subprocess.Popen": 0}  # which of the event's arguments


def kill_at(event: str, pattern: str) -> None:
    def heard(name: str, arguments: tuple) -> None:
        if name != event or not re.search(pattern, str(arguments[ABOUT[event]])):
            return
        if event == "os.rename" and (file := Path(arguments[0])).is_file():
            os.truncate(file, file.stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)  # it does not come to that

    sys.addaudithook(heard)


if __name__ == "__main__":
    event, pattern, what, *rest = sys.argv[1:]
    add_tiny()
    if event != "never":
        kill_at(event, pattern)
    if what == "page":
        from sapiens_mlx.ui.page import serve

        serve()
    elif what == "call":
        exec(rest[0])
    else:
        from sapiens_mlx.__main__ import run

        sys.argv = ["sapiens_mlx", what, *rest]
        run()
