"""What leaves this machine: texts without its paths, for visitors of the page and for programs.

Every sentence of the page passes here (words.notice, words.asides, problems.py), and every answer of its API. Whoever
runs the page reads paths whole on the command line, and in the log of the server.
"""

import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import expanded
from ..shipped import PACKAGE

if TYPE_CHECKING:
    from ..compare import Comparison

DIR = "DIR"  # in place of a folder of this machine, as the help of the command line has it

# The folders of an absolute path, or of one from a home: not the slashes of an address or between two words. Where a
# folder ends whose name has spaces, no text tells. It is taken to go on over words without a full stop, which ends a
# sentence or belongs to a file; better a word too many is cut out than a part of a path is left.
_LETTER = r"(?:[^\s/'\"`,;()~]|\([^\s/()]*\))"
_FOLDER = rf"(?:(?:(?:(?!\.){_LETTER})+\ ){{0,9}}{_LETTER}*(?!:){_LETTER}/+)"
_PATH = re.compile(rf"(?:(?<![\w:/.~])(?:file:|~\w*)?/+|(?<=:)/(?!/)){_FOLDER}*(?=[^\s/])")
_TWICE = re.compile(r"(?<!\S)(\S+)(?: or \1)+(?!\S)")  # a file that may be in several folders
_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")  # of a mirror or a proxy

_hidden: set[Path] = set()


def hide(place: str | Path | None) -> None:
    """From now on this folder is known, whatever its name holds, or that of this file: the weights of the page."""
    if place is not None:
        path = expanded(place)
        _hidden.add(path.parent if path.is_file() else path)


def for_others(value: Any) -> Any:
    """`value`, a text or what JSON can hold, with every path of this machine in its texts cut down to its last name.

    A known folder alone, such as somebody's home or what was given to hide(), becomes DIR.
    """
    if isinstance(value, dict):
        return {name: for_others(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [for_others(part) for part in value]
    if not isinstance(value, str) or "/" not in value:
        return value
    if _PATH.search(value):
        for folder in _known():
            here = rf"(?<![\w/.~]){re.escape(folder)}"
            value = re.sub(rf"{here}(?=/[^\s/])", "", value.replace(shlex.quote(folder), folder))
            value = re.sub(rf"{here}/?(?![\w-]|\.\w)", DIR, value)
        value = _TWICE.sub(r"\1", _PATH.sub("", value))
    return _LOGIN.sub("", value)


def clear(comparison: "Comparison") -> None:
    """The same of all that a comparison says of itself, before that is shown, drawn or written."""
    comparison.notices[:] = dict.fromkeys(for_others(comparison.notices))
    for entry in comparison.entries:
        entry.error = for_others(entry.error)


def _known() -> list[str]:
    """Folders of this machine whose names may come up, the longest first: these are found whatever is in them."""
    from ..weights import conversion, hub_cache

    folders = {Path.home(), Path(tempfile.gettempdir()), Path.cwd(), PACKAGE.parent, *_hidden}
    folders |= {conversion.cache_folder(), hub_cache.cache_folder()}
    if root := os.environ.get("SAPIENS_CHECKPOINT_ROOT"):
        folders.add(expanded(root))
    texts = {str(one) for folder in folders for one in (folder, folder.absolute(), folder.resolve())}
    return sorted((text for text in texts if text.count("/") and text != "/"), key=len, reverse=True)
