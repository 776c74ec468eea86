"""Conversions on disk: what a checkpoint became at a level, kept in a cache or written to be published.

A conversion is a folder with `model.safetensors`, whose tensors are ours, and `config.json`, which says what of and
how it was made, and the size and digest by which damage is noticed. It is written beside its name and renamed whole:
whoever is killed leaves what was there before, or the new one, and perhaps a `<name>.partial-<number>`, which the next
to write a conversion removes.

In the cache a folder is called `<task>-<size>-<level>-<source id>`. Two processes that make the same conversion at the
same time both write one, and whichever comes second leaves that of the first.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from .. import __version__, zoo
from ..errors import WeightsError
from ..files import DISK_FULL, PARTIAL_FOLDER, expanded, flush, partial_folder, partial_name, replacing
from ..runtime import Progress, no_progress
from . import described, hub_cache, locate
from .described import CONFIG as CONFIG
from .original import Converted, naming
from .quantize import quantized_share
from .reader import MODEL as MODEL
from .reader import Shapes, files_of

FORMAT = 2  # raise it when our layout of tensors or of config.json changes: older conversions are then made again
LIBRARY = "sapiens-mlx"
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Source:
    """The original file. `repo` is the one on the hub it was downloaded from, where that is known; so with `sha256`.

    `is_default` is whether it was what a run takes that names no weights; False for what was given by hand.
    """

    file: str
    bytes: int
    sha256: str | None = None
    repo: str | None = None
    is_default: bool = False


@dataclass(frozen=True)
class Conversion:
    """What config.json says. `tensors` are the names and shapes in the source; `quantized_share` is 0..1 of weights.

    `model_mtime_ns` is when the cache's own file was written; None in folders that are made to be passed on.
    """

    task: str
    size: str
    level: str
    licence: str
    source: Source
    quantized_share: float
    model_bytes: int
    model_sha256: str
    model_mtime_ns: int | None
    tensors: Shapes

    def to_json(self) -> dict[str, Any]:
        level = zoo.level(self.level)
        return {
            "library": LIBRARY,
            "version": __version__,
            "format": FORMAT,
            "task": self.task,
            "size": self.size,
            "level": self.level,
            "dtype": level.dtype,
            "bits": level.bits,
            "group_size": level.group_size,
            "mode": level.mode,
            "quantized_share": self.quantized_share,
            "licence": self.licence,
            "source": vars(self.source),
            "model": {"bytes": self.model_bytes, "sha256": self.model_sha256, "mtime_ns": self.model_mtime_ns},
            "tensors": self.tensors,
        }


def read(folder: Path) -> Conversion | None:
    """What a folder says of itself; None when it is no conversion of ours, of another format, or damaged there."""
    try:
        config = json.loads((folder / CONFIG).read_text())
        if (config["library"], config["format"]) != (LIBRARY, FORMAT):
            return None
        model = config["model"]
        return Conversion(
            task=zoo.task_row(config["task"]).name,
            size=str(config["size"]),
            level=zoo.level(config["level"]).name,
            licence=str(config["licence"]),
            source=Source(**config["source"]),
            quantized_share=float(config["quantized_share"]),
            model_bytes=int(model["bytes"]),
            model_sha256=str(model["sha256"]),
            model_mtime_ns=model["mtime_ns"],
            tensors={str(name): tuple(shape) for name, shape in config["tensors"].items()},
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def read_whole(folder: Path) -> Conversion | Any:
    """The same of a folder that is known to be whole."""
    return read(folder)


def published(weights: str | Path | None) -> Conversion | None:
    """What `--weights` names, when that is a conversion's own folder and not a folder of checkpoints or a file.

    Raises:
        WeightsError: it is a conversion that cannot be read: damaged, of another version, or another program's.
    """
    if weights is None:
        return None
    folder = expanded(weights)
    if not ((folder / MODEL).is_file() and (folder / CONFIG).is_file()):
        return None
    found = read(folder)
    if found is None and is_other(folder):
        return None
    if found is None:
        raise WeightsError(
            f"{folder / CONFIG} is damaged, or another version or program wrote it. Convert the original checkpoint: "
            "python -m sapiens_mlx convert --help"
        )
    return found


def is_other(folder: Path) -> bool:
    """Whether the folder holds a model that another program wrote, with its config.json."""
    try:
        return described.read(folder) is not None
    except WeightsError:
        return False


# ---- the cache ------------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """Where conversions are kept: $SAPIENS_MLX_CACHE, else ~/.cache/sapiens-mlx."""
    return expanded(os.environ.get("SAPIENS_MLX_CACHE") or "~/.cache/sapiens-mlx")


def conversions() -> list[Path]:
    """The folders of all kept conversions, damaged and unfinished ones too, by name."""
    return sorted(folder for folder in cache_folder().glob("*-*") if folder.is_dir())


def folder_for(checkpoint: zoo.Checkpoint, level: zoo.Level, source: Path) -> Path:
    """Where the conversion of that file is kept. It changes with the file's place, size or time.

    Raises:
        WeightsError: one of the files that an index names is not there.
    """
    with naming(source):
        states = [(file.resolve(), file.resolve().stat()) for file in files_of(source)]
    identity = "|".join(f"{file}|{state.st_size}|{state.st_mtime_ns}" for file, state in states)
    return cache_folder() / f"{_stem(checkpoint, level)}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def kept(
    checkpoint: zoo.Checkpoint, level: zoo.Level, source: Path | None, weights: str | Path | None = None
) -> list[Path]:
    """The whole conversions of that file; with None, for when the file itself is gone, those that may stand in for
    `weights`, the newest first. Raises as folder_for does."""
    if source is not None:
        folders = [folder_for(checkpoint, level, source)]
    else:
        found = cache_folder().glob(f"{_stem(checkpoint, level)}-*")
        folders = [f for f in found if PARTIAL_FOLDER not in f.name and _stands_in(f, checkpoint, weights)]
    whole = [folder for folder in folders if is_whole(folder, checkpoint, level)]
    return sorted(whole, key=lambda folder: (folder / MODEL).stat().st_mtime, reverse=True)


def _stands_in(folder: Path, checkpoint: zoo.Checkpoint, weights: str | Path | None) -> bool:
    """Whether a conversion is of what `weights` asks for: of the repository that it names, else of what everybody has.
    A file that was given by hand may have been anything."""
    found, repo = read(folder), locate.repo_named(weights)
    if found is None:
        return False
    if repo is not None:
        return found.source.repo == repo
    return found.source.is_default or found.source.repo == checkpoint.repo


def is_whole(folder: Path, checkpoint: zoo.Checkpoint, level: zoo.Level, *, thorough: bool = False) -> bool:
    """Whether a kept conversion is what its name says, and undamaged.

    The model's size and time are compared, which costs nothing. Its SHA-256 is when the time is another than on the day
    it was made, as after a copy, or when asked to be `thorough`.
    """
    found = read(folder)
    if found is None or (found.task, found.size, found.level) != (checkpoint.task, checkpoint.size, level.name):
        return False
    try:
        state = (folder / MODEL).stat()
        if state.st_size != found.model_bytes:
            return False
        is_touched = state.st_mtime_ns != found.model_mtime_ns
        if (thorough or is_touched) and sha256(folder / MODEL) != found.model_sha256:
            return False
    except OSError:
        return False
    if is_touched:
        with contextlib.suppress(OSError):  # a cache that may only be read is verified every time
            _write_config(folder, replace(found, model_mtime_ns=state.st_mtime_ns))
    return True


def keep(
    folder: Path, converted: Converted, checkpoint: zoo.Checkpoint, level: zoo.Level, source: Source
) -> Conversion:
    """Writes a conversion into the cache, in place of a damaged one, and returns what its config.json says.

    Raises:
        WeightsError: it cannot be written; says why, and what to do.
    """
    remedy = "Free some space, or set SAPIENS_MLX_CACHE to a folder that can be written"
    with explaining(folder, converted.nbytes, remedy), partial_folder(folder) as partial:
        written = write(partial, converted, checkpoint, level, source)
        try:
            partial.rename(folder)
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            if not is_whole(folder, checkpoint, level):  # else another process has just made it
                discard(folder)
                partial.rename(folder)
    return written


def discard(folder: Path) -> None:
    """Takes a damaged conversion away: out of its place at once, then off the disk."""
    with contextlib.suppress(OSError):
        aside = partial_name(folder)
        folder.rename(aside)
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink()


def _stem(checkpoint: zoo.Checkpoint, level: zoo.Level) -> str:
    return f"{checkpoint.task}-{checkpoint.size}-{level.name}"


# ---- writing --------------------------------------------------------------------------------------------------------


def write(
    folder: Path,
    converted: Converted,
    checkpoint: zoo.Checkpoint,
    level: zoo.Level,
    source: Source,
    *,
    keeps_time: bool = True,
) -> Conversion:
    """Writes model.safetensors and config.json into an existing folder, and returns what the latter says.

    Raises:
        OSError, and RuntimeError from MLX: they cannot be written.
    """
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < 1.01 * converted.nbytes:  # noticed before minutes of writing rather than after
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    model = folder / MODEL
    mx.save_safetensors(str(model), converted.tensors, {"format": "mlx"})
    flush(model)
    conversion = Conversion(
        task=checkpoint.task,
        size=checkpoint.size,
        level=level.name,
        licence=checkpoint.licence.name,
        source=source,
        quantized_share=round(quantized_share(converted.module), 6),
        model_bytes=model.stat().st_size,
        model_sha256=sha256(model),
        model_mtime_ns=model.stat().st_mtime_ns if keeps_time else None,
        tensors=converted.shapes,
    )
    _write_config(folder, conversion)
    return conversion


def _write_config(folder: Path, conversion: Conversion) -> None:
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in conversion.to_json().items())
    with replacing(folder / CONFIG, lasting=True) as fresh:
        fresh.write_text("{\n" + ",\n".join(lines) + "\n}\n")


@contextlib.contextmanager
def explaining(folder: Path, needed_bytes: int, remedy: str) -> Iterator[None]:
    """Turns what goes wrong with writing `folder` into a WeightsError."""
    try:
        yield
    except (OSError, RuntimeError) as problem:
        free_bytes = _free_bytes(folder)
        # MLX does not say what was wrong.
        is_full = problem.errno in DISK_FULL if isinstance(problem, OSError) else free_bytes < needed_bytes
        if is_full:
            cause = f"it takes {needed_bytes / 1e6:,.1f} MB, and its disk has {free_bytes / 1e6:,.1f} MB left for us"
        else:
            cause = getattr(problem, "strerror", None) or str(problem)
        raise WeightsError(f"{folder} cannot be written: {cause}. {remedy}.") from problem


def _free_bytes(folder: Path) -> int:
    here = next((one for one in (folder, *folder.parents) if one.exists()), Path("/"))
    return shutil.disk_usage(here).free


# ---- sources --------------------------------------------------------------------------------------------------------


def source_of(
    path: Path, *, is_default: bool = False, digest: bool = False, progress: Progress = no_progress
) -> Source:
    """Which file that is. Its SHA-256 is read off the hub's cache, where it is the blob's name, or if `digest` made.

    Raises:
        WeightsError: it cannot be read.
    """
    blob = path.resolve()
    known = blob.name if blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name) else None
    with naming(path):
        try:
            return Source(
                file=path.name,
                bytes=sum(file.stat().st_size for file in files_of(path)),
                sha256=known or (sha256(path, progress) if digest else None),
                repo=hub_cache.repo_of(path),
                is_default=is_default,
            )
        except OSError as problem:
            raise WeightsError(f"it cannot be read ({problem.strerror or problem})") from problem


def sha256(path: Path, progress: Progress = no_progress) -> str:
    """The digest in hex of the file, or of those that an index names, one after the other.

    `progress` hears ("digest", megabytes so far, megabytes in all).
    """
    files = files_of(path)
    digest, done, total = hashlib.sha256(), 0, sum(file.stat().st_size for file in files)
    for part in files:
        with part.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                done += len(chunk)
                progress("digest", done / 1e6, total / 1e6)
    return digest.hexdigest()
