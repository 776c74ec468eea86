"""What the tab Help says, as HTML: the tasks, the parts and keypoints, sizes and levels, licences, the paper, privacy.

Numbers come from the project's own tables, so that the page cannot contradict what runs.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from pathlib import Path

from ... import zoo
from ...tasks.keypoints import GROUPS, keypoints
from .. import words
from . import texts

# As tasks/pose_picture.py colours them by body part; it brings OpenCV, which the page does without until its first run.
GROUP_COLOURS = {
    "body": (255, 225, 25),
    "feet": (255, 145, 40),
    "right_hand": (255, 92, 160),
    "left_hand": (110, 235, 90),
    "face": (110, 215, 255),
}
SEG_TABLE = Path(__file__).parents[2] / "tasks/data/seg29.json"


@cache
def parts() -> tuple[tuple[str, str], ...]:
    """(title, colour as #rrggbb) of each of the 29 classes, in index order."""
    table = json.loads(SEG_TABLE.read_text("utf-8"))
    rows = zip(table["names"], table["bright_rgb"], strict=True)
    return tuple((name.replace("_", " ").capitalize(), hexadecimal(colour)) for name, colour in rows)


def hexadecimal(colour: Iterable[int]) -> str:
    return "#" + bytes(colour).hex()


# ---- the page's parts -----------------------------------------------------------------------------------------------


def contents() -> str:
    """The way to each section."""
    links = "".join(f'<li><a href="#help-{name}">{escape(title)}</a></li>' for name, title in texts.SECTIONS.items())
    return f'<nav class="help-contents" aria-label="Contents of the help"><h2>Help</h2><ul>{links}</ul></nav>'


def begin() -> str:
    inside = (
        "<p><b>Add a photo of people</b> in the tab Studio: drop it, paste it, or use the camera. "
        "<b>Choose what to see and press Run.</b> "
        "<b>For photographs choose size 0.4b or larger</b>: the demo weights, which run at once and offline, were "
        "trained on drawn figures.</p>"
        "<h4>With the keyboard</h4><dl class='help-keys'>"
        "<dt><kbd>Tab</kbd>, <kbd>Shift</kbd> + <kbd>Tab</kbd></dt>"
        "<dd>to the next tab, control or group of choices, or back</dd>"
        "<dt><kbd>Space</kbd></dt><dd>choose, tick, press a button, open a tab or a fold</dd>"
        "<dt><kbd>←</kbd> <kbd>→</kbd></dt><dd>along a slider, or to another choice of a group</dd>"
        "</dl>"
    )
    return _section("begin", inside)


def tasks() -> str:
    rows = [
        (escape(row.title), *texts.PICTURES[row.name], ", ".join(row.sizes))
        for row in map(zoo.task_row, zoo.task_names())
    ]
    notices = "".join(f"<p>{escape(row.notice)}</p>" for row in zoo.TASKS.values() if row.notice)
    inside = _texts("Tasks", ("Task", "What the picture shows", "Units", "Sizes"), rows) + notices
    outside = "<p>Outside people normals, depth and albedo mean nothing: hide the rest.</p>"
    return _section("tasks", f"{inside}{outside}<p>{texts.HANDS}</p>")


def parts_intro() -> str:
    return _section(
        "parts",
        f"<p>Each pixel is the background or one of 28 parts of body and clothing. {texts.LEFT_RIGHT} "
        "Classes are known by their names; Face neck is the skin of both, Torso the skin of the trunk, and Apparel "
        "what is worn and is neither clothing of the upper or lower body, sock, shoe nor glasses: in the drawn figures "
        "hats, watches, belts, bags and the like. The picture is of a drawn figure, with its true parts.</p>",
    )


def parts_legend() -> str:
    """All classes with their numbers and colours."""
    items = "".join(
        f'<li><i style="background:{colour}"></i><span>{number}</span>{escape(title)}</li>'
        for number, (title, colour) in enumerate(parts())
    )
    note = "<p>The background keeps the photo's own colours.</p>"
    return f'<ol class="help-legend" start="0" aria-label="The 29 classes and their colours">{items}</ol>{note}'


def keypoints_intro() -> str:
    table = keypoints()
    items = "".join(
        f'<li><i style="background:{hexadecimal(GROUP_COLOURS[group])}"></i>{_group_title(group)}: '
        f"{len(members)} points</li>"
        for group, members in GROUPS.items()
    )
    return _section(
        "keypoints",
        f"<p>{len(table.names)} named points a person, in the order of their numbers (the Sociopticon layout). "
        f"{texts.LEFT_RIGHT} There are no points along the jaw. The picture is of a drawn figure, with its true "
        "points.</p>"
        f'<ul class="help-legend groups" aria-label="The groups and their colours">{items}</ul>',
    )


def keypoints_list() -> str:
    """Every name, in a fold for each group, and a field to search them: help.js hides what does not fit."""
    names = keypoints().names
    folds = "".join(
        f'<details class="help-group"><summary><i style="background:{hexadecimal(GROUP_COLOURS[group])}"></i>'
        f'{_group_title(group)} <span class="count">{len(members)}</span></summary><ul>{_names(names, members)}</ul>'
        "</details>"
        for group, members in GROUPS.items()
    )
    return (
        '<div class="help-names"><label>Find a keypoint by its name or number'
        '<input type="search" placeholder="left elbow, eyebrow, 41" autocomplete="off"></label>'
        f'<p class="found" role="status"></p>{folds}</div>'
    )


def _names(names: tuple[str, ...], members: Iterable[int]) -> str:
    return "".join(f"<li><span>{index}</span> {escape(names[index])}</li>" for index in members)


def _group_title(group: str) -> str:
    return group.replace("_", " ").capitalize()


def sizes() -> str:
    inside = (
        "<p>Larger networks see more and need more. The demo ships with the project. Of the others choose a size in "
        "the tab: its weights are looked for, and downloaded from Hugging Face at the first run where they are "
        "nowhere (4 bytes a parameter, or a smaller ready-made conversion). The conversion to the level you choose is "
        "kept on this machine for the next time.</p>"
        "<p>Weights are looked for in this order:</p><ol class='help-order'>"
        "<li>the folder given by <code>--weights</code>, by <code>$SAPIENS_CHECKPOINT_ROOT</code>, or "
        "<code>~/sapiens2_host</code>, laid out as the authors do it: "
        "<code>seg/sapiens2_0.4b_seg.safetensors</code>, likewise <code>pose/</code>, <code>normal/</code>, "
        "<code>pointmap/</code>, <code>albedo/</code>, <code>matting/</code>, <code>pretrain/</code>, "
        "<code>detector/rtmdet_m.pth</code>, and for hands <code>hands/wilor-mlx.safetensors</code>, "
        "<code>hands/hand-detector.safetensors</code> and <code>hands/mano.npz</code> or "
        "<code>hands/MANO_RIGHT.pkl</code>;</li>"
        "<li>the cache of Hugging Face;</li><li>a download.</li></ol>"
        "<p>Whoever runs the page sees in the tab Weights what they occupy, and can remove them. "
        "<code>python -m sapiens_mlx models</code> lists what is here and what fits; with <code>--remove</code> it "
        "removes conversions that are kept.</p>"
    )
    return _section("sizes", inside + _sizes_table())


def _sizes_table() -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(size.name)}</th><td class="number">{_parameters(size.parameters)}</td>'
        f'<td class="number">{"not stated" if size.tera_flops is None else f"{size.tera_flops:.3f}"}</td>'
        f'<td class="number">{size.num_layers}</td><td class="number">{size.embed_dim}</td>'
        f'<td class="number">{size.num_heads}</td>'
        f'<td class="number">{size.input_hw[1]} × {size.input_hw[0]}</td></tr>'
        for size in zoo.SIZES.values()
    )
    columns = (
        "Size",
        "Parameters of the backbone, millions",
        "TFLOPs a pass",
        "Blocks",
        "Width",
        "Heads",
        "Input, pixels",
    )
    note = (
        "<p>Parameters and FLOPs of 0.1b and larger as their authors state them. Pretrained on one billion images of "
        "people, all but 1b-4k at 768 × 1024. Their authors report for 5b 82.5 mIoU in body parts, 24.3 more than the "
        "first Sapiens.</p>"
        f"<p>Hands come in one size, {zoo.WILOR.name}: {_parameters(zoo.WILOR.parameters)} million parameters, "
        f"{zoo.WILOR.num_layers} blocks, {zoo.WILOR.input_hw[1]} × {zoo.WILOR.input_hw[0]} pixels a hand; at "
        f"{', '.join(zoo.HANDS.levels)}.</p>"
    )
    return _table("Sizes", columns, rows) + note


def memory(needed: Iterable[tuple[str, list[tuple[int, bool] | None]]], limit_bytes: int) -> str:
    """About what one photo needs by size and level. `needed` has for each size its (bytes, whether they fit here) by
    level, None for one that it does not come at; `limit_bytes` is what this machine has for it."""
    rows = "".join(
        f'<tr><th scope="row">{escape(size)}</th>' + "".join(map(_memory_cell, amounts)) + "</tr>"
        for size, amounts in needed
    )
    note = (
        f"<p>About what one photo takes, weights and activations together, in GB. This machine has "
        f"{limit_bytes / 1e9:.1f} GB for it; what is marked ✕ does not fit.</p>"
    )
    return note + _table("Memory by size and level", ("Size", *zoo.LEVELS), rows)


def _memory_cell(needed: tuple[int, bool] | None) -> str:
    if needed is None:
        return '<td class="number">–</td>'
    amount, fits = needed
    return f'<td class="number{"" if fits else " no"}">{_gigabytes(amount)}{"" if fits else " ✕"}</td>'


def levels() -> str:
    rows = [(level.name, escape(_stored(level)), escape(words.LEVELS[level.name])) for level in zoo.LEVELS.values()]
    inside = (
        "<p>A level is how weights are stored. Quantized are the Linear layers of the blocks, most of a network; "
        "convolutions and norms stay as they are. On a GPU 16-bit levels also compute in 16 bit; a processor computes "
        "in 32 bit at every level, so a level saves memory there. The tab Compare levels shows what each "
        "costs on your own photo.</p>"
    )
    return _section("levels", inside + _texts("Levels", ("Level", "Stored as", "Against fp32"), rows))


def _stored(level: zoo.Level) -> str:
    if level.bits is None:
        return level.dtype
    kind = "integers with a scale and a bias" if level.mode == "affine" else "floats with a scale"
    return f"{level.bits}-bit {kind} for every {level.group_size} weights; the rest {level.dtype}"


def licences() -> str:
    both = (*zoo.LICENCES.values(), *zoo.HANDS_LICENCES.values())
    rows = [(words.licence(licence), *texts.LICENCE_OF[licence.name]) for licence in both]
    inside = "<p>Which one holds is named wherever weights are chosen. In short, and not in place of the texts:</p>"
    asked = (
        "<p>Those of hands are asked for before the first download, once on a machine: in the tab Studio, or by "
        "<code>--accept-licences</code> on the command line. On a Space each visitor is asked, and each call of the "
        "API says <code>accept_licences</code>.</p>"
    )
    return _section("licences", inside + _texts("Licences", ("Licence", "Of what", "In short"), rows) + asked)


def paper() -> str:
    links = "".join(f"<li>{_link(title, url)}</li>" for title, url in texts.LINKS)
    return _section(
        "paper",
        "<p>Sapiens2 is the work of Rawal Khirodkar, He Wen, Julieta Martinez, Yuan Dong, Zhaoen Su and Shunsuke "
        f"Saito. This page is an independent port of it to MLX.</p><ul class='help-links'>{links}</ul>"
        "<h4>If you use it in research, cite</h4>",
    )


def privacy() -> str:
    items = (
        "Photos and frames of the camera are computed on the machine that serves this page and go nowhere else. Only "
        "weights come from outside, from Hugging Face. With <code>--share</code> the page, and so your photo, travels "
        "through Gradio's relay.",
        "What you add and what is computed is removed when you close the page. Place and device (EXIF) are in no file "
        "that you download.",
        "<b>The demo weights were trained on drawn figures.</b> They show what each task does; for photographs choose "
        "0.4b or larger.",
        "<b>Angles, distances and symmetry are not a medical measurement.</b>",
        "Distances take the camera as level, and metres are the network's estimate: they differ a little from photo to "
        "photo.",
        "Ask people before you put their photos in, here as elsewhere.",
    )
    return _section("privacy", f"<ul class='help-list'>{''.join(f'<li>{item}</li>' for item in items)}</ul>")


# ---- pieces ---------------------------------------------------------------------------------------------------------


def _section(name: str, inside: str) -> str:
    return f'<section class="help-section" id="help-{name}"><h3>{escape(texts.SECTIONS[name])}</h3>{inside}</section>'


def _texts(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of sentences (HTML). On a phone the style sheet makes blocks of its rows: each cell names its column."""
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f'<td data-of="{escape(of)}">{cell}</td>' for of, cell in zip(columns[1:], rest, strict=True))
        + "</tr>"
        for first, *rest in rows
    )
    return _table(caption, columns, body, "help-table texts")


def _table(caption: str, columns: Iterable[str], rows: str, classes: str = "help-table") -> str:
    heads = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    return (
        f'<div class="{classes}" role="region" aria-label="{escape(caption)}" tabindex="0"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _link(title: str, url: str) -> str:
    return f'<a href="{escape(url)}" target="_blank" rel="noopener">{escape(title)}</a>'


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f}" if size_bytes >= 1e8 else "&lt; 0.1"


def _parameters(count: int) -> str:
    millions = count / 1e6
    return f"{millions:,.0f}" if millions >= 10 else f"{millions:.1f}"
