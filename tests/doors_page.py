"""The page with its doors, served by a thread of the test's own process, and requests to it that nothing tidies up."""

import http.client
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from sapiens_mlx.ui import page


@dataclass(frozen=True)
class Served:
    """`folder` is what the page may serve files of."""

    demo: gr.Blocks
    folder: Path

    @property
    def url(self) -> str:
        return self.demo.local_url

    def ask(
        self, route: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, http.client.HTTPMessage]:
        """Status, text and headers of the answer to "METHOD /path", sent as it stands."""
        method, path = route.split(" ", 1)
        connection = http.client.HTTPConnection("127.0.0.1", self.demo.server_port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            stream = "event-stream" in answer.headers.get("content-type", "")
            data = answer.readline() if stream else answer.read()  # a stream may never end
            return answer.status, data.decode("utf-8", "replace"), answer.headers
        finally:
            connection.close()


@contextmanager
def page_here(folder: Path, **how: Any) -> Iterator[Served]:
    """`how` goes to launch()."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    demo = page.build(folder)
    demo.launch(prevent_thread_lock=True, quiet=True, **page.options(), **how)
    try:
        yield Served(demo, folder)
    finally:
        demo.close(verbose=False)
        if before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = before
