"""Two charts of a comparison, as SVG that takes its colours from the page: quality against memory, and against seconds.

Better is always up and to the left.
"""

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import sentences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ...compare import Comparison, Entry

SIZE_INCHES = (4.2, 3.2)
# Stand-ins that matplotlib draws with, and the style sheet's colours that take their place, light or dark.
COLOURS = {"#010203": "var(--body-text-color)", "#040506": "var(--chart-line)", "#070809": "var(--good)"}
INK, LINE, POINT = COLOURS
MARKERS = ("o", "s", "D", "^", "v")  # by size
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "chart", "font.size": 10, "axes.unicode_minus": False}
# Where a point's name may stand, in points from it, with its alignment; the first that is free is taken.
PLACES = (
    (8, 0, "left", "center"),
    (-8, 0, "right", "center"),
    (0, 8, "center", "bottom"),
    (0, -8, "center", "top"),
    (7, 11, "left", "bottom"),
    (-7, 11, "right", "bottom"),
    (7, -11, "left", "top"),
    (-7, -11, "right", "top"),
    (0, 22, "center", "bottom"),
    (0, -22, "center", "top"),
)


def charts(comparison: "Comparison") -> str:
    """HTML with both charts; empty before two variants are done, which is when there is something to compare."""
    done = [entry for entry in comparison.entries if entry.error is None and not _is_nan(comparison, entry)]
    if len(done) < 2:
        return ""
    memory = [entry.cost.weights_bytes for entry in done]
    unit, size = ("GB", 1e9) if max(memory) >= 1e9 else ("MB", 1e6)
    seconds = [entry.cost.network_seconds for entry in done]
    drawings = (
        (
            "memory of the weights",
            _drawn(comparison, done, [one / size for one in memory], f"Weights in memory, {unit}"),
        ),
        ("seconds", _drawn(comparison, done, seconds, "Network, seconds")),
    )
    quality = comparison.figures[0].title
    figures = "".join(
        f'<figure role="img" aria-label="{quality} against {what}; the numbers are in the table">{drawing}</figure>'
        for what, drawing in drawings
    )
    return f'<div class="charts">{figures}</div>'


def _is_nan(comparison: "Comparison", entry: "Entry") -> bool:
    return math.isnan(entry.agreement.values[comparison.figures[0].name])


def _drawn(comparison: "Comparison", done: Sequence["Entry"], across: Sequence[float], label: str) -> str:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    quality = comparison.figures[0]
    factor = 100 if quality.unit == "%" else 1
    up = [factor * entry.agreement.values[quality.name] for entry in done]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.subplots()
        _prepare(axes, ", ".join(filter(None, (quality.title, quality.unit))), label)
        heights = _within(up, quality.higher_is_better)
        sizes = list(dict.fromkeys(entry.variant.size for entry in done))
        for entry, x, y, value in zip(done, across, heights, up, strict=True):
            axes.plot(
                x,
                y,
                marker="*" if math.isinf(value) else MARKERS[sizes.index(entry.variant.size) % len(MARKERS)],
                markersize=9 if math.isinf(value) else 7,
                markeredgecolor=POINT,
                markerfacecolor="none" if entry.variant == comparison.reference else POINT,
                markeredgewidth=1.6,
                zorder=3,
                clip_on=False,
            )
        axes.margins(0.14, 0.16)
        if max(across) > 30 * min(across) > 0:
            axes.set_xscale("log")
        else:
            axes.set_xlim(left=0)
        # No figure is less than nothing, and no share of what is equal, or cosine, more than 100 % or 1; only points
        # need room beyond.
        ends = quality.unit in ("%", "") and quality.higher_is_better
        _ticks_within(axes, 0 if min(heights) >= 0 else -math.inf, factor if ends else math.inf)
        if not quality.higher_is_better:
            axes.invert_yaxis()
        names = [
            sentences.title(comparison, entry.variant)
            + (" (reference)" if entry.variant == comparison.reference else "")
            + (": equal" if math.isinf(value) and entry.variant != comparison.reference else "")
            for entry, value in zip(done, up, strict=True)
        ]
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # lays it out, so that the room for names is known
        _name(axes, canvas.get_renderer(), names, list(zip(across, heights, strict=True)))
        text = io.StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    return _for_the_page(text.getvalue())


def _prepare(axes: "Axes", quality: str, across: str) -> None:
    axes.set_facecolor("none")
    axes.figure.set_facecolor("none")
    axes.set_xlabel(across, color=INK)
    axes.set_title(f"{quality} (up is better)", loc="left", fontsize=10, color=INK)
    axes.tick_params(colors=INK, length=0)
    axes.grid(color=LINE, linewidth=0.8)
    axes.ticklabel_format(useOffset=False, style="plain")
    for side in axes.spines.values():
        side.set_visible(False)


def _ticks_within(axes: "Axes", least: float, most: float) -> None:
    low, high = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if max(low, least) <= tick <= min(high, most)])
    axes.set_ylim(low, high)


def _within(values: Sequence[float], higher_is_better: bool) -> list[float]:
    """The values, with a place beyond the best for those that are infinitely good."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    reach = (max(finite) - min(finite)) or max(abs(max(finite)), 1.0)
    beyond = max(finite) + 0.25 * reach if higher_is_better else min(finite) - 0.25 * reach
    return [value if math.isfinite(value) else beyond for value in values]


def _name(axes: "Axes", renderer: Any, names: Sequence[str], points: Sequence[tuple[float, float]]) -> None:
    """Write each point's name beside it, where it covers no other point and no other name, if there is such a place."""
    from matplotlib.transforms import Bbox

    centres = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in centres]
    frame = axes.get_window_extent(renderer).padded(3)
    for name, point in zip(names, points, strict=True):
        tried: list[tuple[float, Any, Any]] = []
        for right, up, ha, va in PLACES:
            text = axes.annotate(
                name, point, (right, up), textcoords="offset points", ha=ha, va=va, color=INK, fontsize=9.5
            )
            box = text.get_window_extent(renderer)
            covered = sum(_shared(box, other) for other in taken)
            covered += 4 * (box.width * box.height - _shared(box, frame))
            tried.append((covered, text, box))
            if covered == 0:
                break
        best = min(tried, key=lambda one: one[0])
        for one in tried:
            if one is not best:
                one[1].remove()
        taken.append(best[2])


def _shared(a: Any, b: Any) -> float:
    """The area that two boxes have in common."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(0.0, width) * max(0.0, height)


def _for_the_page(svg: str) -> str:
    """The drawing alone, for the inside of a page, in the page's own colours."""
    svg = svg[svg.index("<svg") :]
    # Its style element would reach everything on the page.
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)
    for stand_in, colour in COLOURS.items():
        svg = svg.replace(stand_in, colour)
    return svg
