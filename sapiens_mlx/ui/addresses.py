"""Web addresses in place of uploads: none is opened.

Where a file is expected, a request may hold an address. Gradio would fetch it: whole into memory, however long it is
and takes, and past its own check from some networks that are not public. Here a photo is sent or it is not seen, and a
server that calls nobody cannot be made to call its neighbours.

An address of this page itself names a file that is here already, such as an upload: that is how Gradio's helper for MCP
gives files. It is taken for the path in it, and nobody is called for that either.
"""

from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

import gradio as gr
from gradio import processing_utils
from gradio.utils import is_in_or_equal

REFUSED = (
    "No web address is opened here. Save the file on your machine first and send the file itself: drop it on the page, "
    "or in a program give its name to handle_file() of gradio_client."
)
SERVED = "/gradio_api/file="  # what comes before the path in the address of a file that Gradio serves


def install() -> None:
    """Take the place of the two functions by which Gradio fetches what a request names, in this whole process."""
    processing_utils.async_ssrf_protected_download = _take
    processing_utils.async_ssrf_protected_get = _refuse


def here(address: str, folder: str | Path) -> str | None:
    """The path in an address of this page, where it lies in Gradio's `folder`; None for any other address.

    The host is not looked at: who knows a path can name it without an address too, by the same rule.
    """
    try:
        _, _, path = unquote(urlsplit(address).path).partition(SERVED)
        return path if path and is_in_or_equal(path, folder) else None
    except (ValueError, OSError):  # no address, or no path that there could be
        return None


async def _take(url: str, cache_dir: str) -> str:
    return here(url, cache_dir) or await _refuse(url)


async def _refuse(url: str) -> NoReturn:
    raise gr.Error(REFUSED, print_exception=False)
