"""Work in a thread of its own beside the caller's: what comes next is made ahead, what is done with is handed behind.

Both are bounded, so memory is too; and both hand on whatever was raised.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_END = object()


class Ahead(Generic[T]):
    """The items of a generator, of which up to `depth` are made before they are asked for."""

    def __init__(self, items: Generator[T] | Iterator[T], depth: int) -> None:
        self._items = items
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._coming: deque[Future] = deque(self._pool.submit(next, items, _END) for _ in range(depth))

    def __iter__(self) -> Iterator[T]:
        while (item := self._coming.popleft().result()) is not _END:
            self._coming.append(self._pool.submit(next, self._items, _END))
            yield item

    def close(self) -> None:
        """Makes no more, and closes the generator where it stands."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if hasattr(self._items, "close"):
            self._items.close()


class Behind:
    """Calls of `work`, one after another; put() waits where `depth` of them are not done."""

    def __init__(self, work: Callable[..., None], depth: int) -> None:
        self._work, self._depth = work, depth
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._waiting: deque[Future] = deque()

    def put(self, *arguments: Any) -> None:
        """Raises what an earlier call raised."""
        while len(self._waiting) >= self._depth:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._work, *arguments))

    def settle(self) -> None:
        """Waits until all is done. Raises what a call raised."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Does no more than it is at."""
        self._pool.shutdown(wait=True, cancel_futures=True)
