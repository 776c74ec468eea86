"""What weights are on this machine, what else can be had, what each needs in memory, and removing what we keep."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import runtime, zoo
from .errors import SapiensError
from .hands import mano
from .hands import weights as hand_files
from .nn.backbone import EXTRA_TOKENS, PATCH, WINDOW, WINDOWS_AT_A_TIME
from .weights import consent, hub_cache, locate, store

# For an estimate that says "about": heads have 0.01 to 0.2 billion, and less than the backbone where that is small.
HEAD_PARAMETERS = 0.1e9
# Of one input of 1024 x 768 in float32 at width 1024, growing with the width. On the CPU, normal was measured to take
# 1.1 GB, seg 0.6 and pose 0.5.
ACTIVATION_BYTES = 1.2e9
# Of a token in a block, in widths of the backbone: SwiGLU's two halves (8), their product, which the CPU holds twice at
# a time (8), and what stands beside (6).
BLOCK_WIDTHS = 22
HANDS_BYTES = 0.6e9  # of hands: the activations of a batch, the detector, and WiLoR's refinement
HANDS_NOTICE = (
    "Their weights come from others, each under a licence of its own, asked for before the first download "
    "(--accept-licences accepts them)."
)


def activation_bytes(embed_dim: int, input_hw: tuple[int, int], item_bytes: int) -> int:
    """About what one input's activations take at most, for a backbone of that width with a head."""
    share = input_hw[0] * input_hw[1] / (1024 * 768)
    return int(ACTIVATION_BYTES * share * embed_dim / 1024 * item_bytes / 4)


def backbone_activation_bytes(network: zoo.Size, item_bytes: int) -> int:
    """The same for a backbone alone.

    Where a tokenizer stands in front, windows go through it in chunks: what counts is one chunk in one block, beside
    all patches, before and after they are put into windows.
    """
    pixels = network.input_hw[0] * network.input_hw[1]
    patches = pixels // PATCH**2
    tokens = patches + EXTRA_TOKENS
    if network.tokenizer_layers:
        tokens = min(patches // WINDOW**2, WINDOWS_AT_A_TIME) * (WINDOW**2 + 1)
    values = (BLOCK_WIDTHS * tokens + 2 * patches) * network.embed_dim
    return item_bytes * values + 2 * 4 * 3 * pixels  # the input comes as float32, in two copies


def bytes_each(level: str) -> float:
    """What a weight of a block takes at a level, in memory and in a file."""
    row = zoo.level(level)
    if row.bits is None:
        return row.float_bits / 8
    # A packed weight takes its bits and, for each group, a 16-bit scale and a 16-bit bias, or an 8-bit scale alone.
    return row.bits / 8 + (4 if row.mode == "affine" else 1) / row.group_size


def needed_bytes(size: str, level: str, task: str | None = None) -> int:
    """About the memory that one photo takes with a network of that size and level: weights and activations.

    Without `task`, of one with a head, where the size comes with any.
    """
    row, network = zoo.level(level), zoo.size_row(size)
    if network is zoo.WILOR:
        return int(network.parameters * bytes_each(level) + HANDS_BYTES)
    rows = [zoo.task_row(task)] if task else [one for one in zoo.TASKS.values() if size in one.sizes]
    float_bytes = row.float_bits // 8
    compute_bytes = 4 if runtime.device() == "cpu" else float_bytes
    weights = network.parameters * bytes_each(level)
    if not any(one.final_layer for one in rows):
        return int(weights + backbone_activation_bytes(network, compute_bytes))
    weights += min(HEAD_PARAMETERS, network.parameters) * float_bytes
    return int(weights + activation_bytes(network.embed_dim, network.input_hw, compute_bytes))


def too_large(task: str, size: str, level: str) -> str:
    """A sentence where a network of that size and level does not fit the memory of this machine; else empty."""
    if task == "detect":
        return ""
    needed, limit = needed_bytes(size, level, task), runtime.memory_limit_bytes()
    if needed <= limit:
        return ""
    levels = zoo.task_row(task).levels or zoo.LEVELS
    fitting = [name for name in levels if needed_bytes(size, name, task) <= limit]
    remedy = f"At this size {', '.join(fitting)} would fit." if fitting else "Choose a smaller size."
    return (
        f"{size} at {level} takes about {amount(needed)} of memory, and this machine has {amount(limit)} for it: "
        f"it may become very slow or be ended. {remedy}"
    )


def memory_full(task: str, size: str, level: str) -> str:
    """A sentence for where the memory was not enough for that network: what smaller choice there is, if any fits."""
    row = zoo.task_row(task)
    what = row.title if task == "detect" else f"{row.title} at {size}, {level}"
    choices = [] if task == "detect" else _smaller(row, size, level)
    remedy = f"Choose {' or '.join(choices)}, take a smaller photo," if choices else "Take a smaller photo"
    return f"There is not enough memory for {what}. {remedy} or close other programs."


def _smaller(row: zoo.TaskRow, size: str, level: str) -> list[str]:
    """The next smaller size that fits the memory, and at the same size the most precise level that does."""
    needed = needed_bytes(size, level, row.name)
    room = min(0.9 * needed, runtime.memory_limit_bytes(), runtime.free_memory_bytes())
    sizes = [one for one in row.sizes[: row.sizes.index(size)] if needed_bytes(one, level, row.name) <= room]
    levels = [one for one in row.levels or zoo.LEVELS if needed_bytes(size, one, row.name) <= room]
    return [f"the size {one}" for one in sizes[-1:]] + [f"the level {one}" for one in levels[:1]]


def listing(weights: str | None, memory_bytes: int) -> dict[str, Any]:
    """Everything `models` shows: checkpoints (here or not), kept conversions, and which levels fit `memory_bytes`."""
    checkpoints = []
    for row in zoo.TASKS.values():
        for size in row.sizes:
            checkpoint = zoo.checkpoint(row.name, size)
            checkpoints.append(_listed(checkpoint, size, locate.find_local(checkpoint, weights)))
    here = hand_files.local("fp32", weights)
    packed = hand_files.local("4bit", weights).pose
    for checkpoint, size, path, download_bytes in (
        (zoo.WILOR_POSE, zoo.WILOR.name, here.pose, hand_files.PLAIN_BYTES),
        (zoo.WILOR_POSE_4BIT, "4bit", packed, hand_files.PACKED_BYTES),
        (zoo.HAND_DETECTOR, "detector", here.detector, hand_files.DETECTOR_BYTES),
        (zoo.WILOR_MINI, "mano", here.mano, hand_files.MANO_BYTES),
    ):
        listed = _listed(checkpoint, size, path)
        checkpoints.append(listed | ({} if path else {"download_bytes": download_bytes}))
    levels = {size: tuple(zoo.LEVELS) for size in zoo.SIZES} | {zoo.WILOR.name: zoo.HANDS.levels}
    fits = {size: [level for level in levels[size] if needed_bytes(size, level) <= memory_bytes] for size in levels}
    return {
        "device": runtime.device_name(),
        "memory_bytes": memory_bytes,
        "checkpoints": checkpoints,
        "cache": str(store.cache_folder()),
        "conversions": [{"name": one.name, "bytes": one.bytes} for one in conversions()],
        "hub_cache": str(hub_cache.cache_folder()),
        "downloads": [{"repo": one.name, "bytes": one.bytes} for one in downloads()],
        "fits": fits,
    }


def _listed(checkpoint: zoo.Checkpoint, size: str, path: Path | None) -> dict[str, Any]:
    """A row of the listing."""
    return {
        "task": checkpoint.task,
        "size": size,
        "file": str(path) if path else None,
        "bytes": path.stat().st_size if path else None,
        "bundled": checkpoint.bundled,
        "download_bytes": 0 if path or checkpoint.bundled else None,  # not known: the hub is not asked here
        "repo": checkpoint.repo if checkpoint.published else None,
        "licence": checkpoint.licence.name,
        "licence_url": checkpoint.licence.url,
    }


def as_text(listing: dict[str, Any]) -> str:
    """The listing for people."""
    lines = [f"{'task':9} {'size':8} {'on this machine':16} {'from':40} licence"]
    for row in listing["checkpoints"]:
        here = amount(row["bytes"]) if row["file"] else "no"
        here += f" ({amount(row['download_bytes'])})" if row["download_bytes"] else ""
        source = "ships with the project, no download" if row["bundled"] else row["repo"] or "not published yet"
        lines.append(f"{row['task']:9} {row['size']:8} {here:16} {source:40} {row['licence']}")
    lines += ["", f"conversions kept in {listing['cache']}:"]
    lines += [f"  {row['name']:36} {amount(row['bytes'])}" for row in listing["conversions"]] or ["  none"]
    lines += ["", f"downloads in {listing['hub_cache']}:"]
    lines += [f"  {row['repo']:36} {amount(row['bytes'])}" for row in listing["downloads"]] or ["  none"]
    lines += ["", f"levels that fit about {listing['memory_bytes'] / 1e9:.0f} GB ({listing['device']}):"]
    lines += [f"  {size:5} {' '.join(levels) or 'none'}" for size, levels in listing["fits"].items()]
    licences = {row["licence"]: row["licence_url"] for row in listing["checkpoints"]}
    lines += ["", *(f"{name}: {url}" for name, url in licences.items())]
    lines += ["", f"demo: {zoo.DEMO_NOTICE}"]
    needed = ", ".join(f"{amount(needed_bytes(zoo.WILOR.name, level))} at {level}" for level in zoo.HANDS.levels)
    lines += [f"hands: {HANDS_NOTICE} They take about {needed} of memory."]
    return "\n".join(lines)


# ---- what is kept on disk -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """A kept conversion or file, by its name and at its `path`, or what was downloaded of a repository, by the
    repository's."""

    name: str
    bytes: int
    path: Path | None = None

    @property
    def is_download(self) -> bool:
        return self.path is None


def conversions() -> list[Kept]:
    """The conversions in our cache, unfinished and damaged ones too."""
    return [Kept(folder.name, _folder_bytes(folder), folder) for folder in store.conversions()]


def downloads() -> list[Kept]:
    """What the Hugging Face cache has of the repositories that weights are taken from, whoever asked for it."""
    found = [Kept(repo, hub_cache.kept_bytes(repo)) for repo in _repos()]
    return [one for one in found if one.bytes]


def _repos() -> list[str]:
    """Every repository that weights may be taken from unasked."""
    found = [zoo.RFDETR_BASE.repo, zoo.WILOR_POSE.repo, zoo.WILOR_MINI.repo]
    for row in zoo.TASKS.values():
        for checkpoint in (zoo.checkpoint(row.name, size) for size in row.sizes):
            if checkpoint.published:
                found.append(checkpoint.repo)
                if row.name != "detect":
                    packed = [level for level in zoo.LEVELS.values() if level.bits is not None]
                    found += [locate.community_repo(checkpoint, level) for level in packed]
    return sorted(set(found))


def remove(names: list[str]) -> list[Kept]:
    """Removes kept conversions by name, or by its beginning (`seg`, `seg-0.4b`), or all; and downloads by their
    repository.

    `hands` is all that was downloaded for hands, MANO where this program keeps it, and that their licences were
    accepted. Files in folders of your own are never touched. Returns what was removed.

    Raises:
        SapiensError: when a name fits none, and then nothing is removed; or one cannot be removed.
    """
    removed = []
    for one in dict.fromkeys(one for name in names for one in _called(name)):  # all are found before one goes
        if one.path is None:
            removed.append(Kept(one.name, hub_cache.remove(one.name)))
        else:
            _remove(one.path)
            removed.append(one)
    return removed


def _called(name: str) -> list[Kept]:
    """What `name` stands for."""
    if name == zoo.HANDS.name:
        return _of_hands()
    found = [one for one in conversions() if name == "all" or one.name == name or _begins(one.name, name)]
    found += [one for one in downloads() if one.name == name]
    if not found and name != "all":
        raise SapiensError(_no_such(name))
    return found


def _begins(conversion: str, name: str) -> bool:
    """Whether a conversion's name begins with `name`: with its task, say, or with that and its size, which of 1b-4k is
    not 1b."""
    return conversion.startswith(f"{name}-") and zoo.names_in(name)[1] in (None, zoo.names_in(conversion)[1])


def _of_hands() -> list[Kept]:
    found = [one for one in downloads() if one.name in (zoo.WILOR_POSE.repo, zoo.WILOR_MINI.repo)]
    for path in (mano.ours(), consent.file()):
        if path is not None and path.is_file():
            found.append(Kept(path.name, path.stat().st_size, path))
    if not found:
        raise SapiensError(
            "There is nothing of hands to remove: neither downloads, nor MANO as this program keeps it, nor accepted "
            "licences."
        )
    return found


def _no_such(name: str) -> str:
    kind, where, kept = (
        ("download", hub_cache.cache_folder(), downloads())
        if "/" in name
        else ("conversion", store.cache_folder(), conversions())
    )
    return f"There is no {kind} {name!r} in {where}. Kept are: {', '.join(one.name for one in kept) or 'none'}."


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass  # another process was first
    except OSError as problem:
        raise SapiensError(
            f"{path} cannot be removed ({problem.strerror or problem}). See that you may write there, or remove it "
            "yourself."
        ) from problem


def amount(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e8 else f"{size_bytes / 1e6:.1f} MB"


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
