"""The Hugging Face hub's cache on this machine, laid out as huggingface_hub does it: what is in it, and removing it."""

import contextlib
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

from ..errors import WeightsError
from ..files import replacing

# huggingface_hub takes 0.3 s to import, so it is imported where it is needed.

POLL_S = 0.5  # that a lock is waited for at a time


def is_repo(name: str) -> bool:
    """Whether `name` is one that a repository can have, written owner/name."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name


def repo_of(path: Path) -> str | None:
    """The repository that a file in the hub's cache came from, as "owner/name"; None for a file anywhere else."""
    found = [match for part in path.parts if (match := re.fullmatch(r"models--(.+?)--(.+)", part))]
    return f"{found[-1][1]}/{found[-1][2]}" if found else None


def cache_folder() -> Path:
    """Where the hub's cache lies: $HF_HUB_CACHE, or hub/ in $HF_HOME, by default ~/.cache/huggingface."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def cached(repo: str, filename: str, commit: str | None = None) -> Path | None:
    """The file in the hub's cache, whoever downloaded it. Nothing is asked of the network."""
    from huggingface_hub import try_to_load_from_cache

    if not is_repo(repo):
        return None
    found = try_to_load_from_cache(repo, filename, revision=commit)
    return Path(found) if isinstance(found, str) else None


def kept_bytes(repo: str) -> int:
    """What a repository's files occupy in the hub's cache, those of a download that broke off too."""
    sizes = {}
    for file in folder_of(repo).rglob("*"):
        with contextlib.suppress(OSError):  # a link whose file is gone, or one that goes meanwhile
            if file.is_file():
                state = file.stat()
                sizes[state.st_dev, state.st_ino] = state.st_size  # a file and the links to it once
    return sum(sizes.values())


def remove(repo: str) -> int:
    """Remove a repository's files from the hub's cache; returns how many bytes that freed.

    Raises:
        WeightsError: one of them is being downloaded, or they cannot be removed.
    """
    from filelock import Timeout
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.utils import WeakFileLock

    folder, before = folder_of(repo), kept_bytes(repo)
    if not folder.is_dir():
        return 0
    partials = list((folder / "blobs").glob("*.incomplete"))
    try:
        with contextlib.ExitStack() as stack:
            for partial in partials:
                etag = partial.name.removesuffix(".incomplete")
                stack.enter_context(WeakFileLock(lock_of(repo, etag), timeout=POLL_S))
            found = scan_cache_dir(cache_folder())
            ours = frozenset(one for one in found.repos if (one.repo_type, one.repo_id) == ("model", repo))
            commits = [revision.commit_hash for one in ours for revision in one.revisions]
            if commits:  # of ours alone: a repository that was renamed has the same commits under its other name
                replace(found, repos=ours).delete_revisions(*commits).execute()
            else:  # unknown to the library: damaged, or whoever was to enter its files was killed
                shutil.rmtree(folder)
            for partial in partials:
                partial.unlink(missing_ok=True)
    except Timeout as problem:
        raise WeightsError(
            f"{repo} is being downloaded. Stop that, or wait for its end, and remove it then."
        ) from problem
    except OSError as problem:
        raise WeightsError(
            f"{repo} cannot be removed ({problem.strerror or problem}). Remove {folder} yourself."
        ) from problem
    left = kept_bytes(repo)
    if left and left >= before:
        raise WeightsError(f"{repo} cannot be removed. See that you may write to {folder}, or remove it yourself.")
    return before - left


def folder_of(repo: str) -> Path:
    """Where the cache has a repository."""
    return cache_folder() / f"models--{repo.replace('/', '--')}"


def lock_of(repo: str, etag: str) -> Path:
    """What whoever downloads that file holds."""
    return cache_folder() / ".locks" / folder_of(repo).name / f"{etag}.lock"


def enter(folder: Path, commit: str, filename: str, blob: Path) -> Path:
    """Enters a blob into the cache, in its published layout: a link by commit and name, and which commit is `main`."""
    pointer, main = folder / "snapshots" / commit / filename, folder / "refs" / "main"
    if not pointer.exists():
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)  # a link whose blob was deleted
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:
            blob.replace(pointer)  # a disk without links, where the hub's cache holds the file itself
    main.parent.mkdir(parents=True, exist_ok=True)
    # What lies in refs is the name of a commit to huggingface_hub, which cannot list a cache where it is none.
    with replacing(main, lasting=True, beside=folder / "refs") as fresh:
        fresh.write_text(commit)
    return pointer
