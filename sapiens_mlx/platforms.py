"""Whether MLX runs on this computer. Where it does not, a sentence says why before mlx is imported, and missed."""

import platform
import subprocess
import sys

from .errors import SapiensError

OLDEST_DARWIN = 23  # the kernel of macOS 14, the oldest that MLX is built for
INTEL = (
    "This Mac has an Intel processor. MLX, which computes here, needs Apple silicon (M1 or newer). "
    "Use such a Mac, or Linux."
)
ROSETTA = (
    "This Python is one for Intel Macs, run by Rosetta; MLX needs one for Apple silicon. Install Python again for "
    "Apple silicon (arm64), make a new virtual environment with it, and run pip install there once more."
)
OLD_MACOS = "MLX needs macOS 14 or newer. Update this Mac, then run pip install once more."


def check() -> None:
    """Raises SapiensError on a Mac with an Intel processor, in an Intel Python run by Rosetta, and before macOS 14."""
    if sys.platform != "darwin":
        return
    if platform.machine() != "arm64":
        raise SapiensError(ROSETTA if _is_translated() else INTEL)
    # Not by mac_ver(): macOS tells programs that were built long ago that it is a 10.16.
    if int(platform.release().split(".")[0]) < OLDEST_DARWIN:
        raise SapiensError(OLD_MACOS)


def _is_translated() -> bool:
    try:
        told = subprocess.run(["/usr/sbin/sysctl", "-n", "sysctl.proc_translated"], capture_output=True, text=True)
    except OSError:
        return False
    return told.stdout.strip() == "1"  # an Intel Mac has no such entry
