"""Seconds by stage, which the report of a run gives."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .tasks.base import Fitted


@dataclass
class Stages:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def each(self, name: str, batches: Iterator[list[Fitted]]) -> Iterator[list[Fitted]]:
        """The batches; the time it takes to make them counts as that stage's."""
        while True:
            with self.stage(name):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch
