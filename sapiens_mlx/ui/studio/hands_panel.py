"""The part of the page below hands: each hand close up, whose it is, and its points beside those of Pose."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from ... import zoo
from .. import controls
from ..tab import Updates

if TYPE_CHECKING:
    from ...tasks.hands import HandsResult
    from ...tasks.hands_people import Owner
    from ...tasks.pose import PoseResult
    from ..visit import Photo

TASK = zoo.HANDS.name
HEADS = ("Hand", "Score", "Person", "Apart from Pose")
ABOUT = (
    "A hand is the person's whose wrist of that side is nearest. Apart: how far its points lie from Pose's, in pixels "
    "of the photo, on average over those that Pose is sure of."
)
TICK_POSE = "Tick Pose too to see whose each hand is, and the points of both beside each other."
NOBODY = "nobody's wrist is near"


@dataclass(frozen=True)
class HandsPanel:
    """`close_ups` and `beside` are hidden where there is nothing to show in them."""

    column: gr.Column
    close_ups: gr.Gallery
    whose: gr.HTML
    beside: gr.Gallery

    @property
    def components(self) -> list[gr.blocks.Block]:
        return [self.close_ups, self.whose, self.beside]


def build() -> HandsPanel:
    """Lay it out in the current Blocks, hidden."""
    with gr.Column(visible=False) as column:
        close_ups = _gallery("Hands close up", 6)
        whose = gr.HTML(elem_classes=["pose-angles", "hands-table"])
        beside = _gallery("WiLoR beside Pose", 3)
    return HandsPanel(column, close_ups, whose, beside)


def _gallery(label: str, columns: int) -> gr.Gallery:
    return gr.Gallery(
        label=label,
        columns=columns,
        height="auto",
        object_fit="contain",
        interactive=False,
        visible=False,
        buttons=["fullscreen", "download"],
        elem_classes=["hands-gallery", f"of-{columns}"],
    )


def drawn(panel: HandsPanel, photo: "Photo", values: Mapping[str, Any]) -> Updates:
    """Updates for the kept results of a photo, in the look that is chosen."""
    from ...image import write_png
    from ...tasks import hands_people

    result, pose = photo.results[TASK], photo.results.get("pose")
    look = controls.options(TASK, values["style"], values)
    folder = photo.next_folder("close-ups")

    def files(pictures: list[tuple[np.ndarray, str]], name: str) -> list[tuple[str, str]]:
        paths = (folder / f"{photo.stem}_{name}_{number}.png" for number in range(1, len(pictures) + 1))
        return [(str(write_png(path, one)), words) for path, (one, words) in zip(paths, pictures, strict=True)]

    close_ups = files(result.close_ups(opacity=look["opacity"], skeleton=look["skeleton"]), "hand")
    beside = files(hands_people.pictures(result, pose) if pose else [], "beside")
    owners = hands_people.owners(result, pose) if pose else None
    return {
        panel.close_ups: gr.update(value=close_ups, visible=bool(close_ups), selected_index=None),
        panel.whose: table(result, owners, pose) if len(result) else "",
        panel.beside: gr.update(value=beside, visible=bool(beside), selected_index=None),
    }


def table(result: "HandsResult", owners: "list[Owner] | None", pose: "PoseResult | None") -> str:
    """Every hand as a row of an HTML table: which it is, and where there is a pose, whose."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in (HEADS if owners is not None else HEADS[:2]))
    rows = []
    for number, side in enumerate(result.sides):
        cells = [f'<th scope="row">{number + 1}: {side}</th>', f"<td>{result.scores[number]:.2f}</td>"]
        if owners is not None and pose is not None:
            cells += _of_owner(result, owners[number], pose)
        rows.append(f"<tr>{''.join(cells)}</tr>")
    note = TICK_POSE if owners is None else ABOUT
    return (
        f'<p>{note}</p><div tabindex="0" role="region" aria-label="Hands"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _of_owner(result: "HandsResult", owner: "Owner", pose: "PoseResult") -> list[str]:
    from ...tasks.hands_people import joint_pairs, mean_distance_px

    if owner.person is None:
        return [f'<td colspan="2">{NOBODY}</td>']
    apart = mean_distance_px(joint_pairs(result, owner.hand, pose, owner.person))
    return [f"<td>{owner.person + 1}</td>", f"<td>{apart:.1f} px</td>"]
