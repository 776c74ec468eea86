"""Where a checkpoint's weights are: a folder, a file, the Hugging Face cache, or the hub.

On the hub there are the original and, for many levels, conversions by mlx-community, which are smaller: for a level
that packs weights such a one is downloaded where the original is not here. Those of the size "demo" ship with the
project, and are found in its own folder.
"""

import contextlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .. import zoo
from ..errors import WeightsError, WeightsMissingError
from ..files import expanded, is_there
from ..runtime import Progress, no_progress
from ..shipped import demo_folder, how_to_restore
from . import described, hub, hub_cache
from .hub import gigabytes
from .reader import INDEX, MODEL, files_of, whole

COMMUNITY = "mlx-community"


def find(
    checkpoint: zoo.Checkpoint,
    weights: str | Path | None = None,
    level: zoo.Level | None = None,
    *,
    progress: Progress = no_progress,
    tell: Callable[[str], None] = lambda notice: None,
) -> Path:
    """The file of a checkpoint, downloaded into the Hugging Face cache when it is nowhere on this machine.

    Args:
        weights: where to look first: a folder in the reference's layout or with one model in it, the file itself, or a
            repository on the hub as "owner/name".
        level: what it is wanted for; default: the original, whatever the level.
        progress: hears ("download", bytes so far, bytes in all). When it raises CancelledError, what has arrived is
            kept, and the next call carries on from there.
        tell: hears sentences for users: whose a conversion is, and which of several layouts is taken.

    Returns:
        A safetensors or .pth file; the index, for a model in several files.

    Raises:
        WeightsError: `weights` names nothing that exists.
        WeightsMissingError: the file is nowhere and cannot be downloaded; says why, and where to put it by hand.
        CancelledError: from `progress`.
    """
    found = find_local(checkpoint, weights, level)
    if found is not None:
        return found
    repo = repo_named(weights)
    if checkpoint.bundled and repo is None:
        path = demo_folder() / checkpoint.filename
        raise WeightsMissingError(
            f"The demo weights for {zoo.task_row(checkpoint.task).title} ({checkpoint.task}) are missing: there is no "
            f"file {path}. {how_to_restore(path)}"
        )
    if not checkpoint.published and repo is None:
        raise _missing(checkpoint, weights, "they are not published yet", "Put a file of your own at")
    try:
        chosen = hub.watched(lambda: offer(checkpoint, level, weights), lambda: progress("load", 0, 1))
        if chosen.notice:
            tell(chosen.notice)
        return _download(chosen, progress)
    except hub.UnavailableError as problem:
        if repo is not None:
            raise WeightsMissingError(f"Weights cannot be had from {repo}: {problem}") from problem
        by_hand = (
            f"or download {checkpoint.filename} from https://huggingface.co/{checkpoint.repo} "
            f"({checkpoint.licence.name}) and put it at"
        )
        raise _missing(checkpoint, weights, problem.reason, f"{problem.remedy}, {by_hand}") from problem


def find_local(
    checkpoint: zoo.Checkpoint, weights: str | Path | None = None, level: zoo.Level | None = None
) -> Path | None:
    """As find, but without the network: None when the file is not on this machine."""
    repo = repo_named(weights)
    if repo is not None:
        return _cached(repo, checkpoint)
    if weights is not None:
        path = expanded(weights)
        if path.is_file():
            return whole(path)
        if not path.is_dir():
            raise WeightsError(
                f"There is no file or folder {path}. Give the path of a checkpoint or of a weights folder."
            )
        if held := models_in(path, checkpoint):
            return held[0]
    for folder in folders(weights):
        path = folder / checkpoint.local_path
        if path.is_file():
            return path
    if checkpoint.bundled:
        path = demo_folder() / checkpoint.filename
        return path if path.is_file() else None
    if not checkpoint.published:
        return None
    original = hub_cache.cached(checkpoint.repo, checkpoint.filename)
    if original is None and level is not None and _wants_conversion(checkpoint, level):
        return _cached(community_repo(checkpoint, level), checkpoint)
    return original


def is_default(path: Path, checkpoint: zoo.Checkpoint, level: zoo.Level | None = None) -> bool:
    """Whether that file is the one that is taken where no weights are named."""
    found = find_local(checkpoint, level=level)
    return found is not None and found.resolve() == path.resolve()


def models_in(folder: Path, checkpoint: zoo.Checkpoint) -> list[Path]:
    """The files in a folder that may be the checkpoint's, in the order in which they are taken; the reference's layout
    first, then what a repository has: the original file, and the model that its config.json describes."""
    names = [checkpoint.local_path]
    if checkpoint.task != "detect":
        names.append(checkpoint.filename)
        with contextlib.suppress(WeightsError):  # a damaged config.json is told of when the model is read
            if described.read(folder) is not None:
                names += [INDEX if (folder / INDEX).is_file() else MODEL]
    return [folder / name for name in names if (folder / name).is_file()]


def is_one_model(weights: str | Path | None) -> bool:
    """Whether `weights` is one model: a file, a repository, or a folder with its config.json; not a folder of many."""
    if weights is None:
        return False
    if repo_named(weights) is not None:
        return True
    path = expanded(weights)
    return path.is_file() or (path / described.CONFIG).is_file()


def repo_named(weights: str | Path | None) -> str | None:
    """The repository on the hub that `weights` names, as "owner/name"; None for a path."""
    if weights is None:
        return None
    name = re.sub(r"^https:/+huggingface\.co/", "", str(weights)).rstrip("/")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", name) or is_there(expanded(str(weights))):
        return None
    return None if Path(name).suffix in (".safetensors", ".pth", ".json") else name


# ---- the hub --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Offer:
    """A download: files of a repository, at a commit where that is known, with `size_bytes` in all where known.

    `notice` is what users should know of it beside its name, as a sentence; "" for nothing.
    """

    repo: str
    files: tuple[str, ...]
    size_bytes: int | None
    licence: zoo.Licence
    commit: str | None = None
    notice: str = ""

    def sentence(self, size_bytes: float | None = None) -> str:
        """What is about to be downloaded, for users; `size_bytes` as the hub says meanwhile."""
        size = size_bytes or self.size_bytes
        amount = f"{gigabytes(size)}, " if size else ""
        return f"Downloading {self.repo} ({amount}{self.licence.name}). {self.notice}".rstrip()


# What is being downloaded, for those who watch the progress; None where several are, of which a report of progress does
# not tell which it is of.
coming: Offer | None = None
_under_way: list[Offer] = []
_changing = threading.Lock()


@contextlib.contextmanager
def _announced(chosen: Offer) -> Iterator[None]:
    """Counts a download among those under way. Several may wait for the same one."""

    def tell() -> None:
        global coming
        coming = next((one for one in _under_way if all(other == one for other in _under_way)), None)

    with _changing:
        _under_way.append(chosen)
        tell()
    try:
        yield
    finally:
        with _changing:
            _under_way.remove(chosen)
            tell()


def offer(checkpoint: zoo.Checkpoint, level: zoo.Level | None = None, weights: str | Path | None = None) -> Offer:
    """What would be downloaded for a checkpoint that is not here. Asks the hub what it has.

    Raises:
        hub.UnavailableError: a repository was named, and cannot be had.
    """
    repo = repo_named(weights)
    if repo is not None:
        return _offer_of(repo, hub.listing(repo), checkpoint)
    if level is not None and _wants_conversion(checkpoint, level):
        repo = community_repo(checkpoint, level)
        with contextlib.suppress(hub.UnavailableError):  # it has no such conversion
            found = _offer_of(repo, hub.listing(repo), checkpoint)
            original = hub.size_bytes(checkpoint.repo, checkpoint.filename)
            instead = f" ({gigabytes(original)})" if original else ""
            notice = (
                f"The weights are {repo}, a conversion by {COMMUNITY} of {gigabytes(found.size_bytes or 0)}, "
                f"in place of the original{instead}. For the original, use --weights {checkpoint.repo}."
            )
            return replace(found, notice=notice)
    return Offer(checkpoint.repo, (checkpoint.filename,), None, checkpoint.licence)


def download(checkpoint: zoo.Checkpoint, progress: Progress, notice: str = "") -> Path:
    """The checkpoint's file, downloaded now from its own repository. Raises as hub.download does.

    `notice` is what users should know of it, as a sentence.
    """
    return _download(Offer(checkpoint.repo, (checkpoint.filename,), None, checkpoint.licence, notice=notice), progress)


def community_repo(checkpoint: zoo.Checkpoint, level: zoo.Level) -> str:
    """Where mlx-community would have the checkpoint's conversion to `level`."""
    return f"{COMMUNITY}/{checkpoint.repo.rpartition('/')[2]}-{level.name}"


def _wants_conversion(checkpoint: zoo.Checkpoint, level: zoo.Level) -> bool:
    """Whether mlx-community's conversion would do: from plain floats every other level can be made, and they are ours
    to keep; packed ones are as good as their owner made them, and much smaller."""
    return level.bits is not None and checkpoint.published and checkpoint.task != "detect"


def _offer_of(repo: str, listing: hub.Listing, checkpoint: zoo.Checkpoint) -> Offer:
    """What to take of a repository: the original file, or else the model that its config.json describes."""
    names = listing.files
    shards = sorted(name for name in names if re.fullmatch(r"model-\d+-of-\d+\.safetensors", name))
    ways = [
        way
        for way in ((checkpoint.filename,), (described.CONFIG, INDEX, *shards), (described.CONFIG, MODEL))
        if set(way) <= set(names) and not (way[1:2] == (INDEX,) and not shards)
    ]
    if not ways:
        raise hub.UnavailableError(
            f"{repo} has neither {checkpoint.filename} nor a {MODEL} with its {described.CONFIG}",
            "Name another repository",
        )
    taken = ways[0]
    notice = ""
    if len(ways) > 1:
        notice = f"{repo} has its weights in several layouts: taken is {taken[-1]}, not {ways[1][-1]}."
    return Offer(repo, taken, sum(names[name] for name in taken), checkpoint.licence, listing.commit, notice)


def _download(chosen: Offer, progress: Progress) -> Path:
    """All files of an offer; the path is that of the checkpoint's own, or of the index of several."""
    with _announced(chosen):
        return _all_files(chosen, progress)


def _all_files(chosen: Offer, progress: Progress) -> Path:
    if chosen.commit is None:
        return hub.download(chosen.repo, chosen.files[0], progress)
    done_bytes, paths = 0, []
    for name in chosen.files:

        def of_all(stage: str, done: float, total: float, before: int = done_bytes) -> None:
            if stage == "download":
                done, total = before + done, chosen.size_bytes or 0
            progress(stage, done, total)

        arrived = hub_cache.cached(chosen.repo, name, chosen.commit)
        arrived = arrived or hub.download(chosen.repo, name, of_all, chosen.commit)
        done_bytes += arrived.stat().st_size
        paths.append(arrived)
    return next((path for path in paths if path.name == INDEX), paths[-1])


def _cached(repo: str, checkpoint: zoo.Checkpoint) -> Path | None:
    """A repository's model in the Hugging Face cache, if all of it is there."""
    original = hub_cache.cached(repo, checkpoint.filename)
    if original is not None:
        return original
    config = hub_cache.cached(repo, described.CONFIG)
    if config is None:
        return None
    index = config.with_name(INDEX)
    if index.is_file():
        try:
            files_of(index)
        except WeightsError:
            return None
        return index
    model = config.with_name(MODEL)
    return model if model.is_file() else None


# ---- not there ------------------------------------------------------------------------------------------------------


def folders(given: str | Path | None) -> list[Path]:
    """The folders looked into, in order: the one given, then $SAPIENS_CHECKPOINT_ROOT or the reference's default."""
    standing = os.environ.get("SAPIENS_CHECKPOINT_ROOT") or "~/sapiens2_host"
    return [expanded(folder) for folder in (given, standing) if folder is not None]


def _missing(checkpoint: zoo.Checkpoint, weights: str | Path | None, reason: str, remedy: str) -> WeightsMissingError:
    places = [str(folder / checkpoint.local_path) for folder in folders(weights)]
    by_hand = places[0]
    if checkpoint.published:
        places.append(f"in the Hugging Face cache {hub_cache.cache_folder()}")
    name = " ".join(part for part in (checkpoint.task, checkpoint.size) if part)
    title = zoo.task_row(checkpoint.task).title
    return WeightsMissingError(
        f"The weights for {title} ({name}) are not at {' or '.join(places)}, and {reason}. {remedy} {by_hand}."
    )
