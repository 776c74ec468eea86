"""What a comparison found: as JSON, CSV, a table for a terminal, a sheet, files, and as the command that repeats it."""

import csv
import io
import json
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from . import inventory, runtime, zoo
from .compare import Comparison, Entry
from .files import output_folder, write_bytes
from .image import write_png
from .sheet import Tile, draw_sheet
from .tasks.agreement import Agreement

COSTS = ("network_seconds", "runs", "file_bytes", "weights_bytes", "peak_memory_bytes", "quantized_share")


def to_json(comparison: Comparison) -> dict[str, Any]:
    """What `compare --json` prints; valid JSON, without NaN or infinity.

    `reference` is a level, or "size:level" where sizes differ; `size` is the reference's; `levels` holds what is done
    of the variants asked for, in that order; `reference_entry` the reference where it was not among them.
    """
    reference, variants = comparison.reference, comparison.variants
    height, width = comparison.photo_rgb.shape[:2]
    rows = {entry.variant: _row(comparison, entry) for entry in comparison.entries}
    return {
        "input": comparison.name,
        "photo_size": {"width": width, "height": height},
        "task": comparison.task,
        "size": reference.size,
        "reference": str(reference) if comparison.is_mixed else reference.level,
        "device": runtime.device_name(),
        "figures": [
            {
                "name": figure.name,
                "title": figure.title,
                "unit": figure.unit,
                "better": "higher" if figure.higher_is_better else "lower",
            }
            for figure in comparison.figures
        ],
        "levels": [rows[variant] for variant in variants if variant in rows],
        "reference_entry": rows.get(reference) if reference not in variants else None,
        "notices": list(comparison.notices),
        "command": command_line(comparison),
    }


def _row(comparison: Comparison, entry: Entry) -> dict[str, Any]:
    """One object of "levels": the same keys for each, null where there is nothing."""
    report, cost = entry.report, entry.cost
    nothing = Agreement({figure.name: math.nan for figure in comparison.figures}, "")
    return {
        "size": entry.variant.size,
        "level": entry.variant.level,
        "is_reference": entry.variant == comparison.reference,
        "error": entry.error,
        "compute_dtype": report and report.compute_dtype,
        "licence": report and report.licence,
        "seconds": report and report.seconds,
        **{name: cost and getattr(cost, name) for name in COSTS},
        **(entry.agreement or nothing).to_json(),
    }


def to_csv(comparison: Comparison) -> str:
    """A row a variant, with a heading; empty where there is no number, and `notes` then says why."""
    names = [figure.name for figure in comparison.figures]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    start, end = ["task", "size", "level", "is_reference"], ["over", "notes", "notices", "error"]
    table.writerow([*start, *names, "compute_dtype", *COSTS, *end])
    for entry in comparison.entries:
        row = _row(comparison, entry)
        row |= row["figures"] | {
            "task": comparison.task,
            "is_reference": "yes" if row["is_reference"] else "no",
            "notes": "; ".join(f"{name}: {note}" for name, note in row["notes"].items()),
            "notices": " ".join(comparison.notices),
        }
        table.writerow([row[name] for name in (*start, *names, "compute_dtype", *COSTS, *end)])
    return text.getvalue()


def to_text(comparison: Comparison) -> str:
    """A table for a terminal of what did not fail, with what it was taken over, and notices, below it."""
    titles = [figure.title for figure in comparison.figures]
    rows = [["", *titles, "network", "file", "weights", "peak", "computes in"]]
    done = [entry for entry in comparison.entries if entry.error is None]
    rows += [[_title(comparison, entry), *figure_texts(comparison, entry), *cost_texts(entry)] for entry in done]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"Compared with {comparison.reference} over {done[0].agreement.over}."] if done else []
    return "\n".join([*lines, *comparison.notices])


def sheet(comparison: Comparison) -> np.ndarray:
    """All of it as one picture, (H, W, 3) uint8: each variant's picture, its differences, and its figures."""
    tiles, over = [], ""
    for entry in comparison.entries:
        if entry.error is not None:
            tiles.append(Tile(str(entry.variant), None, [entry.error]))
            continue
        over = f", over {entry.agreement.over}"
        network, file, weights, peak, dtype = cost_texts(entry)
        texts = zip(comparison.figures, figure_texts(comparison, entry), strict=True)
        lines = [f"{figure.title}: {text}" for figure, text in texts]
        lines += [f"Network {network}, computed in {dtype}", f"File {file}, memory {weights}, peak {peak}"]
        lines.append(f"Quantized: {100 * entry.cost.quantized_share:.0f} % of the weights")
        tiles.append(Tile(_title(comparison, entry), entry.tile, lines))
    title = f"{zoo.task_row(comparison.task).title}: {comparison.name}"
    words = [f"Above: the result. Below: its difference from {comparison.reference}{over}.", *comparison.notices]
    return draw_sheet(title, words, tiles, comparison.bar)


def save(comparison: Comparison, folder: str | Path, stem: str) -> list[Path]:
    """Writes the table, the sheet, and each variant's picture and differences; returns the paths.

    `<stem>_compare_<task>.csv`, `.json` and `.png`, `<stem>_<task>_<size>_<level>.png` and `..._difference.png`.

    Raises:
        SapiensError: where the folder cannot be written.
    """
    folder = output_folder(folder)
    start = f"{stem}_compare_{comparison.task}"
    text = json.dumps(to_json(comparison), allow_nan=False, indent=1)
    paths = [
        write_bytes(folder / f"{start}.csv", to_csv(comparison).encode()),
        write_bytes(folder / f"{start}.json", text.encode()),
        write_png(folder / f"{start}.png", sheet(comparison)),
    ]
    for entry in comparison.entries:
        if entry.error is None:
            name = f"{stem}_{comparison.task}_{entry.variant.size}_{entry.variant.level}"
            paths.append(write_png(folder / f"{name}.png", entry.picture))
            paths.append(write_png(folder / f"{name}_difference.png", entry.heat_map))
    return paths


def command_line(comparison: Comparison, out: str = "out") -> str:
    """`python -m sapiens_mlx compare ...` for a shell, that does the same."""
    reference, variants = comparison.reference, comparison.variants
    words = ["compare", comparison.name, "--task", comparison.task]
    if comparison.is_mixed:
        words += ["--variants", ",".join(map(str, variants)), "--reference", str(reference)]
    else:
        levels = ",".join(variant.level for variant in variants)
        words += ["--size", reference.size, "--levels", levels, "--reference", reference.level]
    if comparison.weights is not None:
        words += ["--weights", comparison.weights]
    if isinstance(comparison.foreground, str | Path) and comparison.foreground != "auto":
        words += ["--foreground", str(comparison.foreground)]
    if comparison.runs is not None:
        words += ["--runs", str(comparison.runs)]
    if comparison.options.boxes_xyxy is not None:  # the people who were found, so that they are the same again
        words += [f"--boxes={','.join(_exactly(value) for value in box)}" for box in comparison.options.boxes_xyxy]
    words += _of_hands(comparison)
    if not comparison.options.flip:
        words.append("--no-flip")
    return f"python -m sapiens_mlx {shlex.join([*words, '--out', out])}"


def _exactly(value: np.floating | float) -> str:
    """A number as it stands in its own precision: 12 rather than 12.0."""
    return str(value).removesuffix(".0")


def _of_hands(comparison: Comparison) -> list[str]:
    """The options of hands that are not the defaults."""
    if comparison.task != "hands":
        return []
    options, default = comparison.options, zoo.DEFAULTS
    words = []
    for name in ("hand_threshold", "hand_iou", "hand_norms"):
        if getattr(options, name) != getattr(default, name):
            words += [f"--{name.replace('_', '-')}", f"{getattr(options, name)}"]
    words += ["--hand-crop", options.hand_crop] if options.hand_crop else []
    return words + ([] if options.vertices else ["--no-vertices"])


def in_a_line(comparison: Comparison, entry: Entry) -> str:
    """An entry that has no error, for a terminal, as it ends."""
    figures = zip(comparison.figures, figure_texts(comparison, entry), strict=True)
    texts = [f"{figure.title} {text}" for figure, text in figures]
    return f"{_title(comparison, entry)}: {', '.join(texts)}; network {cost_texts(entry)[0]}"


def figure_texts(comparison: Comparison, entry: Entry) -> list[str]:
    """An entry's figures for people, in the order of `comparison.figures`."""
    values, notes = entry.agreement.values, entry.agreement.notes
    return [figure.text(values[figure.name], notes.get(figure.name, "")) for figure in comparison.figures]


def cost_texts(entry: Entry) -> list[str]:
    """For people: network seconds, file, memory of the weights, peak memory, compute dtype."""
    cost = entry.cost
    amounts = (cost.file_bytes, cost.weights_bytes, cost.peak_memory_bytes)
    texts = ["not known" if amount is None else inventory.amount(amount) for amount in amounts]
    return [f"{cost.network_seconds:.3g} s", *texts, entry.report.compute_dtype]


def _title(comparison: Comparison, entry: Entry) -> str:
    return f"{entry.variant}{' (reference)' if entry.variant == comparison.reference else ''}"
