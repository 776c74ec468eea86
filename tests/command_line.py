"""The command line, called in the test's own process."""

import json

from sapiens_mlx.__main__ import main


def run(capsys, *arguments) -> tuple[int, str, str]:
    """The exit status, and what came on standard output and standard error."""
    status = main([str(argument) for argument in arguments])
    out, error = capsys.readouterr()
    return status, out, error


def converted(capsys, *arguments) -> dict:
    """What `convert --json` prints; it must succeed."""
    status, out, error = run(capsys, "convert", *arguments, "--json")
    assert status == 0, error
    return json.loads(out)
