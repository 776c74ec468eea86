"""Reads RTMDet's configuration off its checkpoint, and names the tensors in it that change layout or are left out."""

import re
from collections.abc import Mapping

from ..errors import WeightsError
from ..nn.rtmdet import RTMDetConfig

# Convolutions: (O, I, kh, kw) in the file, (O, kh, kw, I) here. All other tensors have one axis and stay as they are.
CONV_NAMES = re.compile(r"(backbone|neck|bbox_head)\..*\b(conv|fc|rtm_cls\.\d+|rtm_reg\.\d+)\.weight")
IGNORED_NAMES = re.compile(r".*\.num_batches_tracked")  # counts training steps


def rtmdet_config(shapes: Mapping[str, tuple[int, ...]]) -> RTMDetConfig:
    """The network that a checkpoint with these upstream tensor names and (torch-layout) shapes belongs to.

    Raises:
        WeightsError: when a tensor that says what the network is like is missing or no convolution.
    """

    def width(module: str) -> int:
        name = f"{module}.conv.weight"
        if name not in shapes:
            raise WeightsError(f"the tensor {name} is missing")
        if len(shapes[name]) != 4:
            raise WeightsError(f"the tensor {name} should have 4 axes and has the shape {tuple(shapes[name])}")
        return shapes[name][0]

    def count(prefix: str) -> int:
        return len({match[1] for name in shapes if (match := re.match(re.escape(prefix) + r"\.(\d+)\.", name))})

    stages = {f"backbone.stage{number}": 2 if number == 4 else 1 for number in (1, 2, 3, 4)}  # where the blocks stand
    return RTMDetConfig(
        channels=(width("backbone.stem.2"), *(width(f"{stage}.0") for stage in stages)),
        blocks=tuple(count(f"{stage}.{index}.blocks") for stage, index in stages.items()),
        neck_blocks=count("neck.top_down_blocks.0.blocks"),
        head_channels=width("neck.out_convs.0"),
        head_convs=count("bbox_head.cls_convs.0"),
    )
