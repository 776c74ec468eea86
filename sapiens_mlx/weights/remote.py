"""A file on the Hugging Face hub that is read where it lies: a few megabytes of gigabytes, by HTTP ranges."""

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ..runtime import Progress
from . import hub

BLOCK_BYTES = 1 << 20  # that is asked for at least
FETCH_BYTES = 4 << 20  # and at most at once: it comes into memory whole
SPENT_BYTES = 256 << 20  # after which it would be no longer a part of the file


class RemoteFile(io.RawIOBase):
    """A file of `size_bytes` that can be read and sought in; `fetch(start, end)` gives bytes of it, or fewer."""

    def __init__(self, size_bytes: int, fetch: Callable[[int, int], bytes]) -> None:
        self._size, self._fetch = size_bytes, fetch
        self._at, self.fetched_bytes = 0, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        if self.fetched_bytes + wanted > SPENT_BYTES:
            raise hub.UnavailableError("far more of it is read than was to be expected", "Try again later")
        data = self._fetch(self._at, self._at + min(wanted, FETCH_BYTES))
        self.fetched_bytes += len(data)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@contextlib.contextmanager
def opened(repo: str, filename: str, progress: Progress) -> Iterator[BinaryIO]:
    """A file of the hub, as it is now. What was not read is not downloaded, and nothing of it is kept.

    Args:
        progress: hears ("load", 0, 1) with every piece, and may raise CancelledError.

    Raises:
        hub.NoPartsError: the server gives no parts of files; while it is open, too.
        hub.UnavailableError: it cannot be had; while it is open, too.
    """
    remote = hub.ask(repo, filename, progress)

    def fetch(start: int, end: int) -> bytes:
        progress("load", 0, 1)
        return hub.part(repo, filename, remote, start, end, progress)

    with io.BufferedReader(RemoteFile(remote.size_bytes, fetch), BLOCK_BYTES) as file:
        yield file
