"""Sapiens2 at demo size in PyTorch: pixels (B, 3, H, W), normalised, in; each head's raw output (B, C, H, W) out.

Only what training needs, in torch's channels-first layout. Parameters carry the names of the original checkpoints, so
that what export.py writes is read by the project's ordinary loader.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812  as all of torch's world calls it
from torch import Tensor, nn

from .data import PATCH, WINDOW

STORAGE_TOKENS = 8
EXTRA_TOKENS = 1 + STORAGE_TOKENS
RMS_NORM_EPS = 1e-6
INSTANCE_NORM_EPS = 1e-5
ROPE_BASE = 100.0


@dataclass(frozen=True)
class DeconvHeadConfig:
    """Seg and pose: transposed convolutions, then 1 x 1 convolutions."""

    final: str
    out_channels: int
    deconv_channels: tuple[int, ...]
    conv_channels: tuple[int, ...]


@dataclass(frozen=True)
class ShuffleHeadConfig:
    """The dense tasks: 3 x 3 convolutions with PixelShuffle, then 3 x 3 convolutions.

    `scale_channels` and `scale_widths` are the pointmap's second branch: strided convolutions, then Linear layers
    whose last has one output.
    """

    final: str
    out_channels: int
    upsample_channels: tuple[int, ...]
    conv_channels: tuple[int, ...]
    weighted_norm: bool = False
    scale_channels: tuple[int, ...] = ()
    scale_widths: tuple[int, ...] = ()


DENSE = (32, 32, 16, 16)  # channels after each of the four upsamplings


@dataclass(frozen=True)
class Config:
    """The demo size. `kv_heads` has one number a block; input height and width are multiples of 32."""

    input_hw: tuple[int, int] = (384, 288)
    embed_dim: int = 192
    head_dim: int = 32
    kv_heads: tuple[int, ...] = (6, 3, 3, 3, 6)
    ffn_dim: int = 384
    heads: dict[str, DeconvHeadConfig | ShuffleHeadConfig] = field(
        default_factory=lambda: {
            "seg": DeconvHeadConfig("conv_seg", 29, (64, 64, 32, 32), (32,)),
            "pose": DeconvHeadConfig("conv_pose", 308, (96, 64), (64,)),
            "normal": ShuffleHeadConfig("conv_normal", 3, DENSE, (16,)),
            "pointmap": ShuffleHeadConfig(
                "conv_pointmap", 3, DENSE, (16,), scale_channels=(64, 64, 64), scale_widths=(64, 64)
            ),
            "albedo": ShuffleHeadConfig("conv_albedo", 3, DENSE, (16,), weighted_norm=True),
            "matting": ShuffleHeadConfig("conv_matting", 4, DENSE, (16,)),
        }
    )

    @property
    def grid_hw(self) -> tuple[int, int]:
        return self.input_hw[0] // PATCH, self.input_hw[1] // PATCH


CONFIG = Config()


# ---- backbone -------------------------------------------------------------------------------------------------------


def rope_tables(grid_hw: tuple[int, int], head_dim: int) -> tuple[Tensor, Tensor]:
    """Sine and cosine (N, head_dim) in bfloat16 for the patches row by row, every step rounded as MODELS.md says."""
    half = torch.bfloat16
    exponents = torch.arange(0, head_dim // 2, 2).to(half) / (head_dim // 2)
    periods = torch.tensor(ROPE_BASE, dtype=half) ** exponents
    rows, columns = ((torch.arange(0.5, n).to(half) / n) for n in grid_hw)
    centres = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1).reshape(-1, 2)
    coordinates = 2 * centres - 1
    angles = 2 * math.pi * coordinates[:, :, None] / periods  # (N, 2, head_dim / 4)
    angles = angles.flatten(1).tile(2)
    return angles.sin(), angles.cos()


def rotate(x: Tensor, sine: Tensor, cosine: Tensor) -> Tensor:
    """x (B, heads, L, d) with its patch tokens turned, in bfloat16 as the reference does it; same dtype out."""
    narrow = x.to(sine.dtype)
    extra, patches = narrow[:, :, :EXTRA_TOKENS], narrow[:, :, EXTRA_TOKENS:]
    first, second = patches.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return torch.cat([extra, patches * cosine + turned * sine], dim=2).to(x.dtype)


class RMSNorm(nn.Module):
    """Over the last axis, with weights; written out because torch's own is slow with float32 weights on bfloat16."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + RMS_NORM_EPS) * self.weight).to(x.dtype)


class LayerScale(nn.Module):
    def __init__(self, channels: int, start: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Attention(nn.Module):
    """Attention with QK-norm, RoPE and LayerScale; each K/V head serves heads / kv_heads consecutive query heads."""

    def __init__(self, config: Config, kv_heads: int) -> None:
        super().__init__()
        dim, head_dim = config.embed_dim, config.head_dim
        self.heads, self.kv_heads = dim // head_dim, kv_heads
        self.wq = nn.Linear(dim, dim)
        self.wk = nn.Linear(dim, kv_heads * head_dim)
        self.wv = nn.Linear(dim, kv_heads * head_dim)
        self.q_norm = RMSNorm(head_dim)
        self.k_norm = RMSNorm(head_dim)
        self.proj = nn.Linear(dim, dim)
        self.gamma = LayerScale(dim, 0.5)

    def forward(self, x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
        batch, length, dim = x.shape
        q = self.wq(x).view(batch, length, self.heads, -1).transpose(1, 2)
        k = self.wk(x).view(batch, length, self.kv_heads, -1).transpose(1, 2)
        v = self.wv(x).view(batch, length, self.kv_heads, -1).transpose(1, 2)
        q, k = rotate(self.q_norm(q), *tables).to(v.dtype), rotate(self.k_norm(k), *tables).to(v.dtype)
        if self.kv_heads != self.heads:
            k, v = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (k, v))
        if x.device.type == "cpu":  # compiled and in bfloat16 this takes two thirds of the time of torch's own
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            out = scores.float().softmax(-1).to(v.dtype) @ v
        else:
            out = F.scaled_dot_product_attention(q, k, v)
        return self.gamma(self.proj(out.transpose(1, 2).reshape(batch, length, dim)))


class SwiGLU(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.w12 = nn.Linear(dim, 2 * hidden)
        self.w3 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        return self.w3(F.silu(gate) * value)


class Block(nn.Module):
    def __init__(self, config: Config, kv_heads: int) -> None:
        super().__init__()
        self.ln1 = RMSNorm(config.embed_dim)
        self.attn = Attention(config, kv_heads)
        self.ln2 = RMSNorm(config.embed_dim)
        self.ffn = SwiGLU(config.embed_dim, config.ffn_dim)

    def forward(self, x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attn(self.ln1(x), tables)
        return x + self.ffn(self.ln2(x))


class PatchEmbed(nn.Module):
    """A 16 x 16 convolution of stride 16, computed as one product."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, dim, PATCH, PATCH)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = F.unfold(pixels, PATCH, stride=PATCH).transpose(1, 2)  # (B, N, 3 * 16 * 16)
        return F.linear(patches, self.projection.weight.flatten(1), self.projection.bias)


class Backbone(nn.Module):
    """Pixels (B, 3, H, W) to the feature map (B, C, H / 16, W / 16)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dim = config.embed_dim
        self.patch_embed = PatchEmbed(dim)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.storage_tokens = nn.Parameter(torch.randn(1, STORAGE_TOKENS, dim) * 0.02)
        self.blocks = nn.ModuleList(Block(config, kv_heads) for kv_heads in config.kv_heads)
        self.ln1 = RMSNorm(dim)
        sine, cosine = rope_tables(config.grid_hw, config.head_dim)
        self.register_buffer("sine", sine, persistent=False)
        self.register_buffer("cosine", cosine, persistent=False)
        self.grid_hw = config.grid_hw

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embed(pixels)
        extra = torch.cat([self.cls_token, self.storage_tokens], dim=1)
        x = torch.cat([extra.expand(len(pixels), -1, -1), patches], dim=1)
        for block in self.blocks:
            x = block(x, (self.sine, self.cosine))
        x = self.ln1(x)[:, EXTRA_TOKENS:]
        return x.transpose(1, 2).unflatten(2, self.grid_hw)


# A head begins by looking at one of these neighbours, in parts of half the picture, or everywhere (None).
NEIGHBOURS = ((0, 0), (-1 / 6, 0), (1 / 6, 0), (0, -1 / 6), (0, 1 / 6), None)
FAST, SLOW = range(3), range(5, 8)  # RoPE's periods: those that tell neighbours apart, those that hardly turn
FOCUS = 2.0  # of the QK-norm's weights: how much a neighbour is preferred


@torch.no_grad()
def look_around(backbone: Backbone) -> None:
    """Attention to begin with: by place, as a convolution, and hardly by content (as ConViT, arXiv 2103.10697).

    Queries and keys are mostly their biases, which RoPE turns by each patch's place: a query ahead of the key by the
    angle of a shift attends to where that shift leads. Few pictures do not teach blocks to look around.
    """
    for block in backbone.blocks:
        attention = block.attn
        half = attention.wq.out_features // attention.heads // 2  # a pair (i, i + half) is turned together
        axis = half // 2
        for layer, heads in ((attention.wq, attention.heads), (attention.wk, attention.kv_heads)):
            layer.weight.mul_(0.25)
            bias = torch.zeros(heads, 2 * half)
            for head in range(heads):
                shift = NEIGHBOURS[head % len(NEIGHBOURS)] if layer is attention.wq else (0, 0)
                # A key serves several queries, so it answers to fast and slow ones alike.
                periods = (*FAST, *SLOW) if layer is attention.wk else FAST if shift is not None else SLOW
                for i in periods:
                    for number in (0, 1):
                        ahead = 2 * math.pi * (shift or (0, 0))[number] / ROPE_BASE ** (i / axis)
                        pair = number * axis + i
                        bias[head, pair], bias[head, pair + half] = math.cos(ahead), math.sin(ahead)
            layer.bias.copy_(bias.flatten())
        attention.q_norm.weight.fill_(FOCUS)
        attention.k_norm.weight.fill_(FOCUS)
        # Blocks add nothing yet: at random they would drown the patches, which the heads learn from first.
        for layer in (attention.proj, block.ffn.w3):
            layer.weight.zero_()
            layer.bias.zero_()


# ---- heads ----------------------------------------------------------------------------------------------------------


class InstanceNorm(nn.Module):
    """Zero mean and unit variance of each image and channel, statistics in float32."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x.float(), dim=(2, 3), keepdim=True, correction=0)
        scale = torch.rsqrt(variance + INSTANCE_NORM_EPS)
        return (x * scale - mean * scale).to(x.dtype)


class ChannelRMSNorm(nn.Module):
    """RMSNorm over the channels at each pixel, with weights."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = RMSNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.float().square().mean(dim=1, keepdim=True) + RMS_NORM_EPS)
        return (x * scale * self.norm.weight[:, None, None]).to(x.dtype)


class DeconvHead(nn.Module):
    def __init__(self, in_channels: int, config: DeconvHeadConfig) -> None:
        super().__init__()
        deconvs, convs, channels = [], [], in_channels
        for width in config.deconv_channels:
            deconvs += [nn.ConvTranspose2d(channels, width, 4, 2, 1, bias=False), InstanceNorm(), nn.SiLU()]
            channels = width
        for width in config.conv_channels:
            convs += [nn.Conv2d(channels, width, 1), InstanceNorm(), nn.SiLU()]
            channels = width
        self.deconv_layers, self.conv_layers = nn.Sequential(*deconvs), nn.Sequential(*convs)
        self.final = config.final
        self.add_module(config.final, nn.Conv2d(channels, config.out_channels, 1))

    def forward(self, x: Tensor, channels: Tensor | None = None) -> Tensor:
        """`channels` (K,) are those wanted; default: all."""
        x, final = self.conv_layers(self.deconv_layers(x)), self.get_submodule(self.final)
        return final(x) if channels is None else F.conv2d(x, final.weight[channels], final.bias[channels])


class ShuffleHead(nn.Module):
    """With a scale branch it returns the pair of maps and scales (B, 1). Matting is returned before its sigmoid."""

    def __init__(self, in_channels: int, config: ShuffleHeadConfig, grid_hw: tuple[int, int]) -> None:
        super().__init__()

        def norm(channels: int) -> nn.Module:
            return ChannelRMSNorm(channels) if config.weighted_norm else InstanceNorm()

        channels = in_channels
        self.input_conv = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), norm(channels), nn.SiLU())
        blocks, convs = [], []
        for width in config.upsample_channels:
            conv = nn.Conv2d(channels, 4 * width, 3, padding=1)
            blocks.append(nn.Sequential(conv, nn.PixelShuffle(2), norm(width), nn.SiLU()))
            channels = width
        for width in config.conv_channels:
            convs += [nn.Conv2d(channels, width, 3, padding=1), norm(width), nn.SiLU()]
            channels = width
        self.upsample_blocks, self.conv_layers = nn.Sequential(*blocks), nn.Sequential(*convs)
        self.final = config.final
        self.add_module(config.final, nn.Conv2d(channels, config.out_channels, 1))
        self.has_scale = bool(config.scale_channels)
        if self.has_scale:
            strided, linear, channels, (rows, columns) = [], [nn.Flatten()], in_channels, grid_hw
            for width in config.scale_channels:
                strided += [nn.Conv2d(channels, width, 1, stride=2), InstanceNorm(), nn.SiLU()]
                channels, rows, columns = width, (rows + 1) // 2, (columns + 1) // 2
            fan_in = channels * rows * columns
            for width in config.scale_widths:
                linear += [nn.Linear(fan_in, width), nn.SiLU()]
                fan_in = width
            self.scale_conv_layers = nn.Sequential(*strided)
            self.scale_final_layer = nn.Sequential(*linear, nn.Linear(fan_in, 1))

    def forward(self, features: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        maps = self.conv_layers(self.upsample_blocks(self.input_conv(features)))
        maps = self.get_submodule(self.final)(maps)
        return (maps, self.scale_final_layer(self.scale_conv_layers(features))) if self.has_scale else maps


# What a final layer answers before it has learnt anything: mostly background, mid grey, mostly nobody.
FIRST_BIAS = {"seg": (0, 3.0), "albedo": (slice(None), 0.35), "matting": (slice(None), -1.0)}


def build_head(task: str, config: Config = CONFIG) -> DeconvHead | ShuffleHead:
    """The head of a task. Biases start at 0: where no InstanceNorm takes the mean away they would drown the picture."""
    head = config.heads[task]
    if isinstance(head, DeconvHeadConfig):
        module: DeconvHead | ShuffleHead = DeconvHead(config.embed_dim, head)
    else:
        module = ShuffleHead(config.embed_dim, head, config.grid_hw)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    final = module.get_submodule(head.final)
    nn.init.normal_(final.weight, std=0.5 * final.in_channels**-0.5)
    if task in FIRST_BIAS:
        channels, value = FIRST_BIAS[task]
        with torch.no_grad():
            final.bias[channels] = value
    return module


def cut(features: Tensor, corners: Tensor) -> Tensor:
    """The WINDOW of each feature map (B, C, h, w) at its corner; `corners` (B, 2) int64, row and column."""
    height, width = WINDOW
    rows = corners[:, :1] + torch.arange(height, device=features.device)  # (B, height)
    columns = corners[:, 1:] + torch.arange(width, device=features.device)
    image = torch.arange(len(features), device=features.device)
    found = features.permute(0, 2, 3, 1)[image[:, None, None], rows[:, :, None], columns[:, None, :]]
    return found.permute(0, 3, 1, 2)


SIDED = {"seg", "pose"}  # the tasks whose answers have a left and a right


class Network(nn.Module):
    """One backbone and a head for each of `tasks`: the trunk has many, a network that is exported one."""

    def __init__(self, tasks: tuple[str, ...], config: Config = CONFIG) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.heads = nn.ModuleDict({task: build_head(task, config) for task in tasks})
        # Which side of somebody a patch shows: asked while training only, and not exported.
        self.sides = nn.Conv2d(config.embed_dim, 1, 1) if SIDED & set(tasks) else None

    def forward(self, pixels: Tensor, tasks: tuple[str, ...] | None = None) -> dict[str, Tensor | tuple]:
        """Raw outputs by task, for `pixels` (B, 3, H, W) normalised; `tasks` defaults to all that have a head."""
        features = self.backbone(pixels)
        return {task: self.heads[task](features) for task in tasks or self.heads}
