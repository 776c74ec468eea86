"""What weights are on this machine, what else can be had, what each needs in memory, and removing what we keep."""

import shutil
from pathlib import Path
from typing import Any

from . import runtime, zoo
from .errors import SapiensError
from .weights import locate, store

# For an estimate that says "about": heads have 0.01 to 0.2 billion, and less than the backbone where that is small.
HEAD_PARAMETERS = 0.1e9
# Of one input of 1024 x 768 in float32 at width 1024; measured in seg's head, and growing with the width.
ACTIVATION_BYTES = 1.2e9


def activation_bytes(embed_dim: int, input_hw: tuple[int, int], item_bytes: int) -> int:
    """About what one input's activations take at most, for a backbone of that width."""
    share = input_hw[0] * input_hw[1] / (1024 * 768)
    return int(ACTIVATION_BYTES * share * embed_dim / 1024 * item_bytes / 4)


def needed_bytes(size: str, level: str) -> int:
    """About the memory that one photo takes with a network of that size and level: weights and activations."""
    row, network = zoo.level(level), zoo.SIZES[size]
    float_bytes = {"float32": 4, "float16": 2, "bfloat16": 2}[row.dtype]
    # A packed weight takes its bits and, for each group, a 16-bit scale and a 16-bit bias, or an 8-bit scale alone.
    group_bytes = 4 if row.mode == "affine" else 1
    block_bytes = float_bytes if row.bits is None else row.bits / 8 + group_bytes / row.group_size
    compute_bytes = 4 if runtime.device() == "cpu" else float_bytes
    weights = network.parameters * block_bytes + min(HEAD_PARAMETERS, network.parameters) * float_bytes
    return int(weights + activation_bytes(network.embed_dim, network.input_hw, compute_bytes))


def listing(weights: str | None, memory_bytes: int) -> dict[str, Any]:
    """Everything `models` shows: checkpoints (here or not), kept conversions, and which levels fit `memory_bytes`."""
    checkpoints = []
    for row in zoo.TASKS.values():
        for size in row.sizes:
            checkpoint = zoo.checkpoint(row.name, size)
            path = locate.find_local(checkpoint, weights)
            checkpoints.append(
                {
                    "task": row.name,
                    "size": size,
                    "file": str(path) if path else None,
                    "bytes": path.stat().st_size if path else None,
                    "bundled": checkpoint.bundled,
                    "download_bytes": 0 if path or checkpoint.bundled else None,  # the hub is not asked here
                    "repo": checkpoint.repo if checkpoint.published else None,
                    "licence": checkpoint.licence.name,
                    "licence_url": checkpoint.licence.url,
                }
            )
    fits = {
        size: [level for level in zoo.LEVELS if needed_bytes(size, level) <= memory_bytes]
        for size in zoo.SIZES
        if any(size in row.sizes for row in zoo.TASKS.values())
    }
    conversions = [{"name": folder.name, "bytes": _folder_bytes(folder)} for folder in store.conversions()]
    return {
        "device": runtime.device_name(),
        "memory_bytes": memory_bytes,
        "checkpoints": checkpoints,
        "cache": str(store.cache_folder()),
        "conversions": conversions,
        "fits": fits,
    }


def as_text(listing: dict[str, Any]) -> str:
    """The listing for people."""
    lines = [f"{'task':9} {'size':8} {'on this machine':16} {'from':40} licence"]
    for row in listing["checkpoints"]:
        here = amount(row["bytes"]) if row["file"] else "no"
        source = "ships with the project, no download" if row["bundled"] else row["repo"] or "not published yet"
        lines.append(f"{row['task']:9} {row['size']:8} {here:16} {source:40} {row['licence']}")
    lines += ["", f"conversions kept in {listing['cache']}:"]
    lines += [f"  {row['name']:36} {amount(row['bytes'])}" for row in listing["conversions"]] or ["  none"]
    lines += ["", f"levels that fit about {listing['memory_bytes'] / 1e9:.0f} GB ({listing['device']}):"]
    lines += [f"  {size:5} {' '.join(levels) or 'none'}" for size, levels in listing["fits"].items()]
    licences = {row["licence"]: row["licence_url"] for row in listing["checkpoints"]}
    lines += ["", *(f"{name}: {url}" for name, url in licences.items())]
    lines += ["", f"demo: {zoo.DEMO_NOTICE}"]
    return "\n".join(lines)


def remove(names: list[str]) -> list[str]:
    """Removes kept conversions by name, or by its beginning (`seg-0.4b`), or all. Original files are never touched.

    Raises:
        SapiensError: when a name fits none.
    """
    removed = []
    for name in names:
        found = [f for f in store.conversions() if name == "all" or f.name == name or f.name.startswith(f"{name}-")]
        if not found and name != "all":
            kept = ", ".join(folder.name for folder in store.conversions()) or "none"
            raise SapiensError(f"There is no conversion {name!r} in {store.cache_folder()}. Kept are: {kept}.")
        for folder in found:
            shutil.rmtree(folder)
            removed.append(folder.name)
    return removed


def amount(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e8 else f"{size_bytes / 1e6:.1f} MB"


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
