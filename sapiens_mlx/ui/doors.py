"""The doors of the page: which of Gradio's routes are open, to whom, and how much may come in by each.

Gradio serves more than this page needs: a proxy, any address through `file=`, an editor of recordings, its monitoring.
What is not in the tables here is not there, so a route that a new Gradio brings is closed until somebody looks at it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette._utils import get_route_path  # as Starlette itself takes the path that it compares
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import login, uploads
from .storage import MAX_FILE_SIZE

MB = 2**20  # as Gradio reads "200mb"
JSON_BYTES = 16 * MB
LOGIN_BYTES = MB // 16
UPLOAD_BYTES = (int(MAX_FILE_SIZE.removesuffix("mb")) + 1) * MB  # a file, and what a form puts around it

NOT_HERE = "There is nothing at this address."
NOT_KNOWN = "Log in first: this page asks for a name and a password."
TOO_OFTEN = "Too many wrong passwords. Wait a minute, then try again."
TOO_LARGE = f"That is too large: {JSON_BYTES // MB} MB of JSON are the limit. Send photos as uploads."
UPLOAD_TOO_LARGE = f"That is too large: {MAX_FILE_SIZE[:-2]} MB are the limit. Choose a smaller file."
QUEUE_FULL = "Too many are waiting here just now. Try again in a minute."


@dataclass(frozen=True, eq=False)  # each is itself: a key of ROUTES
class Door:
    """A kind of routes that are open. `told` has the statuses whose answers are given in our own words."""

    visitors_only: bool
    most_bytes: int = JSON_BYTES
    told: Mapping[int, str] = field(default_factory=lambda: {413: TOO_LARGE})
    answer: type[Response] = JSONResponse  # as the browser reads it there


LOGIN = Door(False, LOGIN_BYTES, {413: "That is too large for a name and a password."})
QUEUED = Door(True, told={413: TOO_LARGE, 503: QUEUE_FULL})
UPLOAD = Door(True, UPLOAD_BYTES, {413: UPLOAD_TOO_LARGE}, PlainTextResponse)

# By the names of parameters that Gradio's own routes have.
ROUTES = {
    Door(False): (  # what whoever opens the page needs before a login
        "GET /",
        "HEAD /",
        "GET /logout",
        "GET /static/{path:path}",
        "GET /assets/{path:path}",
        "GET /favicon.ico",
        "GET /manifest.json",
        "GET /robots.txt",
        "GET /theme.css",
        "GET /gradio_api/startup-events",  # asked for by Gradio itself when it starts
    ),
    LOGIN: ("POST /login", "POST /login/"),
    UPLOAD: ("POST /gradio_api/upload",),
    QUEUED: (
        "POST /gradio_api/queue/join",
        "POST /gradio_api/call/{api_name}",
        "POST /gradio_api/call/{api_name}/",
        "POST /gradio_api/call/v2/{api_name}",
        "POST /gradio_api/call/v2/{api_name}/",
    ),
    Door(True): (
        "GET /config",
        "GET /config/",
        "GET /gradio_api/app_id",
        "GET /gradio_api/info",
        "GET /gradio_api/info/",
        "GET /gradio_api/openapi.json",
        "GET /gradio_api/heartbeat/{session_hash}",
        "GET /gradio_api/upload_progress",
        "GET /gradio_api/file=/{path_or_url:path}",  # of a file by its whole path; Gradio's route fetches URLs too
        "HEAD /gradio_api/file=/{path_or_url:path}",
        "GET /gradio_api/queue/data",
        "GET /gradio_api/call/{api_name}/{event_id}",
        "GET /gradio_api/call/v2/{api_name}/{event_id}",
        "POST /gradio_api/run/{api_name}",  # what needs no queue; queue(api_open=False) refuses the rest
        "POST /gradio_api/cancel",
        "POST /gradio_api/reset",
        "POST /gradio_api/stream/{event_id}",  # the camera
        "POST /gradio_api/stream/{event_id}/close",
        *(f"{method} /gradio_api/mcp{rest}" for method in ("GET", "POST", "DELETE") for rest in ("", "/{path:path}")),
    ),
}
_DOORS = [
    (method, compile_path(path)[0], door)
    for door, routes in ROUTES.items()
    for method, path in (route.split() for route in routes)
]


class Doors:
    """As ASGI middleware of the page's app. Not one of Starlette's classes for it, which would hold back streams."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._brake = login.Brake()
        uploads.install()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:  # a WebSocket, which nothing here speaks
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = get_route_path(scope)
        door = next((door for method, form, door in _DOORS if method == scope["method"] and form.match(path)), None)
        if door is None:
            await _refusal(404, NOT_HERE)(scope, receive, send)
        elif door.visitors_only and not login.is_known(scope):
            await _refusal(401, NOT_KNOWN)(scope, receive, send)
        elif door is LOGIN:
            await self._log_in(scope, receive, send)
        else:
            await _Passage(door, scope, receive, send).through(self._app)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["client"][0] if scope.get("client") else ""
        if self._brake.holds(address):
            await _refusal(429, TOO_OFTEN)(scope, receive, send)
            return
        one = self._brake.begin(address)
        passage = _Passage(LOGIN, scope, receive, send)
        await passage.through(self._app)
        if passage.status == 200:
            self._brake.was_right(one)


class _TooLargeError(Exception):
    """More has come than the door lets in."""


class _Passage:
    """A request on its way in, its bytes counted as they come, and the answer on its way out."""

    def __init__(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        self._door, self._scope, self._receive, self._send = door, scope, receive, send
        self._came_bytes = 0
        self._replaced = False
        self.status: int | None = None  # of the answer, once it has begun

    async def through(self, app: ASGIApp) -> None:
        """Have `app` answer, or say why not."""
        if self._said_bytes() > self._door.most_bytes:
            await self._tell(413)
            return
        try:
            await app(self._scope, self._counted, self._answered)
        except ClientDisconnect:  # the visitor has left in the middle of an upload
            pass
        except _TooLargeError:
            if self.status is None:
                await self._tell(413)

    def _said_bytes(self) -> int:
        """How much the request says that it brings; it may bring more all the same."""
        said = dict(self._scope["headers"]).get(b"content-length", b"")
        return int(said[:20]) if said.isdigit() else 0

    async def _counted(self) -> Message:
        message = await self._receive()
        self._came_bytes += len(message.get("body", b""))
        if self._came_bytes > self._door.most_bytes:
            raise _TooLargeError
        return message

    async def _answered(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            # FastAPI takes whatever is raised while it reads JSON for bad JSON.
            status = 413 if self._came_bytes > self._door.most_bytes else message["status"]
            if status in self._door.told:
                await self._tell(status)
                return
            self.status = status
        if not self._replaced:
            await self._send(message)

    async def _tell(self, status: int) -> None:
        """Answer in our own words."""
        self.status, self._replaced = status, True
        await _refusal(status, self._door.told[status], self._door.answer)(self._scope, self._receive, self._send)


def _refusal(status: int, sentence: str, answer: type[Response] = JSONResponse) -> Response:
    return answer({"detail": sentence} if answer is JSONResponse else sentence, status)
