"""The doors: what Gradio offers and this page does not, files that are not the page's own, and requests that are too
large."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from doors_page import Served, page_here
from gradio.routes import App

from sapiens_mlx.ui import doors, page

# Looked at, and closed: what the page does not use. A new Gradio's routes come here or into doors.ROUTES.
CLOSED = {
    "GET /gradio_api/app_id/",
    "GET /gradio_api/custom_component/{id}/{environment}/{type}/{file_name}",
    "GET /gradio_api/deep_link",
    "GET /gradio_api/dev/reload",
    "GET /gradio_api/file/{path}",
    "GET /gradio_api/login_check",
    "GET /gradio_api/login_check/",
    "GET /gradio_api/proxy={url_path}",
    "HEAD /gradio_api/proxy={url_path}",
    "GET /gradio_api/queue/status",
    "GET /gradio_api/runs",
    "GET /gradio_api/runs/",
    "GET /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file",
    "GET /gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8",
    "GET /gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}",
    "GET /gradio_api/theme.css",
    "GET /gradio_api/token",
    "GET /gradio_api/token/",
    "GET /gradio_api/user",
    "GET /gradio_api/user/",
    "GET /gradio_api/vibe-code",
    "GET /gradio_api/vibe-code/",
    "GET /monitoring",
    "GET /monitoring/summary",
    "GET /monitoring/{key}",
    "GET /pwa_icon",
    "GET /pwa_icon/{size}",
    "GET /svelte/{path}",
    "POST /gradio_api/api/{api_name}",
    "POST /gradio_api/api/{api_name}/",
    "POST /gradio_api/component_server",
    "POST /gradio_api/component_server/",
    "POST /gradio_api/process_recording",
    "POST /gradio_api/reset/",
    "POST /gradio_api/run/{api_name}/",
    "POST /gradio_api/undo-vibe-edit",
    "POST /gradio_api/undo-vibe-edit/",
    "POST /gradio_api/vibe-code",
    "POST /gradio_api/vibe-code/",
    "POST /gradio_api/vibe-edit",
    "POST /gradio_api/vibe-edit/",
    "POST /gradio_api/vibe-starter-queries",
    "POST /gradio_api/vibe-starter-queries/",
}
# Open for files by their whole path, closed for everything else that Gradio takes there.
FILES = {"GET /gradio_api/file={path_or_url}", "HEAD /gradio_api/file={path_or_url}"}
BOUNDARY = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
TEXT = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with page_here(tmp_path_factory.mktemp("page")) as one:
        yield one


# ---- routes ---------------------------------------------------------------------------------------------------------


def test_every_route_of_gradio_is_open_or_closed_on_purpose(served: Served) -> None:
    app: App = served.demo.app
    theirs = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    ours = {route.replace(":path", "") for routes in doors.ROUTES.values() for route in routes}
    assert theirs - FILES - ours == CLOSED
    ours = {route for route in ours if "/gradio_api/mcp" not in route and "/file=" not in route}
    assert ours <= theirs  # nothing is open that is not there any more
    assert not any(hasattr(route, "app") and route.path for route in app.routes if type(route).__name__ == "Mount")


@pytest.mark.parametrize("route", sorted(CLOSED))
def test_what_is_closed_is_not_there(served: Served, route: str) -> None:
    path = route.replace("{environment}", "client").replace("{path}", "x").replace("{", "").replace("}", "")
    status, text, _ = served.ask(path, b"" if route.startswith("POST") else None)
    assert status == 404
    assert route.startswith("HEAD") or json.loads(text) == {"detail": doors.NOT_HERE}


@pytest.mark.parametrize(
    "route",
    [
        "GET /gradio_api/file=http://127.0.0.1:1/a.png",
        "GET /gradio_api/file=https%3A%2F%2Fexample.org/a.png",
        "GET /gradio_api/file=http:/example.org/a.png",
        "GET /gradio_api/proxy=https://a.hf.space/x",
        "GET /gradio_api/deep_link?session_hash=x",
        "GET /openapi.json",
        "GET /docs",
        "PUT /config",
        "DELETE /gradio_api/upload",
        "TRACE /",
        "GET //config",
        "GET /gradio_api//config",
        "GET /gradio_api/info%2f..%2f..%2fmonitoring/summary",
        "GET /static/../monitoring/summary",
        "POST /gradio_api/queue/join/",
        "POST /gradio_api/run/a%2fb",
    ],
)
def test_ways_around_the_table_lead_nowhere(served: Served, route: str) -> None:
    status, text, _ = served.ask(route)
    assert status in (403, 404)
    assert "functions" not in text and "Traceback" not in text


def test_what_the_page_needs_is_there(served: Served) -> None:
    status, text, _ = served.ask("GET /")
    assert (status, page.TITLE in text) == (200, True)
    for route in ("HEAD /", "GET /config", "GET /gradio_api/info", "GET /theme.css", "GET /robots.txt"):
        assert served.ask(route)[0] == 200
    example = next((served.folder / "examples").glob("*.*"))
    status, _, headers = served.ask(f"GET /gradio_api/file={example}")
    assert (status, headers["content-length"]) == (200, str(example.stat().st_size))


def test_streams_come_at_once_and_text_comes_compressed(served: Served) -> None:
    status, line, headers = served.ask("GET /gradio_api/heartbeat/streams")
    assert (status, line) == (200, "data: ALIVE\n")
    assert headers["content-type"].startswith("text/event-stream")
    packed = served.ask("GET /theme.css", headers={"Accept-Encoding": "br"})[2]
    assert packed["content-encoding"] == "br"


def test_a_websocket_is_refused(served: Served) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "x"}
    sent: list[dict] = []
    asyncio.run(_called(served, {"type": "websocket", "path": "/queue/join"}, [], sent))
    assert [message["type"] for message in sent] == ["websocket.close"]
    assert served.ask("GET /gradio_api/queue/join", headers=upgrade)[0] >= 400


# ---- the queue ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["predict", "compare", "models"])
def test_no_run_is_asked_for_past_the_queue(served: Served, name: str) -> None:
    body = json.dumps({"data": [], "session_hash": "past"})
    status, text, _ = served.ask(f"POST /gradio_api/run/{name}", body, {"Content-Type": "application/json"})
    assert status == 404
    assert "queue" in text


def test_no_event_of_the_page_that_has_a_queue_is_run_past_it(served: Served) -> None:
    queued = [number for number, event in served.demo.fns.items() if event.queue and event.fn]
    assert len(queued) > 30
    for number in queued:
        body = json.dumps({"data": [], "fn_index": number, "session_hash": "past"})
        assert served.ask("POST /gradio_api/run/predict", body, {"Content-Type": "application/json"})[0] == 404


def test_of_many_visitors_only_the_latest_keep_a_copy_of_the_page(served: Served) -> None:
    assert served.demo.app.state_holder.capacity == page.MOST_SESSIONS <= 100


# ---- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "//etc/passwd",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "HERE/../../../../../../../../etc/passwd",
        "HERE/examples/../../../../../../../../etc/passwd",
        "HERE/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "HERE/..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "HERE/link",
        "HERE/linked/passwd",
        "HERE/examples/\\..\\..\\etc\\passwd",
        "HERE/none%00.png",
        "HERE",
        "HERE/examples",
        "REPOSITORY/pyproject.toml",
        "REPOSITORY/sapiens_mlx/ui/doors.py",
        "file:///etc/passwd",
        "pyproject.toml",
        "../../etc/passwd",
        "~/.bashrc",
        "",
    ],
)
def test_no_file_but_the_pages_own_is_served(served: Served, path: str) -> None:
    link, linked = served.folder / "link", served.folder / "linked"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
        linked.symlink_to("/etc")
    repository = str(Path(page.__file__).parents[2])
    path = path.replace("HERE", str(served.folder)).replace("REPOSITORY", repository)
    for door in ("/gradio_api/file=", "/gradio_api/file/", "/static/", "/assets/"):
        status, text, _ = served.ask(f"GET {door}{path}")
        assert status in (400, 403, 404, 405), door
        assert "root:" not in text and "[project]" not in text and str(Path.home()) not in text.replace(path, "")


# ---- how much comes in ----------------------------------------------------------------------------------------------


async def _called(served: Served, scope: dict, messages: list[dict], sent: list[dict]) -> int:
    """The app called as its server calls it, with a body that comes as `messages`; returns how many of them it took."""
    coming = iter(messages)
    taken = 0

    async def receive() -> dict:
        nonlocal taken
        taken += 1
        return next(coming, {"type": "http.disconnect"})

    async def send(message: dict) -> None:
        sent.append(message)

    whole = {"type": "http", "method": "POST", "headers": [], "query_string": b"", "client": ("127.0.0.1", 1)}
    whole |= {"server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1", "root_path": ""}
    await served.demo.app(whole | scope | {"raw_path": scope["path"].encode()}, receive, send)
    return taken


def sent_in_pieces(
    served: Served, path: str, kind: str, pieces: list[bytes], query: bytes = b""
) -> tuple[int, str, int]:
    """Status, text and how many pieces were taken of a body that does not say how long it is."""
    sent: list[dict] = []
    scope = {"path": path, "headers": [(b"content-type", kind.encode()), (b"host", b"x")], "query_string": query}
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    taken = asyncio.run(_called(served, scope, messages, sent))
    status = sent[0]["status"] if sent else 0
    return status, b"".join(message.get("body", b"") for message in sent).decode(), taken


def uploads_of(served: Served) -> list[str]:
    """What lies where uploads come in, but what was there at first."""
    return sorted(path.name for path in served.folder.iterdir() if path.name not in ("examples", "link", "linked"))


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/call/predict", "/gradio_api/cancel"])
def test_json_that_says_it_is_too_large_is_not_read(served: Served, path: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": str(doors.JSON_BYTES + 1)}
    status, text, _ = served.ask(f"POST {path}", b"", headers)
    assert (status, json.loads(text)["detail"]) == (413, doors.TOO_LARGE)


@pytest.mark.parametrize("path", ["/gradio_api/queue/join", "/gradio_api/call/v2/predict", "/gradio_api/stream/x"])
def test_json_that_does_not_say_how_long_it_is_is_counted(served: Served, path: str) -> None:
    status, text, taken = sent_in_pieces(served, path, "application/json", [b'["' + b"x" * doors.MB] * 40)
    assert (status, json.loads(text)["detail"]) == (413, doors.TOO_LARGE)
    assert taken == doors.JSON_BYTES // doors.MB  # with the two bytes before each, one piece fewer than would fit


def test_a_login_is_no_way_to_send_more(served: Served) -> None:
    kind = "application/x-www-form-urlencoded"
    status, _, taken = sent_in_pieces(served, "/login", kind, [b"x" * doors.LOGIN_BYTES] * 9)
    assert (status, taken) == (413, 2)


def test_an_upload_is_counted_and_nothing_of_it_stays(served: Served) -> None:
    before = uploads_of(served)
    pieces = [PART, *[b"x" * doors.MB] * 300]
    assert served.ask("POST /gradio_api/upload", b"", BOUNDARY | {"Content-Length": "300000000"})[:2] == (
        413,
        doors.UPLOAD_TOO_LARGE,
    )
    status, text, taken = sent_in_pieces(served, "/gradio_api/upload", BOUNDARY["Content-Type"], pieces)
    assert (status, text) == (413, doors.UPLOAD_TOO_LARGE)
    assert taken <= doors.UPLOAD_BYTES // doors.MB + 1
    assert uploads_of(served) == before


def test_many_files_of_one_request_are_counted_together(served: Served) -> None:
    before = uploads_of(served)
    pieces = [PART + b"x" * 20 * doors.MB + b"\r\n"] * 20
    status, text, taken = sent_in_pieces(served, "/gradio_api/upload", BOUNDARY["Content-Type"], pieces)
    assert (status, text, taken) == (413, doors.UPLOAD_TOO_LARGE, 11)
    assert uploads_of(served) == before


@pytest.mark.parametrize("query", [b"", b"upload_id=x"])
def test_text_in_an_upload_is_not_kept_in_memory(served: Served, query: bytes) -> None:
    before = uploads_of(served)
    pieces = [PART + b"x\r\n", TEXT, *[b"x" * doors.MB] * 100]
    status, text, taken = sent_in_pieces(served, "/gradio_api/upload", BOUNDARY["Content-Type"], pieces, query)
    assert status == 400
    assert "Send files only" in text
    assert taken <= 3
    assert uploads_of(served) == before


def test_an_upload_that_is_cut_off_leaves_nothing(served: Served) -> None:
    before = uploads_of(served)
    status, text, _ = sent_in_pieces(served, "/gradio_api/upload", BOUNDARY["Content-Type"], [PART + b"x" * 1000])
    assert (status, text) == (0, "")  # nobody is there any more
    assert uploads_of(served) == before


def test_an_upload_that_fits_comes_in(served: Served) -> None:
    body = PART + b"photo" + b"\r\n--x--\r\n"
    status, text, _ = served.ask("POST /gradio_api/upload", body, BOUNDARY)
    assert status == 200
    assert Path(json.loads(text)[0]).read_bytes() == b"photo"
