"""Writes the averaged weights of training states as the files that ship: `python -m training.export [seg ...]`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from . import scenes

if TYPE_CHECKING:
    from torch import Tensor

ASSETS = Path(__file__).resolve().parents[1] / "assets/demo"
DETECTOR_FILE = "rtmdet_demo_person.safetensors"
ALL = ("seg", "pose", "normal", "pointmap", "albedo", "matting", "detector")
MOST_BYTES = 32_000_000  # all files together
UNUSED = "num_batches_tracked"  # counts training steps


def file_of(name: str) -> Path:
    """Where the weights of a task, or of the detector, ship."""
    return ASSETS / (DETECTOR_FILE if name == "detector" else f"sapiens2_demo_{name}.safetensors")


def shipped_names(name: str, state: "dict[str, Tensor]") -> "dict[str, Tensor]":
    """A training state's tensors under the original names: the task's head is `decode_head`; no other head."""
    if name == "detector":
        return {key: tensor for key, tensor in state.items() if UNUSED not in key}
    head = f"heads.{name}."
    return {
        key.replace(head, "decode_head."): tensor
        for key, tensor in state.items()
        if key.startswith(("backbone.", head))
    }


def read_shipped(name: str) -> "dict[str, Tensor]":
    """The shipped weights under the names of a training state; of the trunk: every task's head, and the mean of their
    backbones, which were one before each learnt its own task."""
    from safetensors.torch import load_file

    if name == "detector":
        return _float(load_file(file_of(name))) if file_of(name).exists() else {}
    tasks = [task for task in (ALL[:-1] if name == "trunk" else (name,)) if file_of(task).exists()]
    found: dict[str, Tensor] = {}
    for task in tasks:
        for key, tensor in _float(load_file(file_of(task))).items():
            if key.startswith("backbone."):
                found[key] = found.get(key, 0) + tensor / len(tasks)
            else:
                found[key.replace("decode_head.", f"heads.{task}.")] = tensor
    return found


def _float(tensors: "dict[str, Tensor]") -> "dict[str, Tensor]":
    return {name: tensor.float() for name, tensor in tensors.items()}


def export(name: str, state_name: str | None = None) -> Path:
    """Writes the shipped file of `name` as float16 from its state, or from another's that has its head (the trunk).

    Raises:
        ValueError: when a weight does not fit into float16, or all files together would be too large.
    """
    import torch
    from safetensors.torch import save_file

    state = torch.load(scenes.CACHE / f"{state_name or name}.pt", map_location="cpu", weights_only=True)["average"]
    tensors = {key: tensor.half().contiguous().clone() for key, tensor in shipped_names(name, state).items()}
    for key, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{key} of {name} does not fit into float16; train on with more weight decay")
    path = file_of(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"made by": "training/export.py", "licence": "see LICENSE"})
    others = sum(file_of(other).stat().st_size for other in ALL if other != name and file_of(other).exists())
    if others + partial.stat().st_size > MOST_BYTES:
        partial.unlink()
        raise ValueError(f"with {path.name} the demo weights would exceed {MOST_BYTES / 1e6:.0f} MB; make it smaller")
    partial.chmod(0o644)  # safetensors writes files that only their owner may read
    partial.replace(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*ALL, []], default=[], help="default: all that have a state")
    parser.add_argument(
        "--trunk", action="store_true", help="take tasks that have no state of their own from the trunk"
    )
    arguments = parser.parse_args()
    for name in arguments.names or ALL:
        own = (scenes.CACHE / f"{name}.pt").exists()
        if own or (arguments.trunk and name != "detector"):
            path = export(name, None if own else "trunk")
            print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
