"""The reference's postprocessing cases, channels last: a cut of them in tests/data, or the complete set."""

import json

import numpy as np
from conftest import DATA
from safetensors.numpy import load_file

from sapiens_mlx.tasks.base import Fitted
from sapiens_mlx.tasks.fit import Padding, Way

SMALL = {"seg": ["33x21", "97x131"], "normal": ["50x43"], "pointmap": ["64x49", "40x41"], "albedo": ["91x67"]}
COMPLETE = {
    "seg": ["33x21", "64x48", "97x131"],
    "normal": ["101x77", "50x43", "131x97"],
    "pointmap": ["149x83", "40x41", "64x49"],
    "albedo": ["91x67"],
}


class Cases:
    """`tensors` by the reference's names, and the way back of each case."""

    def __init__(self, folder=DATA):
        self.tensors = load_file(folder / "resize.safetensors")
        self._paddings = json.loads((folder / "resize.json").read_text())

    def raw(self, name):
        """A network's output as tasks get it: (1, h, w, C) float32."""
        return np.ascontiguousarray(self.tensors[name].transpose(0, 2, 3, 1), np.float32)

    def expected(self, name):
        return self.tensors[name][0].transpose(1, 2, 0)

    def fitted(self, task, tag, input_hw=(64, 48)):
        height, width = map(int, tag.split("x"))
        case = self._paddings.get(f"{task}_{tag}", {"padding_left_right_top_bottom": [0] * 4})
        way = Way((height, width), Padding(*case["padding_left_right_top_bottom"]))
        return Fitted(np.zeros((1, *input_hw, 3), np.uint8), way)


def photo_of(fitted):
    return np.random.default_rng(0).integers(0, 256, (*fitted.way.photo_hw, 3), np.uint8)
