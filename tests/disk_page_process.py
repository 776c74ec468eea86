"""A page with nothing but what the weights occupy, in a tab beside an empty one, for tests to visit."""

import sapiens_mlx  # noqa: F401  isort: skip

import gradio as gr

from sapiens_mlx.ui import disk
from sapiens_mlx.ui.process_folder import make_process_folder
from sapiens_mlx.ui.theme import STYLE_SHEETS, theme

if __name__ == "__main__":
    make_process_folder()
    with gr.Blocks(analytics_enabled=False) as demo, gr.Tabs():
        with gr.Tab("Studio"):
            gr.Button("Run", elem_id="run")
        with gr.Tab("Help") as tab:
            disk.build(tab)
    demo.queue().launch(theme=theme(), css_paths=STYLE_SHEETS, run_history=False, ssr_mode=False)
