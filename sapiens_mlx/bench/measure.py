"""The command `bench`: a network's seconds and memory on this machine, alone or in turns with a peer's."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import zoo
from ..errors import SapiensError, WeightsError
from ..files import partial_folder
from ..inventory import amount
from ..nn import plain
from ..nn.backbone import STORAGE_TOKENS
from ..nn.heads import DeconvHeadConfig
from ..runtime import Progress, no_progress
from ..weights import architecture, described, locate, original, seeded, store
from ..weights.quantize import packing
from ..weights.reader import Reader, read_shapes
from .arithmetic import Cost, cost

HERE = Path(__file__).parent
PEERS = {"torch": HERE / "peer_torch.py", "mlx-vlm": HERE / "peer_mlx_vlm.py"}
ARCHITECTURES = {task: name for name, task in described.CLASSES.items() if name != "Sapiens2Backbone"}


def measure(
    task: str,
    size: str,
    level: str,
    weights: str | None = None,
    *,
    turns: int = 3,
    against: str | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Runs the network `turns` times on one input of noise, and the peer's in between (A B A B), each in its process.

    A first pass of each is not counted. Where no weights are at hand, both run with seeded random ones from a file that
    is removed again.

    Args:
        against: "torch" (transformers on PyTorch), "mlx-vlm", or None.
        progress: hears ("weights" or "turn", done, total).

    Returns:
        What --json prints. `seconds` are medians of one forward pass; `ratio` is the median of the turns' ratios, ours
        over the peer's, and `output_difference` the relative L2 distance of the two outputs, float32.

    Raises:
        SapiensError: an unknown name, or a peer that is not installed or does not have the network.
        WeightsError: weights that cannot be used, or that the peer cannot read.
    """
    checkpoint, row = zoo.checkpoint(task, size), zoo.level(level)
    if task == "detect":
        raise SapiensError("The detector is not a Sapiens2 network. Choose another task.")
    if task == "hands":
        raise SapiensError("Hands are not a Sapiens2 network. Run: python -m benchmarks.hands, or choose another task.")
    has_no_peer = task not in ARCHITECTURES or zoo.SIZES[size].tokenizer_layers or checkpoint.backbone_of
    if against is not None and has_no_peer:
        raise SapiensError(f"{against} has no {task} at {size}. Leave --against out, or choose another task or size.")
    with _scratch_folder() as folder:
        progress("weights", 0, 1)
        is_seeded = weights is None and not store.is_here(checkpoint, level)
        if is_seeded:
            weights = str(folder / checkpoint.filename)
            with _room_for(folder):
                seeded.write(Path(weights), task, size)
        progress("weights", 1, 1)
        job = {"task": task, "size": size, "level": level, "weights": weights}
        # Nobody will ask for the conversion of random weights again.
        environment = {"SAPIENS_MLX_CACHE": str(folder / "cache")} if is_seeded else {}
        with contextlib.ExitStack() as stack:
            ours = stack.enter_context(running("sapiens_mlx", ["-m", f"{__package__}.ours"], job, environment))
            theirs = None
            if against is not None:
                job = peer_job(task, size, row, weights, folder)
                theirs = stack.enter_context(running(against, [str(PEERS[against])], job))
            networks = [ours] if theirs is None else [ours, theirs]
            for turn in range(turns + 1):
                progress("turn", turn, turns + 1)
                for network in networks:
                    network.run()
            progress("turn", turns + 1, turns + 1)
            result = {
                "task": task,
                "size": size,
                "level": level,
                "input_hw": list(zoo.SIZES[size].input_hw),
                "seeded": is_seeded,
                "licence": None if is_seeded else checkpoint.licence.name,
                "turns": turns,
                **ours.figures(),
            }
            if theirs is not None:
                ratios = [a / b for a, b in zip(ours.seconds, theirs.seconds, strict=True)]
                result["against"] = theirs.figures()
                result["ratio"] = round(statistics.median(ratios), 3)
                result["ratios"] = [round(ratio, 3) for ratio in ratios]
                result["output_difference"] = _difference(*(network.output(folder) for network in networks))
            counted = _cost(checkpoint, locate.find_local(checkpoint, weights, row))
            return result | (_share(counted, result, ours.ask("machine")) if counted else {})


@contextlib.contextmanager
def _scratch_folder() -> Iterator[Path]:
    """A temporary folder. Its weights may take gigabytes, so what a run left that was killed goes with the next."""
    parent = Path(tempfile.gettempdir())
    with contextlib.ExitStack() as stack:
        with _room_for(parent):
            folder = stack.enter_context(partial_folder(parent / "sapiens-mlx-bench"))
        yield folder


@contextlib.contextmanager
def _room_for(folder: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise WeightsError(
            f"Random weights could not be written to {folder} ({reason}). Make room there, or set TMPDIR to a folder "
            "that has some."
        ) from problem


# ---- a network in its process ---------------------------------------------------------------------------------------


class _Process:
    def __init__(self, name: str, process: Any) -> None:
        """`process` is a Popen with pipes to it and from it."""
        self._name, self._process = name, process
        self._about = self._answer()
        self.seconds: list[float] = []
        self._first_seconds: float | Any = None  # until the first

    def run(self) -> None:
        """One forward pass; the first is kept apart."""
        seconds = self.ask("run")["seconds"]
        if self._first_seconds is None:
            self._first_seconds = seconds
        else:
            self.seconds.append(seconds)

    def figures(self) -> dict[str, Any]:
        return {
            **self._about,
            "load_seconds": round(self._about["load_seconds"], 3),
            "first_seconds": round(self._first_seconds, 4),
            "seconds": round(statistics.median(self.seconds), 4),
            "seconds_all": [round(seconds, 4) for seconds in self.seconds],
            **self.ask("peak"),
        }

    def output(self, folder: Path) -> list[np.ndarray]:
        path = folder / f"{self._name}.npz"
        self.ask(f"save {path}")
        with np.load(path) as file:
            return list(file.values())

    def ask(self, command: str) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # it has died: there is no answer either
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {}
        if not line or "refused" in answer:
            self._process.wait()
            status = self._process.returncode
            ended = "the system ended it, as it does when memory runs out" if status < 0 else f"it ended with {status}"
            why = answer.get("refused") or ended
            raise SapiensError(f"{self._name} could not be run: {why.rstrip('.')}.")
        return answer


@contextlib.contextmanager
def running(
    name: str, arguments: list[str], job: dict[str, Any], environment: Mapping[str, str] | None = None
) -> Iterator[_Process]:
    """A network in a process of its own, which sees `environment` beside what this one has in its own."""
    process: Any = subprocess.Popen(  # with both pipes
        [sys.executable, *arguments, json.dumps(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | (environment or {}),
        start_new_session=True,  # Ctrl-C is for this process, which then ends that one
    )
    try:
        yield _Process(name, process)
    finally:
        process.kill()  # it has nothing to lose, and may be in the middle of a pass
        process.wait()
        for pipe in (process.stdout, process.stdin):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


# ---- the peer's folder ----------------------------------------------------------------------------------------------


def peer_job(task: str, size: str, level: zoo.Level, weights: str | None, folder: Path) -> dict[str, Any]:
    """The checkpoint in a folder as both peers read it: the original's file, and a config.json beside it."""
    path = locate.find_local(zoo.checkpoint(task, size), weights)
    if path is None or path.suffix != ".safetensors":
        raise WeightsError("A peer reads the original checkpoint in one safetensors file only. Name it as --weights.")
    with original.naming(path):
        shapes = read_shapes(path)
        module = original.build(shapes, task, size, zoo.level("fp32"))
        head = architecture.head_config(shapes, final) if (final := zoo.task_row(task).final_layer) else None
    (folder / "config.json").write_text(json.dumps(_config(task, size, original.backbone_of(module).config, head)))
    (folder / "model.safetensors").symlink_to(path.resolve())
    how = packing(level)
    return {
        "folder": str(folder),
        "architecture": ARCHITECTURES[task],
        "input_hw": zoo.SIZES[size].input_hw,
        "dtype": level.dtype,
        "packing": None if how is None else asdict(how),
    }


def _config(task: str, size: str, backbone: Any, head: Any) -> dict[str, Any]:
    """config.json of a repository in transformers' format, which mlx-vlm reads too."""
    config = {
        "model_type": "sapiens2",
        "architectures": [ARCHITECTURES[task]],
        "image_size": list(zoo.SIZES[size].input_hw),
        "hidden_size": backbone.embed_dim,
        "intermediate_size": backbone.ffn_dim,
        "num_hidden_layers": len(backbone.kv_heads),
        "num_attention_heads": backbone.num_heads,
        "num_key_value_heads_per_layer": list(backbone.kv_heads),
        "num_register_tokens": STORAGE_TOKENS,
    }
    if head is None:
        return config
    is_deconv = isinstance(head, DeconvHeadConfig)
    upsampling = head.deconv_channels if is_deconv else head.upsample_channels
    kernels = {"upsample": 4, "conv": 1} if is_deconv else {"upsample": 3, "conv": 3}
    head_config = {
        "use_pixel_shuffle": None if is_deconv else True,
        "upsample_out_channels": list(upsampling),
        "upsample_kernel_sizes": [kernels["upsample"]] * len(upsampling),
        "conv_out_channels": list(head.conv_channels),
        "conv_kernel_sizes": [kernels["conv"]] * len(head.conv_channels),
    }
    if not is_deconv and head.scale is not None:
        head_config["scale_conv_out_channels"] = list(head.scale.conv_channels)
        head_config["scale_conv_kernel_sizes"] = [1] * len(head.scale.conv_channels)
        head_config["scale_final_input_size"] = head.scale.linear_widths[0]
        head_config["scale_final_hidden_sizes"] = list(head.scale.linear_widths[1:-1])
    labels = {str(number): f"channel {number}" for number in range(head.out_channels)}
    return config | {"head_config": head_config, "id2label": labels, "num_labels": head.out_channels}


# ---- what it comes to -----------------------------------------------------------------------------------------------


def _difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The largest relative L2 distance of any of the outputs."""
    return max(
        float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b)) for a, b in zip(ours, theirs, strict=True)
    )


def _cost(checkpoint: zoo.Checkpoint, path: Path | None) -> Cost | None:
    """Of the network in that file; None for one that evaluates on the way and so has no whole graph."""
    if zoo.SIZES[checkpoint.size].tokenizer_layers:
        return None
    if path is None:  # a conversion is here, and its source no longer
        module = seeded.network(checkpoint.task, checkpoint.size)
    else:
        shapes = Reader(path, original.layout_of(checkpoint)).shapes
        module = original.build(shapes, checkpoint.task, checkpoint.size, zoo.level("fp32"), operations=plain)
    return cost(module, zoo.SIZES[checkpoint.size].input_hw)


def _share(counted: Cost, result: dict[str, Any], machine: dict[str, float]) -> dict[str, Any]:
    """How near the machine's own limits the network came."""
    value_bytes = 4 if result["compute_dtype"] == "float32" else 2
    operations_per_second, bytes_per_second = machine["matmul_operations_per_second"], machine["bytes_per_second"]
    floor = counted.floor_seconds(result["weights_bytes"], value_bytes, operations_per_second, bytes_per_second)
    return {
        "operations": counted.operations,
        "bytes": counted.bytes(result["weights_bytes"], value_bytes),
        "matmul_tflops": round(operations_per_second / 1e12, 3),
        "memory_gbps": round(bytes_per_second / 1e9, 1),
        "floor_seconds": round(floor, 4),
        "share_of_floor": round(floor / result["seconds"], 3),
        "share_of_matmul_rate": round(counted.operations / result["seconds"] / operations_per_second, 3),
    }


def as_text(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        f"{result['task']} {result['size']} {result['level']} on {result['device']}, {result['compute_dtype']}"
        + (", seeded random weights" if result["seeded"] else f" ({result['licence']})"),
        _line("sapiens_mlx", result),
    ]
    if "against" in result:
        lines.append(_line(result["against"]["name"], result["against"]))
        lines.append(
            f"ratio {result['ratio']:.2f} of {result['against']['name']}'s time (median of {result['turns']} turns); "
            f"the outputs differ by {result['output_difference']:.1e}"
        )
    if "floor_seconds" in result:
        operations, moved = result["operations"] / 1e9, result["bytes"] / 1e9
        lines.append(
            f"this machine: {1000 * result['matmul_tflops']:.0f} GFLOP/s in matrix products, "
            f"{result['memory_gbps']:.0f} GB/s; {operations:.0f} G operations and {moved:.2f} GB take at least "
            f"{result['floor_seconds']:.2f} s, {100 * result['share_of_floor']:.0f} % of the time measured"
        )
    return "\n".join(lines)


def _line(name: str, figures: dict[str, Any]) -> str:
    return (
        f"{name:13} {figures['seconds']:.2f} s (first {figures['first_seconds']:.2f} s, "
        f"load {figures['load_seconds']:.2f} s), peak memory {amount(figures['peak_memory_bytes'])}"
    )
