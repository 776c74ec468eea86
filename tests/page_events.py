"""A visitor by plain HTTP: what Gradio's own page asks of the server, and what a program might that made it up."""

import http.client
import inspect
import json
import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sapiens_mlx.ui.api.endpoints import Programs


def post(url: str, body: bytes, kind: str = "application/json") -> Any:
    asked = urllib.request.Request(url, body, {"Content-Type": kind})
    return json.loads(urllib.request.urlopen(asked, timeout=60).read())


def file_data(path: str | Path) -> dict[str, Any]:
    """What Gradio marks a file by in the inputs of an event."""
    return {"path": str(path), "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}


def upload_body(name: str, data: bytes) -> tuple[bytes, str]:
    """The body of an upload and its content type."""
    head = f'--cut\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    return head + data + b"\r\n--cut--\r\n", "multipart/form-data; boundary=cut"


class Visitor:
    """One page, or one that was made up, by its session hash."""

    def __init__(self, url: str) -> None:
        self._api = f"{url}gradio_api"
        self._config = json.loads(urllib.request.urlopen(f"{url}config", timeout=60).read())
        self.session = secrets.token_hex(6)

    def upload(self, path: Path) -> str:
        """Where the server has put a file."""
        return post(f"{self._api}/upload", *upload_body(path.name, path.read_bytes()))[0]

    def begin(self, event: str, kind: str = "", **values: Any) -> str:
        """Asks for an event by its handler's name, the first that has an input of `kind`. Inputs have the values of an
        empty page, but those of a kind that is in `values`, such as image. Returns the event's id."""
        parts = {part["id"]: part for part in self._config["components"]}
        for found in self._config["dependencies"]:
            inputs = [parts[number] for number in found["inputs"]]
            kinds = [one["type"] for one in inputs]
            if found["api_name"].rstrip("_0123456789") == event and (not kind or kind in kinds):
                break
        else:
            raise AssertionError(f"no event {event}")
        data = [values.get(one["type"], one["props"].get("value")) for one in inputs]
        body = {"data": data, "fn_index": found["id"], "session_hash": self.session, "trigger_id": None}
        return post(f"{self._api}/queue/join", json.dumps(body).encode())["event_id"]

    def call(self, photo: Any, *tasks: str) -> str:
        """Asks for /predict at size demo, whatever `photo` is. Returns the event's id."""
        parameters = list(inspect.signature(Programs.predict).parameters.values())[2:]
        data = [photo, ",".join(tasks), "demo", *(one.default for one in parameters[3:])]
        body = {"data": data, "session_hash": self.session}
        return post(f"{self._api}/call/predict", json.dumps(body).encode())["event_id"]

    def answer(self, event: str) -> str:
        """All that comes of a call."""
        return urllib.request.urlopen(f"{self._api}/call/predict/{event}", timeout=120).read().decode()

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the server says to this session, as it comes."""
        with urllib.request.urlopen(f"{self._api}/queue/data?session_hash={self.session}", timeout=120) as stream:
            for line in stream:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def ask(self, event: str, kind: str = "", **values: Any) -> dict[str, Any]:
        """The end of an event."""
        asked = self.begin(event, kind, **values)
        return next(one for one in self.messages() if one["msg"] == "process_completed" and one["event_id"] == asked)

    @contextmanager
    def page(self) -> Iterator[None]:
        """As long as the browser has the page open."""
        address = urlsplit(self._api)
        line = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        line.request("GET", f"/gradio_api/heartbeat/{self.session}")
        answer = line.getresponse()
        answer.fp.readline()
        try:
            yield
        finally:
            answer.close()
            line.close()
