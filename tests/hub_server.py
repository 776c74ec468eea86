"""A local HTTP server that stands for the Hugging Face hub and its CDN, with faults that can be switched on."""

import base64
import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from local_server import LocalServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Request:
    method: str
    path: str
    start: int | None  # of the Range header
    token: str | None


@dataclass
class Hub(LocalServer):
    """Serves `files` by "owner/name/filename". As the hub does, it answers for itself and sends the bytes from a CDN.

    It also takes files: into repositories that are made as they are sent to.

    Faults: `cut_after` breaks the connection after so many bytes, `cuts` times; `status` refuses all, `cdn_status`
    the bytes (once there are no more cuts); `write_status` whatever would change a repository; `page` gives a web page
    at the "hub" or "cdn"; `about` is what it says of any repository; `announced` is a wrong size; `damaged` changes the
    bytes but not the etag; `ranges` off ignores Range; `pause_s` slows the bytes down, per 64 KB; `silent_s` is how
    long it does not answer at all.
    """

    files: dict[str, bytes]
    cut_after: int | None = None
    cuts: int = 10**9
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    cdn_status: int | None = None
    page: str | None = None
    about: bytes | None = None
    announced: int | None = None
    damaged: bool = False
    ranges: bool = True
    pause_s: float = 0
    silent_s: float = 0
    write_status: int | None = None
    stored: dict[str, bytes] = field(default_factory=dict)  # large files that arrived, by their SHA-256
    commits: list[str] = field(default_factory=list)  # their messages
    requests: list[Request] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (_Handler,), {"hub": self})

    @property
    def cdn(self) -> str:
        """The same server under another name, so that it is another origin."""
        return f"http://localhost:{self.port}"

    @property
    def starts(self) -> list[int]:
        """Where each request for the bytes wanted them to start."""
        return [request.start or 0 for request in self.requests if request.path.startswith("/cdn/")]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._receive()

    def do_PUT(self) -> None:
        self._receive()

    def log_message(self, *_: object) -> None:
        """Silent."""

    def _serve(self) -> None:
        hub, asked = self.hub, re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else None
        end = int(asked[2]) + 1 if asked and asked[2] else None
        hub.requests.append(Request(self.command, self.path, start, self.headers.get("Authorization")))
        on_cdn = self.path.startswith("/cdn/")
        time.sleep(hub.silent_s)
        if hub.page == ("cdn" if on_cdn else "hub"):
            return self._answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"<!doctype html><h1>Sign in</h1>")
        cuts = on_cdn and hub.cut_after is not None and hub.cuts > 0
        status = hub.cdn_status if on_cdn else hub.status
        if status is not None and not cuts:
            return self._answer(status, hub.headers, b"{}")
        if on_cdn:
            return self._bytes(hub.files[self.path.removeprefix("/cdn/")], start, end, cuts)
        if about := re.fullmatch(r"/api/models/([^/?]+/[^/?]+)(?:\?blobs=True)?", self.path, re.IGNORECASE):
            return self._about(about[1])
        where = re.fullmatch(rf"/(.+)/resolve/(?:main|{COMMIT})/(.+)", self.path)
        data = hub.files.get(f"{where[1]}/{where[2]}") if where else None
        if data is None:
            return self._answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b"{}")
        return self._answer(
            302,
            {
                "Location": f"{hub.cdn}/cdn/{where[1]}/{where[2]}",
                "X-Repo-Commit": COMMIT,
                "X-Linked-Size": str(hub.announced or len(data)),
                "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
            },
            b"",
        )

    def _about(self, repo: str) -> None:
        if self.hub.about is not None:
            return self._answer(200, {"Content-Type": "application/json"}, self.hub.about)
        if not any(name.startswith(f"{repo}/") for name in self.hub.files):
            return self._answer(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
        names = [name for name in self.hub.files if name.startswith(f"{repo}/")]
        files = [{"rfilename": name.removeprefix(f"{repo}/"), "size": len(self.hub.files[name])} for name in names]
        self._json(
            {"id": repo, "sha": COMMIT, "private": False, "downloads": 0, "likes": 0, "tags": [], "siblings": files}
        )

    def _receive(self) -> None:
        """What sends files: a repository is made, small files come with the commit, large ones (LFS) before it."""
        hub = self.hub
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        hub.requests.append(Request(self.command, self.path, None, self.headers.get("Authorization")))
        if hub.write_status is not None:
            return self._answer(hub.write_status, hub.headers, b"{}")
        if self.path == "/api/repos/create":
            sent = json.loads(body)
            return self._json({"url": f"{hub.endpoint}/{sent['organization']}/{sent['name']}"})
        if self.path == "/api/validate-yaml":  # the card's header
            return self._json({"errors": [], "warnings": []})
        if self.path.startswith("/lfs/"):
            hub.stored[hashlib.sha256(body).hexdigest()] = body
            return self._json({})
        if re.fullmatch(r"/api/models/[^/]+/[^/]+/preupload/main", self.path):
            modes = {True: "lfs", False: "regular"}
            files = [
                {"path": f["path"], "uploadMode": modes[f["path"].endswith(".safetensors")], "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                one | {"actions": {"upload": {"href": f"{hub.cdn}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self._json({"transfer": "basic", "objects": objects})
        if where := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
            return self._commit(where[1], [json.loads(line) for line in body.splitlines()])
        return self._answer(404, {}, b"{}")

    def _commit(self, repo: str, lines: list[dict]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.hub.commits.append(value["summary"])
            elif line["key"] == "file":
                self.hub.files[f"{repo}/{value['path']}"] = base64.b64decode(value["content"])
            else:
                self.hub.files[f"{repo}/{value['path']}"] = self.hub.stored[value["oid"]]
        url = f"{self.hub.endpoint}/{repo}/commit/{COMMIT}"
        self._json({"success": True, "commitUrl": url, "commitOid": COMMIT})

    def _json(self, answer: dict) -> None:
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _bytes(self, data: bytes, start: int | None, end: int | None, cuts: bool) -> None:
        hub = self.hub
        if hub.damaged:
            data = bytes(len(data))
        headers = {"Content-Type": "binary/octet-stream", "Accept-Ranges": "bytes"}
        if start is None or not hub.ranges:
            status, rest = 200, data
        else:
            status, rest = 206, data[start:end]
            headers["Content-Range"] = f"bytes {start}-{start + len(rest) - 1}/{len(data)}"
        self._answer(status, headers, rest, sent=hub.cut_after if cuts else None)
        if cuts:
            hub.cuts -= 1
            self.close_connection = True

    def _answer(self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            body = body[:sent]
            try:
                for at in range(0, len(body), 1 << 16):
                    self.wfile.write(body[at : at + (1 << 16)])
                    time.sleep(self.hub.pause_s if self.path.startswith("/cdn/") else 0)
            except (BrokenPipeError, ConnectionResetError):  # the client has stopped, or was killed
                self.close_connection = True
