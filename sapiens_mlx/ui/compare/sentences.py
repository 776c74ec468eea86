"""What the tab Compare levels says, as HTML: what is chosen, the gallery, the table. Words from outside are escaped."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ... import zoo
from .. import consent, hands, words

if TYPE_CHECKING:
    from ...compare import Comparison, Entry
    from ...variants import Variant

SHOWS = (
    ("Any two in a slider", "the photo, and what each level makes of it"),
    ("All in step", "zoom into one picture, and all of them follow"),
    ("Where they differ", "as a heat map: other labels, degrees, centimetres"),
    ("What it costs", "seconds, file size and memory of each level, in a table and in charts"),
)
# What a level costs: the heading, and the number that the column is sorted by.
COSTS = (
    ("Network", "network_seconds"),
    ("File", "file_bytes"),
    ("Weights", "weights_bytes"),
    ("Peak memory", "peak_memory_bytes"),
)


def empty(photo_there: bool = False) -> str:
    """What stands where the comparison will be."""
    steps = ("Add a photo of people", "Tick levels, of one size or of several", "Press Compare")
    return words.empty_page("What does each level cost, and what does it save?", steps, words.shows(SHOWS), photo_there)


def about(task: str, levels: Mapping[str, Sequence[str]]) -> str:
    """What is about to be compared: how many variants, and the weights of each size with their licence and notice.

    Args:
        levels: those that are ticked, by size.
    """
    checkpoints = [zoo.checkpoint(task, size) for size in levels]
    notices = [zoo.task_row(task).notice if any(not one.bundled for one in checkpoints) else ""]
    notices += [one.notice for one in checkpoints]
    notices += [hands.missing()] if task == hands.TASK else []
    number = sum(map(len, levels.values()))
    count = f"{number} {'variant is' if number == 1 else 'variants are'} ticked"
    asked = f"<p>{consent.ELSEWHERE}</p>" if task == hands.TASK else ""
    return (
        f'<div class="choice">{words.asides(notices)}<p>{count}, of 2 to 10. '
        f"Each is computed by itself, one network in memory at a time.</p><p>{_licences(task, levels)}</p>{asked}</div>"
    )


def _licences(task: str, sizes: Iterable[str]) -> str:
    """Those of the weights, each with the size that it is of; of hands with the part."""
    named = zoo.HANDS_LICENCES if task == hands.TASK else {size: zoo.checkpoint(task, size).licence for size in sizes}
    return "; ".join(f"{escape(name)}: {words.licence(row)}" for name, row in named.items())


def too_large(levels: Mapping[str, int], limit_bytes: int) -> str:
    """The levels that cannot be ticked, with the memory that each would take; empty where all can."""
    if not levels:
        return ""
    items = "".join(
        f'<li aria-disabled="true" title="Needs about {_gigabytes(needed)}">{escape(level)}</li>'
        for level, needed in levels.items()
    )
    least, most = min(levels.values()), max(levels.values())
    needs = _gigabytes(least) if least == most else f"{least / 1e9:.1f} to {_gigabytes(most)} each"
    return (
        f'<div class="too-large"><ul>{items}</ul><p>Too large for this machine: about {needs}, '
        f"and {_gigabytes(limit_bytes)} may be used.</p></div>"
    )


def _gigabytes(amount: int) -> str:
    return f"{amount / 1e9:.1f} GB"


# ---- what was computed ----------------------------------------------------------------------------------------------


def title(comparison: "Comparison", variant: "Variant") -> str:
    """ "demo 4bit", or "4bit" where all are of one size."""
    return f"{variant.size} {variant.level}" if comparison.is_mixed else variant.level


def gallery(
    comparison: "Comparison", photo: Path, pictures: Mapping["Variant", tuple[Path, Path]], photo_hw: tuple[int, int]
) -> str:
    """The photo and every picture, each a tile that zoom.js moves together with all others.

    Args:
        pictures: of each variant, its result and its differences, as files that the page may ask for.
    """
    from ...compare_files import figure_texts

    tiles = [_tile("Photo", "", [("", photo)], photo_hw)]
    for entry in comparison.entries:
        if entry.variant in pictures:
            result, differences = pictures[entry.variant]
            is_reference = entry.variant == comparison.reference
            figure = f"{comparison.figures[0].title} {figure_texts(comparison, entry)[0]}"
            note = "reference" if is_reference else figure
            images = [("result", result), ("differences", differences)]
            tiles.append(_tile(title(comparison, entry.variant), note, images, photo_hw))
    buttons = "".join(
        f'<button type="button" data-zoom="{factor}" aria-label="{label}">{sign}</button>'
        for factor, label, sign in (
            ("0.5", "Zoom out", "−"),
            ("2", "Zoom in", "+"),
            ("0", "Show the whole picture", "All"),
        )
    )
    toggle = '<label><input type="checkbox" data-differences> Differences instead of results</label>'
    return (
        f'<div class="in-step"><div class="bar">{buttons}<output>×1</output>{toggle}'
        "<p>Double-click, pinch or Ctrl + wheel zooms, dragging moves: all pictures follow.</p></div>"
        f'<div class="tiles">{"".join(tiles)}</div></div>'
    )


def _tile(name: str, note: str, images: Iterable[tuple[str, Path]], photo_hw: tuple[int, int]) -> str:
    height, width = photo_hw
    shown = "".join(
        f'<img class="{kind}" src="gradio_api/file={quote(str(path))}" alt="{escape(_alt(name, kind))}" '
        'loading="lazy" draggable="false">'
        for kind, path in images
    )
    return (
        f'<figure><div class="window" tabindex="0" style="aspect-ratio: {width} / {height}">{shown}</div>'
        f"<figcaption><b>{escape(name)}</b> <span>{escape(note)}</span></figcaption></figure>"
    )


def _alt(name: str, kind: str) -> str:
    return f"Differences of {name}" if kind == "differences" else name


def table(comparison: "Comparison") -> str:
    """A row a variant, with headings that sort.js sorts by; a variant that failed says why in its row."""
    from ...compare_files import cost_texts, figure_texts

    heads = [_head("Variant", "")]
    heads += [_head(figure.title, "higher" if figure.higher_is_better else "lower") for figure in comparison.figures]
    heads += [_head(name, "lower") for name, _ in COSTS]
    heads += [_head("Quantized", ""), _head("Computes in", "")]
    rows = []
    for number, entry in enumerate(comparison.entries):
        is_reference = entry.variant == comparison.reference
        badge = " <i>reference</i>" if is_reference else ""
        name = f'<th scope="row" data-value="{number}">{escape(title(comparison, entry.variant))}{badge}</th>'
        if entry.error is not None:
            rows.append(f'<tr class="failed">{name}<td colspan="{len(heads) - 1}">{escape(entry.error)}</td></tr>')
            continue
        figures = zip(figure_texts(comparison, entry), comparison.figures, strict=True)
        cells = [_cell(text, entry.agreement.values[figure.name]) for text, figure in figures]
        *costs, dtype = cost_texts(entry)
        cells += [_cell(text, getattr(entry.cost, key)) for text, (_, key) in zip(costs, COSTS, strict=True)]
        share = entry.cost.quantized_share
        cells += [_cell(f"{share:.0%}", share), _cell(dtype, dtype)]
        rows.append(f"<tr{' class=reference' if is_reference else ''}>{name}{''.join(cells)}</tr>")
    return (
        '<div class="levels" tabindex="0" role="region" aria-label="Table of levels"><table>'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _head(name: str, better: str) -> str:
    arrow = f'&nbsp;<i aria-hidden="true">{"↑" if better == "higher" else "↓"}</i>' if better else ""
    hint = f"{better} is better; " if better else ""
    return (
        f'<th scope="col" data-better="{better}"><button type="button" title="{hint}press to sort">'
        f"{escape(name)}{arrow}</button></th>"
    )


def _cell(text: str, value: float | str | None) -> str:
    """Infinity is a number to sort by (nothing differs); what is not known or not a number is none."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    known = "" if missing else escape(str(value))
    long = ' class="long"' if "(" in text else ""  # with a note, which may go into a second line
    return f'<td{long} data-value="{known}">{escape(text)}</td>'


def notes(comparison: "Comparison") -> str:
    """What the figures are measured by and over, what there is to know about them, and the licences."""
    done = [entry for entry in comparison.entries if entry.error is None]
    measured = ""
    if done:
        over = escape(done[0].agreement.over)
        measured = f"<p>Compared with <b>{escape(title(comparison, comparison.reference))}</b> over {over}. "
        measured += f"Network: the median of {_runs(done)}. Quantized: the share of the network's numbers.</p>"
    sizes = dict.fromkeys(entry.variant.size for entry in comparison.entries)
    weights = _licences(comparison.task, sizes)
    return f'<div class="notes">{measured}{words.asides(comparison.notices)}<p>Weights: {weights}</p></div>'


def _runs(done: Sequence["Entry"]) -> str:
    least, most = min(one.cost.runs for one in done), max(one.cost.runs for one in done)
    if least != most:
        return f"{least} to {most} runs"
    return "1 run" if most == 1 else f"{most} runs"
