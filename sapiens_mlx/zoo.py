"""Tables of what can be run: tasks, sizes, quantization levels, where each checkpoint lies, and its licence.

Only what varies stands here; everything else about a network is read from the tensor shapes in its file.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from .errors import SapiensError


@dataclass(frozen=True)
class Licence:
    """`url` is an address, or a path in the project."""

    name: str
    url: str


SAPIENS2_LICENCE = Licence("Sapiens2 License", "https://github.com/facebookresearch/sapiens2/blob/main/LICENSE.md")
APACHE_2 = Licence("Apache License 2.0", "https://www.apache.org/licenses/LICENSE-2.0")
DEMO_LICENCE = Licence("MIT License", "assets/demo/LICENSE")  # our own: the demo weights are this project's
LICENCES = {row.name: row for row in (SAPIENS2_LICENCE, APACHE_2, DEMO_LICENCE)}
# Of hands, which are WiLoR's: each is shown, and has to be accepted, before anything is downloaded.
WILOR_LICENCE = Licence("CC BY-NC-ND 4.0", "https://creativecommons.org/licenses/by-nc-nd/4.0/")
ULTRALYTICS_LICENCE = Licence("Ultralytics' terms", "https://www.ultralytics.com/license")
MANO_LICENCE = Licence("MANO licence", "https://mano.is.tue.mpg.de/license.html")
DEMO_NOTICE = "These weights were trained on drawn figures; choose 0.4b or larger for photographs."


@dataclass(frozen=True)
class Size:
    """One architecture. `parameters` counts the backbone; `tera_flops` is one forward pass, as its authors state.

    `tokenizer_layers` are blocks in front of the others that make one token of 4 x 4 patches.
    """

    name: str
    embed_dim: int
    num_layers: int
    num_heads: int
    parameters: int
    tera_flops: float | None
    input_hw: tuple[int, int] = (1024, 768)
    tokenizer_layers: int = 0


SIZES = {
    size.name: size
    for size in (
        Size("demo", 192, 5, 6, 1_890_000, None, (384, 288)),
        Size("0.1b", 768, 12, 12, 114_000_000, 0.342),
        Size("0.4b", 1024, 24, 16, 398_000_000, 1.260),
        Size("0.8b", 1280, 32, 16, 818_000_000, 2.592),
        Size("1b", 1536, 40, 24, 1_462_000_000, 4.715),
        Size("5b", 2432, 56, 32, 5_071_000_000, 15.722),
        Size("1b-4k", 1536, 40, 24, 1_607_000_000, None, (4096, 3072), 4),
    )
}

# Of hands alone, run by the optional package wilor-mlx (see hands/): no size of Sapiens2, and in no list of those.
WILOR = Size("wilor", 1280, 32, 16, 632_000_000, None, (256, 256))


def size_row(name: str) -> Size:
    """The row of a size of Sapiens2, or of WiLoR. KeyError for any other name."""
    return WILOR if name == WILOR.name else SIZES[name]


@dataclass(frozen=True)
class Level:
    """How weights are stored. `bits` of None means plain floats in `dtype`; otherwise the blocks' Linear layers are
    quantized in groups of `group_size` and everything else is kept in `dtype`."""

    name: str
    dtype: str
    bits: int | None = None
    group_size: int | Any = None  # this and `mode` are there where `bits` is
    mode: str | Any = None

    @property
    def float_bits(self) -> int:
        """Those of a number in `dtype`."""
        return int(self.dtype.removeprefix("b").removeprefix("float"))


LEVELS = {
    level.name: level
    for level in (
        Level("fp32", "float32"),
        Level("fp16", "float16"),
        Level("bf16", "bfloat16"),
        Level("8bit", "bfloat16", 8, 64, "affine"),
        Level("6bit", "bfloat16", 6, 64, "affine"),
        Level("5bit", "bfloat16", 5, 64, "affine"),
        Level("4bit", "bfloat16", 4, 64, "affine"),
        Level("mxfp8", "bfloat16", 8, 32, "mxfp8"),
        Level("mxfp4", "bfloat16", 4, 32, "mxfp4"),
        Level("nvfp4", "bfloat16", 4, 16, "nvfp4"),
    )
}


@dataclass(frozen=True)
class TaskRow:
    """`final_layer` is the tensor name that tells one task's checkpoint from another's; a task without one takes the
    backbone alone. `published_as` is the word for the task in names of repositories and files, where it is another
    one. `notice` is shown to users. Only results that mean the same at every size are compared `across_sizes`.
    `levels` are those that its weights come at; none stands for all.

    Every task of TASKS comes in the size "demo", which stands first.
    """

    name: str
    title: str
    sizes: tuple[str, ...]
    final_layer: str
    published: bool = True
    notice: str = ""
    published_as: str = ""
    across_sizes: bool = True
    levels: tuple[str, ...] = ()


TASKS = {
    row.name: row
    for row in (
        TaskRow("seg", "Body parts", ("demo", "0.4b", "0.8b", "1b", "5b"), "conv_seg"),
        TaskRow("pose", "Pose", ("demo", "0.4b", "0.8b", "1b", "5b"), "conv_pose"),
        TaskRow("normal", "Normals", ("demo", "0.4b", "0.8b", "1b", "5b"), "conv_normal"),
        TaskRow("pointmap", "Depth", ("demo", "0.4b", "0.8b", "1b", "5b"), "conv_pointmap"),
        TaskRow(
            "albedo",
            "Albedo",
            ("demo", "0.4b", "0.8b", "1b", "5b"),
            "conv_albedo",
            published=False,
            notice="Albedo weights are not published yet: put your own file into the weights folder.",
        ),
        TaskRow("matting", "Cut-out", ("demo", "1b"), "conv_matting"),
        TaskRow(
            "features",
            "Features",
            ("demo", "0.1b", "0.4b", "0.8b", "1b", "5b", "1b-4k"),
            final_layer="",
            published_as="pretrain",
            across_sizes=False,
        ),
        TaskRow("detect", "People", ("demo", "rtmdet-m"), "bbox_head"),
    )
}

# Of another family than Sapiens2, run by an optional package: TASKS are those that everybody has.
HANDS = TaskRow("hands", "Hands", (WILOR.name,), final_layer="", levels=("fp32", "bf16", "4bit"))


def task_names() -> tuple[str, ...]:
    """Every task that there is, hands among them."""
    return (*TASKS, HANDS.name)


@dataclass(frozen=True)
class Checkpoint:
    """One file of weights: where it lies in the reference's own folder layout, and on the Hugging Face hub.

    `published` is whether the hub has it. A `bundled` one ships with the project instead, as `filename` in its folder
    of demo weights (shipped.demo_folder). `backbone_of` names the task whose checkpoint it is, where only the backbone
    of that is taken. `notice` goes into the report of every result made with it.
    """

    task: str
    size: str
    local_path: str
    filename: str
    licence: Licence
    repo: str = ""
    published: bool = True
    bundled: bool = False
    backbone_of: str | None = None
    notice: str = ""


RTMDET_M = Checkpoint(
    task="detect",
    size="rtmdet-m",
    local_path="detector/rtmdet_m.pth",
    repo="facebook/sapiens-pose-bbox-detector",
    filename="rtmdet_m_8xb32-100e_coco-obj365-person-235e8209.pth",
    licence=APACHE_2,
)

# Of another family, run by the optional package mlx-vlm: see detect_rfdetr.py.
RFDETR_BASE = Checkpoint(
    task="detect",
    size="rfdetr-base",
    local_path="detector/rfdetr-base/model.safetensors",
    repo="mlx-community/rfdetr-base-fp32",
    filename="model.safetensors",
    licence=APACHE_2,
)
RFDETR_BASE_CONFIG = replace(RFDETR_BASE, local_path="detector/rfdetr-base/config.json", filename="config.json")

# WiLoR as wilor-mlx's author converted it, and where MANO is read from, which nobody may pass on: see hands/mano.py.
WILOR_POSE = Checkpoint(
    task="hands",
    size=WILOR.name,
    local_path="hands/wilor-mlx.safetensors",
    repo="BasinShapers/wilor-mlx",
    filename="wilor-mlx.safetensors",
    licence=WILOR_LICENCE,
)
WILOR_POSE_4BIT = replace(
    WILOR_POSE, local_path="hands/wilor-mlx-int4.safetensors", filename="wilor-mlx-int4.safetensors"
)
HAND_DETECTOR = replace(
    WILOR_POSE,
    local_path="hands/hand-detector.safetensors",
    filename="hand-detector.safetensors",
    licence=ULTRALYTICS_LICENCE,
)
WILOR_MINI = replace(
    WILOR_POSE,
    local_path="hands/wilor_final.ckpt",
    repo="warmshao/WiLoR-mini",
    filename="pretrained_models/wilor_final.ckpt",
    licence=MANO_LICENCE,
)
MANO_MEAN = replace(
    WILOR_MINI, local_path="hands/mano_mean_params.npz", filename="pretrained_models/mano_mean_params.npz"
)
HANDS_LICENCES = {
    "WiLoR's weights": WILOR_LICENCE,
    "its hand detector": ULTRALYTICS_LICENCE,
    "the hand model MANO": MANO_LICENCE,
}

HAND_SIDES = ("left", "right")
HAND_NORMS = ("package", "trained")
DETECTORS = ("rtmdet", "rfdetr", "none")  # the last takes the whole photo for one person


@dataclass(frozen=True)
class Defaults:
    """What runs when nothing is said, on the page, the command line and in Python alike."""

    task: str = "seg"
    size: str = "demo"
    box_threshold: float = 0.3
    nms_threshold: float = 0.3
    keypoint_threshold: float = 0.3
    flip: bool = True
    style: str = "readme"
    foreground: str = "none"
    points: int = 1_000_000
    hand_threshold: float = 0.3
    hand_iou: float = 0.5
    hand_norms: str = "package"
    mesh_opacity: float = 0.65


DEFAULTS = Defaults()


def default_level(device: str) -> str:
    """bf16 on a GPU; fp32 on the CPU, which computes in float32 whatever the storage."""
    return "fp32" if device == "cpu" else "bf16"


def checkpoint(task: str, size: str) -> Checkpoint:
    """Where the original weights of `task` at `size` lie. For "detect" any size will do: see detector_size. So it will
    for "hands", whose one network is WiLoR.

    Raises:
        SapiensError: for an unknown task or size, or a size that the task does not come in.
    """
    row = task_row(task)
    if task == "detect":
        size = detector_size(size)
    if row is HANDS and size in SIZES:
        size = WILOR.name
    if size not in row.sizes:
        raise _no_such_size(row, size)
    if row is HANDS:
        return WILOR_POSE
    if size == "demo":
        return _demo_checkpoint(task)
    if task == "detect":
        return RTMDET_M
    name = row.published_as or task
    stem = f"sapiens2_{size.replace('-', '_')}_{name}"
    return Checkpoint(
        task=task,
        size=size,
        local_path=f"{name}/{stem}.safetensors",
        repo=f"facebook/sapiens2-{name}-{size}",
        filename=f"{stem}.safetensors",
        licence=SAPIENS2_LICENCE,
        published=row.published,
    )


def _demo_checkpoint(task: str) -> Checkpoint:
    backbone_of = "seg" if task == "features" else None  # which has no file of its own
    name = backbone_of or task
    filename = "rtmdet_demo_person.safetensors" if task == "detect" else f"sapiens2_demo_{name}.safetensors"
    return Checkpoint(
        task=task,
        size="demo",
        local_path=f"{'detector' if task == 'detect' else name}/{filename}",
        filename=filename,
        licence=DEMO_LICENCE,
        published=False,
        bundled=True,
        backbone_of=backbone_of,
        notice=DEMO_NOTICE,
    )


def names_in(name: str) -> tuple[str | None, str | None]:
    """Task and size that a file's or repository's name tells, as in sapiens2_0.4b_seg.safetensors; None where it does
    not, or tells of several."""
    plain = name.rpartition("/")[2].lower().replace("_", "-")
    sizes = sorted(SIZES, key=len, reverse=True)  # 1b-4k before 1b

    def only(words: list[str]) -> str | None:
        pattern = rf"(?<![a-z0-9.])({'|'.join(map(re.escape, words))})(?![a-z0-9])"
        found = set(re.findall(pattern, plain))
        return found.pop() if len(found) == 1 else None

    published = {row.published_as: row.name for row in TASKS.values() if row.published_as}
    task = only([*TASKS, *published])
    return task and published.get(task, task), only(sizes)


def size_like(task: str, wanted: str) -> str:
    """The size of `task` that goes with the size `wanted` of another task: the same, or else the first that is no demo.

    Whoever has chosen weights made for photographs is never given the demo's.
    """
    sizes = task_row(task).sizes
    return wanted if wanted in sizes else next(size for size in sizes if size != "demo")


def level_like(task: str, wanted: str) -> str:
    """The level of `task` that goes with the level `wanted` of another task: the same, or else, of those that its
    weights come at, the one with the fewest bits that has no fewer.

    >>> level_like("hands", "8bit")
    'bf16'
    """

    def bits(name: str) -> int:
        row = level(name)
        return row.bits or row.float_bits

    levels = task_row(task).levels
    return wanted if not levels or wanted in levels else min((n for n in levels if bits(n) >= bits(wanted)), key=bits)


def detector_size(size: str) -> str:
    """Which detector finds people for networks of `size`: the demo's own for "demo", RTMDet-m for all others.

    Raises:
        SapiensError: for the name of no size and no detector.
    """
    row = task_row("detect")
    if size not in SIZES and size not in row.sizes:
        raise _no_such_size(row, size)
    return size_like("detect", size)


def _no_such_size(row: TaskRow, size: str) -> SapiensError:
    return SapiensError(
        f"{row.title} ({row.name}) does not come in size {size!r}. Choose one of: {', '.join(row.sizes)}."
    )


def task_row(name: str) -> TaskRow:
    """The row of a task; a SapiensError that lists the known ones otherwise."""
    if name not in task_names():
        raise SapiensError(f"There is no task {name!r}. Choose one of: {', '.join(task_names())}.")
    return HANDS if name == HANDS.name else TASKS[name]


def level_of(task: str, name: str) -> Level:
    """As level(), of those that the task's weights come at."""
    row, chosen = task_row(task), level(name)
    if row.levels and chosen.name not in row.levels:
        raise SapiensError(f"{row.title} do not come at {name}. Choose one of: {', '.join(row.levels)}.")
    return chosen


def level(name: str) -> Level:
    """The row of a quantization level; a SapiensError that lists the known ones otherwise."""
    if name not in LEVELS:
        raise SapiensError(f"There is no quantization level {name!r}. Choose one of: {', '.join(LEVELS)}.")
    return LEVELS[name]
