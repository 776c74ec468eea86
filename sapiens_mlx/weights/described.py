"""What another program's config.json says of the model beside it: task, size, how it is packed, and its widths.

It is believed where tensors cannot tell (the axes, the packing), and compared with them where they can.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import zoo
from ..errors import WeightsError
from ..nn.backbone import BackboneConfig
from ..nn.heads import DeconvHeadConfig, ShuffleHeadConfig
from .quantize import Packing

Config = Mapping[str, Any]
CONFIG = "config.json"
MOST_BYTES = 1 << 20  # those of published models have some kilobytes

# The class of the transformers library that each task's model belongs to.
CLASSES = {
    "Sapiens2Model": "features",
    "Sapiens2Backbone": "features",
    "Sapiens2ForSemanticSegmentation": "seg",
    "Sapiens2ForPoseEstimation": "pose",
    "Sapiens2ForNormalEstimation": "normal",
    "Sapiens2ForPointmapEstimation": "pointmap",
    "Sapiens2ForImageMatting": "matting",
}


def read(folder: Path) -> Config | None:
    """The config.json in a folder; None where there is none, or where it is of another kind of model.

    Raises:
        WeightsError: it cannot be read.
    """
    path = folder / CONFIG
    try:
        config = read_json(path, MOST_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as problem:
        raise WeightsError(f"{path} is damaged or cannot be read. Download or convert the folder again.") from problem
    is_ours = isinstance(config, dict) and config.get("model_type") == "sapiens2"
    return config if is_ours else None


def read_json(path: Path, most_bytes: int) -> Any:
    """What a JSON file holds, read whole.

    Raises:
        OSError, ValueError, RecursionError: it cannot be read, is larger than that or damaged, or goes too deep.
    """
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"larger than {most_bytes} bytes")
    return json.loads(data)


def task_of(config: Config) -> str | None:
    """The task it names, by the class of transformers or, in mlx-vlm's branch, by its own word."""
    task, classes = config.get("task"), config.get("architectures")
    said = [task] if task else [CLASSES.get(name) for name in _texts(classes)]
    return next((name for name in _texts(said) if name in zoo.TASKS), None)


def _texts(values: Any) -> list[str]:
    """The texts in a list; anything may stand in a file."""
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def size_of(config: Config) -> str | None:
    """The size whose width, blocks and heads it has; None for a network of no known size."""
    said = _backbone(config)
    if any(said.get(name) is None for name in ("embed_dim", "blocks", "num_heads")):
        return None
    is_4k = bool(config.get("use_tokenizer"))
    return next(
        (
            size.name
            for size in zoo.SIZES.values()
            if (size.embed_dim, size.num_layers, size.num_heads)
            == (said["embed_dim"], said["blocks"], said["num_heads"])
            and size.name.endswith("-4k") == is_4k
        ),
        None,
    )


def _backbone(config: Config) -> dict[str, int | None]:
    inner = config.get("backbone_config")
    if isinstance(inner, dict):
        names = ("embed_dims", "num_layers", "num_heads", "feedforward_channels")
    else:
        inner, names = config, ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    values = (inner.get(name) for name in names)
    return dict(zip(("embed_dim", "blocks", "num_heads", "ffn_dim"), values, strict=True))


# ---- how it is packed -----------------------------------------------------------------------------------------------


def packing_of(config: Config | None, layer: str) -> Packing | None:
    """How the layer of that name (in the file) is packed; None where it is said to be plain, or nothing is said.

    Raises:
        WeightsError: it is packed in a way that is not read here.
    """
    entry = _packing_entry(config)
    own = entry.get(layer, True)
    if not entry or own is False:
        return None
    said = entry | own if isinstance(own, dict) else entry
    group_size, bits, mode = said.get("group_size"), said.get("bits"), said.get("mode") or "affine"
    if not (isinstance(group_size, int) and isinstance(bits, int) and isinstance(mode, str)):
        raise WeightsError(f"its {CONFIG} does not say in how many bits and groups its layers are packed")
    packing = Packing(group_size, bits, mode)
    if packing.level is None or group_size < 1:
        raise WeightsError(f"its layers are packed in {packing!s:.100}, which is none of the levels here")
    return packing


def is_packed(config: Config | None) -> bool:
    return bool(_packing_entry(config))


def is_plain(config: Config | None, layer: str) -> bool:
    """Whether it says of that very layer that it is not packed."""
    return _packing_entry(config).get(layer) is False


def level_of(config: Config) -> str | None:
    """The level that most of its layers are packed at; None for floats, or where it is not read here."""
    try:
        packing = packing_of(config, "")
    except WeightsError:
        return None
    return packing.level if packing else None


def _packing_entry(config: Config | None) -> dict[str, Any]:
    for name in ("quantization", "quantization_config"):
        entry = (config or {}).get(name)
        if isinstance(entry, dict):
            return entry
    return {}


# ---- against the tensors --------------------------------------------------------------------------------------------


def check(
    config: Config, task: str, backbone: BackboneConfig, head: DeconvHeadConfig | ShuffleHeadConfig | None
) -> None:
    """Raises WeightsError where the network that the tensors make is another than the one described."""
    named = task_of(config)
    if named not in (None, task):
        raise WeightsError(f"its {CONFIG} says that it is for {named}, and its tensors are for {task}")
    found = {
        "embed_dim": ("width", backbone.embed_dim),
        "blocks": ("number of blocks", len(backbone.kv_heads)),
        "num_heads": ("number of heads", backbone.num_heads),
        "ffn_dim": ("width of the feed-forward layers", backbone.ffn_dim),
    }
    for name, said in _backbone(config).items():
        what, actual = found[name]
        _compare(what, said, actual)
    _compare("K/V heads by block", config.get("num_key_value_heads_per_layer"), list(backbone.kv_heads))
    # mlx-vlm's branch writes the head of 0.4b whatever the size is, so that only transformers' is worth comparing.
    inner = config.get("head_config")
    if head is not None and isinstance(inner, dict) and "backbone_config" not in config:
        widths = head.deconv_channels if isinstance(head, DeconvHeadConfig) else head.upsample_channels
        _compare("widths of the upsampling layers", inner.get("upsample_out_channels"), list(widths))
        _compare("widths of the head's convolutions", inner.get("conv_out_channels"), list(head.conv_channels))


def _compare(what: str, said: Any, actual: Any) -> None:
    if said is not None and said != actual:
        raise WeightsError(
            f"its {CONFIG} contradicts its tensors: the {what} is {said!r:.100} there and {actual} in them"
        )
