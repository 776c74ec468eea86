"""The tab Help: what the page says of itself, section by section, with two pictures and the citation to copy."""

from pathlib import Path

import gradio as gr

from ... import zoo
from ..wiring import PRIVATE
from . import sentences, texts

HERE = Path(__file__).parent
PARTS_PICTURE = HERE / "pictures/parts.webp"  # drawn by training/help_pictures.py
KEYPOINTS_PICTURE = HERE / "pictures/keypoints.webp"


def build() -> None:
    """Lay out the tab in the current Blocks."""
    with gr.Row(elem_id="help", elem_classes="help"):
        with gr.Column(scale=0, min_width=220, elem_classes="help-side"):
            gr.HTML(sentences.contents())
        with gr.Column(scale=1, min_width=320, elem_classes="help-text"):
            gr.HTML(sentences.begin())
            gr.HTML(sentences.tasks())
            gr.HTML(sentences.parts_intro())
            _picture(
                PARTS_PICTURE,
                "A drawn figure, its face, and its mouth, each part in the colour of its class",
            )
            gr.HTML(sentences.parts_legend())
            gr.HTML(sentences.keypoints_intro())
            _picture(
                KEYPOINTS_PICTURE, "A drawn figure, its face and its hands, with each keypoint in its group's colour"
            )
            gr.HTML(sentences.keypoints_list(), js_on_load=(HERE / "help.js").read_text("utf-8"))
            gr.HTML(sentences.sizes())
            with gr.Accordion("Memory that each size and level needs", open=False) as fold:
                needed = gr.HTML(elem_id="help-memory")
            gr.HTML(sentences.levels())
            gr.HTML(sentences.licences())
            gr.HTML(sentences.paper())
            gr.Code(
                texts.CITATION,
                language=None,
                label="BibTeX",
                interactive=False,
                lines=7,
                wrap_lines=True,
                show_line_numbers=False,
                buttons=["copy"],
                elem_id="help-citation",
            )
            gr.HTML(sentences.privacy())
    fold.expand(_memory, None, needed, queue=False, **PRIVATE)


def _picture(path: Path, alt: str) -> None:
    gr.Image(
        str(path),
        show_label=False,
        interactive=False,
        buttons=["fullscreen"],
        elem_classes="help-picture",
        alt_text=alt,
    )


def _memory() -> str:
    """Asked for when it is unfolded: the estimate brings the networks, which the page does without until then."""
    from ... import runtime
    from ...inventory import needed_bytes

    limit = runtime.memory_limit_bytes()

    def cell(size: str, level: str) -> tuple[int, bool] | None:
        if size == zoo.WILOR.name and level not in zoo.HANDS.levels:
            return None
        needed = needed_bytes(size, level)
        return needed, needed <= limit

    table = [(size, [cell(size, level) for level in zoo.LEVELS]) for size in (*zoo.SIZES, zoo.WILOR.name)]
    return sentences.memory(table, limit)
