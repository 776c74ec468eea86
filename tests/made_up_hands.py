"""Random WiLoR, hand detector and MANO in the files that wilor-mlx reads, small where its classes let them be.

MANO's stand-in has the right shapes and a rough hand's proportions, and is of this project: nothing of MANO is in it.
"""

import functools
import json
import tempfile
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
import torch_saves
from mlx.utils import tree_flatten

from sapiens_mlx import zoo
from sapiens_mlx.hands import mano
from sapiens_mlx.runtime import inference
from sapiens_mlx.tasks.keypoints import keypoints
from sapiens_mlx.tasks.pose import PoseResult

WIDTH, DEPTH = 48, 3
REASON = 'wilor-mlx is not installed: pip install ".[hands]"'


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks in the place of wilor-mlx's, of its own classes. Skips where it is not installed."""
    pytest.importorskip("wilor_mlx", reason=REASON)
    from wilor_mlx import detector, model, refinenet, vit

    def refine(feat_dim: int, upscale: int) -> nn.Module:
        return refinenet.RefineNet(feat_dim=WIDTH, upscale=upscale)

    small = functools.partial(vit.WiLoRViT, embed_dim=WIDTH, depth=DEPTH, num_heads=4)
    monkeypatch.setattr(model, "WiLoRViT", small)
    monkeypatch.setattr(model, "RefineNet", refine)
    monkeypatch.setattr(detector, "HandDetector", _small_detector())


@functools.cache
def _small_detector() -> type:
    from wilor_mlx import detector
    from wilor_mlx.detector import SPPF, C2f, Conv, Pose

    class SmallDetector(detector.HandDetector):
        """Its layers in its order, 12 times narrower."""

        def __init__(self) -> None:
            nn.Module.__init__(self)
            self.b0, self.b1, self.b2 = Conv(3, 4, 3, 2), Conv(4, 8, 3, 2), C2f(8, 8, 2, True)
            self.b3, self.b4 = Conv(8, 16, 3, 2), C2f(16, 16, 1, True)
            self.b5, self.b6 = Conv(16, 32, 3, 2), C2f(32, 32, 1, True)
            self.b7, self.b8, self.b9 = Conv(32, 48, 3, 2), C2f(48, 48, 1, True), SPPF(48, 48)
            self.h12, self.h15 = C2f(80, 32, 1), C2f(48, 16, 1)
            self.h16, self.h18 = Conv(16, 16, 3, 2), C2f(48, 32, 1)
            self.h19, self.h21 = Conv(32, 32, 3, 2), C2f(80, 48, 1)
            self.pose = Pose(nc=2, nk=63, ch=(16, 32, 48))

    return SmallDetector


def random_tensors(module: nn.Module, prefix: str = "", seed: int = 0) -> dict[str, mx.array]:
    """By name, of a size that keeps activations about as large from layer to layer."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, tensor in tree_flatten(module.parameters()):
        shape = tuple(tensor.shape)
        values = rng.standard_normal(shape, np.float32)
        last = name.rpartition(".")[2]
        if last == "running_var":
            values = 1 + 0.2 * np.abs(values)
        elif "cam" in name and "emb" not in name:  # so that the mesh stays on the hand
            values *= 0.005
        elif len(shape) == 1:  # norms and biases
            values = (1 if "norm" in name or ".bn" in name or "_bn" in name else 0) * (last == "weight") + 0.1 * values
        elif "dec" in name:
            values *= 0.1 / np.sqrt(np.prod(shape[1:]))
        else:
            values *= 1.2 / np.sqrt(np.prod(shape[1:]))
        tensors[prefix + name] = mx.array(values.astype(np.float32))
    return tensors


def write_pose(path: Path, seed: int = 0) -> Path:
    """WiLoR's file, as wilor-mlx's author publishes it."""
    from wilor_mlx.model import WiLoR

    wilor = WiLoR()
    tensors = random_tensors(wilor.backbone, "backbone.", seed) | random_tensors(wilor.refine_net, "refine_net.", seed)
    rest = np.tile(np.float32([1, 0, 0, 0, 1, 0]), 16)  # no rotation
    tensors["backbone.init_hand_pose"] = mx.array(rest[None])
    tensors["backbone.init_betas"] = mx.zeros((1, 10))
    tensors["backbone.init_cam"] = mx.array([[4.5, -0.1, 0.0]])
    tensors |= {"IMAGE_MEAN": wilor.IMAGE_MEAN, "IMAGE_STD": wilor.IMAGE_STD}
    path.parent.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(path), tensors)
    return path


def write_packed_pose(path: Path, plain: Path) -> Path:
    """The same with the blocks' layers in 4 bits, as its author packs them."""
    tensors = {}
    for name, tensor in mx.load(str(plain)).items():
        layer = name.removesuffix(".weight")
        if ".blocks." in name and name != layer and tensor.ndim == 2 and tensor.shape[1] % 32 == 0:
            weight, scales, biases = mx.quantize(tensor, group_size=32, bits=4)
            tensors |= {name: weight, f"{layer}.scales": scales, f"{layer}.biases": biases}
        else:
            tensors[name] = tensor
    mx.save_safetensors(str(path), tensors)
    return path


def write_detector(path: Path) -> Path:
    """A hand detector that takes red discs for right hands and blue ones for left hands; see discs().

    Red and blue are averaged down to its finest cells, of 8 pixels, and all its other channels are nought.
    """
    from wilor_mlx import detector

    tensors = {}
    for name, tensor in tree_flatten(detector.HandDetector().parameters()):
        if name != "pose.stride":  # no weight
            tensors[name] = np.full(tensor.shape, name.endswith((".bn.weight", "running_var")), np.float32)
    for name in ("b0", "b1", "b3"):  # 3 x 3
        tensors[f"{name}.conv.weight"][[0, 1], :, :, [0, 2 if name == "b0" else 1]] = 1 / 9
    behind = tensors["h15.cv1.conv.weight"].shape[-1] - len(tensors["b4.cv2.conv.weight"])  # where finer cells come
    tensors["b0.conv.weight"] *= 8  # where SiLU is nearly a straight line
    for name, first in (
        ("b2.cv1", 0),
        ("b2.cv2", 0),
        ("b4.cv1", 0),
        ("b4.cv2", 0),
        ("h15.cv1", behind),
        ("h15.cv2", 0),
    ):
        tensors[f"{name}.conv.weight"][[0, 1], 0, 0, [first, first + 1]] = 1
    for layer in (0, 1):
        tensors[f"pose.cv3.0.{layer}.conv.weight"][[0, 1], 1, 1, [0, 1]] = 1
    tensors["pose.cv3.0.2.weight"][[1, 0], 0, 0, [0, 1]] = 1.5
    for level in range(3):
        tensors[f"pose.cv3.{level}.2.bias"][:] = -9 if level == 0 else -20
        tensors[f"pose.cv2.{level}.2.bias"].reshape(4, 16)[:, 6] = 20  # sides 6 cells away
        spread = np.random.default_rng(0).uniform(-1.5, 1.5, 63)
        tensors[f"pose.cv4.{level}.2.bias"][:] = spread
    path.parent.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(path), {name: mx.array(tensor) for name, tensor in tensors.items()})
    return path


def discs(sides: str, height: int = 480, width: int = 640) -> np.ndarray:
    """A photo (H, W, 3) uint8 with a disc for each hand, "l" or "r", in rows."""
    photo = np.full((height, width, 3), 30, np.uint8)
    photo[..., [0, 2]] = 0
    columns = 1 if len(sides) == 1 else 5
    rows = -(-len(sides) // columns)
    radius = max(height, width) / 512 * 36
    down, across = np.mgrid[:height, :width]
    for number, side in enumerate(sides):
        x, y = width * (number % columns + 0.5) / columns, height * (number // columns + 0.5) / rows
        # Brightest in the middle and each a little darker than the one before, so that no two score the same.
        light = (255 - 3 * number) * np.clip(1 - (np.hypot(across - x, down - y) / radius) ** 2, 0, 1)
        channel = photo[..., 0 if side == "r" else 2]
        np.maximum(channel, light.astype(np.uint8), out=channel)
    return photo


def mano_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """A stand-in for MANO: an ellipsoid of 778 points, about as large as a hand, with 15 joints on a line of each of
    five fingers."""
    rng = np.random.default_rng(seed)
    rows, columns = 21, 37  # a closed surface of 777 points and a pole
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    height = np.linspace(-0.95, 0.95, rows)
    ring = np.sqrt(1 - height**2)[:, None]
    points = np.stack([np.broadcast_to(height[:, None], (rows, columns)), ring * np.cos(turn), ring * np.sin(turn)], -1)
    template = np.concatenate([points.reshape(-1, 3), [[1, 0, 0]]]) * [0.09, 0.04, 0.015] + [0.09, 0, 0]
    grid = np.arange(rows * columns).reshape(rows, columns)
    beside = np.roll(grid, -1, axis=1)
    quads = [np.stack([grid[:-1], grid[1:], beside[:-1]], -1), np.stack([grid[1:], beside[1:], beside[:-1]], -1)]
    faces = np.concatenate([quad.reshape(-1, 3) for quad in quads])  # 1480
    pole = np.stack([grid[-1], np.full(columns, rows * columns), beside[-1]], -1)
    faces = np.concatenate([faces, pole])
    faces = np.concatenate([faces, faces[: 1538 - len(faces)]])[:, ::-1]  # anticlockwise from outside
    parents = [-1] + [0 if joint % 3 == 0 else joint for joint in range(15)]
    regressor = rng.random((16, 778)) ** 40
    weights = rng.random((778, 16)) ** 8
    return {
        "v_template": template.astype(np.float32),
        "shapedirs": (0.0005 * rng.standard_normal((778, 3, 10))).astype(np.float32),
        "posedirs": (0.0002 * rng.standard_normal((135, 778 * 3))).astype(np.float32),
        "J_regressor": (regressor / regressor.sum(1, keepdims=True)).astype(np.float32),
        "parents": np.array(parents, np.int64),
        "lbs_weights": (weights / weights.sum(1, keepdims=True)).astype(np.float32),
        "extra_joints_idxs": np.array([740, 320, 440, 550, 670], np.int64),
        "joint_map": np.array(mano.OPENPOSE, np.int64),
        "faces": faces.astype(np.int64),
    }


def starts() -> dict[str, np.ndarray]:
    """What mano_mean_params.npz holds."""
    return {
        "pose": np.tile(np.float32([1, 0, 0, 0, 1, 0]), 16),
        "shape": np.zeros(10, np.float32),
        "cam": np.float32([4.5, -0.1, 0]),
    }


def write_mano(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **mano_arrays())
    return path


def write_mean(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **starts())
    return path


def write_checkpoint(
    path: Path,
    arrays: dict[str, np.ndarray] | None = None,
    *,
    beside: bytes | None = None,
    instead: dict[str, bytes] | None = None,
) -> Path:
    """WiLoR-mini's checkpoint: MANO's tensors among those of other parts, and foreign objects beside the state dict.

    `beside` is a program for the pickle to have somewhere, `instead` some in the place of tensors.
    """
    arrays = mano_arrays() if arrays is None else arrays
    names = {name: f"mano.{'faces_tensor' if name == 'faces' else name}" for name in arrays}
    kinds = {"f": "FloatStorage", "i": "LongStorage"}
    entries, stored = {}, {}
    for key, (name, array) in enumerate([*arrays.items(), ("backbone", np.zeros((300, 1000), np.float32))]):
        array = np.ascontiguousarray(array)
        steps = [stride // array.itemsize for stride in array.strides]
        storage = torch_saves.storage(str(key), array.size, kinds[array.dtype.kind])
        entries[names.get(name, "backbone.pos_embed")] = torch_saves.tensor(storage, array.shape, tuple(steps))
        stored[str(key)] = array.tobytes()
    settings = torch_saves.mapping(a=torch_saves.number(1)) if beside is None else beside
    foreign = torch_saves.named("yacs.config", "CfgNode") + b")\x81" + settings + b"b"
    state = torch_saves.mapping(**entries | (instead or {}))
    path.parent.mkdir(parents=True, exist_ok=True)
    return torch_saves.write(path, torch_saves.mapping(hyper_parameters=foreign, state_dict=state), stored)


def write_all(folder: Path) -> Path:
    """All three files by the hub's names, in the layout of the weights folder."""
    write_pose(folder / "hands/wilor-mlx.safetensors")
    write_packed_pose(folder / "hands/wilor-mlx-int4.safetensors", folder / "hands/wilor-mlx.safetensors")
    write_detector(folder / "hands/hand-detector.safetensors")
    write_mano(folder / "hands/mano.npz")
    return folder


@functools.cache
def hub_files() -> dict[str, bytes]:
    """What the hub has for hands, by "owner/name/file", of small networks: shrink() comes first."""
    names = {
        zoo.WILOR_POSE: "hands/wilor-mlx.safetensors",
        zoo.WILOR_POSE_4BIT: "hands/wilor-mlx-int4.safetensors",
        zoo.HAND_DETECTOR: "hands/hand-detector.safetensors",
        zoo.WILOR_MINI: "wilor_final.ckpt",
        zoo.MANO_MEAN: "mano_mean_params.npz",
    }
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        inference.run(lambda progress: write_all(folder))
        write_checkpoint(folder / "wilor_final.ckpt")
        write_mean(folder / "mano_mean_params.npz")
        return {f"{one.repo}/{one.filename}": (folder / name).read_bytes() for one, name in names.items()}


def same(found: mano.Mano, but: tuple[str, ...] = ()) -> None:
    """What was read is mano_arrays()."""
    for name, expected in mano_arrays().items():
        if name not in but:
            np.testing.assert_array_equal(found.arrays[name], expected, err_msg=name)


def joints_of(path: Path) -> list[list[str]]:
    """The joints' names in a file of JSON, of each hand."""
    return [[joint["name"] for joint in hand["joints"]] for hand in json.loads(path.read_text())["hands"]]


def pose_of(hands, *people: dict[str, tuple[float, float]]) -> PoseResult:
    """People of whom only the named keypoints are seen."""
    names = keypoints().names
    points = np.zeros((len(people), 308, 2), np.float32)
    scores = np.zeros((len(people), 308), np.float32)
    for person, seen in enumerate(people):
        for name, xy in seen.items():
            points[person, names.index(name)], scores[person, names.index(name)] = xy, 0.9
    boxes = np.tile(np.float32([0, 0, 639, 479]), (len(people), 1))
    return PoseResult(hands.photo_rgb, points, scores, boxes, np.ones(len(people), np.float32))
