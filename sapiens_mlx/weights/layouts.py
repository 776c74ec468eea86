"""How the tensors of each kind of file become ours. Names say what to do with a tensor, never its shape.

Our names are the original ones; what changes is the order of the axes, since MLX is channels last.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import mlx.core as mx

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

    name: str
    changes: tuple[tuple[re.Pattern, Change], ...]
    ignored: re.Pattern

    def change(self, name: str) -> Change:
        return next((change for pattern, change in self.changes if pattern.fullmatch(name)), KEEP)

    def is_ignored(self, name: str) -> bool:
        return self.ignored.fullmatch(name) is not None


ORIGINAL = Layout(
    "original",
    (
        (re.compile(r"(backbone\.)?patch_embed\.projection\.weight"), PATCHES),
        (re.compile(r"decode_head\.deconv_layers\.\d+\.weight"), SUBPIXEL),
        (
            re.compile(
                r"decode_head\.(input_conv\.0|upsample_blocks\.\d+\.0|(scale_)?conv_layers\.\d+|conv_[a-z]+)\.weight"
            ),
            CONVOLUTION,
        ),
    ),
    ignored=re.compile(r"(backbone\.)?rope_embed\.periods"),  # derived from the head width, and compared when there
)

# A task's checkpoint of which the backbone alone is wanted.
HEADLESS = replace(ORIGINAL, name="headless", ignored=re.compile(r"backbone\.rope_embed\.periods|decode_head\..+"))

RTMDET = Layout(
    "rtmdet",
    ((architecture_rtmdet.CONV_NAMES, CONVOLUTION),),
    ignored=architecture_rtmdet.IGNORED_NAMES,
)

OURS = Layout("sapiens-mlx", (), ignored=re.compile(r"(?!)"))  # our own conversions need nothing more
