"""The heads, features (B, h, w, C) in and channels last out; backbone and head as one network, or without the head."""

from dataclasses import dataclass
from types import ModuleType

import mlx.core as mx
import mlx.nn as nn

from . import plain
from .backbone import Backbone, BackboneConfig, Step
from .layers import Conv, Deconv, InstanceNormSiLU, Part, PixelShuffle, RMSNormSiLU


@dataclass(frozen=True)
class DeconvHeadConfig:
    """Seg and pose: transposed convolutions, 1 x 1 convolutions, and the final layer called `final`."""

    in_channels: int
    deconv_channels: tuple[int, ...]
    conv_channels: tuple[int, ...]
    out_channels: int
    final: str


@dataclass(frozen=True)
class ScaleConfig:
    """The pointmap's second branch: strided 1 x 1 convolutions, then Linear layers of these widths, input first."""

    conv_channels: tuple[int, ...]
    linear_widths: tuple[int, ...]


@dataclass(frozen=True)
class ShuffleHeadConfig:
    """Normal, pointmap, albedo and matting: 3 x 3 convolutions, PixelShuffle upsampling, and the final layer.

    `weighted_norm` is the albedo's RMSNorm in place of InstanceNorm; `sigmoid` is for matting.
    """

    in_channels: int
    upsample_channels: tuple[int, ...]
    conv_channels: tuple[int, ...]
    out_channels: int
    final: str
    weighted_norm: bool = False
    sigmoid: bool = False
    scale: ScaleConfig | None = None


# Lists below keep an entry for every layer of the original, the activation included, so that the names of the weights
# (`conv_layers.3.weight`) count as in the files. Norm and SiLU are one step here: the entry behind it does nothing.


class DeconvHead(Part):
    """Features (B, h, w, C) to (B, 2^n h, 2^n w, out) for n transposed convolutions."""

    def __init__(self, config: DeconvHeadConfig, ops: ModuleType = plain) -> None:
        super().__init__()
        self.deconv_layers, self.conv_layers = [], []
        channels = config.in_channels
        for width in config.deconv_channels:
            self.deconv_layers += [Deconv(channels, width, ops), InstanceNormSiLU(ops), nn.Identity()]
            channels = width
        for width in config.conv_channels:
            self.conv_layers += [Conv(channels, width, 1, ops=ops), InstanceNormSiLU(ops), nn.Identity()]
            channels = width
        self._final = config.final
        self[config.final] = Conv(channels, config.out_channels, 1, ops=ops)

    def forward(self, x: mx.array) -> mx.array:
        for layer in (*self.deconv_layers, *self.conv_layers, self[self._final]):
            x = layer(x)
        return x


class ShuffleHead(Part):
    """Features (B, h, w, C) to (B, 2^n h, 2^n w, out); with a scale branch the pair of that and (B, 1)."""

    def __init__(self, config: ShuffleHeadConfig, ops: ModuleType = plain) -> None:
        super().__init__()

        def norm(channels: int) -> nn.Module:
            return RMSNormSiLU(channels, ops) if config.weighted_norm else InstanceNormSiLU(ops)

        channels = config.in_channels
        self.input_conv = [Conv(channels, channels, 3, ops=ops), norm(channels), nn.Identity()]
        self.upsample_blocks, self.conv_layers = [], []
        for width in config.upsample_channels:
            block = [Conv(channels, 4 * width, 3, ops=ops), PixelShuffle(), norm(width), nn.Identity()]
            self.upsample_blocks.append(block)
            channels = width
        for width in config.conv_channels:
            self.conv_layers += [Conv(channels, width, 3, ops=ops), norm(width), nn.Identity()]
            channels = width
        self._final, self._sigmoid, self._scale = config.final, config.sigmoid, config.scale is not None
        self[config.final] = Conv(channels, config.out_channels, 1, ops=ops)
        if config.scale is not None:
            self.scale_conv_layers: list[nn.Module] = []
            self.scale_final_layer: list[nn.Module] = [nn.Identity()]
            channels = config.in_channels
            for width in config.scale.conv_channels:
                conv = Conv(channels, width, 1, stride=2, ops=ops)
                self.scale_conv_layers += [conv, InstanceNormSiLU(ops), nn.Identity()]
                channels = width
            for fan_in, fan_out in zip(config.scale.linear_widths, config.scale.linear_widths[1:], strict=False):
                self.scale_final_layer += [nn.Linear(fan_in, fan_out), nn.SiLU()]
            self.scale_final_layer.pop()  # no activation after the last

    def forward(self, features: mx.array) -> mx.array | tuple[mx.array, mx.array]:
        x = features
        upsampling = [layer for block in self.upsample_blocks for layer in block]
        for layer in (*self.input_conv, *upsampling, *self.conv_layers, self[self._final]):
            x = layer(x)
        if self._sigmoid:
            x = mx.sigmoid(x)
        return (x, self._scale_of(features)) if self._scale else x

    def _scale_of(self, x: mx.array) -> mx.array:
        for layer in self.scale_conv_layers:
            x = layer(x)
        x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)  # the Linear layers count channels first
        for layer in self.scale_final_layer:
            x = layer(x)
        return x  # (B, 1)


class Estimator(nn.Module):
    """Backbone and head: pixels (B, H, W, 3), normalised, to the head's raw output."""

    def __init__(
        self, backbone: BackboneConfig, head: DeconvHeadConfig | ShuffleHeadConfig, ops: ModuleType = plain
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, ops)
        self.decode_head = DeconvHead(head, ops) if isinstance(head, DeconvHeadConfig) else ShuffleHead(head, ops)

    def __call__(self, pixels: mx.array, step: Step | None = None) -> mx.array | tuple[mx.array, mx.array]:
        return self.decode_head(self.backbone.feature_map(pixels, step))


class Headless(nn.Module):
    """The backbone of a task's network, named as in its checkpoint: pixels to tokens (B, 9 + N, C), as Backbone."""

    def __init__(self, backbone: BackboneConfig, ops: ModuleType = plain) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, ops)

    def __call__(self, pixels: mx.array, step: Step | None = None) -> mx.array:
        return self.backbone(pixels, step)
