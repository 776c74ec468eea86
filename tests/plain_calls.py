"""Calls of a page's API by plain HTTP, as curl makes them: what a program sends is not put right before it is sent."""

import json
import urllib.request
from pathlib import Path

from browser import Server

META = {"_type": "gradio.FileData"}  # the mark of a file among what is sent


def post(server: Server, path: str, body: dict) -> dict:
    asked = urllib.request.Request(
        f"{server.url}gradio_api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    return json.loads(urllib.request.urlopen(asked).read())


def called(server: Server, **arguments: object) -> str:
    """All that /predict says, as it says it."""
    event = post(server, "call/v2/predict", {"size": "demo", **arguments})["event_id"]
    return urllib.request.urlopen(f"{server.url}gradio_api/call/v2/predict/{event}").read().decode()


def uploaded(server: Server, file: Path) -> str:
    """The path that the page gives an upload."""
    edge = "the edge of a part"
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{file.name}"\r\n\r\n'
    asked = urllib.request.Request(
        f"{server.url}gradio_api/upload",
        head.encode() + file.read_bytes() + f"\r\n--{edge}--\r\n".encode(),
        {"Content-Type": f'multipart/form-data; boundary="{edge}"'},
    )
    return json.loads(urllib.request.urlopen(asked).read())[0]
