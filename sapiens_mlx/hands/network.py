"""WiLoR and its hand detector in memory: wilor-mlx's own classes, with files' tensors checked before they take them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from .. import runtime, zoo
from ..errors import LevelError, WeightsError, is_memory_full
from ..nn.layers import Deconv, QuantizedLinear, tensors_of
from ..runtime import Progress, no_progress
from ..weights import layouts, original
from ..weights.quantize import Packing, use_packed_layers
from ..weights.reader import Shapes, read_shapes
from . import check_installed
from .mano import Mano
from .rotations import rotvec

OUTPUTS = ("pred_keypoints_3d", "pred_vertices", "global_orient", "hand_pose", "betas", "pred_cam")
AT_ONCE = 8  # hands in one batch, so that twenty take no more memory than eight
HAND_BYTES = 40e6  # about what the activations of one take, in float32; 20 MB were measured on the CPU
PACKED_BITS = 4
_PARTS = ("backbone", "refine_net")
_UPSAMPLING = ("branch0_conv", "branch1_conv0", "branch1_conv1")
_OF_REFINEMENT = ("branch0_bn", "branch1_bn0", "branch1_bn1")
_CONSTANTS = ("IMAGE_MEAN", "IMAGE_STD")
_OF_DETECTOR = "pose.stride"  # which is no weight, and may be missing in its file


@dataclass(eq=False)
class HandNetworks:
    """Both networks. `run` takes crops (B, 256, 256, 3) uint8 as MLX has them; `faces` (F, 3) int32 of the mesh."""

    detector: Any
    wilor: Any
    level: zoo.Level
    compute_dtype: mx.Dtype
    faces: np.ndarray
    _watch: "_Watch" = field(repr=False)
    licence: zoo.Licence = zoo.WILOR_LICENCE
    input_hw: tuple[int, int] = zoo.WILOR.input_hw
    takes_bytes: bool = True  # and is not to be given normalised floats
    _norms: list["_Norm"] = field(default_factory=list, repr=False)

    def run(self, crops: mx.array, progress: Progress = no_progress) -> tuple[mx.array, ...]:
        """Points (B, 21, 3) and vertices (B, 778, 3) in metres, about the hand's own origin, as of a right hand; its
        rotation (B, 1, 3) and pose (B, 15, 3) as axis and angle; its shape (B, 10); its camera (B, 3). Evaluated.

        Raises:
            CancelledError: from `progress("network", blocks so far, blocks in all)`.
        """
        self._watch.begin(progress)
        try:
            found = self.wilor(crops)
            turns = rotvec(found["rotations"])
            found |= {"global_orient": turns[:, :1], "hand_pose": turns[:, 1:]}
            raw = tuple(found[name] for name in OUTPUTS)
            mx.eval(raw)
        finally:
            self._watch.begin(no_progress)
        return raw

    def use_norms(self, which: str) -> None:
        """How the three norms of the refinement work: see _Norm."""
        for norm in self._norms:
            norm.alone = which == "package"

    @property
    def nbytes(self) -> int:
        parts = [getattr(self.wilor, part) for part in _PARTS] + [self.detector]
        return sum(tensor.nbytes for part in parts for _, tensor in tensors_of(part))

    @property
    def quantized_share(self) -> float:
        """0..1 of WiLoR's numbers that are kept packed."""
        modules = [one for part in _PARTS for one in getattr(self.wilor, part).modules()]
        layers = [one for one in modules if isinstance(one, QuantizedLinear)]
        packed = sum(layer.packed_values for layer in layers)
        stored = sum(tensor.size for layer in layers for name, tensor in layer.parameters().items() if name != "bias")
        tensors = [one for part in _PARTS for _, one in tensors_of(getattr(self.wilor, part))]
        return packed / (packed + sum(tensor.size for tensor in tensors) - stored)


class _Norm(nn.Module):
    """A BatchNorm of the refinement in one of two ways.

    wilor-mlx 0.3.1 leaves it as for training, so that it takes the mean and variance of the input at hand and not those
    that came with the weights. Its pipeline runs one hand at a time; in a batch the hands would change each other, so
    that here each is normalised `alone`. Else by the statistics of the weights, as WiLoR in PyTorch does.
    """

    def __init__(self, norm: nn.BatchNorm) -> None:
        super().__init__()
        self.alone = True
        self.norm = norm.eval()
        self.own = nn.InstanceNorm(norm.num_features, norm.eps)

    def __call__(self, x: mx.array) -> mx.array:
        return self.norm.weight * self.own(x) + self.norm.bias if self.alone else self.norm(x)


class _Refinement(nn.Module):
    """WiLoR's refinement, which hands out its rotations (B, 16, 3, 3) too: of those WiLoR gives axes and angles alone,
    by a function of wilor-mlx that is not made for half a turn, and a wrist may be turned by that."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def __call__(self, *inputs: Any) -> dict[str, mx.array]:
        found = self.net(*inputs)
        return found | {"rotations": mx.concatenate([found["global_orient"], found["hand_pose"]], axis=1)}


class _Watch:
    """Hears of each block of the network, so that Stop takes effect there, and no more than two are under way."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self.begin(no_progress)

    def begin(self, progress: Progress) -> None:
        self._progress, self._done = progress, 0
        self._under_way: list[mx.array] = []

    def step(self, x: mx.array) -> None:
        mx.async_eval(x)
        self._under_way.append(x)
        if len(self._under_way) > 1:
            mx.eval(self._under_way.pop(0))
        self._done += 1
        self._progress("network", self._done, self._blocks)


class _Block(nn.Module):
    """A block that is watched, and computes in `dtype`."""

    def __init__(self, block: nn.Module, watch: _Watch, dtype: mx.Dtype) -> None:
        super().__init__()
        self.block = block
        self._watch, self._dtype = watch, dtype

    def __call__(self, x: mx.array) -> mx.array:
        x = self.block(x.astype(self._dtype))
        self._watch.step(x)
        return x


# ---- loading --------------------------------------------------------------------------------------------------------


def load(
    pose: Path,
    detector: Path,
    mano: Mano,
    level: zoo.Level,
    *,
    compute_dtype: mx.Dtype | None = None,
    progress: Progress = no_progress,
) -> HandNetworks:
    """Both networks from their safetensors files. Call it on the inference thread.

    At bf16 the blocks of the backbone are stored and, on a GPU, computed in it; all else stays float32: rotations of
    the hand come out of it.

    Args:
        compute_dtype: of the blocks; default by device, as runtime.compute_dtype.

    Raises:
        SapiensError: wilor-mlx is not installed.
        WeightsError: a file is damaged or of another network.
        LevelError: the file is packed and the level is not, or the other way round.
    """
    check_installed()
    progress("load", 0, 3)
    compute_dtype = compute_dtype or getattr(mx, runtime.compute_dtype(level.dtype))
    found = _load_detector(detector)
    progress("load", 1, 3)
    wilor = _load_wilor(pose, level)
    progress("load", 2, 3)
    mano.into(wilor)
    wilor.backbone.eval()
    decoder = wilor.refine_net.deconv
    norms = [_Norm(getattr(decoder, name)) for name in _OF_REFINEMENT]
    for name, norm in zip(_OF_REFINEMENT, norms, strict=True):
        setattr(decoder, name, norm)
    for name in _UPSAMPLING:
        setattr(decoder, name, _upsampling(getattr(decoder, name)))
    wilor.refine_net = _Refinement(wilor.refine_net)
    blocks = wilor.backbone.blocks
    if level.dtype != "float32" and level.bits is None:
        for block in blocks:
            block.set_dtype(getattr(mx, level.dtype))
    elif level.bits is not None and compute_dtype != mx.float32:
        for block in blocks:
            block.set_dtype(compute_dtype)
    watch = _Watch(len(blocks))
    wilor.backbone.blocks = [_Block(block, watch, compute_dtype) for block in blocks]
    mx.eval([getattr(wilor, part).parameters() for part in _PARTS], *(getattr(wilor, name) for name in _CONSTANTS))
    mx.clear_cache()
    progress("load", 3, 3)
    return HandNetworks(found, wilor, level, compute_dtype, mano.faces, watch, _norms=norms)


def _upsampling(layer: nn.ConvTranspose2d) -> Deconv:
    """The same layer, 4 x 4 at stride 2, without the zeros that MLX puts between pixels: see nn.layers.Deconv. On the
    CPU, where MLX goes through them one by one, that is most of the time of the whole network."""
    out_channels, *_, in_channels = layer.weight.shape  # (out, 4, 4, in)
    ours = Deconv(in_channels, out_channels, original.ops())
    ours.weight = layouts.SUBPIXEL.apply(layer.weight.transpose(3, 0, 1, 2))
    return ours


def _load_detector(path: Path) -> nn.Module:
    from wilor_mlx.detector import HandDetector

    with original.naming(path):
        module, shapes = HandDetector(), read_shapes(path)
        expected = {name: tuple(one.shape) for name, one in tensors_of(module) if name != _OF_DETECTOR}
        # What its author's file has beyond the network, wilor-mlx passes over.
        _compare(
            {name: shapes[name] for name in expected.keys() & shapes.keys()}, expected, "wilor-mlx's hand detector"
        )
        module.load_weights([(name, one) for name, one in _floats(path) if name in expected], strict=False)
        module.eval()
        mx.eval(module.parameters())
    return module


def _load_wilor(path: Path, level: zoo.Level) -> Any:
    from wilor_mlx.model import WiLoR

    with original.naming(path):
        wilor, shapes = WiLoR(), read_shapes(path)
        packed = {name.removesuffix(".scales") for name in shapes if name.endswith(".scales")}
        if bool(packed) != (level.bits is not None):
            raise LevelError(
                f"its layers are {'packed in 4 bits' if packed else 'plain floats'}, and {level.name} was asked for. "
                f"Choose {'4bit' if packed else 'fp32 or bf16'}, or the other file of {zoo.WILOR_POSE.repo}"
            )
        for part in _PARTS if packed else ():
            _pack(getattr(wilor, part), part, packed, shapes)
        expected = {name: tuple(getattr(wilor, name).shape) for name in _CONSTANTS}
        for part in _PARTS:
            expected |= {f"{part}.{name}": tuple(one.shape) for name, one in tensors_of(getattr(wilor, part))}
        _compare(shapes, expected, "WiLoR as wilor-mlx keeps it")
        tensors = dict(_floats(path))
        for part in _PARTS:
            own = [(n.removeprefix(f"{part}."), t) for n, t in tensors.items() if n.startswith(f"{part}.")]
            getattr(wilor, part).load_weights(own, strict=True)
        for name in _CONSTANTS:
            setattr(wilor, name, tensors[name])
    return wilor


def _pack(module: nn.Module, part: str, packed: set[str], shapes: Shapes) -> None:
    """Makes those of its layers packed ones that are in the file, in groups of the size that the file has. They are
    ours: MLX's own multiplies packed weights many times slower on the CPU."""
    packings = {}
    for path, layer in module.named_modules():
        name = f"{part}.{path}"
        if name in packed and isinstance(layer, nn.Linear):
            columns, scales = layer.weight.shape[1], shapes[f"{name}.scales"]
            stored = shapes.get(f"{name}.weight", ())
            group = columns // scales[-1] if scales and scales[-1] and not columns % scales[-1] else 0
            if group not in (32, 64, 128) or len(stored) != 2 or stored[1] * 32 != columns * PACKED_BITS:
                raise WeightsError(f"the layer {name} is not packed in {PACKED_BITS} bits")
            packings[path] = Packing(group, PACKED_BITS)
    use_packed_layers(module, zoo.level("4bit"), original.ops(), packings)


def _compare(shapes: Shapes, expected: Shapes, what: str) -> None:
    for name, shape in expected.items():
        if name not in shapes:
            raise WeightsError(f"it is not {what}: the tensor {name} is missing")
        if shapes[name] != shape:
            raise WeightsError(f"it is not {what}: {name} has the shape {shapes[name]} in place of {shape}")
    if left := sorted(shapes.keys() - expected.keys()):
        raise WeightsError(f"it is not {what}: it has {left[0]}, which that has not")


def _floats(path: Path) -> list[tuple[str, mx.array]]:
    """Its tensors, read when they are evaluated; those of 16 bits as float32."""
    try:
        tensors: Any = mx.load(str(path), format="safetensors")
    except (RuntimeError, ValueError) as problem:
        if is_memory_full(problem):
            raise
        raise WeightsError(f"it is damaged ({str(problem).splitlines()[0][:200]})") from problem
    half = (mx.float16, mx.bfloat16)
    return [(name, one.astype(mx.float32) if one.dtype in half else one) for name, one in tensors.items()]
