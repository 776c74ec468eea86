"""The networks in memory: the last few that were used stay, within a limit read from the device."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import mlx.nn as nn

from . import runtime, zoo
from .inventory import needed_bytes
from .runtime import Progress
from .weights import store

if TYPE_CHECKING:
    from .detect_rfdetr import RFDETRDetector
    from .hands.network import HandNetworks

KEPT = 2  # networks; the detector, small and needed for every photo of pose, is kept beside them


class Models:
    """Loads networks and keeps the last used. For the inference thread only."""

    def __init__(self) -> None:
        self.kept = KEPT  # at most; a job of several tasks asks for as many, or each photo would load them anew
        self._estimators: OrderedDict[tuple, store.Model | HandNetworks] = OrderedDict()
        self._detectors: dict[tuple, Any] = {}  # one at most

    def estimator(self, task: str, size: str, level: str, weights: str | None, progress: Progress) -> store.Model:
        """The network of `task` at `size` and `level`, loaded if need be. Raises as store.load does."""
        key = (task, size, level, weights)
        if key not in self._estimators:
            runtime.limit_cache()
            self._make_room(needed_bytes(size, level, task))
            self._estimators[key] = store.load(task, size, level, weights, progress=progress)
        self._estimators.move_to_end(key)
        return self._estimators[key]

    def hands(self, level: str, weights: str | None, progress: Progress) -> "HandNetworks":
        """WiLoR and its detector, loaded if need be. Raises as hands.weights.load does."""
        from .hands.weights import load  # brings an optional package

        key = (zoo.HANDS.name, zoo.WILOR.name, level, weights)
        if key not in self._estimators:
            runtime.limit_cache()
            self._make_room(needed_bytes(zoo.WILOR.name, level, zoo.HANDS.name))
            self._estimators[key] = load(level, weights, progress=progress)
        self._estimators.move_to_end(key)
        return self._estimators[key]

    def detector(self, size: str, weights: str | None, progress: Progress) -> nn.Module:
        """RTMDet as it goes with `size`, loaded if need be. Raises as store.load_detector does."""
        key = (zoo.detector_size(size), weights)
        if key not in self._detectors:
            self._detectors = {key: store.load_detector(size, weights, progress=progress)}
        return self._detectors[key]

    def rfdetr(self, weights: str | None, progress: Progress) -> "RFDETRDetector":
        """RF-DETR, loaded if need be. Raises as detect_rfdetr.load does."""
        from .detect_rfdetr import load  # brings an optional package

        key = (zoo.RFDETR_BASE.size, weights)
        if key not in self._detectors:
            self._detectors = {key: load(weights, progress=progress)}
        return self._detectors[key]

    @property
    def nbytes(self) -> int:
        """What the kept networks occupy."""
        return sum(model.nbytes for model in self._estimators.values())

    def _make_room(self, coming_bytes: int) -> None:
        """Drops the least recently used until one that takes `coming_bytes` fits the memory limit beside the rest."""
        dropped = False
        while self._estimators and (
            len(self._estimators) >= self.kept or self.nbytes + coming_bytes > runtime.memory_limit_bytes()
        ):
            self._estimators.popitem(last=False)
            dropped = True
        if dropped:
            runtime.release_memory()

    def clear(self) -> None:
        """Drops all networks."""
        self._estimators.clear()
        self._detectors.clear()
        runtime.release_memory()


models = Models()
