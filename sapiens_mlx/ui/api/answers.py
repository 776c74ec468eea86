"""What programs are told: a sentence, and nothing of this machine."""

import logging
import re
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr

from ...errors import CancelledError, SapiensError

log = logging.getLogger(__name__)


def told(problem: Exception, weights: str | None = None) -> gr.Error:
    """A problem as programs hear of it: a sentence, and nothing of this machine."""
    if isinstance(problem, CancelledError):
        return gr.Error("The call was stopped.", print_exception=False)
    if isinstance(problem, SapiensError):
        return gr.Error(for_others(str(problem), weights), print_exception=False)
    log.error("A call of the page's API failed", exc_info=problem)
    return gr.Error(
        "Something unexpected went wrong. The log of the server says what; please try again.", print_exception=False
    )


def for_others(value: Any, weights: str | None = None) -> Any:
    """`value` with every path of this machine in its texts cut down to its last name."""
    if isinstance(value, dict):
        return {name: for_others(part, weights) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [for_others(part, weights) for part in value]
    if not isinstance(value, str) or "/" not in value:
        return value
    for folder in _folders(weights):
        value = value.replace(f"{folder}/", "/").replace(folder, "a folder of the server")
    return _PATH.sub("", value)


# The folders of an absolute path, or of one from home: not the slashes of an address or between two words.
_PATH = re.compile(r"(?<![\w:/.~])~?/(?:[^\s/'\"`,;]+/)*(?=[^\s/])")


def _folders(weights: str | None) -> list[str]:
    """Folders of this machine whose names may come up, the longest first: in them there may be spaces."""
    from ...weights import conversion, hub

    folders = [Path.home(), Path(tempfile.gettempdir()), Path.cwd(), conversion.cache_folder(), hub.cache_folder()]
    folders += [Path(weights).expanduser()] if weights else []
    texts = {str(one) for folder in folders for one in (folder, folder.absolute()) if len(folder.absolute().parts) > 1}
    return sorted(texts, key=len, reverse=True)
