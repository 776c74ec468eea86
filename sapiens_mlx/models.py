"""The networks in memory: the last few that were used stay, within a limit read from the device."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import mlx.nn as nn

from . import runtime, zoo
from .inventory import needed_bytes
from .nn import cpu
from .nn.layers import tensors_of
from .runtime import Progress
from .weights import store

if TYPE_CHECKING:
    from .detect_rfdetr import RFDETRDetector
    from .hands.network import HandNetworks
    from .nn.rtmdet import RTMDet

KEPT = 2  # networks; the detector, small and needed for every photo of pose, is kept beside them


class Models:
    """Loads networks and keeps the last used. For the inference thread only."""

    def __init__(self) -> None:
        self.kept = KEPT  # at most; a job of several tasks asks for as many, or each photo would load them anew
        self._estimators: OrderedDict[tuple, Any] = OrderedDict()
        self._detectors: dict[tuple, tuple[Any, nn.Module]] = {}  # one at most, with its module

    def estimator(self, task: str, size: str, level: str, weights: str | None, progress: Progress) -> store.Model:
        """The network of `task` at `size` and `level`, loaded if need be. Raises as store.load does."""
        key = (task, size, level, weights)
        if key not in self._estimators:
            runtime.limit_cache()
            self._make_room(task, size, level)
            self._estimators[key] = store.load(task, size, level, weights, progress=progress)
        self._estimators.move_to_end(key)
        return self._estimators[key]

    def hands(self, level: str, weights: str | None, progress: Progress) -> "HandNetworks":
        """WiLoR and its detector, loaded if need be. Raises as hands.weights.load does."""
        from .hands.weights import load  # brings an optional package

        key = (zoo.HANDS.name, zoo.WILOR.name, level, weights)
        if key not in self._estimators:
            runtime.limit_cache()
            self._make_room(zoo.HANDS.name, zoo.WILOR.name, level)
            self._estimators[key] = load(level, weights, progress=progress)
        self._estimators.move_to_end(key)
        return self._estimators[key]

    def detector(self, size: str, weights: str | None, progress: Progress) -> "RTMDet":
        """RTMDet as it goes with `size`, loaded if need be. Raises as store.load_detector does."""
        key = (zoo.detector_size(size), weights)
        if key not in self._detectors:
            module = store.load_detector(size, weights, progress=progress)
            self._detectors = {key: (module, module)}
        return self._detectors[key][0]

    def rfdetr(self, weights: str | None, progress: Progress) -> "RFDETRDetector":
        """RF-DETR, loaded if need be. Raises as detect_rfdetr.load does."""
        from .detect_rfdetr import load  # brings an optional package

        key = (zoo.RFDETR_BASE.size, weights)
        if key not in self._detectors:
            found = load(weights, progress=progress)
            self._detectors = {key: (found, found.module)}
        return self._detectors[key][0]

    @property
    def nbytes(self) -> int:
        """What the kept networks occupy, the detector too."""
        detectors = [tensors_of(module) for _, module in self._detectors.values()]
        estimators_bytes = sum(model.nbytes for model in self._estimators.values())
        return estimators_bytes + sum(tensor.nbytes for tensors in detectors for _, tensor in tensors)

    def _make_room(self, task: str, size: str, level: str) -> None:
        """Drops the least recently used until that network fits the memory limit beside the rest, and what is free.

        Raises:
            MemoryError: it does not fit what is free even when none is kept.
        """
        coming_bytes = needed_bytes(size, level, task)
        while self._estimators and (
            len(self._estimators) >= self.kept or self.nbytes + coming_bytes > runtime.memory_limit_bytes()
        ):
            self._drop_oldest()
        if coming_bytes > runtime.free_memory_bytes():
            runtime.release_memory()  # what the C library holds counts as taken
        while coming_bytes > runtime.free_memory_bytes():
            if not self._estimators:
                raise MemoryError(f"{task} {size} at {level} takes about {coming_bytes} bytes, which are not free")
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._estimators.popitem(last=False)
        cpu.forget()
        runtime.release_memory()

    def clear(self) -> None:
        """Drops all networks."""
        self._estimators.clear()
        self._detectors.clear()
        cpu.forget()
        runtime.release_memory()


models = Models()
