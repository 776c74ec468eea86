"""The Sapiens2 backbone: a vision transformer with 2-D RoPE, QK-norm, SwiGLU and grouped K/V heads.

Pixels (B, H, W, 3), normalised, go in; tokens (B, 9 + N, C) after the final norm come out: cls, 8 storage, N patches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import mlx.core as mx
import mlx.nn as nn

from . import plain, rope
from .layers import RMS_NORM_EPS, LayerScale, Part

PATCH = 16
STORAGE_TOKENS = 8
EXTRA_TOKENS = 1 + STORAGE_TOKENS
WINDOW = 4  # of the 4K tokenizer: 4 x 4 patches become one token
WINDOWS_AT_A_TIME = 1024

# step(x, done, total) is called after each block: the place to evaluate, report and stop. Those of a tokenizer count
# once for each chunk of windows.
Step = Callable[[mx.array, int, int], None]


@dataclass(frozen=True)
class BackboneConfig:
    """What varies between backbones. `kv_heads` has one number a block; `ffn_dim` is the width after SwiGLU."""

    embed_dim: int
    num_heads: int
    kv_heads: tuple[int, ...]
    ffn_dim: int
    tokenizer_layers: int = 0
    tokenizer_ffn_dim: int = 0
    rope_dtype: mx.Dtype = mx.bfloat16

    @property
    def head_dim(self) -> int:
        return self.embed_dim // self.num_heads


class PatchEmbed(nn.Module):
    """Cuts the picture into 16 x 16 patches and projects each: a reshape and one product."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.projection = nn.Linear(PATCH * PATCH * 3, embed_dim)

    def __call__(self, pixels: mx.array) -> mx.array:
        batch, height, width, _ = pixels.shape
        if height % PATCH or width % PATCH:
            raise ValueError(f"input height and width must be multiples of {PATCH}, not {height} x {width}")
        rows, columns = height // PATCH, width // PATCH
        patches = pixels.reshape(batch, rows, PATCH, columns, PATCH, 3).transpose(0, 1, 3, 2, 4, 5)
        return self.projection(patches.reshape(batch, rows, columns, -1))  # (B, rows, columns, C)


class Attention(nn.Module):
    """Multi-head attention; with `main`, QK-norm before RoPE and a LayerScale at the end, as in the main blocks."""

    def __init__(self, config: BackboneConfig, kv_heads: int, main: bool, ops: ModuleType) -> None:
        super().__init__()
        self._ops, self._heads, self._kv_heads = ops, config.num_heads, kv_heads
        self._scale = config.head_dim**-0.5
        kv_dim = kv_heads * config.head_dim
        self.wq = nn.Linear(config.embed_dim, config.embed_dim)
        self.wk = nn.Linear(config.embed_dim, kv_dim)
        self.wv = nn.Linear(config.embed_dim, kv_dim)
        self.proj = nn.Linear(config.embed_dim, config.embed_dim)
        if main:
            self.q_norm = nn.RMSNorm(config.head_dim, RMS_NORM_EPS)
            self.k_norm = nn.RMSNorm(config.head_dim, RMS_NORM_EPS)
            self.gamma = LayerScale(config.embed_dim)
        self._main = main

    def __call__(self, x: mx.array, tables: tuple[mx.array, mx.array] | None) -> mx.array:
        batch, length, _ = x.shape
        q = self.wq(x).reshape(batch, length, self._heads, -1)
        k = self.wk(x).reshape(batch, length, self._kv_heads, -1)
        v = self.wv(x).reshape(batch, length, self._kv_heads, -1)
        if self._main:
            q, k = self.q_norm(q), self.k_norm(k)
        if tables is not None:
            q, k = rope.rotate(q, *tables), rope.rotate(k, *tables)
        out = self.proj(self._ops.attention(q, k, v, self._scale))
        return self.gamma(out) if self._main else out


class SwiGLU(nn.Module):
    """Linear to twice the hidden width, silu(first half) * second half, Linear back."""

    def __init__(self, embed_dim: int, hidden: int, ops: ModuleType) -> None:
        super().__init__()
        self._ops = ops
        self.w12 = nn.Linear(embed_dim, 2 * hidden)
        self.w3 = nn.Linear(hidden, embed_dim)

    def __call__(self, x: mx.array) -> mx.array:
        return self.w3(self._ops.swiglu(self.w12(x)))


class Block(Part):
    """Pre-norm transformer block. Tokenizer blocks (`main` False) have no QK-norm, no RoPE and no LayerScale."""

    def __init__(self, config: BackboneConfig, kv_heads: int, ffn_dim: int, main: bool, ops: ModuleType) -> None:
        super().__init__()
        self.ln1 = nn.RMSNorm(config.embed_dim, RMS_NORM_EPS)
        self.attn = Attention(config, kv_heads, main, ops)
        self.ln2 = nn.RMSNorm(config.embed_dim, RMS_NORM_EPS)
        self.ffn = SwiGLU(config.embed_dim, ffn_dim, ops)

    def forward(self, x: mx.array, tables: tuple[mx.array, mx.array] | None = None) -> mx.array:
        x = x + self.attn(self.ln1(x), tables)
        return x + self.ffn(self.ln2(x))


class Tokenizer(nn.Module):
    """The 4K variant's front: each 4 x 4 window of patches runs through blocks; its cls becomes the token."""

    def __init__(self, config: BackboneConfig, ops: ModuleType) -> None:
        super().__init__()
        self.w_cls = mx.zeros((1, 1, config.embed_dim))
        self.local_pos_embed = mx.zeros((1, 1 + WINDOW * WINDOW, config.embed_dim))
        self.blocks = [
            Block(config, config.num_heads, config.tokenizer_ffn_dim, main=False, ops=ops)
            for _ in range(config.tokenizer_layers)
        ]

    def steps(self, windows: int) -> int:
        """How often `step` is called for that many windows."""
        return len(self.blocks) * -(-windows // WINDOWS_AT_A_TIME)

    def __call__(self, patches: mx.array, step: Step | None = None) -> mx.array:
        """Patches (B, H, W, C) to tokens (B, H / 4, W / 4, C). Memory is bounded: one chunk in one block at a time."""
        batch, height, width, channels = patches.shape
        if height % WINDOW or width % WINDOW:
            raise ValueError(f"the patch grid must be a multiple of {WINDOW}, not {height} x {width}")
        rows, columns = height // WINDOW, width // WINDOW
        windows = patches.reshape(batch, rows, WINDOW, columns, WINDOW, channels).transpose(0, 1, 3, 2, 4, 5)
        windows = windows.reshape(-1, WINDOW * WINDOW, channels)  # (B * rows * columns, 16, C)
        tokens: list[mx.array] = []
        done, total = 0, self.steps(windows.shape[0])
        for start in range(0, windows.shape[0], WINDOWS_AT_A_TIME):
            chunk = windows[start : start + WINDOWS_AT_A_TIME]
            cls = mx.broadcast_to(self.w_cls.astype(chunk.dtype), (chunk.shape[0], 1, channels))
            chunk = mx.concatenate([cls, chunk], axis=1) + self.local_pos_embed
            for block in self.blocks:
                chunk = block(chunk)
                mx.eval(chunk)  # else all chunks would be in memory at once
                done += 1
                if step is not None:
                    step(chunk, done, total)
            tokens.append(mx.contiguous(chunk[:, 0]))  # a view would keep the whole chunk
            mx.eval(tokens[-1])
        return mx.concatenate(tokens).reshape(batch, rows, columns, channels)


class RopeTables(nn.Module):
    """Holds no weights: the periods that some files carry (`rope_embed.periods`) follow from the head dimension."""

    def __init__(self, head_dim: int, dtype: mx.Dtype) -> None:
        super().__init__()
        self._head_dim, self._dtype = head_dim, dtype

    def __call__(self, grid_hw: tuple[int, int]) -> tuple[mx.array, mx.array]:
        sine, cosine = rope.tables(grid_hw, self._head_dim, self._dtype)
        return mx.array(sine).astype(self._dtype), mx.array(cosine).astype(self._dtype)


class Backbone(nn.Module):
    """Pixels (B, H, W, 3), normalised, to tokens (B, 9 + N, C): cls, 8 storage, N = (H / 16) (W / 16) patches.

    `ops` is plain.py or cpu.py. With a tokenizer a token stands for 64 x 64 pixels, so N is a sixteenth of that.
    """

    def __init__(self, config: BackboneConfig, ops: ModuleType = plain) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(config.embed_dim)
        if config.tokenizer_layers:
            self.tokenizer = Tokenizer(config, ops)
        self.cls_token = mx.zeros((1, 1, config.embed_dim))
        self.storage_tokens = mx.zeros((1, STORAGE_TOKENS, config.embed_dim))
        self.rope_embed = RopeTables(config.head_dim, config.rope_dtype)
        self.blocks = [Block(config, kv, config.ffn_dim, main=True, ops=ops) for kv in config.kv_heads]
        self.ln1 = nn.RMSNorm(config.embed_dim, RMS_NORM_EPS)
        self.config = config

    def grid_hw(self, input_hw: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patch tokens for an input of height and width `input_hw`."""
        cell = PATCH * (WINDOW if self.config.tokenizer_layers else 1)
        return input_hw[0] // cell, input_hw[1] // cell

    def __call__(self, pixels: mx.array, step: Step | None = None) -> mx.array:
        patches = self.patch_embed(pixels)
        first, total = 0, len(self.blocks)
        if self.config.tokenizer_layers:
            first = self.tokenizer.steps(patches.shape[0] * patches.shape[1] * patches.shape[2] // WINDOW**2)
            total += first
            patches = self.tokenizer(patches, step and (lambda x, done, _: step(x, done, total)))
        batch, rows, columns, channels = patches.shape
        extra = mx.concatenate([self.cls_token, self.storage_tokens], axis=1).astype(patches.dtype)
        x = mx.concatenate(
            [mx.broadcast_to(extra, (batch, EXTRA_TOKENS, channels)), patches.reshape(batch, rows * columns, channels)],
            axis=1,
        )
        tables = self.rope_embed((rows, columns))
        for done, block in enumerate(self.blocks, start=first + 1):
            x = block(x, tables)
            if step is not None:
                step(x, done, total)
        return self.ln1(x)

    def feature_map(self, pixels: mx.array, step: Step | None = None) -> mx.array:
        """The patch tokens as (B, rows, columns, C): what the heads take."""
        tokens = self(pixels, step)
        rows, columns = self.grid_hw((pixels.shape[1], pixels.shape[2]))
        return tokens[:, EXTRA_TOKENS:].reshape(tokens.shape[0], rows, columns, -1)
