"""One file from the Hugging Face hub into the hub's own cache, with progress, and resumed where an earlier try ended.

huggingface_hub throws partial downloads away, reports every 10 MB and may wait for minutes between its tries. So the
transfer alone is done here, with its client, login, cache layout and locks: other programs find the file as theirs.
"""

import contextlib
import hashlib
import queue
import re
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CancelledError
from ..files import flush
from ..runtime import Progress
from .hub_cache import POLL_S, cache_folder, enter, folder_of, is_repo, lock_of
from .hub_faults import SPACE_REMEDY, NoPartsError, UnavailableError, explaining, no_hub
from .patience import WATCH_S, persisting, wait_for, watched

# huggingface_hub takes 0.3 s to import, so it is imported where it is needed.


@dataclass(frozen=True)
class _Remote:
    """What the hub says about a file. Its etag, the SHA-256 of large files, is the name of the blob in the cache."""

    url: str
    commit: str
    etag: str
    size_bytes: int


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

    if not is_repo(repo):
        raise UnavailableError(f"{repo} cannot be the name of a repository", "Correct it")
    with explaining(repo, "", cache_folder()):
        api = HfApi(library_name="sapiens-mlx")
        try:
            found = api.model_info(repo, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT)
            files = {str(file.rfilename): int(file.size or 0) for file in found.siblings or ()}
            commit = found.sha or ""
            if not re.fullmatch(r"[0-9a-f]{40}", commit):
                raise no_hub()
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as problem:  # JSON of other things
            raise no_hub() from problem
        return Listing(commit, files)


def size_bytes(repo: str, filename: str) -> int | None:
    """How large the hub says the file is, or None when the hub cannot be asked or does not give it to this user."""
    with contextlib.suppress(UnavailableError), explaining(repo, filename, cache_folder()):
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

    with explaining(repo, filename, cache_folder()), contextlib.ExitStack() as stack:
        remote = ask(repo, filename, progress, commit)
        folder = folder_of(repo)
        blob = folder / "blobs" / remote.etag
        partial = blob.with_name(f"{blob.name}.incomplete")
        lock = lock_of(repo, remote.etag)
        for path in (blob, lock):
            path.parent.mkdir(parents=True, exist_ok=True)

        def kept_bytes() -> int:
            return partial.stat().st_size if partial.exists() else 0

        def report() -> None:
            progress("download", min(kept_bytes(), remote.size_bytes), remote.size_bytes)

        wait_for(lambda: stack.enter_context(WeakFileLock(lock, timeout=POLL_S)), report)
        if not blob.exists():  # else another process was downloading it
            if kept_bytes() > remote.size_bytes:
                partial.unlink()
            report()
            _check_space(remote.size_bytes - kept_bytes())
            if kept_bytes() < remote.size_bytes:
                persisting(lambda: _receive(remote, partial, progress), kept_bytes, report)
            _verify(remote, partial, report)
            flush(partial)  # nobody looks at it again once it has its name
            partial.replace(blob)
        return enter(folder, remote.commit, filename, blob)


def ask(repo: str, filename: str, progress: Progress, commit: str | None = None) -> _Remote:
    """What the hub says about a file, asked with patience. Raises as download does."""

    def asking() -> None:
        progress("load", 0, 1)  # how much there is to download is not known yet

    with explaining(repo, filename, cache_folder()):
        return persisting(lambda: watched(lambda: _ask(repo, filename, commit), asking), lambda: 0, asking)


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
                raise no_hub()
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

    with explaining(repo, filename, cache_folder()):
        data = persisting(lambda: watched(receive, waiting), lambda: 0, waiting)
    if len(data) != end - start:
        raise UnavailableError("the connection ended early", "Try again")
    return data


def _ask(repo: str, filename: str, commit: str | None = None) -> _Remote:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo, filename, revision=commit)
    try:
        found = get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except ValueError as problem:  # headers that are none, such as an address to go to
        raise no_hub() from problem
    # The commit and the etag become file names below, so they are held to what the hub gives.
    commit, etag, size = found.commit_hash or "", found.etag or "", found.size or 0
    if not (re.fullmatch(r"[0-9a-f]{40}", commit) and re.fullmatch(r"[\w-]{1,128}", etag)) or size <= 0:
        raise no_hub()
    url = hf_hub_url(repo, filename, revision=commit)  # the same version, however long it takes
    return _Remote(url, commit, etag, size)


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
                    part = arriving.get(timeout=WATCH_S)
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
                return arriving.put(part, timeout=WATCH_S)
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
        raise no_hub()
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


def gigabytes(size_bytes: float) -> str:
    """Like "3.1 GB", or "45 MB"."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"


def _check_space(needed_bytes: int) -> None:
    folder = cache_folder()
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        needed, free = gigabytes(needed_bytes), gigabytes(free_bytes)
        raise UnavailableError(f"{needed} are needed and {free} are free on the disk of {folder}", SPACE_REMEDY)
