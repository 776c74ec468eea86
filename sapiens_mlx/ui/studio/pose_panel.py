"""The part of the page below a pose: which groups and people are shown, a keypoint to find, joint angles, tables.

How to connect: build() once, beside the controls of pose. When a pose arrives (and for another photo), arrived() gives
the updates of its components. When one of `inputs` changes, redraw with
`result.picture(**controls' options, **options(values, result))`, and show angles_table(result, values) in
parts["angles"] and rows(result, values) in parts["points"]. None of it runs a network.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from ... import zoo
from ...tasks.joint_angles import MEASURES, NOTE, differences, joint_angles
from ...tasks.keypoints import in_groups, keypoints, readable_name

if TYPE_CHECKING:
    from ...tasks.pose import PoseResult

GROUPS = (
    ("Body", "body"),
    ("Left hand", "left_hand"),
    ("Right hand", "right_hand"),
    ("Feet", "feet"),
    ("Face", "face"),
)
NOWHERE = -1  # in the list of keypoints: none is looked for, as when the list has no value
HEADERS = ("Person", "No.", "Keypoint", "Group", "x (px)", "y (px)", "Score")
MOST_ROWS = 616  # two people whole; the file holds all
ANGLE_HEADS = ("Angle", "Left", "Right", "Left − right")
MEASURE_WORDS = {"trunk_lean": "Trunk lean"}
NOT_SEEN = "–"

# The names among the page's inputs.
NAMES = ("pose_groups", "pose_people", "pose_find", "pose_angles")


# ---- components -----------------------------------------------------------------------------------------------------


def build(inputs: dict[str, Any]) -> dict[str, Any]:
    """Lay the panel out in the current Blocks. Fills `inputs` by NAMES; returns "angles" (gr.HTML, hidden until asked
    for), "points" (gr.Dataframe) and "table" (the accordion around it)."""
    with gr.Row(elem_classes="pose-chips"):
        inputs["pose_groups"] = gr.CheckboxGroup(
            list(GROUPS), value=all_groups(), label="Points shown", elem_classes="chips small"
        )
        inputs["pose_people"] = gr.CheckboxGroup(
            [], value=[], label="People shown", visible=False, elem_classes="chips small"
        )
    with gr.Row(elem_classes="pose-find"):
        inputs["pose_find"] = gr.Dropdown(
            find_choices(),
            value=None,  # not "None": what is typed would be added to the word
            label="Find a keypoint",
            info="Type part of its name, such as thumb or iris.",
            min_width=260,
        )
        inputs["pose_angles"] = gr.Checkbox(
            False, label="Joint angles (not a medical measurement)", container=False, min_width=260
        )
    angles = gr.HTML(visible=False, elem_classes="pose-angles")
    with gr.Accordion("Table of the keypoints shown, in pixels of the photo", open=False) as table:
        points = gr.Dataframe(
            value=no_rows(),
            headers=list(HEADERS),
            datatype=["number", "number", "str", "str", "number", "number", "number"],
            type="array",
            interactive=False,
            label="Keypoints",
            show_label=False,
            max_height=360,
            show_search="filter",
            buttons=["copy", "fullscreen"],
        )
    return {"angles": angles, "points": points, "table": table}


def all_groups() -> list[str]:
    return [group for _, group in GROUPS]


def find_choices() -> list[tuple[str, int]]:
    """(what the page says, index) of "None" and of all keypoints, by group and then as in the table."""
    order = {group: place for place, group in enumerate(all_groups())}
    groups = keypoints().groups
    indices = sorted(range(len(groups)), key=lambda index: (order[str(groups[index])], index))
    return [("None", NOWHERE), *((readable_name(index), index) for index in indices)]


def everybody(result: "PoseResult") -> dict[str, Any]:
    """Of the values by NAMES, those that are of one result: everybody is shown, and nothing is looked for."""
    return {"pose_people": list(range(len(result.keypoints))), "pose_find": NOWHERE}


def arrived(result: "PoseResult") -> dict[str, Any]:
    """Updates by name for a new result: everybody is shown, and nothing is looked for.

    Groups and the wish for joint angles stay as the visitor left them."""
    count = len(result.keypoints)
    people = [(f"Person {number + 1}", number) for number in range(count)]
    return {
        "pose_people": gr.update(choices=people, value=list(range(count)), visible=count > 1),
        "pose_find": gr.update(value=None),
    }


# ---- what they show -------------------------------------------------------------------------------------------------


def options(values: Mapping[str, Any], result: "PoseResult") -> dict[str, Any]:
    """The keyword arguments of PoseResult.picture() for the values by NAMES.

    Args:
        result: the one that is drawn. People whom it does not have, left from an earlier photo, are not asked of it;
            where all who are chosen are such, everybody is.
    """
    groups, find = values["pose_groups"], values["pose_find"]
    return {
        "groups": None if len(groups) == len(GROUPS) else tuple(groups),
        "people": _people(values, result),
        "highlight": None if find in (None, NOWHERE) else int(find),
        "angles": bool(values["pose_angles"]),
    }


def rows(result: "PoseResult", values: Mapping[str, Any]) -> dict[str, list]:
    """What the table of keypoints holds: of the groups and people shown the first MOST_ROWS, the one that is looked
    for before all others, whatever its group."""
    chosen = options(values, result)
    people, wanted = _shown(result, chosen), in_groups(chosen["groups"])
    points = [row for row in result.table() if row.person - 1 in people]
    found = [row for row in points if row.index == chosen["highlight"]]
    others = [row for row in points if row.index != chosen["highlight"] and wanted[row.index]]
    words = {group: title for title, group in GROUPS}
    cells = [
        [
            row.person,
            row.index,
            readable_name(row.index),
            words[row.group],
            round(row.x_px, 1),
            round(row.y_px, 1),
            round(row.score, 2),
        ]
        for row in (found + others)[:MOST_ROWS]
    ]
    return {"headers": list(HEADERS), "data": cells}


def no_rows() -> dict[str, list]:
    """The empty table; with its headers, which it otherwise loses."""
    return {"headers": list(HEADERS), "data": []}


def angles_table(result: "PoseResult", values: Mapping[str, Any]) -> str:
    """The joint angles of everybody shown as an HTML table, below what they mean; empty where they are not wanted."""
    if not values["pose_angles"]:
        return ""
    people = _shown(result, options(values, result))
    if not people:
        return "<p>Nobody is shown, so there are no angles.</p>"
    threshold = values.get("pose_keypoint_threshold", zoo.DEFAULTS.keypoint_threshold)
    several = len(result.keypoints) > 1
    heads = "".join(f'<th scope="col">{head}</th>' for head in ANGLE_HEADS)
    bodies = "".join(
        _angle_rows(
            joint_angles(result.keypoints[person], result.keypoint_scores[person], threshold),
            f"Person {person + 1}" if several else "",
        )
        for person in people
    )
    meanings = "".join(
        f"<dt>{escape(_words(name))}</dt><dd>{escape(measure.meaning)}</dd>" for name, measure in MEASURES.items()
    )
    return (
        f"<p>{escape(NOTE)} Left and right are the person's own; {NOT_SEEN} is not seen.</p>"
        f'<div tabindex="0" role="region" aria-label="Joint angles"><table><thead><tr>{heads}</tr></thead>'
        f"{bodies}</table></div><details><summary>What is measured</summary><dl>{meanings}</dl></details>"
    )


def _angle_rows(angles: Mapping[str, float], title: str) -> str:
    """One person's part of the table, below a title where there is one."""
    apart = differences(angles)
    lines = [f'<tr><th scope="rowgroup" colspan="{len(ANGLE_HEADS)}">{escape(title)}</th></tr>'] if title else []
    for name, measure in MEASURES.items():
        if measure.paired:
            sides = (_degrees(angles[f"{side}_{name}"]) for side in ("left", "right"))
            cells = "".join(f"<td>{cell}</td>" for cell in (*sides, _degrees(apart[name], signed=True)))
        else:
            cells = f'<td colspan="2">{_degrees(angles[name], signed=measure.last is None)}</td><td></td>'
        lines.append(f'<tr><th scope="row">{escape(_words(name))}</th>{cells}</tr>')
    return f"<tbody>{''.join(lines)}</tbody>"


def _words(name: str) -> str:
    return MEASURE_WORDS.get(name, name.capitalize())


def _degrees(angle: float, signed: bool = False) -> str:
    if math.isnan(angle):
        return NOT_SEEN
    whole = round(angle)
    sign = ("+" if whole > 0 else "−" if whole < 0 else "") if signed else ""
    return f"{sign}{abs(whole)}°"


def _people(values: Mapping[str, Any], result: "PoseResult") -> tuple[int, ...] | None:
    """Who is drawn, as PoseResult.picture() takes it."""
    chosen = tuple(values["pose_people"] or ())
    count = len(result.keypoints)
    there = tuple(person for person in chosen if person < count)
    if len(there) == count or count <= 1 or (chosen and not there):
        return None
    return there


def _shown(result: "PoseResult", chosen: Mapping[str, Any]) -> Sequence[int]:
    return range(len(result.keypoints)) if chosen["people"] is None else chosen["people"]
