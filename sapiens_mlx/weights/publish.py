"""A conversion as a folder that can be published as it is, with its card and licence; and sending it to the hub."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .. import zoo
from ..errors import SapiensError, WeightsError
from ..files import partial_folder, replacing
from ..shipped import demo_folder
from . import conversion, hub_cache
from .conversion import Conversion, Source
from .model_card import download_command, model_card
from .original import Converted

# huggingface_hub takes 0.3 s to import, so it is imported where it is needed.

_SAPIENS2_LICENCE = Path(__file__).parent / "licences/SAPIENS2.md"  # verbatim, as it asks to be passed on
CARD = "README.md"
_REMEDY = "Free some space, or choose another folder"


def check_target(folder: Path) -> None:
    """Raises SapiensError when `folder` is something already: it is never written over."""
    if folder.is_dir():
        if not any(folder.iterdir()):
            return
        what = "is a folder that is not empty"
    elif folder.exists() or folder.is_symlink():
        what = "is a file"
    else:
        return
    raise SapiensError(f"{folder} {what}, and nothing is overwritten. Choose a folder that is not there yet.")


def write_folder(
    folder: Path,
    converted: Converted,
    checkpoint: zoo.Checkpoint,
    level: zoo.Level,
    source: Source,
    repo: str | None = None,
) -> Conversion:
    """Writes model.safetensors, config.json, README.md and the licence; whole or not at all.

    Args:
        repo: "owner/name" on the hub, for the card.

    Raises:
        SapiensError: `folder` is something already.
        WeightsError: it cannot be written; says why.
    """
    check_target(folder)
    licence = _licence_file(checkpoint)
    with (
        conversion.explaining(folder, converted.nbytes, _REMEDY),
        partial_folder(folder) as partial,
    ):
        written = conversion.write(partial, converted, checkpoint, level, source, keeps_time=False)
        (partial / _licence_name(checkpoint)).write_bytes(licence.read_bytes())
        (partial / CARD).write_text(_card(written, checkpoint, repo or folder.name), encoding="utf-8")
        partial.rename(folder)  # fails where something has come into its place meanwhile
    return written


def name_again(folder: Path, checkpoint: zoo.Checkpoint, repo: str) -> Conversion:
    """What such a folder says of itself. Its card is written anew where it tells how to download another repository;
    one that tells of `repo` stays, with what its owner has changed in it.

    Raises:
        WeightsError: the card cannot be written; says why.
    """
    found, path = conversion.read_whole(folder), folder / CARD
    with conversion.explaining(folder, 0, _REMEDY):
        said = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if download_command(repo) not in said:
            with replacing(path) as fresh:
                fresh.write_text(_card(found, checkpoint, repo), encoding="utf-8")
    return found


def _card(about: Conversion, checkpoint: zoo.Checkpoint, name: str) -> str:
    return model_card(about, checkpoint, name, _licence_name(checkpoint))


def _licence_name(checkpoint: zoo.Checkpoint) -> str:
    return _licence_file(checkpoint).name if checkpoint.bundled else "LICENSE.md"


def _licence_file(checkpoint: zoo.Checkpoint) -> Path:
    path = demo_folder() / "LICENSE" if checkpoint.bundled else _SAPIENS2_LICENCE
    if not path.is_file():
        raise WeightsError(f"The licence that goes along is missing: there is no {path}. Install the program again.")
    return path


def is_whole(folder: Path, checkpoint: zoo.Checkpoint, level: zoo.Level) -> bool:
    """Whether `folder` is such a conversion, undamaged to the last byte."""
    found = conversion.read(folder)
    if found is None or (found.task, found.size, found.level) != (checkpoint.task, checkpoint.size, level.name):
        return False
    model = folder / conversion.MODEL
    return model.is_file() and conversion.sha256(model) == found.model_sha256


# ---- the hub --------------------------------------------------------------------------------------------------------


def check_upload(repo: str) -> None:
    """Raises SapiensError when nothing can be sent there from here: no such name, offline, or nobody is logged in."""
    from huggingface_hub import constants, get_token

    if not hub_cache.is_repo(repo):
        raise SapiensError(f"{repo!r} is no name of a repository. Write --upload OWNER/NAME.")
    if constants.HF_HUB_OFFLINE:
        raise SapiensError("HF_HUB_OFFLINE keeps this program off the hub. Unset it, and give the command again.")
    if not get_token():
        raise SapiensError(
            "Nobody is logged in to the hub here. Log in with `hf auth login` and a token that may write, "
            "or set HF_TOKEN, and give the command again."
        )


def plan(folder: Path, repo: str) -> str:
    """What sending `folder` to `repo` will do, for people to agree to.

    Raises:
        SapiensError: the hub cannot be asked about the repository.
    """
    from huggingface_hub import HfApi, constants

    with _explaining(folder, repo):
        exists = HfApi(library_name=conversion.LIBRARY).repo_exists(repo)
    found = conversion.read_whole(folder)
    state = "which exists: files of the same names are replaced" if exists else "a new repository"
    files = sorted(path for path in folder.iterdir() if path.is_file())
    width = max(len(path.name) for path in files)
    return "\n".join(
        [
            f"To be sent to {constants.ENDPOINT}/{repo}, {state}:",
            *(f"  {path.name:{width}} {path.stat().st_size:>14,} bytes" for path in files),
            f"Licence: {found.licence}. Whoever gets the files is bound by it.",
        ]
    )


def upload(folder: Path, repo: str) -> str:
    """Sends the folder's files to the hub, into a repository that is made if need be; returns its address.

    Raises:
        SapiensError: it could not be sent; says why. What has arrived by then is not sent again by the next try.
    """
    from huggingface_hub import HfApi

    found = conversion.read_whole(folder)
    with _explaining(folder, repo):
        api = HfApi(library_name=conversion.LIBRARY)
        url = api.create_repo(repo, exist_ok=True)
        message = f"Sapiens2 {found.task} {found.size} at {found.level} for MLX"
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message)
    return str(url)


@contextlib.contextmanager
def _explaining(folder: Path, repo: str) -> Iterator[None]:
    """Turns what goes wrong between here and the hub into a SapiensError."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    try:
        yield
    except HfHubHTTPError as problem:
        status = problem.response.status_code
        if status in (401, 403):
            cause = f"the hub does not let this login write to {repo} (HTTP {status})"
            remedy = "Log in with `hf auth login` and a token that may write there"
        else:
            cause, remedy = f"the hub answered {repo} with HTTP {status}", "Try again later"
        raise _not_sent(folder, cause, remedy) from problem
    except HTTPError as problem:
        cause = f"the connection to {constants.ENDPOINT} failed ({str(problem) or type(problem).__name__})"
        raise _not_sent(folder, cause, "Check it and try again") from problem
    except (OSError, RuntimeError, ValueError) as problem:  # the transfer's own, or a card that the hub refuses
        cause = str(problem).partition("\n")[0] or type(problem).__name__
        raise _not_sent(folder, cause, "Try again") from problem


def _not_sent(folder: Path, cause: str, remedy: str) -> SapiensError:
    return SapiensError(f"{folder} was not sent: {cause}. {remedy}: the same command sends the folder as it is.")
