"""What goes wrong between here and the Hugging Face hub, said so that a user knows what to do."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..files import DISK_FULL

SPACE_REMEDY = "Free some space, or set HF_HOME to a folder on another disk"


class UnavailableError(Exception):
    """Why a file cannot be had from the hub, as a clause, and what the user can do, as the start of a sentence."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. {remedy}.")
        self.reason, self.remedy = reason, remedy


class NoPartsError(UnavailableError):
    """The server gives only whole files."""


@contextlib.contextmanager
def explaining(repo: str, filename: str, folder: Path) -> Iterator[None]:
    """Turns what goes wrong between here and the hub into an UnavailableError. No `filename`: of the repository.
    `folder` is the one that is written to."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as problem:
        raise UnavailableError("downloads are switched off by HF_HUB_OFFLINE", "Unset it") from problem
    except HfHubHTTPError as problem:
        raise _refusal(repo, filename, problem.response) from problem
    except HTTPError as problem:
        cause = str(problem) or type(problem).__name__
        raise UnavailableError(
            f"the connection to {constants.ENDPOINT} failed ({cause})",
            "Check it and try again (which carries on where it broke off)",
        ) from problem
    except OSError as problem:
        cause = problem.strerror or str(problem)
        if problem.errno in DISK_FULL:
            raise UnavailableError(f"the disk of {folder} is full", SPACE_REMEDY) from problem
        raise UnavailableError(
            f"{folder} cannot be written to ({cause})", "Make it writable, or set HF_HOME to a folder that is"
        ) from problem


def _refusal(repo: str, filename: str, response: Any) -> UnavailableError:
    # To those who are not logged in the hub answers 401 also for what does not exist.
    is_unknown = response.status_code == 404 or response.headers.get("X-Error-Code") == "RepoNotFound"
    if not filename and is_unknown:
        return UnavailableError(
            f"the hub has no repository {repo}, or does not show it to this user (HTTP {response.status_code})",
            "Correct its name, or log in with `hf auth login`",
        )
    match response.status_code:
        case 401 | 403 as status:
            return UnavailableError(
                f"the hub gives {repo} only to users who have accepted its licence (HTTP {status})",
                f"Accept the licence at https://huggingface.co/{repo} and log in with `hf auth login`",
            )
        case 404:
            return UnavailableError(
                f"the hub has no {filename} in {repo} (HTTP 404)", "Update this program, for the file may have moved"
            )
        case 429:
            wait_s = response.headers.get("Retry-After", "")
            wait = f"in {wait_s} seconds" if wait_s.isdigit() else "in a few minutes"
            return UnavailableError("the hub is asked too often from here (HTTP 429)", f"Try again {wait}")
        case status:
            return UnavailableError(f"the hub answered with an error of its own (HTTP {status})", "Try again later")


def no_hub() -> UnavailableError:
    """What answered is not the hub."""
    from huggingface_hub import constants

    return UnavailableError(
        f"{constants.ENDPOINT} answered with a web page or the like, as a Wi-Fi login or a proxy does",
        "Log in to the network in a browser and try again",
    )
