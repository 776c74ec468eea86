"""Small random models made, run and saved by the real transformers and mlx-vlm packages, for the live parity tests."""

import json
from pathlib import Path

import numpy as np
import pytest
import rule

# The task's class, its number of channels, and its head, as wide as tiny_shapes() of rule.py has it.
DECONV = {"use_pixel_shuffle": None, "conv_kernel_size": 1}
SHUFFLE = {
    "use_pixel_shuffle": True,
    "upsample_out_channels": [24, 16, 12, 8],
    "upsample_kernel_sizes": [3, 3, 3, 3],
    "conv_out_channels": [8, 6, 4],
    "conv_kernel_sizes": [3, 3, 3],
}
SCALE = {"scale_conv_out_channels": [24, 16], "scale_final_hidden_sizes": [64, 32]}
MODELS = {
    "features": ("Sapiens2Model", None, None),
    "seg": (
        "Sapiens2ForSemanticSegmentation",
        29,
        DECONV | {"upsample_out_channels": [24, 16, 12, 8], "conv_out_channels": [8, 8]},
    ),
    "pose": (
        "Sapiens2ForPoseEstimation",
        308,
        DECONV | {"upsample_out_channels": [24, 16], "conv_out_channels": [16, 16, 12]},
    ),
    "normal": ("Sapiens2ForNormalEstimation", 3, SHUFFLE),
    "pointmap": ("Sapiens2ForPointmapEstimation", 3, SHUFFLE | SCALE),
    "matting": ("Sapiens2ForImageMatting", 4, SHUFFLE),
}
INPUT_HW = (128, 96)
PIXELS = rule.noise("parity pixels", (2, 3, *INPUT_HW))

_registered = []  # torch forgets operators whose library is collected


def libraries():
    """(torch, transformers), imported so that its image processor runs; skips the test where they are not installed.

    torchvision as it is published is made for another build of torch: its compiled operators cannot be loaded. Nothing
    here needs them, but its import wants to be told of two.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install -r requirements-parity.txt")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    if not _registered:
        try:
            import torchvision  # noqa: F401
        except (RuntimeError, ImportError):
            library = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _registered.append(library)
            pytest.importorskip("torchvision", reason="torchvision is not installed")
        _registered.append(None)
    if not hasattr(transformers, "Sapiens2Model"):
        pytest.skip(f"transformers {transformers.__version__} has no Sapiens2")
    torch.set_num_threads(2)
    return torch, transformers


def model(task: str):
    """A tiny network of transformers with every parameter random, in inference mode."""
    torch, transformers = libraries()
    from transformers.models.sapiens2.configuration_sapiens2 import Sapiens2HeadConfig

    name, channels, head = MODELS[task]
    options = {} if head is None else {"head_config": Sapiens2HeadConfig(**head), "num_labels": channels}
    config = transformers.Sapiens2Config(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=18,
        num_attention_heads=2,
        num_key_value_attention_heads=1,
        image_size=list(INPUT_HW),
        **options,
    )
    made = getattr(transformers, name)(config).eval()
    generator = torch.Generator().manual_seed(len(task))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(_like(name, noise))
    return made


def _like(name: str, noise):
    """Random values of the size that a trained network has there."""
    if name.endswith("bias"):
        return 0.02 * noise
    if "token" in name:
        return 0.5 * noise
    if noise.ndim == 1:
        return (0.2 if "scale" in name else 1) * (1 + 0.1 * noise)
    return noise / float(np.sqrt(np.prod(noise.shape[1:])))


def outputs(task: str, made) -> list[np.ndarray]:
    """The raw outputs of a model of transformers for PIXELS, as ours has them: channels last, matting in one."""
    torch, _ = libraries()
    with torch.no_grad():
        raw = made(torch.from_numpy(PIXELS))
    if task == "features":
        return [raw.last_hidden_state.numpy()]
    if task == "matting":
        return [_nhwc(torch.cat([raw.foregrounds, raw.alphas], dim=1))]
    names = {"seg": ["logits"], "pose": ["heatmaps"], "normal": ["normals"], "pointmap": ["pointmaps", "scales"]}
    return [_nhwc(raw[name]) if raw[name].ndim == 4 else raw[name].numpy() for name in names[task]]


def _nhwc(tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.numpy().transpose(0, 2, 3, 1))


def saved(task: str, folder: Path, **options) -> Path:
    """The same model as save_pretrained() writes it, with the image processor's settings."""
    model(task).save_pretrained(folder, **options)
    processor(task).save_pretrained(folder)
    return folder


def processor(task: str):
    """The image processor as the published repositories set it for a task, at the tiny network's size."""
    _, transformers = libraries()
    return transformers.Sapiens2ImageProcessor(
        size={"height": INPUT_HW[0], "width": INPUT_HW[1]}, do_pad=task in ("normal", "pointmap")
    )


def vlm():
    """mlx-vlm; skips the test where it is not installed."""
    return pytest.importorskip("mlx_vlm", reason="mlx-vlm is not installed: pip install -r requirements-parity.txt")


def convert(folder: Path, converted: Path, level: tuple[int, int, str] | None) -> Path:
    """What mlx-vlm's own converter makes of a folder of saved(); `level` is group size, bits and mode.

    It wants RoPE's periods, which the published files have and transformers does not write.
    """
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    prefix = "backbone." if any(name.startswith("backbone.") for name in tensors) else ""
    periods = np.float32(100) ** (np.arange(8, dtype=np.float32) / 8)
    save_file(tensors | {f"{prefix}rope_embed.periods": periods}, folder / "model.safetensors", {"format": "pt"})
    group_size, bits, mode = level or (None, None, "affine")
    vlm().convert(
        str(folder),
        mlx_path=str(converted),
        quantize=level is not None,
        q_group_size=group_size,
        q_bits=bits,
        q_mode=mode,
        dtype="float32",
    )
    return converted


def vlm_outputs(folder: Path) -> list[np.ndarray]:
    """The raw outputs that mlx-vlm has from a folder it wrote, as outputs() gives them.

    Its own loading casts the floats of a packed file to the type of the packed weights, which are integers (0.7.10).
    So its network is packed and filled here, with floats of 32 bits, in which ours computes on the CPU.
    """
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_vlm.models.sapiens2 import Model, ModelConfig

    config = json.loads((folder / "config.json").read_text())
    network = Model(ModelConfig.from_dict(config))
    floats = (mx.float16, mx.bfloat16)
    loaded = mx.load(str(folder / "model.safetensors"))
    weights = {name: array.astype(mx.float32) if array.dtype in floats else array for name, array in loaded.items()}
    if "quantization" in config:
        nn.quantize(network, **config["quantization"], class_predicate=lambda path, _: f"{path}.scales" in weights)
    else:
        weights = network.sanitize(weights)
    network.load_weights(list(weights.items()), strict=True)
    raw = network(rule.nhwc(PIXELS))
    if "ImageMatting" in config["architectures"][0]:
        arrays = [mx.concatenate([raw["foregrounds"], raw["alphas"]], axis=-1)]
    else:
        arrays = [raw[name] for name in raw if name != "pooler_output"]
    return [np.array(array.astype(mx.float32)) for array in arrays]
