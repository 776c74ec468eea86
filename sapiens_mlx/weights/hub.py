"""One file from the Hugging Face hub into the hub's own cache, with progress, and resumed where an earlier try ended.

huggingface_hub throws partial downloads away, reports every 10 MB and may wait for minutes between its tries. So the
transfer alone is done here, with its client, login, cache layout and locks: other programs find the file as theirs.
"""

import contextlib
import errno
import hashlib
import os
import queue
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import CancelledError, WeightsError
from ..runtime import Progress

# huggingface_hub takes 0.3 s to import, so it is imported where it is needed.

_PAUSES_S = (0.5, 1.5)  # before the second and the third try
_POLL_S = 0.5
_WATCH_S = 0.3  # between two looks at whether to go on, where nothing else happens
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UnavailableError(Exception):
    """Why a file cannot be had from the hub, as a clause, and what the user can do, as the start of a sentence."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}. {remedy}.")
        self.reason, self.remedy = reason, remedy


class NoPartsError(UnavailableError):
    """The server gives only whole files."""


@dataclass(frozen=True)
class _Remote:
    """What the hub says about a file. Its etag, the SHA-256 of large files, is the name of the blob in the cache."""

    url: str
    commit: str
    etag: str
    size_bytes: int


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

    found = try_to_load_from_cache(repo, filename, revision=commit)
    return Path(found) if isinstance(found, str) else None


def kept_bytes(repo: str) -> int:
    """What a repository's files occupy in the hub's cache, those of a download that broke off too."""
    sizes = {}
    for file in _folder(repo).rglob("*"):
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

    folder, before = _folder(repo), kept_bytes(repo)
    if not folder.is_dir():
        return 0
    partials = list((folder / "blobs").glob("*.incomplete"))
    try:
        with contextlib.ExitStack() as stack:
            for partial in partials:
                etag = partial.name.removesuffix(".incomplete")
                stack.enter_context(WeakFileLock(_lock_of(repo, etag), timeout=_POLL_S))
            found = scan_cache_dir(cache_folder())
            ours = frozenset(one for one in found.repos if (one.repo_type, one.repo_id) == ("model", repo))
            commits = [revision.commit_hash for one in ours for revision in one.revisions]
            if commits:  # of ours alone: a repository that was renamed has the same commits under its other name
                replace(found, repos=ours).delete_revisions(*commits).execute()
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


def _folder(repo: str) -> Path:
    return cache_folder() / f"models--{repo.replace('/', '--')}"


def _lock_of(repo: str, etag: str) -> Path:
    """What whoever downloads that file holds."""
    return cache_folder() / ".locks" / _folder(repo).name / f"{etag}.lock"


@dataclass(frozen=True)
class Listing:
    """What a repository has at one commit: sizes in bytes by file name."""

    commit: str
    files: dict[str, int]


def listing(repo: str) -> Listing:
    """The files of a repository, asked of the hub once, without patience.

    Raises:
        UnavailableError: there is none, or the hub cannot be asked or does not give it to this user.
    """
    from huggingface_hub import HfApi, constants

    with _explaining(repo, ""):
        api = HfApi(library_name="sapiens-mlx")
        found = api.model_info(repo, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        if not re.fullmatch(r"[0-9a-f]{40}", found.sha or ""):
            raise _no_hub()
        return Listing(found.sha, {file.rfilename: file.size or 0 for file in found.siblings or ()})


def size_bytes(repo: str, filename: str) -> int | None:
    """How large the hub says the file is, or None when the hub cannot be asked or does not give it to this user."""
    with contextlib.suppress(UnavailableError), _explaining(repo, filename):
        return _ask(repo, filename).size_bytes
    return None


def download(repo: str, filename: str, progress: Progress, commit: str | None = None) -> Path:
    """The path in the hub's cache of a file downloaded now. A partial download is kept, also when `progress` cancels.

    `commit` is that of a listing, so that the files of one model are of one version; default: the newest.

    Raises:
        UnavailableError: the file cannot be had, with the reason.
        CancelledError: from `progress("download", bytes so far, bytes in all)`.
    """
    from huggingface_hub.utils import WeakFileLock

    with _explaining(repo, filename), contextlib.ExitStack() as stack:

        def asking() -> None:
            progress("load", 0, 1)  # how much there is to download is not known yet

        remote = _persisting(lambda: watched(lambda: _ask(repo, filename, commit), asking), lambda: 0, asking)
        folder = _folder(repo)
        blob = folder / "blobs" / remote.etag
        partial = blob.with_name(f"{blob.name}.incomplete")
        lock = _lock_of(repo, remote.etag)
        for path in (blob, lock):
            path.parent.mkdir(parents=True, exist_ok=True)

        def kept_bytes() -> int:
            return partial.stat().st_size if partial.exists() else 0

        def report() -> None:
            progress("download", min(kept_bytes(), remote.size_bytes), remote.size_bytes)

        _wait_for(lambda: stack.enter_context(WeakFileLock(lock, timeout=_POLL_S)), report)
        if not blob.exists():  # else another process was downloading it
            if kept_bytes() > remote.size_bytes:
                partial.unlink()
            report()
            _check_space(remote.size_bytes - kept_bytes())
            if kept_bytes() < remote.size_bytes:
                _persisting(lambda: _receive(remote, partial, progress), kept_bytes, report)
            _verify(remote, partial, report)
            partial.replace(blob)
        return _enter(folder, remote.commit, filename, blob)


def ask(repo: str, filename: str, progress: Progress) -> _Remote:
    """What the hub says about a file, asked with patience. Raises as download does."""

    def asking() -> None:
        progress("load", 0, 1)

    with _explaining(repo, filename):
        return _persisting(lambda: watched(lambda: _ask(repo, filename), asking), lambda: 0, asking)


def part(repo: str, filename: str, remote: _Remote, start: int, end: int, progress: Progress) -> bytes:
    """The bytes of a file from `start` up to `end`, and no others.

    Raises:
        NoPartsError: the server gives only whole files.
        UnavailableError: they cannot be had.
        CancelledError: from `progress("load", 0, 1)`, called while nothing arrives.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = build_hf_headers(library_name="sapiens-mlx") | {"Accept-Encoding": "identity"}
    headers["Range"] = f"bytes={start}-{end - 1}"
    expected = f"bytes {start}-{end - 1}/{remote.size_bytes}"

    def receive() -> bytes:
        with get_session().stream(
            "GET", remote.url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
        ) as response:
            hf_raise_for_status(response)
            if response.headers.get("Content-Type", "").startswith("text/html"):
                raise _no_hub()
            if response.status_code != 206 or response.headers.get("Content-Range") != expected:
                raise NoPartsError("the hub gives no parts of files", "Try again later")
            data = bytearray()
            for chunk in response.iter_raw():
                data += chunk
                if len(data) > end - start:
                    raise UnavailableError("more bytes arrived than were asked for", "Try again later")
            return bytes(data)

    def waiting() -> None:
        progress("load", 0, 1)

    with _explaining(repo, filename):
        data = _persisting(lambda: watched(receive, waiting), lambda: 0, waiting)
    if len(data) != end - start:
        raise UnavailableError("the connection ended early", "Try again")
    return data


def _ask(repo: str, filename: str, commit: str | None = None) -> _Remote:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    found = get_hf_file_metadata(hf_hub_url(repo, filename, revision=commit), timeout=constants.HF_HUB_ETAG_TIMEOUT)
    # The commit and the etag become file names below, so they are held to what the hub gives.
    is_hub = re.fullmatch(r"[0-9a-f]{40}", found.commit_hash or "") and re.fullmatch(r"[\w-]+", found.etag or "")
    if not is_hub or not found.size:
        raise _no_hub()
    url = hf_hub_url(repo, filename, revision=found.commit_hash)  # the same version, however long it takes
    return _Remote(url, found.commit_hash, found.etag, found.size)


def _receive(remote: _Remote, partial: Path, progress: Progress) -> None:
    """Appends to `partial` what is missing of it.

    Another thread reads, so that `progress` is called, and may cancel, also while nothing arrives; only this one
    writes, so that nothing is written once this has ended.
    """
    from huggingface_hub.errors import HTTPError

    done = partial.stat().st_size if partial.exists() else 0
    arriving: queue.Queue = queue.Queue(maxsize=8)
    stop = threading.Event()
    threading.Thread(target=_read, args=(remote, done, arriving, stop), name="hub", daemon=True).start()
    try:
        with partial.open("ab") as file:
            while True:
                try:
                    part = arriving.get(timeout=_WATCH_S)
                except queue.Empty:
                    progress("download", done, remote.size_bytes)
                    continue
                if isinstance(part, Exception):
                    raise part
                if part is _FROM_THE_START:
                    file.truncate(0)
                    done = 0
                elif part is _END:
                    break
                elif done + len(part) > remote.size_bytes:
                    raise UnavailableError("more bytes arrived than the hub announced", "Try again later")
                else:
                    file.write(part)
                    done += len(part)
                    progress("download", done, remote.size_bytes)
    finally:
        stop.set()
    if done < remote.size_bytes:
        raise HTTPError("the connection ended early")


_FROM_THE_START, _END = object(), object()  # what _read hands on beside bytes and a problem


def _read(remote: _Remote, start: int, arriving: queue.Queue, stop: threading.Event) -> None:
    """Puts the file's bytes from `start` on into a queue as they arrive, until all are there, or nobody takes them."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    def hand(part: Any) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                return arriving.put(part, timeout=_WATCH_S)
        raise CancelledError

    headers = build_hf_headers(library_name="sapiens-mlx") | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with get_session().stream(
            "GET", remote.url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
        ) as response:
            hf_raise_for_status(response)
            if response.status_code == 200 and start:  # a server that knows no ranges
                start = 0
                hand(_FROM_THE_START)
            _check_answer(response, start, remote.size_bytes)
            for chunk in response.iter_raw():
                hand(chunk)
        hand(_END)
    except CancelledError:
        pass
    except Exception as problem:  # for whoever waits
        with contextlib.suppress(CancelledError):
            hand(problem)


def _check_answer(response: Any, start: int, size_bytes: int) -> None:
    """Refuses to write what is not the rest of the file into it."""
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise _no_hub()
    if start:
        announced, expected = response.headers.get("Content-Range"), f"bytes {start}-{size_bytes - 1}/{size_bytes}"
    else:
        announced, expected = response.headers.get("Content-Length"), str(size_bytes)
    if announced not in (None, expected):
        raise UnavailableError(f"the hub announced {size_bytes:,} bytes but sends {announced}", "Try again later")


def _verify(remote: _Remote, partial: Path, report: Callable[[], None]) -> None:
    """Compares the SHA-256, where the etag is one: what was resumed may have been damaged in between."""
    if not re.fullmatch(r"[0-9a-f]{64}", remote.etag):
        return
    digest = hashlib.sha256()
    with partial.open("rb") as file:
        while chunk := file.read(8 << 20):
            digest.update(chunk)
            report()
    if digest.hexdigest() != remote.etag:
        partial.unlink()
        raise UnavailableError("what arrived is damaged (its SHA-256 is not the hub's)", "Try again")


def _enter(folder: Path, commit: str, filename: str, blob: Path) -> Path:
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
    fresh = main.with_name(f"main.{os.getpid()}.tmp")
    fresh.write_text(commit)
    fresh.replace(main)
    return pointer


# ---- patience and explanations --------------------------------------------------------------------------------------


def _wait_for(lock: Callable[[], Any], report: Callable[[], None]) -> None:
    """Waits while another process downloads the same file, showing how far that one is."""
    from filelock import Timeout

    while True:
        try:
            lock()
            return
        except Timeout:
            report()


def _persisting(attempt: Callable[[], Any], kept_bytes: Callable[[], int], report: Callable[[], None]) -> Any:
    """The result of `attempt`, made up to three times, and for as long as each one keeps more bytes."""
    from huggingface_hub.errors import HTTPError

    pauses_s, before = iter(_PAUSES_S), kept_bytes()
    while True:
        try:
            return attempt()
        except HTTPError as problem:
            status = _status(problem)
            if status is not None and status < 500:
                raise
            if kept_bytes() > before:
                pauses_s, before = iter(_PAUSES_S), kept_bytes()
            pause_s = next(pauses_s, None)
            if pause_s is None:
                raise
            _pause(pause_s, report)


def _pause(seconds: float, report: Callable[[], None]) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _WATCH_S))
        report()


def watched(call: Callable[[], Any], report: Callable[[], None]) -> Any:
    """The result of `call`, made in a thread of its own. `report` is called meanwhile; what it raises ends the wait."""
    answer: queue.SimpleQueue = queue.SimpleQueue()

    def work() -> None:
        try:
            answer.put((call(), None))
        except Exception as problem:  # for whoever waits
            answer.put((None, problem))

    threading.Thread(target=work, name="hub", daemon=True).start()
    while True:
        try:
            result, problem = answer.get(timeout=_WATCH_S)
        except queue.Empty:
            report()
            continue
        if problem is not None:
            raise problem
        return result


def _status(problem: Exception) -> int | None:
    """The HTTP status of a refusal; None where the connection itself failed."""
    from huggingface_hub.errors import HfHubHTTPError

    return problem.response.status_code if isinstance(problem, HfHubHTTPError) else None


@contextlib.contextmanager
def _explaining(repo: str, filename: str) -> Iterator[None]:
    """Turns what goes wrong between here and the hub into an UnavailableError. No `filename`: of the repository."""
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
        where, cause = cache_folder(), problem.strerror or str(problem)
        if problem.errno in _DISK_FULL:
            raise UnavailableError(f"the disk of {where} is full", _SPACE_REMEDY) from problem
        raise UnavailableError(
            f"{where} cannot be written to ({cause})", "Make it writable, or set HF_HOME to a folder that is"
        ) from problem


_SPACE_REMEDY = "Free some space, or set HF_HOME to a folder on another disk"


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


def _no_hub() -> UnavailableError:
    from huggingface_hub import constants

    return UnavailableError(
        f"{constants.ENDPOINT} answered with a web page or the like, as a Wi-Fi login or a proxy does",
        "Log in to the network in a browser and try again",
    )


def _check_space(needed_bytes: int) -> None:
    folder = cache_folder()
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        needed, free = (f"{size / 1e9:.1f} GB" for size in (needed_bytes, free_bytes))
        raise UnavailableError(f"{needed} are needed and {free} are free on the disk of {folder}", _SPACE_REMEDY)
