"""Too little memory for a network: what is in memory is dropped, and a sentence says which smaller choice fits."""

import traceback
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from . import inventory
from .errors import MemoryFullError, is_memory_full
from .models import KEPT, models
from .runtime import Progress, inference


def guarded(work: Callable[[], Any], task: str, size: str, level: str) -> Any:
    """What `work()` gives, which loads or runs that network or takes its output on. On any thread.

    Raises:
        MemoryFullError: the memory was not enough. No network is in memory then, and the next run begins anew.
    """
    try:
        return work()
    except Exception as problem:
        if not is_memory_full(problem):
            raise
        # Its frames hold the network and the arrays that it was at, and so may `work`: that memory is wanted back.
        traceback.clear_frames(problem.__traceback__)
        del work
    inference.run(_drop_all)
    raise MemoryFullError(inventory.memory_full(task, size, level))


def guarding(method: Callable[..., Any]) -> Callable[..., Any]:
    """guarded(), for a method of what has a task, a size and a level."""

    @wraps(method)
    def guarding_it(self: Any, *args: Any, **kwargs: Any) -> Any:
        return guarded(partial(method, self, *args, **kwargs), self.task, self.size, self.level)

    return guarding_it


def _drop_all(progress: Progress) -> None:
    models.kept = min(models.kept, KEPT)  # a job of many tasks has asked for more than there is room for
    models.clear()
