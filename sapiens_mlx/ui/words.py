"""What the page says, as HTML: the way in, progress, notices, what was run. What comes from outside is escaped,
and what names a folder of this machine is cut short."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from .. import zoo
from ..shipped import demo_folder
from ..tasks.base import Report, Result
from .controls import TASKS
from .figures import figure
from .outside import for_others
from .progress import Step

if TYPE_CHECKING:
    from ..costs import Cost
    from ..video.report import ClipReport

HINTS = {
    "seg": "29 parts of body and clothing, coloured over the photo",
    "pose": "308 named keypoints for every person",
    "normal": "which way every surface faces",
    "pointmap": "how far away it is, in metres, and a 3-D mesh",
    "albedo": "colours without light and shadow",
    "matting": "people cut out, with soft edges",
    "features": "what the pretrained network sees, patch by patch",
    "detect": "a box around everyone",
    "hands": "21 joints and a mesh of every hand, in 3-D",
}
LEVELS = {
    "fp32": "weights of 32 bit, nothing rounded",
    "fp16": "weights of 16 bit, half the memory",
    "bf16": "weights of 16 bit, half the memory",
    "8bit": "about a quarter of the memory",
    "6bit": "about a fifth of the memory",
    "5bit": "about a sixth of the memory, less exact",
    "4bit": "about an eighth of the memory, less exact",
    "mxfp8": "8-bit floats, about a quarter of the memory",
    "mxfp4": "4-bit floats, about an eighth of the memory, less exact",
    "nvfp4": "4-bit floats in small groups, about an eighth of the memory, less exact",
}
DETECTORS = {
    "demo": "A small RTMDet, the demo's person detector",
    "rtmdet-m": "RTMDet-m, the person detector of 0.4b and larger",
}
RESULT = '<h2 class="unseen">Result</h2>'  # where a screen reader may go to
STAGES = {
    "load": "load weights",
    "detect": "find people",
    "fit": "fit photo",
    "network": "network",
    "decode": "decode",
    "foreground": "cut out",
    "draw": "draw",
}
HAND_STAGES = STAGES | {"detect": "find hands", "fit": "cut out hands"}


def header(device: str, memory_bytes: int) -> str:
    """The page's title, what it runs on, whose weights these are, and the switch between light and dark."""
    licences = f"Weights: {licence(zoo.SAPIENS2_LICENCE)}; demo: {licence(zoo.DEMO_LICENCE)}"
    return (
        '<header class="masthead"><div><h1>Sapiens2 <span>MLX Studio</span></h1>'
        "<p>Body parts, pose, normals, depth and more from photos of people. "
        "Computed on this machine; photos are not kept.</p></div>"
        f'<div class="about"><p title="What the models run on, and the memory they may use">{escape(device)} · '
        f"{memory_bytes / 1e9:.0f} GB for models</p><p>{licences}</p></div>"
        '<button type="button" class="shade" aria-pressed="false">Dark</button></header>'
    )


def empty(photo_there: bool = False) -> str:
    """What stands where the picture will be: three steps, and what each task shows."""
    tiles = "".join(_tile(row.title, HINTS[row.name], figure(row.name)) for row in map(zoo.task_row, TASKS))
    tiles = f'<ul class="tiles" aria-label="What can be seen">{tiles}</ul>'
    steps = ("Add a photo of people", "Tick what to see", "Press Run")
    return empty_page("Your pictures appear here", steps, tiles, photo_there)


def empty_page(title: str, steps: Iterable[str], tiles: str, photo_there: bool) -> str:
    """What a tab says before its first picture: the steps to one, the first of which is the photo, and a list of
    tiles."""
    state = " class='done'" if photo_there else ""
    items = "".join(
        f"<li{state if number == 1 else ''}><b>{number}</b>{step}</li>" for number, step in enumerate(steps, start=1)
    )
    return f'<section class="empty"><h2>{title}</h2><ol class="steps">{items}</ol>{tiles}</section>'


def shows(tiles: Iterable[tuple[str, str]]) -> str:
    """The tiles of what a tab shows: each has a title and a text."""
    items = "".join(_tile(title, text) for title, text in tiles)
    return f'<ul class="tiles shows" aria-label="What is shown">{items}</ul>'


def _tile(title: str, text: str, drawing: str = "") -> str:
    return f"<li>{drawing}<div><h3>{escape(title)}</h3><p>{text}</p></div></li>"


def choice(
    tasks: Sequence[str],
    size: str,
    level: str,
    cost: str = "",
    hints: Mapping[str, str] = HINTS,
    missing: Iterable[str] = (),
) -> str:
    """What is about to be run: the tasks in a line, the weights with their licence, and what is special about them,
    the `missing` packages first."""
    if not tasks:
        return '<div class="choice"><p>Tick at least one of what there is to see.</p></div>'
    checkpoints = [zoo.checkpoint(task, zoo.size_like(task, size)) for task in tasks]
    networks = [one for one in checkpoints if one.task not in ("detect", zoo.HANDS.name)]
    notices = [one.notice for one in checkpoints]
    notices += [zoo.task_row(one.task).notice for one in checkpoints if not one.bundled]
    hint = f"<p>{escape(zoo.task_row(tasks[0]).title)}: {hints[tasks[0]]}.</p>" if len(tasks) == 1 else ""
    repos = dict.fromkeys(one.repo for one in checkpoints if one.repo and one.published)
    if zoo.HANDS.name in tasks:
        repos[zoo.WILOR_MINI.repo] = None
    source = f"<p>Where they are not here, they come from {escape(', '.join(repos))}.</p>" if repos else ""
    others = "".join(
        f"<p>{escape(zoo.task_row(one.task).title)} does not come in {size}: {one.size} is taken.</p>"
        for one in networks
        if one.size != size
    )
    if networks and zoo.HANDS.name in tasks:
        others += f"<p>{_hands_words(level)}.</p>"
    licences = {row.name: row for one in checkpoints for row in _licences(one.task, one.licence)}.values()
    if networks:
        what = f"{_size_words(size)}; {LEVELS[level]}"
    else:
        what = _hands_words(level) if zoo.HANDS.name in tasks else DETECTORS[checkpoints[0].size]
    return (
        f'<div class="choice">{asides(dict.fromkeys([*missing, *notices]))}{hint}{others}'
        f"<p>{what}. {', '.join(map(licence, licences))}</p>{source}{cost}</div>"
    )


def too_large(what: Sequence[str], limit: str) -> str:
    """What cannot be chosen, with the memory that each would take; empty where all can."""
    if not what:
        return ""
    items = "".join(f'<li aria-disabled="true">{escape(one)}</li>' for one in what)
    return f'<div class="too-large"><ul>{items}</ul><p>Too large for this machine: {limit} may be used.</p></div>'


def _size_words(size: str) -> str:
    parameters = zoo.SIZES[size].parameters
    unit, amount = ("billion", parameters / 1e9) if parameters >= 1e9 else ("million", parameters / 1e6)
    digits = 1 if parameters >= 1e9 or parameters < 1e7 else 0
    return f"Sapiens2 {size}, {amount:.{digits}f} {unit} parameters"


def _hands_words(level: str) -> str:
    """Of the networks for hands, where another task or level is what `level` was chosen for."""
    taken = zoo.level_like(zoo.HANDS.name, level)
    other = f", which do not come at {level}: {taken} is taken" if taken != level else ""
    return f"Hands by WiLoR, {zoo.WILOR.parameters / 1e6:.0f} million parameters, and its hand detector{other}"


def _licences(task: str, of_file: zoo.Licence) -> Collection[zoo.Licence]:
    """Those of all weights that a task takes."""
    return zoo.HANDS_LICENCES.values() if task == zoo.HANDS.name else [of_file]


def credit(report: "Report | ClipReport") -> str:
    """Whose weights a result was made with: links to their licences."""
    if report.task != zoo.HANDS.name:
        return licence(zoo.LICENCES[report.licence])
    return ", ".join(f"{licence(row)} ({escape(what)})" for what, row in zoo.HANDS_LICENCES.items())


def to_accept(download_bytes: int, is_hosted: bool) -> str:
    """The licences of hands, to be accepted before anything is downloaded."""
    from ..inventory import amount  # brings the networks, which the page does without until its first event

    items = "".join(f"<li>{escape(what)}: {licence(row)}</li>" for what, row in zoo.HANDS_LICENCES.items())
    coming = f"About {amount(download_bytes)} will be downloaded, once. " if download_bytes else ""
    kept = (
        "They are for everyone who uses the weights, so every visitor is asked, once a visit."
        if is_hosted
        else "That you have accepted them is remembered on this machine, and nobody is asked again."
    )
    return (
        '<section class="to-accept" role="alert"><h2>Hands need weights with licences of their own</h2>'
        f"<ul>{items}</ul><p>The first allows no commercial use, and no changed weights to be passed on. "
        f"{coming}{kept} Untick Hands to go on without.</p></section>"
    )


def cost(total: "Cost") -> str:
    """What a run takes: to download, of memory, and how long, as earlier runs here took."""
    facts = cost_facts(total)
    if total.seconds is not None:
        facts.append(f"{expected(total.seconds, total.guessed)} a photo")
    return f'<p class="cost">{"; ".join(facts)}.</p>'


def cost_facts(total: "Cost") -> list[str]:
    """What a run takes to download, and of memory."""
    from ..inventory import amount  # brings the networks, which the page does without until its first event

    facts = [f"Downloads about {amount(total.download_bytes)}" if total.download_bytes else "Nothing to download"]
    if total.memory_bytes:
        facts.append(f"about {amount(total.memory_bytes)} of memory ({amount(total.memory_limit_bytes)} may be used)")
    return facts


def expected(seconds: float, guessed: bool) -> str:
    """ "about 4.2 s", or "perhaps" where it is a guess."""
    return f"{'perhaps' if guessed else 'about'} {duration(round(seconds, 1) if seconds < 10 else round(seconds))}"


def licence(row: zoo.Licence) -> str:
    """A link; one of the project's own, that of the demo weights, has the text in it, which browsers save as a file."""
    name = escape(row.name)
    if "://" in row.url:
        return f'<a href="{escape(row.url)}" target="_blank" rel="noopener">{name}</a>'
    file = demo_folder() / Path(row.url).name
    if not file.is_file():
        return name
    text = quote(file.read_text("utf-8"))
    return f'<a href="data:text/plain;charset=utf-8,{text}" download="{escape(file.name)}.txt">{name}</a>'


def asides(texts: Iterable[str]) -> str:
    """A marked line for each sentence that is to be seen."""
    return "".join(f'<p class="aside">{escape(for_others(text))}</p>' for text in texts if text)


# ---- status ---------------------------------------------------------------------------------------------------------


def working(step: Step, seconds: float = 0, left: float | None = None, quiet: bool = False) -> str:
    """A line and a bar; the bar runs to and fro where the share is not known. `left` are the seconds to the end.

    `quiet` is for what changes all the time, which is then not read out.
    """
    role = 'role="timer" aria-live="off"' if quiet else 'role="status"'
    width = "" if step.share is None else f' style="width:{100 * step.share:.1f}%"'
    known = "" if step.share is None else f' aria-valuenow="{100 * step.share:.0f}"'
    to_go = "" if left is None or left < 1 else f" · about {duration(round(left))} left"
    clock = f"<span>{seconds:.0f} s{to_go}</span>" if seconds >= 1 else ""
    return (
        f'<div class="status working"><p {role}><b>{escape(step.words)}</b>{clock}</p>'
        f'<div class="bar{"" if width else " unknown"}" role="progressbar" aria-label="Progress" aria-valuemin="0" '
        f'aria-valuemax="100"{known}><i{width}></i></div></div>'
    )


def line(what: str, more: str = "", kind: str = "done") -> str:
    """How the run ended, "done" or "stopped", of the size that progress had, so that nothing below it moves."""
    return (
        f'<div class="status {kind}"><p role="status"><b>{escape(what)}</b><span>{escape(more)}</span></p>'
        '<div class="bar"><i></i></div></div>'
    )


def duration(seconds: float) -> str:
    """How long a run took: "12.3 s", "2 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    digits = 0 if isinstance(seconds, int) else 1
    return f"{seconds:.{digits}f} s" if seconds < 60 else f"{minutes} min {rest} s"


def notice(message: str, title: str = "That did not work") -> str:
    """A problem that the visitor can do something about; it stays until the next run."""
    return f'<div class="status notice" role="alert"><h2>{escape(title)}</h2><p>{escape(for_others(message))}</p></div>'


# ---- what was run ---------------------------------------------------------------------------------------------------


def notes(report: Report) -> str:
    """What there is to know about this result, for the line under its picture."""
    return asides_area(report.notices)


def asides_area(notices: Sequence[str]) -> str:
    """The same for notices of several results."""
    return f'<div class="notes">{asides(notices)}</div>' if notices else ""


def cards(results: Collection[Result]) -> str:
    """What was run for every picture of a photo, a line each, and whose weights they are."""
    rows = "".join(
        f"<dt>{escape(zoo.task_row(one.report.task).title)}</dt><dd>{escape(one.report.size)}, {_storage(one.report)}; "
        f"{_seconds(sum(one.report.seconds.values()))}</dd>"
        for one in results
    )
    licences = ", ".join(dict.fromkeys(credit(one.report) for one in results))
    weights = f"<dt>Weights</dt><dd>{licences}</dd>"
    return f'<section class="card"><h2>What was run</h2><dl>{rows}{weights}</dl></section>'


def photo_caption(name: str, done: int) -> str:
    """Of a small picture in the strip: the file's name, and how many results there are of it."""
    return f"{name} · {done}" if done else name


def card(report: Report, findings: str) -> str:
    """How the picture came about: seconds by stage, memory, device, precision, licence."""
    total = sum(report.seconds.values())
    titles = HAND_STAGES if report.task == zoo.HANDS.name else STAGES
    stages = "".join(
        f"<li><span>{titles.get(name, name)}</span><b>{_seconds(seconds)}</b></li>"
        for name, seconds in report.seconds.items()
        if seconds >= 0.005
    )
    facts = {
        "Run": escape(f"{zoo.task_row(report.task).title} {report.size}"),
        "Found": escape(findings),
        "People by": f"RF-DETR ({zoo.RFDETR_BASE.licence.name})" if report.detector == "rfdetr" else "",
        "Time": f"{_seconds(total)} in all<ul class='stages'>{stages}</ul>",
        "Memory": f"{report.peak_memory_bytes / 1e9:.1f} GB at its peak",
        "Device": escape(report.device),
        "Precision": f"weights stored as {_storage(report)}, computed in {escape(report.compute_dtype)}",
        "Weights": credit(report),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
    return f'<section class="card"><h2>What was run</h2><dl>{rows}</dl></section>'


def _storage(report: Report) -> str:
    """Like "8bit (58 % of them quantized; 1.10 GB in memory)": convolutions, norms and tokens never are."""
    from ..inventory import amount  # brings the networks, which the page does without until its first run

    if not report.weights_bytes:
        return escape(report.level)
    share = f"{report.quantized_share:.0%} of them quantized; " if report.quantized_share else ""
    return f"{escape(report.level)} ({share}{amount(report.weights_bytes)} in memory)"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"


def file_label(path: Path) -> str:
    """What a download button says: what it is, its format, and how large."""
    endings = {
        "_side_by_side.png": "Beside the photo",
        "_labels.png": "Labels",
        "_depth16.png": "Depth in mm",
        "_matting.png": "Cut-out",
        "_composite.png": "With background",
        "_coco17.json": "COCO, 17 points",
        "_wholebody133.json": "WholeBody, 133 points",
        "_openpose.json": "OpenPose",
        "_angles.csv": "Joint angles",
        "_all.png": "All on one sheet",
        "_hands_people.json": "Whose hands",
        "_hands_people.png": "Beside Pose",
    }
    formats = {
        ".png": "Picture",
        ".npz": "Arrays",
        ".json": "Data",
        ".ply": "Points",
        ".glb": "3-D mesh",
        ".obj": "3-D mesh",
        ".csv": "Table",
    }
    title = next((words for ending, words in endings.items() if path.name.endswith(ending)), formats[path.suffix])
    return file_words(title, path)


def file_words(title: str, path: Path) -> str:
    """The same with a title of one's own."""
    size = path.stat().st_size
    amount = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{max(1, size / 1e3):.0f} kB"
    return f"{title} · {path.suffix[1:].upper()} · {amount}"
