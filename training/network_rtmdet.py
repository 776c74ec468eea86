"""A small RTMDet in PyTorch with the upstream parameter names: a (B, 3, H, W) BGR picture, normalised, in; per stride
class logits (B, 1, h, w) and box distances (B, 4, h, w) in input pixels out (Lyu et al., arXiv 2212.07784)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

STRIDES = (8, 16, 32)
RARE = 0.01  # the score that every point starts with


@dataclass(frozen=True)
class DetectorConfig:
    """`channels` by backbone stage, the stem first; `blocks` by stage."""

    channels: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128)
    blocks: tuple[int, int, int, int] = (1, 2, 2, 1)
    neck_blocks: int = 1
    head_channels: int = 48
    head_convs: int = 2


CONFIG = DetectorConfig()


class ConvModule(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.bn(self.conv(x)))


class DepthwiseSeparable(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(channels, channels, 5, groups=channels)
        self.pointwise_conv = ConvModule(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise_conv(self.depthwise_conv(x))


class CSPNeXtBlock(nn.Module):
    def __init__(self, channels: int, identity: bool) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, channels, 3)
        self.conv2 = DepthwiseSeparable(channels)
        self.identity = identity

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.conv1(x))
        return x + y if self.identity else y


class ChannelAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.fc(x.mean((2, 3), keepdim=True)))


class CSPLayer(nn.Module):
    def __init__(self, inputs: int, outputs: int, blocks: int, *, identity: bool, attention: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.main_conv = ConvModule(inputs, half, 1)
        self.short_conv = ConvModule(inputs, half, 1)
        self.final_conv = ConvModule(2 * half, outputs, 1)
        self.blocks = nn.Sequential(*(CSPNeXtBlock(half, identity) for _ in range(blocks)))
        self.attention = ChannelAttention(2 * half) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.final_conv(self.attention(torch.cat([self.blocks(self.main_conv(x)), self.short_conv(x)], dim=1)))


class SPPBottleneck(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvModule(channels, channels // 2, 1)
        self.conv2 = ConvModule(4 * (channels // 2), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = [self.conv1(x)]
        for _ in range(3):
            maps.append(F.max_pool2d(maps[-1], 5, 1, 2))
        return self.conv2(torch.cat(maps, dim=1))


class CSPNeXt(nn.Module):
    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        stem = config.channels[0]
        self.stem = nn.Sequential(
            ConvModule(3, stem // 2, 3, 2), ConvModule(stem // 2, stem // 2, 3), ConvModule(stem // 2, stem, 3)
        )
        for number, (width, blocks) in enumerate(zip(config.channels[1:], config.blocks, strict=True), start=1):
            last = number == 4
            stage = [ConvModule(config.channels[number - 1], width, 3, 2)]
            if last:
                stage.append(SPPBottleneck(width))
            stage.append(CSPLayer(width, width, blocks, identity=not last, attention=True))
            self.add_module(f"stage{number}", nn.Sequential(*stage))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine = self.stage2(self.stage1(self.stem(x)))
        middle = self.stage3(fine)
        return fine, middle, self.stage4(middle)


class CSPNeXtPAFPN(nn.Module):
    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.channels[2:]

        def merge(inputs: int, outputs: int) -> CSPLayer:
            return CSPLayer(inputs, outputs, config.neck_blocks, identity=False, attention=False)

        self.reduce_layers = nn.ModuleList([ConvModule(coarse, middle, 1), ConvModule(middle, fine, 1)])
        self.top_down_blocks = nn.ModuleList([merge(2 * middle, middle), merge(2 * fine, fine)])
        self.downsamples = nn.ModuleList([ConvModule(fine, fine, 3, 2), ConvModule(middle, middle, 3, 2)])
        self.bottom_up_blocks = nn.ModuleList([merge(2 * fine, middle), merge(2 * middle, coarse)])
        self.out_convs = nn.ModuleList(ConvModule(width, config.head_channels, 3) for width in (fine, middle, coarse))

    def forward(self, maps: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
        fine, middle, coarse = maps
        coarse = self.reduce_layers[0](coarse)
        middle = self.top_down_blocks[0](torch.cat([F.interpolate(coarse, scale_factor=2), middle], dim=1))
        middle = self.reduce_layers[1](middle)
        fine = self.top_down_blocks[1](torch.cat([F.interpolate(middle, scale_factor=2), fine], dim=1))
        middle = self.bottom_up_blocks[0](torch.cat([self.downsamples[0](fine), middle], dim=1))
        coarse = self.bottom_up_blocks[1](torch.cat([self.downsamples[1](middle), coarse], dim=1))
        return [conv(x) for conv, x in zip(self.out_convs, (fine, middle, coarse), strict=True)]


class RTMDetSepBNHead(nn.Module):
    """The levels share their stacked convolutions and keep BatchNorms of their own."""

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        channels = config.head_channels

        def stacks() -> nn.ModuleList:
            levels = nn.ModuleList(
                nn.ModuleList(ConvModule(channels, channels, 3) for _ in range(config.head_convs)) for _ in STRIDES
            )
            for level in levels[1:]:
                for own, shared in zip(level, levels[0], strict=True):
                    own.conv = shared.conv
            return levels

        self.cls_convs, self.reg_convs = stacks(), stacks()
        self.rtm_cls = nn.ModuleList(nn.Conv2d(channels, 1, 1) for _ in STRIDES)
        self.rtm_reg = nn.ModuleList(nn.Conv2d(channels, 4, 1) for _ in STRIDES)
        for layer in self.rtm_cls:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, -math.log(1 / RARE - 1))
        for layer in self.rtm_reg:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, 1.0)

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, distances = [], []
        for level, (x, stride) in enumerate(zip(maps, STRIDES, strict=True)):
            cls, reg = x, x
            for cls_conv, reg_conv in zip(self.cls_convs[level], self.reg_convs[level], strict=True):
                cls, reg = cls_conv(cls), reg_conv(reg)
            logits.append(self.rtm_cls[level](cls).float())
            distances.append(self.rtm_reg[level](reg).float().clamp(max=6).exp() * stride)
        return logits, distances


class RTMDet(nn.Module):
    def __init__(self, config: DetectorConfig = CONFIG) -> None:
        super().__init__()
        self.backbone = CSPNeXt(config)
        self.neck = CSPNeXtPAFPN(config)
        self.bbox_head = RTMDetSepBNHead(config)

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        return self.bbox_head(self.neck(self.backbone(pixels)))
