"""Where a checkpoint's original weights are: a folder in the reference's layout, the Hugging Face cache, or the hub.

Those of the size "demo" ship with the project, and are found in its own folder.
"""

import os
from pathlib import Path

from .. import zoo
from ..errors import WeightsError, WeightsMissingError
from ..runtime import Progress, no_progress
from ..shipped import demo_folder, how_to_restore
from . import hub


def find(checkpoint: zoo.Checkpoint, weights: str | Path | None = None, *, progress: Progress = no_progress) -> Path:
    """The file of a checkpoint, downloaded into the Hugging Face cache when it is nowhere on this machine.

    Args:
        weights: a folder in the reference's layout, where the file is looked for first, or the file itself.
        progress: hears ("download", bytes so far, bytes in all). When it raises CancelledError, what has arrived is
            kept, and the next call carries on from there.

    Raises:
        WeightsError: `weights` names nothing that exists.
        WeightsMissingError: the file is nowhere and cannot be downloaded; says why, and where to put it by hand.
        CancelledError: from `progress`.
    """
    found = find_local(checkpoint, weights)
    if found is not None:
        return found
    if checkpoint.bundled:
        path = demo_folder() / checkpoint.filename
        raise WeightsMissingError(
            f"The demo weights for {zoo.task_row(checkpoint.task).title} ({checkpoint.task}) are missing: there is no "
            f"file {path}. {how_to_restore(path)}"
        )
    if not checkpoint.published:
        raise _missing(checkpoint, weights, "they are not published yet", "Put a file of your own at")
    try:
        return hub.download(checkpoint.repo, checkpoint.filename, progress)
    except hub.UnavailableError as problem:
        by_hand = (
            f"or download {checkpoint.filename} from https://huggingface.co/{checkpoint.repo} "
            f"({checkpoint.licence.name}) and put it at"
        )
        raise _missing(checkpoint, weights, problem.reason, f"{problem.remedy}, {by_hand}") from problem


def find_local(checkpoint: zoo.Checkpoint, weights: str | Path | None = None) -> Path | None:
    """As find, but without the network: None when the file is not on this machine."""
    if weights is not None:
        path = Path(weights).expanduser()
        if path.is_file():
            return path
        if not path.is_dir():
            raise WeightsError(
                f"There is no file or folder {path}. Give the path of a checkpoint or of a weights folder."
            )
    for folder in _folders(weights):
        path = folder / checkpoint.local_path
        if path.is_file():
            return path
    if checkpoint.bundled:
        path = demo_folder() / checkpoint.filename
        return path if path.is_file() else None
    return hub.cached(checkpoint.repo, checkpoint.filename) if checkpoint.published else None


def download_bytes(checkpoint: zoo.Checkpoint) -> int | None:
    """What there is to download: 0 for files that ship with the project, else the size of the file on the hub.

    None when it is not published, or the hub cannot be reached.
    """
    if checkpoint.bundled:
        return 0
    return hub.size_bytes(checkpoint.repo, checkpoint.filename) if checkpoint.published else None


def _folders(weights: str | Path | None) -> list[Path]:
    """The folders looked into, in order: the one given, then $SAPIENS_CHECKPOINT_ROOT or the reference's default."""
    standing = os.environ.get("SAPIENS_CHECKPOINT_ROOT") or "~/sapiens2_host"
    return [Path(folder).expanduser() for folder in (weights, standing) if folder is not None]


def _missing(checkpoint: zoo.Checkpoint, weights: str | Path | None, reason: str, remedy: str) -> WeightsMissingError:
    places = [str(folder / checkpoint.local_path) for folder in _folders(weights)]
    by_hand = places[0]
    if checkpoint.published:
        places.append(f"in the Hugging Face cache {hub.cache_folder()}")
    name = " ".join(part for part in (checkpoint.task, checkpoint.size) if part)
    title = zoo.task_row(checkpoint.task).title
    return WeightsMissingError(
        f"The weights for {title} ({name}) are not at {' or '.join(places)}, and {reason}. {remedy} {by_hand}."
    )
