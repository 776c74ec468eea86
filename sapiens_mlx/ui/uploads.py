"""Gradio's reader of uploads with what it lacks: nothing is left on the disk of an upload that was cut or refused, and
none comes as text, which would be held in memory."""

import contextlib
from pathlib import Path

from gradio import route_utils
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException


class UploadReader(route_utils.GradioMultiPartParser):
    """Of one request."""

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file is None:
            raise MultiPartException("Send files only: a part of the request has no file name.")

    async def parse(self) -> FormData:
        try:
            return await super().parse()
        except BaseException:  # the visitor left, the disk is full, or the request is being cancelled
            for file in self._files_to_close_on_error:
                with contextlib.suppress(OSError):
                    file.close()  # which may write, and so fail
                with contextlib.suppress(OSError):
                    Path(file.name).unlink(missing_ok=True)
            raise


def install() -> None:
    """Have Gradio read uploads by it (6.31 looks the name up at each)."""
    route_utils.GradioMultiPartParser = UploadReader  # type: ignore[misc]  # a class is replaced
