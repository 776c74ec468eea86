"""The files of calls: what a program has sent, the folder that its answers are written to, and when they go."""

import itertools
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gradio.data_classes import FileData
from gradio_client.utils import is_file_obj_with_meta  # type: ignore[import-untyped]  # without types of its own

from ...errors import CancelledError, SapiensError
from ..storage import Visits
from ..visit import Visit, make_folder

KEPT_CALLS = 8  # of one session: their files stay until it leaves, and those of the calls before go
MOST_UPLOADS = 2 * KEPT_CALLS  # a call may have a photo and a background
PREVIEW_PX = 1024  # the longer side of the picture to look at
SEVERAL_PX = 512  # of each of several in it


class Files:
    """The files of all sessions. No clock says which are old."""

    def __init__(self, visits: Visits) -> None:
        self._visits = visits
        self._calls = itertools.count()

    def folder(self, visit: Visit) -> Path:
        """A new folder for what a call writes; those of all but the newest calls of the session are removed.

        Nobody can guess its name, since all who come by way of the MCP server share a session.

        Raises:
            CancelledError: the session has left.
            SapiensError: the disk takes none.
        """
        if visit.closed:
            raise CancelledError
        folder = make_folder(visit.folder / f"call-{next(self._calls):012}-{secrets.token_hex(16)}")
        for old in sorted(visit.folder.glob("call-*"))[:-KEPT_CALLS]:
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def upload(self, visit: Visit, name: str, value: Any) -> Path:
        """The file that a program has sent. Gradio has checked that it was: a path that merely names one is refused.

        Raises:
            SapiensError: none was sent as `name`, or it has gone since.
        """
        if not is_file_obj_with_meta(value):
            raise SapiensError(
                f'{name} is no file. Send one: with gradio_client as handle_file("photo.jpg"), by MCP as a data: URL.'
            )
        if not Path(value["path"]).is_file():
            raise SapiensError(f"What was sent as {name} is not here any more. Send it again.")
        # Equal uploads share a path, so one that is given back now may be that of a call that waits.
        self._visits.hold(visit, value["path"])
        self._visits.release(visit, newest=MOST_UPLOADS)
        return Path(value["path"])


def name_of(photo: Any) -> str:
    return Path(photo.get("orig_name") or photo["path"]).name


def described(path: Path) -> dict[str, Any]:
    """A file as Gradio sends it."""
    return FileData(path=str(path), orig_name=path.name, size=path.stat().st_size).model_dump()


def preview(pictures: Sequence[str], path: Path) -> Path:
    """The pictures in a row, small, as a PNG at `path`."""
    from functools import reduce

    from ...image import read_image, shrink, write_png
    from ...tasks.draw import side_by_side

    longest_px = PREVIEW_PX if len(pictures) == 1 else SEVERAL_PX
    return write_png(path, reduce(side_by_side, [shrink(read_image(picture), longest_px) for picture in pictures]))
