"""The three files that hands need: WiLoR, its detector, MANO. One's own first, then the hub's, after its licences."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import zoo
from ..errors import SapiensError, WeightsError, WeightsMissingError
from ..files import expanded
from ..runtime import Progress, no_progress
from ..weights import consent, hub, hub_cache, locate, remote
from ..weights.torch_file import Opened
from . import check_installed, mano
from .mano import Mano
from .network import HandNetworks
from .network import load as load_networks

PLAIN_BYTES = 4 * zoo.WILOR.parameters
# As wilor-mlx's author states them.
PACKED_BYTES, DETECTOR_BYTES, MANO_BYTES = 490_000_000, 107_000_000, 5_000_000
CHECKPOINT_BYTES = 2_400_000_000  # of WiLoR-mini's, of which MANO is a part


@dataclass(frozen=True)
class Files:
    """Where each lies; None where it is not on this machine. `mano` is an .npz, a .pkl or WiLoR-mini's checkpoint."""

    pose: Path | None
    detector: Path | None
    mano: Path | None


def load(level: str, weights: str | Path | None = None, *, progress: Progress = no_progress) -> HandNetworks:
    """Both networks, downloaded where they are nowhere on this machine. Call it on the inference thread.

    Args:
        weights: a folder that has them by the hub's names, in itself or in its folder hands/; or WiLoR's file, beside
            which the others are looked for. Then come $SAPIENS_CHECKPOINT_ROOT, wilor-mlx's own cache of MANO, and the
            Hugging Face cache. A repository "owner/name" is for other tasks: hands come from their own.

    Raises:
        SapiensError: wilor-mlx is not installed.
        LicencesError: something would have to be downloaded, and the licences have not been accepted.
        WeightsError: a file cannot be had, is damaged or of another network.
    """
    row = zoo.level_of("hands", level)
    return load_networks(*fetch(level, weights, progress=progress), row, progress=progress)


def fetch(
    level: str,
    weights: str | Path | None = None,
    *,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda notice: None,
) -> tuple[Path, Path, Mano]:
    """The files of WiLoR and of its detector, and MANO, downloaded where they are not here. On any thread.

    Arguments as load takes them, and raises what it says; there is nothing to `tell`.
    """
    check_installed()
    found = local(level, weights)
    if None in (found.pose, found.detector, found.mano):
        consent.check()
    pose = found.pose or _downloaded(pose_checkpoint(level), progress)
    detector = found.detector or _downloaded(zoo.HAND_DETECTOR, progress)
    return pose, detector, _mano(found.mano, progress)


def pose_checkpoint(level: str) -> zoo.Checkpoint:
    """WiLoR's file for a level: its 4-bit form is a file of its own."""
    return zoo.WILOR_POSE_4BIT if level == "4bit" else zoo.WILOR_POSE


def local(level: str, weights: str | Path | None = None) -> Files:
    """What is on this machine. Raises WeightsError where `weights` names nothing that exists."""
    path = expanded(weights) if weights is not None and locate.repo_named(weights) is None else None
    if path is not None and not path.exists():
        raise WeightsError(f"There is no file or folder {path}. Give WiLoR's file, or a folder of weights for hands.")
    folder = path.parent if path is not None and path.is_file() else path
    pose = path if path is not None and path.is_file() else _local(pose_checkpoint(level), folder)
    return Files(pose, _local(zoo.HAND_DETECTOR, folder), _local_mano(folder))


def download_bytes(level: str, weights: str | Path | None = None) -> dict[str, int]:
    """About what there is to download, by the file; empty where all is here. Raises as local does."""
    found = local(level, weights)
    name = pose_checkpoint(level).filename
    missing = [
        (found.pose, name, PACKED_BYTES if level == "4bit" else PLAIN_BYTES),
        (found.detector, zoo.HAND_DETECTOR.filename, DETECTOR_BYTES),
        (found.mano, "mano.npz", MANO_BYTES),
    ]
    return {name: size for path, name, size in missing if path is None}


def to_accept(level: str, weights: str | Path | None = None) -> list[str]:
    """The licences to show before a download, a line each; empty where nothing is downloaded, or they were accepted.

    Raises:
        SapiensError: wilor-mlx is not installed, so that nothing would come of the download.
    """
    check_installed()
    return [] if consent.is_accepted() or not download_bytes(level, weights) else consent.lines()


# ---- looking and downloading ----------------------------------------------------------------------------------------


def _local(checkpoint: zoo.Checkpoint, folder: Path | None) -> Path | None:
    name = Path(checkpoint.filename).name
    for one in locate.folders(folder):
        for path in (one / name, one / checkpoint.local_path):
            if path.is_file():
                return path
    return hub_cache.cached(checkpoint.repo, checkpoint.filename)


def _local_mano(folder: Path | None) -> Path | None:
    """One's own, wilor-mlx's cache, or a whole checkpoint of WiLoR-mini with what belongs to it."""
    found = mano.own(locate.folders(folder))
    if found is not None:
        return found
    if mano.cache_file().is_file():
        return mano.cache_file()
    checkpoint = _local(zoo.WILOR_MINI, folder)
    return checkpoint if checkpoint is not None and _mean_beside(checkpoint).is_file() else None


def _mean_beside(checkpoint: Path) -> Path:
    return checkpoint.with_name(Path(zoo.MANO_MEAN.filename).name)


def _downloaded(checkpoint: zoo.Checkpoint, progress: Progress, notice: str = "") -> Path:
    try:
        return locate.download(checkpoint, progress, notice)
    except hub.UnavailableError as problem:
        raise _missing(checkpoint, problem) from problem


def _missing(checkpoint: zoo.Checkpoint, problem: hub.UnavailableError) -> WeightsMissingError:
    size = beside = ""
    if checkpoint == zoo.WILOR_MINI:
        size = f" of {hub.gigabytes(CHECKPOINT_BYTES)}"
        beside = f", with {Path(zoo.MANO_MEAN.filename).name} beside it"
    return WeightsMissingError(
        f"The weights for Hands ({checkpoint.filename}) are not on this machine, and {problem.reason}. "
        f"{problem.remedy}, or download the file{size} from https://huggingface.co/{checkpoint.repo} "
        f"({checkpoint.licence.name}) and put it at {locate.folders(None)[0] / checkpoint.local_path}{beside}."
    )


def _mano(found: Path | None, progress: Progress) -> Mano:
    if found is not None and found.suffix != ".ckpt":
        return mano.read(found, _remedy(found))
    if found is not None:
        mean = _mean_beside(found)
        made = mano.of_checkpoint(found, mean, _remedy(found), _remedy(mean))
    else:
        made = _of_the_hub(progress)
    with contextlib.suppress(SapiensError):  # a cache that cannot be written: the next start reads it again
        mano.keep(made)
    return made


def _of_the_hub(progress: Progress) -> Mano:
    """The few tensors of the checkpoint on the hub; all of it is downloaded only where the server gives no parts."""
    source = zoo.WILOR_MINI
    name = Path(source.filename).name
    mean = hub_cache.cached(zoo.MANO_MEAN.repo, zoo.MANO_MEAN.filename) or _downloaded(zoo.MANO_MEAN, progress)
    try:
        with remote.opened(source.repo, source.filename, progress) as file:
            by_hand = locate.folders(None)[0] / "hands/MANO_RIGHT.pkl"
            remedy = f"Try again later, or put MANO_RIGHT.pkl from https://mano.is.tue.mpg.de at {by_hand}."
            return mano.of_checkpoint(Opened(f"{source.repo}/{name}", file), mean, remedy, _remedy(mean))
    except hub.NoPartsError:
        whole, wanted = (hub.gigabytes(size) for size in (CHECKPOINT_BYTES, MANO_BYTES))
        notice = f"The hub gives no parts of files: all {whole} of {name} come, of which MANO is {wanted}."
        path = _downloaded(source, progress, notice)
        return mano.of_checkpoint(path, mean, _remedy(path), _remedy(mean))
    except hub.UnavailableError as problem:
        raise _missing(source, problem) from problem


def _remedy(path: Path) -> str:
    """What to do about a damaged file: programs' caches come again, and one's own is its owner's to replace."""
    if path == mano.cache_file():
        return f"Remove {path}: it is made again."
    if repo := hub_cache.repo_of(path):
        return f"Remove it by `python -m sapiens_mlx models --remove {repo}`: it is downloaded again."
    return mano.OWN_REMEDY
