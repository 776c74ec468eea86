"""The look: one quiet accent, system fonts (nothing is fetched from elsewhere), light and dark."""

from pathlib import Path

import gradio as gr

STYLE_SHEETS = [
    Path(__file__).parent / name
    for name in ("style.css", "result.css", "compare/compare.css", "video/video.css", "live/live.css", "help/help.css")
]

FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif")
FONT_MONO = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """The theme of every tab; colours chosen for a contrast of at least 4.5 with what they stand on."""
    return gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", radius_size="lg", text_size="md", font=FONT, font_mono=FONT_MONO
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#0d1318",
        background_fill_primary="white",
        background_fill_primary_dark="#141c22",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="#10171c",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="#141c22",
        block_border_color="*neutral_200",
        block_border_color_dark="#26313a",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#2c3842",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_weight="600",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        input_background_fill="white",
        input_background_fill_dark="#0f161b",
        input_border_color="*neutral_300",
        input_border_color_dark="#33414c",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_dark="#1b252c",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="#243039",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="#33414c",
        button_border_width="1px",
        button_primary_border_color="transparent",
        button_primary_border_color_dark="transparent",
        slider_color="*primary_600",
        checkbox_background_color_selected="*primary_700",
        checkbox_background_color_selected_dark="*primary_600",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        link_text_color_hover="*primary_800",
        link_text_color_hover_dark="*primary_200",
    )
