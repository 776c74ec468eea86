"""The page: its tabs, its look, and how it is served. No model and no network code is imported before the first run."""

import os
import sys
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from .. import hosted, runtime
from ..errors import SapiensError
from ..files import expanded, is_there
from . import addresses, disk, login, outside, preferences, words
from .api import endpoints as api
from .compare import layout as compare
from .doors import Doors
from .features import layout as features
from .help import layout as help
from .live import layout as live
from .process_folder import make_process_folder
from .storage import MAX_FILE_SIZE, MOST_SESSIONS, Visits
from .studio import layout as studio
from .theme import STYLE_SHEETS, theme
from .video import layout as video
from .video.options import HOSTED_FRAMES, most_frames

TITLE = "Sapiens2 MLX Studio"
HERE = Path(__file__).parent
# Events in the queue: a run each of 20 programs, and what pages redraw beside them. Who comes later is told so.
MOST_WAITING = 40
# Of all events, which Gradio would keep and count up after each, for its monitoring: that is closed.
NO_STATISTICS = {"GRADIO_ANALYTICS_MAX_EVENTS": "1", "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(sys.maxsize)}
SHARED = "This page has a public link: whoever has it can use this machine, and photos travel through Gradio's servers."
AS_A_SPACE = f"As on a Space, HEIC photos are not read and videos have at most {HOSTED_FRAMES} frames."
DAY_S = 24 * 60 * 60


def build(folder: Path, weights: str | None = None, shared: bool = False) -> gr.Blocks:
    """The page. `folder` is where visitors' files go; `weights` a folder or a file as for Predictor, or None; `shared`
    whether it says that it has a public link."""
    addresses.install()
    os.environ.update(NO_STATISTICS)
    visits = Visits(folder)
    outside.hide(weights)

    def leaving(request: gr.Request) -> None:
        visits.leave(request.session_hash)

    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(3600, DAY_S)) as demo:
        gr.HTML(
            words.header(runtime.device_name(), runtime.memory_limit_bytes()),
            js_on_load=(HERE / "masthead.js").read_text("utf-8"),
        )
        if shared:
            gr.HTML(words.notice(SHARED, "Public"), elem_id="shared")
        api.connect(visits, weights)
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
    visits.page_is_built(demo.temp_file_sets)
    # Closed, because a run that is asked for directly would overtake all who wait, as often as it is asked for.
    return demo.queue(max_size=MOST_WAITING, api_open=False)


def options() -> dict[str, Any]:
    """How Gradio is to serve the page, whoever may come: its look, and what is closed."""
    return {
        "theme": theme(),
        "css_paths": STYLE_SHEETS,
        "js": (HERE / "names.js").read_text("utf-8"),
        "footer_links": ["api", "settings"],
        "run_history": False,
        "ssr_mode": False,
        "max_file_size": MAX_FILE_SIZE,
        "state_session_capacity": MOST_SESSIONS,
        "enable_monitoring": False,
        "pwa": False,
        "num_workers": 0,  # they would serve files beside the doors
        "app_kwargs": {"middleware": [Middleware(Doors)]},
    }


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
        auth: "user:password" that visitors must give; default $SAPIENS_AUTH.
        weights: a folder in the reference's layout, or one file, as for Predictor.
        mcp: also serve the endpoints of api/ as MCP tools, at /gradio_api/mcp/.

    Raises:
        SapiensError: `auth` is not user:password or comes with `mcp`, `weights` does not exist, the port cannot be
            had, or the packages of `mcp` are missing.
    """
    known = login.credentials(auth)
    if known and mcp:
        raise SapiensError(
            "Programs that use MCP cannot log in. Leave out --mcp, or the login (--auth, $SAPIENS_AUTH)."
        )
    if weights is not None and not is_there(expanded(weights)):
        raise SapiensError(f"There is no file or folder {weights}. Give the folder your weights are in.")
    _warn(host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1", share, with_login=known is not None)
    folder = make_process_folder()
    if mcp:
        api.prepare_mcp(folder)
    demo = build(folder, weights, share)
    try:
        demo.launch(
            server_name=host,
            server_port=port,
            share=share,
            auth=known,
            auth_message=login.MESSAGE,
            mcp_server=mcp,
            **options(),
        )
    except OSError as problem:
        raise SapiensError(f"The page cannot be served: {problem} Choose another --port.") from problem


def _warn(host: str, share: bool, with_login: bool) -> None:
    """Say who can come, where that is others than who runs the page and who has the password; the page is a hosted one
    then.

    On a network of one's own, people without a password are taken for strangers too: nobody can tell that network from
    any other, and a file that a decoder of HEIC stumbles over is enough.
    """
    if share:
        told = SHARED
    elif not (with_login or hosted.is_hosted() or hosted.is_loopback(host)):
        told = f"The page listens at {host}: whoever reaches this machine by the network can use it."
    else:
        return
    hosted.open_to_strangers()
    remedy = "" if with_login else " Ask for a password with --auth, or in $SAPIENS_AUTH."
    print(f"WARNING: {told}{remedy} {AS_A_SPACE}", file=sys.stderr, flush=True)
