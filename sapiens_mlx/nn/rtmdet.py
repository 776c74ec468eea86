"""RTMDet, the person detector: a (B, H, W, 3) BGR picture in, class logits and box distances at three strides out.

CSPNeXt backbone, CSPNeXtPAFPN neck, separated-BatchNorm head (Lyu et al., RTMDet, arXiv 2212.07784). Parameter names
are the upstream ones; only inference is written here, so BatchNorm always uses its stored statistics.
"""

from dataclasses import dataclass
from types import ModuleType

import mlx.core as mx
import mlx.nn as nn

from . import plain

STRIDES = (8, 16, 32)
BATCH_NORM_EPS = 1e-5


@dataclass(frozen=True)
class RTMDetConfig:
    """What varies between checkpoints. `channels` and `blocks` are by backbone stage, the stem first in `channels`."""

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    neck_blocks: int
    head_channels: int
    head_convs: int


class BatchNorm(nn.Module):
    """A scale and a shift of each channel, from the stored statistics."""

    def __init__(self, channels: int, ops: ModuleType) -> None:
        super().__init__()
        self._ops = ops
        self.weight = mx.ones((channels,))
        self.bias = mx.zeros((channels,))
        self.running_mean = mx.zeros((channels,))
        self.running_var = mx.ones((channels,))

    def __call__(self, x: mx.array) -> mx.array:
        return self._ops.batch_norm(x, self.weight, self.bias, self.running_mean, self.running_var, eps=BATCH_NORM_EPS)


class ConvModule(nn.Module):
    """Convolution without bias, BatchNorm, SiLU. Padded so that only the stride makes the picture smaller."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, ops: ModuleType
    ) -> None:
        super().__init__()
        self._ops = ops
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = BatchNorm(outputs, ops)

    def __call__(self, x: mx.array) -> mx.array:
        if self.conv.groups > 1:
            y = self._ops.depthwise5x5(x, self.conv.weight)
        elif self.conv.weight.shape[1] == 1:
            y = x @ self.conv.weight[:, 0, 0].T
        else:
            y = self.conv(x)
        return self._ops.silu(self.bn(y))


class DepthwiseSeparable(nn.Module):
    """5 x 5 in each channel, then 1 x 1 across them."""

    def __init__(self, channels: int, ops: ModuleType) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(channels, channels, 5, groups=channels, ops=ops)
        self.pointwise_conv = ConvModule(channels, channels, 1, ops=ops)

    def __call__(self, x: mx.array) -> mx.array:
        return self.pointwise_conv(self.depthwise_conv(x))


class CSPNeXtBlock(nn.Module):
    """3 x 3, then depthwise separable; with `identity`, added to what came in."""

    def __init__(self, channels: int, identity: bool, ops: ModuleType) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, channels, 3, ops=ops)
        self.conv2 = DepthwiseSeparable(channels, ops)
        self._identity = identity

    def __call__(self, x: mx.array) -> mx.array:
        y = self.conv2(self.conv1(x))
        return x + y if self._identity else y


class ChannelAttention(nn.Module):
    """Each channel times a hard sigmoid of a linear map of all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def __call__(self, x: mx.array) -> mx.array:
        means = mx.mean(x.astype(mx.float32), axis=(1, 2), keepdims=True)  # in float16 the sum would overflow
        gate = self.fc(means.astype(x.dtype))  # (B, 1, 1, C)
        return x * (mx.clip(gate + 3, 0, 6) / 6)


class CSPLayer(nn.Module):
    """Half of the channels through the blocks, half past them, then merged (cross stage partial)."""

    def __init__(
        self, inputs: int, outputs: int, blocks: int, *, identity: bool, attention: bool, ops: ModuleType
    ) -> None:
        super().__init__()
        half = outputs // 2
        self.main_conv = ConvModule(inputs, half, 1, ops=ops)
        self.short_conv = ConvModule(inputs, half, 1, ops=ops)
        self.final_conv = ConvModule(2 * half, outputs, 1, ops=ops)
        self.blocks = [CSPNeXtBlock(half, identity, ops) for _ in range(blocks)]
        if attention:
            self.attention = ChannelAttention(2 * half)

    def __call__(self, x: mx.array) -> mx.array:
        main = self.main_conv(x)
        for block in self.blocks:
            main = block(main)
        x = mx.concatenate([main, self.short_conv(x)], axis=-1)
        if "attention" in self:
            x = self.attention(x)
        return self.final_conv(x)


class SPPBottleneck(nn.Module):
    """Largest values over windows of 5, 9 and 13 pixels beside the map itself; 9 and 13 are 5 applied again."""

    def __init__(self, channels: int, ops: ModuleType) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, channels // 2, 1, ops=ops)
        self.conv2 = ConvModule(4 * (channels // 2), channels, 1, ops=ops)
        self._pool = nn.MaxPool2d(5, stride=1, padding=2)

    def __call__(self, x: mx.array) -> mx.array:
        maps = [self.conv1(x)]
        for _ in range(3):
            maps.append(self._pool(maps[-1]))
        return self.conv2(mx.concatenate(maps, axis=-1))


class CSPNeXt(nn.Module):
    """The backbone: (B, H, W, 3) to maps at strides 8, 16 and 32."""

    def __init__(self, config: RTMDetConfig, ops: ModuleType) -> None:
        super().__init__()
        stem, *widths = config.channels
        shapes = ((3, stem // 2, 2), (stem // 2, stem // 2, 1), (stem // 2, stem, 1))
        self.stem = [ConvModule(inputs, outputs, 3, stride, ops=ops) for inputs, outputs, stride in shapes]
        for number, (width, blocks) in enumerate(zip(widths, config.blocks, strict=True), start=1):
            last = number == 4  # it pools, and adds nothing to its blocks' outputs
            stage: list[nn.Module] = [ConvModule(config.channels[number - 1], width, 3, 2, ops=ops)]
            if last:
                stage.append(SPPBottleneck(width, ops))
            stage.append(CSPLayer(width, width, blocks, identity=not last, attention=True, ops=ops))
            self[f"stage{number}"] = stage

    def __call__(self, x: mx.array) -> tuple[mx.array, mx.array, mx.array]:
        maps = []
        for part in (self.stem, self.stage1, self.stage2, self.stage3, self.stage4):
            for layer in part:
                x = layer(x)
            maps.append(x)
        return maps[2], maps[3], maps[4]


class CSPNeXtPAFPN(nn.Module):
    """The neck: context from coarse to fine and back again, then every level brought to the head's channels."""

    def __init__(self, config: RTMDetConfig, ops: ModuleType) -> None:
        super().__init__()
        fine, middle, coarse = config.channels[2:]

        def merge(inputs: int, outputs: int) -> CSPLayer:
            return CSPLayer(inputs, outputs, config.neck_blocks, identity=False, attention=False, ops=ops)

        self.reduce_layers = [ConvModule(coarse, middle, 1, ops=ops), ConvModule(middle, fine, 1, ops=ops)]
        self.top_down_blocks = [merge(2 * middle, middle), merge(2 * fine, fine)]
        self.downsamples = [ConvModule(width, width, 3, 2, ops=ops) for width in (fine, middle)]
        self.bottom_up_blocks = [merge(2 * fine, middle), merge(2 * middle, coarse)]
        self.out_convs = [ConvModule(width, config.head_channels, 3, ops=ops) for width in (fine, middle, coarse)]

    def __call__(self, maps: tuple[mx.array, mx.array, mx.array]) -> list[mx.array]:
        fine, middle, coarse = maps
        coarse = self.reduce_layers[0](coarse)
        middle = self.top_down_blocks[0](mx.concatenate([upsample(coarse), middle], axis=-1))
        middle = self.reduce_layers[1](middle)
        fine = self.top_down_blocks[1](mx.concatenate([upsample(middle), fine], axis=-1))
        middle = self.bottom_up_blocks[0](mx.concatenate([self.downsamples[0](fine), middle], axis=-1))
        coarse = self.bottom_up_blocks[1](mx.concatenate([self.downsamples[1](middle), coarse], axis=-1))
        return [conv(x) for conv, x in zip(self.out_convs, (fine, middle, coarse), strict=True)]


class RTMDetSepBNHead(nn.Module):
    """Class logits and distances to the box sides at every point. Files store the convolutions that the levels share
    once a level, and so does this module."""

    def __init__(self, config: RTMDetConfig, ops: ModuleType) -> None:
        super().__init__()
        channels = config.head_channels
        levels = range(len(STRIDES))

        def stack() -> list[ConvModule]:
            return [ConvModule(channels, channels, 3, ops=ops) for _ in range(config.head_convs)]

        self.cls_convs = [stack() for _ in levels]
        self.reg_convs = [stack() for _ in levels]
        self.rtm_cls = [nn.Conv2d(channels, 1, 1) for _ in levels]
        self.rtm_reg = [nn.Conv2d(channels, 4, 1) for _ in levels]

    def __call__(self, maps: list[mx.array]) -> tuple[tuple[mx.array, ...], tuple[mx.array, ...]]:
        logits, distances = [], []
        for level, (x, stride) in enumerate(zip(maps, STRIDES, strict=True)):
            cls, reg = x, x
            for cls_conv, reg_conv in zip(self.cls_convs[level], self.reg_convs[level], strict=True):
                cls, reg = cls_conv(cls), reg_conv(reg)
            logits.append(self.rtm_cls[level](cls))
            distances.append(mx.exp(self.rtm_reg[level](reg)) * stride)
        return tuple(logits), tuple(distances)


class RTMDet(nn.Module):
    """The whole detector, for the one class person. `ops` are the operations that differ by device."""

    def __init__(self, config: RTMDetConfig, ops: ModuleType = plain) -> None:
        super().__init__()
        self.backbone = CSPNeXt(config, ops)
        self.neck = CSPNeXtPAFPN(config, ops)
        self.bbox_head = RTMDetSepBNHead(config, ops)

    def __call__(self, pixels: mx.array) -> tuple[tuple[mx.array, ...], tuple[mx.array, ...]]:
        """Logits and distances by level, for strides 8, 16 and 32.

        Args:
            pixels: (B, H, W, 3) float, BGR, normalised; H and W are multiples of 32.

        Returns:
            Three maps of person logits (B, h, w, 1), and three maps of distances (B, h, w, 4) from the point
            (x * stride, y * stride) to the box's left, top, right and bottom side, in input pixels.

        Raises:
            ValueError: for another input size.
        """
        height, width = pixels.shape[1:3]
        if height % STRIDES[-1] or width % STRIDES[-1]:
            raise ValueError(f"input height and width must be multiples of {STRIDES[-1]}, not {height} x {width}")
        return self.bbox_head(self.neck(self.backbone(pixels)))


def upsample(x: mx.array) -> mx.array:
    """(B, H, W, C) -> (B, 2H, 2W, C), each pixel repeated."""
    return mx.repeat(mx.repeat(x, 2, axis=1), 2, axis=2)
