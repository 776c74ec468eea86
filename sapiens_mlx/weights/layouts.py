"""How the tensors of each kind of file become ours. Names say what to do with a tensor, never its shape.

Our names are the original ones; what changes is the order of the axes, since MLX is channels last. Files that other
programs wrote go two steps: their Form says how a tensor becomes the original's, and the Layout how that becomes ours.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx

from ..errors import WeightsError
from . import architecture_rtmdet

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Change:
    """One way a tensor changes: `apply` turns the file's tensor into ours, `file_shape` our shape into the file's."""

    apply: Callable[[mx.array], mx.array]
    file_shape: Callable[[Shape], Shape]


def _subpixel(weight: mx.array) -> mx.array:
    """A 4 x 4 transposed convolution (in, out, 4, 4) as four 2 x 2 ones, (4 * out, 2, 2, in), phases outermost.

    Stride 2, padding 1: output row 2 i + a gets input row m through kernel row 2 (i - m) + a + 1. For a = 0 these are
    m = i - 1 with kernel row 3 and m = i with 1; for a = 1, m = i with 2 and m = i + 1 with 0. Columns alike.
    """
    taps = ((3, 1), (2, 0))
    weight = weight.transpose(1, 2, 3, 0)  # (out, 4, 4, in)
    phases = [weight[:, mx.array(taps[a])][:, :, mx.array(taps[b])] for a in (0, 1) for b in (0, 1)]
    return mx.concatenate(phases)


KEEP = Change(lambda w: w, lambda s: s)
# (O, I, kh, kw) to (O, kh, kw, I)
CONVOLUTION = Change(lambda w: w.transpose(0, 2, 3, 1), lambda s: (s[0], s[3], s[1], s[2]))
# (C, 3, 16, 16) to (C, 16 * 16 * 3): a patch is flattened row by row, colours innermost
PATCHES = Change(lambda w: w.transpose(0, 2, 3, 1).reshape(w.shape[0], -1), lambda s: (s[0], 3, 16, 16))
SUBPIXEL = Change(_subpixel, lambda s: (s[3], s[0] // 4, 4, 4))


@dataclass(frozen=True)
class Layout:
    """The tensors that change, by the pattern their whole name matches, and those that are left out."""

    changes: tuple[tuple[re.Pattern, Change], ...]
    ignored: re.Pattern

    def change(self, name: str) -> Change:
        return next((change for pattern, change in self.changes if pattern.fullmatch(name)), KEEP)

    def is_ignored(self, name: str) -> bool:
        return self.ignored.fullmatch(name) is not None


_PATCH_NAMES = re.compile(r"(backbone\.)?patch_embed\.projection\.weight")
_DECONV_NAMES = re.compile(r"decode_head\.deconv_layers\.\d+\.weight")
_CONV_NAMES = re.compile(
    r"decode_head\.(input_conv\.0|upsample_blocks\.\d+\.0|(scale_)?conv_layers\.\d+|conv_[a-z]+)\.weight"
)

ORIGINAL = Layout(
    ((_PATCH_NAMES, PATCHES), (_DECONV_NAMES, SUBPIXEL), (_CONV_NAMES, CONVOLUTION)),
    ignored=re.compile(r"(backbone\.)?rope_embed\.periods"),  # derived from the head width, and compared when there
)

# A task's checkpoint of which the backbone alone is wanted.
HEADLESS = replace(ORIGINAL, ignored=re.compile(r"backbone\.rope_embed\.periods|decode_head\..+"))

RTMDET = Layout(
    ((architecture_rtmdet.CONV_NAMES, CONVOLUTION),),
    ignored=architecture_rtmdet.IGNORED_NAMES,
)


# ---- files of other programs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Form:
    """How the tensors of a file become the original's.

    `renamed` are patterns in a file's names, and what replaces them. `turned` gives, for the names it matches once they
    are the original's, the file's axes in the original's order. `merged` finds the one projection that stands for
    queries, keys and values: its rows are theirs, in this order. `prefixes_backbone` is a form that says "backbone."
    also where there is no head.
    """

    renamed: tuple[tuple[re.Pattern, str], ...] = ()
    turned: tuple[tuple[re.Pattern, tuple[int, ...]], ...] = ()
    merged: re.Pattern | None = None
    prefixes_backbone: bool = False

    def original_name(self, name: str, has_head: bool) -> str:
        for pattern, replacement in self.renamed:
            name = pattern.sub(replacement, name)
        return name if has_head or not self.prefixes_backbone else name.removeprefix("backbone.")

    def axes(self, original_name: str) -> tuple[int, ...] | None:
        """The file's axes in the original's order; None where it is the same."""
        return next((axes for pattern, axes in self.turned if pattern.fullmatch(original_name)), None)


# (O, kh, kw, I) to (O, I, kh, kw); transposed convolutions, which torch keeps the other way round, to (I, O, kh, kw)
_CHANNELS_LAST = ((_PATCH_NAMES, (0, 3, 1, 2)), (_CONV_NAMES, (0, 3, 1, 2)), (_DECONV_NAMES, (3, 0, 1, 2)))

AS_PUBLISHED = Form()  # and of transformers, which leaves RoPE's periods out
_MERGED = re.compile(r"(.+\.attn\.)wqkv\.(.+)")
MLX_VLM = Form(turned=_CHANNELS_LAST, merged=_MERGED, prefixes_backbone=True)
# mlx-vlm's branch add-sapiens2: what mlx-community's repositories were made with, before mlx-vlm had Sapiens2 itself.
MLX_VLM_BRANCH = Form(
    renamed=((re.compile(r"(\.upsample_blocks\.\d+)\.children_list\."), r"\1."),),
    turned=_CHANNELS_LAST,
)


def form_of(names: Collection[str], config: Mapping[str, Any] | None) -> Form:
    """The form of a file with tensors of these names, and with that config.json beside it.

    Raises:
        WeightsError: the names belong to several forms, or to one that is not read.
    """
    merged = [name for name in names if _MERGED.fullmatch(name)]
    nested = [name for name in names if ".children_list." in name]
    apart = [name for name in names if re.fullmatch(r".+\.attn\.w[qkv]\..+", name)]
    found = [group[0] for group in (merged, nested) if group] + ([apart[0]] if apart and merged else [])
    if len(found) > 1:
        raise WeightsError(f"its tensors are of several layouts ({found[0]} and {found[1]})")
    if any(re.match(r"(model\.)?embeddings\.cls_token", name) for name in names):
        raise WeightsError(
            "its tensors have the names that transformers uses inside: save it again by save_pretrained(), "
            "with save_original_format left on"
        )
    if merged:
        return MLX_VLM
    if nested or (config is not None and "backbone_config" in config):
        return MLX_VLM_BRANCH
    return AS_PUBLISHED
