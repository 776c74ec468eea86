"""Measurements in processes of their own, so that each has its own start, caches and peak memory."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def measured_apart(module: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What `python -m benchmarks.<module>` prints as JSON, in a new process.

    Raises:
        subprocess.CalledProcessError: it failed; it has said why on the error stream.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)
