"""Hands against wilor-mlx's own pipeline: python -m benchmarks.hands --hands 4

Both run on the same files and photo in turns, each in a process of its own: ours; its HandPosePipeline with OpenBLAS
loaded as ours has it (on Linux); and as published, which there multiplies by MLX's own routines. Where no weights are
given, random ones are made, of as many of the network's 32 blocks as are asked for.

Prints one JSON object: medians of seconds over the turns, the ratio of each turn, ours over the other's, and how far
the points lie apart, in metres.
"""

import argparse
import contextlib
import functools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

# Not sapiens_mlx, which loads OpenBLAS: what is measured as published goes without.
from benchmarks.processes import ROOT, measured_apart

CONTENDERS = ("ours", "with BLAS", "as published")
PHOTO = ROOT / "examples/hands.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--weights", help="folder with the three files of hands")
    parser.add_argument("--blocks", type=int, default=4, help="of random weights (4 of 32)")
    parser.add_argument("--hands", type=int, default=4, help="at most so many, the surest ones (4)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1, help="in a process, after one that does not count")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS)
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--threshold", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        with contextlib.redirect_stdout(sys.stderr):  # its loader prints
            found = _measure(options)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(options.weights or made)
        if not options.weights:
            import sapiens_mlx  # noqa: F401  (loads BLAS; what is measured has processes of its own)

            _shorten(options.blocks)
            _write_random(folder)
        threshold = _threshold(folder, options.hands)
        arguments = ["--weights", str(folder), "--threshold", str(threshold), "--repeats", str(options.repeats)]
        arguments += ["--blocks", "32" if options.weights else str(options.blocks)]
        turns: list[dict[str, dict[str, Any]]] = []
        for _ in range(options.turns):
            turns.append({})
            for name in options.contenders:
                turns[-1][name] = found = measured_apart("hands", [*arguments, "--one", name])
                shown = {key: value for key, value in found.items() if key != "points"}
                print(f"{name}: {shown}", file=sys.stderr, flush=True)
    print(json.dumps(_summary(options, turns)))


def _summary(options: argparse.Namespace, turns: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    names = [name for name in options.contenders if name != "ours" and "ours" in options.contenders]
    first = turns[0]
    return {
        "blocks": 32 if options.weights else options.blocks,
        "hands": next(iter(first.values()))["hands"],
        "turns": options.turns,
        "seconds": {name: statistics.median(turn[name]["seconds"] for turn in turns) for name in options.contenders},
        "stages_of_ours": first.get("ours", {}).get("stages"),
        "peak_memory_bytes": {name: first[name]["peak_memory_bytes"] for name in options.contenders},
        "ratios": {
            name: [round(turn["ours"]["seconds"] / turn[name]["seconds"], 3) for turn in turns] for name in names
        },
        "points_differ_by_m": {
            name: float(np.abs(np.array(first["ours"]["points"]) - np.array(first[name]["points"])).max())
            for name in names
        },
    }


# ---- one contender, in its process ----------------------------------------------------------------------------------


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a photo, from its pixels to points and meshes."""
    if options.one == "ours":
        import sapiens_mlx as sm
    elif options.one == "with BLAS":
        import sapiens_mlx  # noqa: F401
    _shorten(options.blocks)
    photo_rgb = _photo()
    if options.one == "ours":
        predictor = sm.load("hands", level="fp32", weights=options.weights)

        def run() -> Any:
            return predictor(photo_rgb, hand_threshold=options.threshold)
    else:
        pipeline = _pipeline(Path(options.weights))

        def run() -> Any:
            return pipeline(photo_rgb, conf_threshold=options.threshold, include_vertices=True)

    seconds, found = [], None
    for _ in range(1 + options.repeats):
        start = time.perf_counter()
        found = run()
        seconds.append(time.perf_counter() - start)
    is_ours = options.one == "ours"
    return {
        "seconds": statistics.median(seconds[1:]),
        "hands": len(found),
        "stages": found.report.seconds if is_ours else None,
        "peak_memory_bytes": _peak_bytes(),
        "points": (found.own_points_m if is_ours else np.array([hand.keypoints_3d for hand in found])).tolist(),
    }


def _pipeline(folder: Path) -> Any:
    """HandPosePipeline with the files in it. Its own loader takes nothing but 32 blocks."""
    import mlx.core as mx
    from wilor_mlx import HandDetector, HandPosePipeline, WiLoR
    from wilor_mlx.convert import load_mano_npz, load_safetensors_weights

    wilor, path = WiLoR(), str(folder / "wilor-mlx.safetensors")
    if len(wilor.backbone.blocks) == 32:
        load_safetensors_weights(wilor, path)
    else:
        tensors = mx.load(path)
        for part in ("backbone", "refine_net"):
            own = [(name.removeprefix(f"{part}."), one) for name, one in tensors.items() if name.startswith(part)]
            getattr(wilor, part).load_weights(own, strict=True)
    load_mano_npz(wilor, str(folder / "mano.npz"))
    return HandPosePipeline(HandDetector.from_pretrained(str(folder / "hand-detector.safetensors")), wilor)


def _shorten(blocks: int) -> None:
    """Has wilor-mlx make its network with fewer blocks."""
    from wilor_mlx import model, vit

    if blocks != 32:
        model.WiLoRViT = functools.partial(vit.WiLoRViT, depth=blocks)


def _photo() -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(PHOTO).convert("RGB"))


def _peak_bytes() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# ---- random weights -------------------------------------------------------------------------------------------------


def _write_random(folder: Path) -> None:
    """The three files with seeded random numbers; MANO's are of its shapes and nobody's hand."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from wilor_mlx import HandDetector, WiLoR

    from sapiens_mlx.hands import mano

    mx.random.seed(1)
    wilor = WiLoR()
    tensors = {"IMAGE_MEAN": wilor.IMAGE_MEAN, "IMAGE_STD": wilor.IMAGE_STD}
    for part in ("backbone", "refine_net"):
        tensors |= {f"{part}.{name}": one for name, one in tree_flatten(getattr(wilor, part).parameters())}
    tensors["backbone.init_hand_pose"] = mx.array(np.tile(np.float32([1, 0, 0, 0, 1, 0]), 16)[None])
    tensors["backbone.init_cam"] = mx.array([[4.5, 0.0, 0.0]])
    mx.save_safetensors(str(folder / "wilor-mlx.safetensors"), tensors)
    found = dict(tree_flatten(HandDetector().parameters()))
    for name, tensor in found.items():
        if name.endswith("conv.weight"):  # or the photo would be lost on the way
            found[name] = 2 * tensor
    mx.save_safetensors(str(folder / "hand-detector.safetensors"), found)
    rng = np.random.default_rng(1)
    arrays = {name: 0.05 * rng.standard_normal(shape) for name, (shape, whole) in mano.TABLE.items() if not whole}
    for name in ("J_regressor", "lbs_weights"):
        arrays[name] = rng.random(arrays[name].shape) / 778
    arrays |= {"parents": np.array([-1, *range(15)]), "extra_joints_idxs": np.arange(5), "joint_map": np.arange(21)}
    arrays["faces"] = rng.integers(0, 778, (1538, 3))
    arrays = {name: one.astype(np.float32 if one.dtype == np.float64 else np.int32) for name, one in arrays.items()}
    np.savez(folder / "mano.npz", **arrays)


def _threshold(folder: Path, hands: int) -> float:
    """Between the score of the last hand that is wanted and that of the next."""
    import sapiens_mlx  # noqa: F401  (loads BLAS, for the looking)
    from sapiens_mlx import zoo
    from sapiens_mlx.runtime import inference

    def look(progress: Any) -> np.ndarray:
        from wilor_mlx import HandDetector

        from sapiens_mlx.hands import find

        detector = HandDetector.from_pretrained(str(folder / "hand-detector.safetensors"))
        return find.find(detector, _photo(), 0.0, zoo.DEFAULTS.hand_iou).scores

    scores = inference.run(look)
    if len(scores) <= hands:
        return 0.3
    return float((scores[hands - 1] + scores[hands]) / 2)


if __name__ == "__main__":
    main()
