"""A page with the tab Live alone, that tests can visit: `python -m tests.live_process SECONDS MOST`, how long a camera
is on, and how many at once."""

import sapiens_mlx  # noqa: F401  isort: skip

import sys

import gradio as gr

from sapiens_mlx.ui.live import layout as live
from sapiens_mlx.ui.page import options
from sapiens_mlx.ui.process_folder import make_process_folder
from sapiens_mlx.ui.storage import Visits

if __name__ == "__main__":
    visits = Visits(make_process_folder())

    def leaving(request: gr.Request) -> None:
        visits.leave(request.session_hash)

    with gr.Blocks(analytics_enabled=False, fill_width=True) as page:
        with gr.Tabs():
            with gr.Tab("Live"):
                live.build(visits, None, limit_s=float(sys.argv[1]), most=int(sys.argv[2]))
            with gr.Tab("Other"):
                gr.HTML("<p>Another tab</p>")
        count = gr.HTML(elem_id="visits")
        gr.Button("Count", elem_id="count").click(lambda: f"{len(visits)} visits", None, count)
        page.unload(leaving)
    page.queue(max_size=20, api_open=False).launch(**options())
