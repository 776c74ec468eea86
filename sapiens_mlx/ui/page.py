"""The page: its tabs, its look, and how it is served. No model and no network code is imported before the first run."""

from pathlib import Path

import gradio as gr

from .. import runtime
from ..errors import SapiensError
from . import disk, preferences, words
from .api import endpoints as api
from .compare import layout as compare
from .features import layout as features
from .help import layout as help
from .live import layout as live
from .storage import MAX_FILE_SIZE, Visits, make_process_folder
from .studio import layout as studio
from .theme import STYLE_SHEETS, theme
from .video import layout as video
from .video.options import most_frames

TITLE = "Sapiens2 MLX Studio"
HERE = Path(__file__).parent
MOST_WAITING = 20  # visitors in the queue; who comes later is told so
DAY_S = 24 * 60 * 60


def build(folder: Path, weights: str | None = None) -> gr.Blocks:
    """The page. `folder` is where visitors' files go; `weights` a folder or a file as for Predictor, or None."""
    visits = Visits(folder)

    def leaving(request: gr.Request) -> None:
        visits.leave(request.session_hash)

    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, DAY_S)) as demo:
        gr.HTML(
            words.header(runtime.device_name(), runtime.memory_limit_bytes()),
            js_on_load=(HERE / "masthead.js").read_text("utf-8"),
        )
        api.connect(visits, weights)
        gr.set_static_paths([words.demo_licence_file()])
        with gr.Tabs(elem_classes="tabs"):
            with gr.Tab("Studio"):
                remembered, chosen = studio.build(visits, weights, folder / "examples")
            with gr.Tab("Compare levels"):
                compare.build(visits, weights, folder / "examples")
            with gr.Tab("Features"):
                features.build(visits, weights, folder / "examples")
            with gr.Tab("Video"):
                of_video, video_chosen = video.build(visits, weights, folder / "examples", most_frames())
            with gr.Tab("Live"):
                live.build(visits, weights)
            with gr.Tab("Weights") as weights_tab:
                disk.build(weights_tab)
            with gr.Tab("Help", elem_id="help-tab"):
                help.build()
        preferences.connect(demo, remembered | of_video, lambda restored: [chosen(restored), video_chosen(restored)])
        demo.unload(leaving)
    return demo.queue(max_size=MOST_WAITING)


def serve(
    host: str | None = None,
    port: int | None = None,
    share: bool = False,
    auth: str | None = None,
    weights: str | None = None,
    mcp: bool = False,
) -> None:
    """Serve the page until it is interrupted.

    Args:
        host, port: where to listen; default 127.0.0.1:7860, or $GRADIO_SERVER_NAME and $GRADIO_SERVER_PORT.
        share: a public link through Gradio's relay: photos then travel through it.
        auth: "user:password" that visitors must give.
        weights: a folder in the reference's layout, or one file, as for Predictor.
        mcp: also serve the endpoints of api.py as MCP tools, at /gradio_api/mcp/.

    Raises:
        SapiensError: `auth` is not user:password, `weights` does not exist, the port cannot be had, or the packages
            of `mcp` are missing.
    """
    user, colon, password = (auth or "").partition(":")
    if auth is not None and not (user and colon and password):
        raise SapiensError("The login is not of the form user:password. Give both, with a colon between them.")
    if weights is not None and not Path(weights).expanduser().exists():
        raise SapiensError(f"There is no file or folder {weights}. Give the folder your weights are in.")
    folder = make_process_folder()
    if mcp:
        api.prepare_mcp(folder)
    demo = build(folder, weights)
    try:
        demo.launch(
            server_name=host,
            server_port=port,
            share=share,
            auth=(user, password) if auth else None,
            theme=theme(),
            css_paths=STYLE_SHEETS,
            js=(HERE / "names.js").read_text("utf-8"),
            max_file_size=MAX_FILE_SIZE,
            footer_links=["api", "settings"],
            run_history=False,
            ssr_mode=False,
            mcp_server=mcp or None,
        )
    except OSError as problem:
        raise SapiensError(f"The page cannot be served: {problem} Choose another --port.") from problem
