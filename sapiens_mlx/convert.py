"""From a checkpoint to a conversion that is kept in the cache, or written as a folder to publish."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx

from . import runtime, zoo
from .errors import SapiensError
from .files import expanded
from .memory import guarded
from .runtime import Progress, inference, no_progress
from .weights import conversion, hub_cache, locate, original, publish
from .weights.reader import whole

_HUB = "https://huggingface.co/"


@dataclass(frozen=True)
class Outcome:
    """A conversion that is there now. `seconds` from the first byte read to the last written, without a download."""

    folder: Path
    about: conversion.Conversion
    was_there: bool
    seconds: float
    peak_memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """What --json prints, but for the upload."""
        about = self.about
        return {
            "folder": str(self.folder),
            "files": [str(path) for path in self.files],
            "was_there": self.was_there,
            "task": about.task,
            "size": about.size,
            "level": about.level,
            "source": vars(about.source),
            "source_bytes": about.source.bytes,
            "bytes": about.model_bytes,
            "quantized_share": about.quantized_share,
            "licence": about.licence,
            "seconds": self.seconds,
            "peak_memory_bytes": self.peak_memory_bytes,
        }

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())


def convert(
    source: str | Path | None = None,
    task: str | None = None,
    size: str | None = None,
    level: str = "4bit",
    *,
    out: str | Path | None = None,
    repo: str | None = None,
    weights: str | Path | None = None,
    progress: Progress = no_progress,
) -> Outcome:
    """Converts a checkpoint to a level, tensor by tensor: memory holds the result and a little more.

    Args:
        source: a repository on the hub ("facebook/sapiens2-seg-0.4b"), or a file; default: see locate.find.
        task, size: default: what the name of `source` says.
        out: a folder to make, ready to be published; default: the cache, where every run of these weights at that level
            finds it.
        repo: "owner/name" that the folder will be sent to. A folder `out` that is there from an earlier try, made of
            the same source, is taken.
        weights: a folder in the reference's layout, where the file is looked for first.

    Raises:
        SapiensError: for names that are in no table, and where a task or size is not told; `out` is there already.
        WeightsError: the source is nowhere, damaged or of another task or size; the result cannot be written.
    """
    given = None if source is None else str(source).removeprefix(_HUB).rstrip("/")
    file = _existing_file(given)
    task, size = _told(given if file is None else file.name, task, size, overrides=file is not None)
    checkpoint, row = zoo.checkpoint(task, size), zoo.level(level)
    if task == "detect":
        raise SapiensError("The person detector is small and is not quantized: there is nothing to convert.")
    if task == "hands":
        raise SapiensError(
            "The weights of hands may not be changed and passed on, by their licence: there is nothing to convert. "
            f"Their author offers {zoo.WILOR_POSE_4BIT.filename}, which is the level 4bit."
        )
    folder = None if out is None else expanded(out).resolve()
    if folder is None and (row.dtype == "float32" or checkpoint.bundled):
        which = "The demo weights are converted in no time" if checkpoint.bundled else "fp32 is the original's own type"
        raise SapiensError(f"{which}, so that no copy is kept. Add --out DIR to write one.")
    repository = given if file is None else None
    if folder is not None:
        if repo is not None and publish.is_whole(folder, checkpoint, row):
            if _is_of(folder, file, repository, checkpoint, weights, progress):
                about = publish.name_again(folder, checkpoint, repo)
                return Outcome(folder, about, True, 0.0, runtime.peak_memory_bytes())
            of = conversion.read_whole(folder).source.file
            raise SapiensError(
                f"{folder} holds a conversion of another {of} than the weights that are given now, and nothing is "
                "overwritten. Choose a folder that is not there yet."
            )
        publish.check_target(folder)
    arguments = (file, repository, checkpoint, row, folder, repo, weights)
    return guarded(partial(inference.run, _convert, *arguments, progress=progress), task, size, level)


def _convert(
    file: Path | None,
    repository: str | None,
    checkpoint: zoo.Checkpoint,
    level: zoo.Level,
    out: Path | None,
    repo: str | None,
    weights: str | Path | None,
    progress: Progress,
) -> Outcome:
    path = file or locate.find(checkpoint, _place(repository, checkpoint, weights), progress=progress)
    start = time.perf_counter()
    folder = out or conversion.folder_for(checkpoint, level, path)
    was_there = out is None and conversion.is_whole(folder, checkpoint, level, thorough=True)
    if was_there:
        about = conversion.read_whole(folder)
    else:
        if out is None:
            conversion.discard(folder)
        is_default = out is None and locate.is_default(path, checkpoint)
        source = conversion.source_of(path, is_default=is_default, digest=out is not None, progress=progress)
        converted = original.convert(path, checkpoint, level, mx.bfloat16, progress)
        if converted.as_packed:
            raise SapiensError(f"{path} is packed already, at {level.name}, and runs as it is. Convert the original.")
        if out is None:
            about = conversion.keep(folder, converted, checkpoint, level, source)
        else:
            about = publish.write_folder(folder, converted, checkpoint, level, source, repo)
    seconds = round(time.perf_counter() - start, 3)
    return Outcome(folder, about, was_there, seconds, runtime.peak_memory_bytes())


def _is_of(
    folder: Path,
    file: Path | None,
    repository: str | None,
    checkpoint: zoo.Checkpoint,
    weights: str | Path | None,
    progress: Progress,
) -> bool:
    """Whether the conversion in `folder` is of the source that is given now. Nothing is downloaded to tell."""
    made_of = conversion.read_whole(folder).source
    path = file or locate.find_local(checkpoint, _place(repository, checkpoint, weights))
    if path is None:
        return made_of.repo == (repository or checkpoint.repo)
    return conversion.source_of(path, digest=True, progress=progress).sha256 == made_of.sha256


def _existing_file(given: str | None) -> Path | None:
    """The file that was given, or the index of the model that it is a part of; None for a repository's name, or
    nothing."""
    if given is None:
        return None
    path = expanded(given)
    if path.is_file():
        return whole(path)
    if path.is_dir():
        if conversion.published(path):
            raise SapiensError(f"{path} is a conversion already. Convert the original: give its file or repository.")
        raise SapiensError(f"{path} is a folder. Give the checkpoint's file, or --weights {path} --task T --size S.")
    if not hub_cache.is_repo(given) or path.suffix in (".safetensors", ".pth"):
        raise SapiensError(f"There is no file {given}. Give a checkpoint's file, or a repository as OWNER/NAME.")
    return None


def _told(name: str | None, task: str | None, size: str | None, *, overrides: bool) -> tuple[str, str]:
    """Task and size as given, else as `name` tells. A given one may contradict the name only where it `overrides`."""
    named_task, named_size = zoo.names_in(name or "")
    for option, given, named in (("--task", task, named_task), ("--size", size, named_size)):
        if given and named and given != named and not overrides:
            raise SapiensError(f"{name} is named for {named}, and {option} says {given}. Leave {option} out.")
    task, size = task or named_task, size or named_size
    if task and size:
        return task, size
    where = f"The name {name} does not tell" if name else "Say"
    missing = " and ".join(
        part
        for part, value in ((f"the task (--task {'|'.join(zoo.TASKS)})", task), ("the size (--size 0.4b)", size))
        if not value
    )
    raise SapiensError(f"{where} {missing}. {'Add it.' if name else 'Or give a file or repository that is named so.'}")


def _place(repository: str | None, checkpoint: zoo.Checkpoint, weights: str | Path | None) -> str | Path | None:
    """Where the source is looked for first. The checkpoint's own repository is the last place in any case."""
    return repository if repository not in (None, checkpoint.repo) else weights
