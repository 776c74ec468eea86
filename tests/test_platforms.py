"""Computers that MLX does not run on: a sentence before anything is computed, for the command line and for programs."""

import subprocess
import sys

import pytest

import sapiens_mlx as sm
from sapiens_mlx import platforms
from sapiens_mlx.errors import SapiensError

ARM, INTEL = "arm64", "x86_64"
# A Mac without mlx: pip leaves it out where there is none. The command line stands for all that a user may start.
ON_A_MAC = """
import sys
from sapiens_mlx.__main__ import main
from sapiens_mlx import platforms
sys.modules["mlx"] = None
sys.platform = "darwin"
platforms.platform.machine = lambda: "x86_64"
sys.exit(main({arguments!r}))
"""


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch):
    """Makes this a Mac: its processor as Python says it, its kernel's version, and what sysctl says of Rosetta."""

    def become(machine: str, release: str, translated: str | None = None) -> None:
        monkeypatch.setattr(platforms.sys, "platform", "darwin")
        monkeypatch.setattr(platforms.platform, "machine", lambda: machine)
        monkeypatch.setattr(platforms.platform, "release", lambda: release)

        def sysctl(*_, **__) -> subprocess.CompletedProcess:
            if translated is None:
                raise FileNotFoundError("sysctl")
            return subprocess.CompletedProcess([], 0, stdout=translated)

        monkeypatch.setattr(platforms.subprocess, "run", sysctl)

    return become


@pytest.mark.parametrize(
    ("computer", "sentence"),
    [
        ((INTEL, "22.6.0", ""), platforms.INTEL),
        ((INTEL, "24.1.0", "0\n"), platforms.INTEL),
        ((INTEL, "24.1.0", None), platforms.INTEL),
        ((INTEL, "24.1.0", "1\n"), platforms.ROSETTA),
        ((ARM, "22.6.0"), platforms.OLD_MACOS),
        ((ARM, "21.0.0"), platforms.OLD_MACOS),
    ],
)
def test_a_mac_that_mlx_does_not_run_on_is_told_what_to_do(mac, computer, sentence):
    mac(*computer)
    for start in (platforms.check, lambda: sm.load("seg")):
        with pytest.raises(SapiensError) as told:
            start()
        assert str(told.value) == sentence


@pytest.mark.parametrize("release", ["23.0.0", "24.6.0", "25.1.0"])
def test_a_mac_that_mlx_runs_on_goes_on(mac, release):
    mac(ARM, release)
    platforms.check()


@pytest.mark.parametrize("arguments", [[], ["serve"], ["predict", "a.jpg"], ["models"], ["bench"]])
def test_the_command_line_says_it_in_a_line_before_mlx_is_missed(arguments):
    program = ON_A_MAC.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {platforms.INTEL}\n")
