"""The login of --auth, its brake on guessing, and whom a page counts as strangers."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr
import pytest
from doors_page import Served, page_here

from sapiens_mlx import hosted
from sapiens_mlx.__main__ import main
from sapiens_mlx.errors import SapiensError
from sapiens_mlx.ui import doors, login, page

OPEN = [route for door, routes in doors.ROUTES.items() for route in routes if not door.visitors_only]
CLOSED = [route for door, routes in doors.ROUTES.items() for route in routes if door.visitors_only]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with page_here(tmp_path_factory.mktemp("page"), auth=("ann", "right")) as one:
        yield one


def log_in(served: Served, password: str, address: str | None = None) -> tuple[int, str, dict[str, str]]:
    """Status and text, and the headers that go with what is asked for next."""
    told = {"X-Forwarded-For": address} if address else {}  # believed, since it comes from this machine
    body = urlencode({"username": "ann", "password": password})
    status, text, headers = served.ask("POST /login", body, FORM | told)
    cookies = [cookie.split(";")[0] for cookie in headers.get_all("set-cookie", [])]
    return status, text, {"Cookie": "; ".join(cookies)}


# ---- every door -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", sorted(CLOSED))
def test_without_the_login_nothing_is_served(served: Served, route: str) -> None:
    path = route.replace(":path", "").replace("{", "").replace("}", "")
    for headers in ({}, {"Cookie": f"access-token-{served.demo.app.cookie_id}=guessed"}, {"Cookie": "access-token-=;"}):
        status, text, _ = served.ask(path, b"{}" if route.startswith("POST") else None, headers)
        assert status == 401
        assert route.startswith("HEAD") or doors.NOT_KNOWN in text


def test_before_the_login_the_page_is_a_form(served: Served) -> None:
    _, text, _ = served.ask("GET /")
    assert '"auth_required":true' in text.replace(": ", ":")
    assert "Drop one into the frame" not in text
    for route in ("HEAD /", "GET /theme.css", "GET /manifest.json"):
        assert served.ask(route)[0] == 200


def test_with_the_login_what_is_served_is_as_without_one(served: Served) -> None:
    status, _, cookies = log_in(served, "right", "192.0.2.1")
    assert status == 200
    assert served.ask("GET /config", headers=cookies)[0] == 200
    assert served.ask("GET /gradio_api/heartbeat/known", headers=cookies)[1] == "data: ALIVE\n"
    example = next((served.folder / "examples").glob("*.*"))
    assert served.ask(f"GET /gradio_api/file={example}", headers=cookies)[0] == 200
    assert served.ask("GET /gradio_api/token", headers=cookies)[0] == 404
    served.ask("GET /logout", headers=cookies)
    assert served.ask("GET /config", headers=cookies)[0] == 401


# ---- guessing -------------------------------------------------------------------------------------------------------


def test_after_five_wrong_passwords_not_even_the_right_one_is_taken(served: Served) -> None:
    here, elsewhere = "192.0.2.10", "192.0.2.11"
    assert [log_in(served, f"wrong {n}", here)[0] for n in range(login.MOST_WRONG)] == [400] * login.MOST_WRONG
    status, text, _ = log_in(served, "right", here)
    assert (status, doors.TOO_OFTEN in text) == (429, True)
    assert log_in(served, "right", elsewhere)[0] == 200


class Clock:
    """time.monotonic() as a test wants it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("sapiens_mlx.ui.login.time.monotonic", made)
    return made


def test_the_brake_lets_go_after_a_minute_and_right_ones_do_not_count(clock: Clock) -> None:
    brake = login.Brake()
    for _ in range(20):
        brake.was_right(brake.begin("a"))
    assert not brake.holds("a")
    for _ in range(login.MOST_WRONG):
        brake.begin("a")
        clock.now += 1
    assert brake.holds("a") and not brake.holds("b")
    clock.now += login.BRAKE_S - login.MOST_WRONG
    assert not brake.holds("a")


def test_addresses_that_are_made_up_do_not_get_around_the_brake(clock: Clock) -> None:
    brake = login.Brake()
    tries = 0
    while not brake.holds(f"address {tries}"):
        brake.begin(f"address {tries}")
        tries += 1
    assert tries == login.MOST_WRONG_OF_ALL


# ---- what is given --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "variable", "known"),
    [
        (None, None, None),
        ("ann:a:b", None, ("ann", "a:b")),
        (None, "ann:secret", ("ann", "secret")),
        ("bob:x", "ann:secret", ("bob", "x")),
        (" ann:x ", None, ("ann", "x ")),
    ],
)
def test_the_login_comes_from_the_option_or_else_from_the_environment(
    given: str | None, variable: str | None, known: tuple[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(login.VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(login.VARIABLE, variable)
    assert login.credentials(given) == known


@pytest.mark.parametrize(("given", "variable"), [("ann", None), (":x", None), ("ann:", None), ("", None), (None, "")])
def test_half_a_login_does_not_open_the_page(
    given: str | None, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(login.VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(login.VARIABLE, variable)
    with pytest.raises(SapiensError, match="user:password"):
        login.credentials(given)


def test_a_login_with_mcp_is_refused_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--auth", "ann:secret", "--mcp"]) == 2
    monkeypatch.setenv(login.VARIABLE, "ann:secret")
    assert main(["serve", "--mcp"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == told.count("Leave out --mcp") == 2
    assert "secret" not in told


# ---- strangers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[tuple[gr.Blocks, dict[str, Any]]]]:
    """What Gradio would be served with: the page and how."""
    calls: list[tuple[gr.Blocks, dict[str, Any]]] = []
    monkeypatch.setattr(gr.Blocks, "launch", lambda demo, **how: calls.append((demo, how)))
    monkeypatch.setattr(hosted, "_open_to_strangers", False)
    for name in (login.VARIABLE, "SPACE_ID", "GRADIO_SERVER_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    before = signal.getsignal(signal.SIGTERM)
    yield calls
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("how", "server_name", "strangers"),
    [
        ({}, None, False),
        ({"host": "localhost"}, None, False),
        ({"host": "::1"}, None, False),
        ({"host": "0.0.0.0"}, None, True),
        ({"host": "192.168.1.5"}, None, True),
        ({}, "0.0.0.0", True),
        ({"host": "127.0.0.1"}, "0.0.0.0", False),
        ({"host": "0.0.0.0", "auth": "ann:secret"}, None, False),
        ({"share": True}, None, True),
        ({"share": True, "auth": "ann:secret"}, None, True),
    ],
)
def test_who_can_come_without_a_password_is_a_stranger_and_told_of(
    launched: list, how: dict, server_name: str | None, strangers: bool, monkeypatch, capsys
) -> None:
    if server_name:
        monkeypatch.setenv("GRADIO_SERVER_NAME", server_name)
    page.serve(**how)
    told = capsys.readouterr().err
    assert hosted.is_hosted() == strangers
    assert told.startswith("WARNING: ") == strangers
    assert ("--auth" in told) == (strangers and "auth" not in how)
    (demo, given), *_ = launched
    shown = [block for block in demo.blocks.values() if getattr(block, "elem_id", None) == "shared"]
    assert [page.SHARED.replace("'", "&#x27;") in block.value for block in shown] == [True] * bool(how.get("share"))
    assert given["auth"] == (("ann", "secret") if "auth" in how else None)


def test_what_the_environment_asks_of_gradio_opens_no_door(launched: list, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADIO_SHARE", "GRADIO_MCP_SERVER", "GRADIO_RUN_HISTORY"):
        monkeypatch.setenv(name, "True")
    monkeypatch.setenv("GRADIO_NUM_WORKERS", "2")
    page.serve()
    (_, given), *_ = launched
    assert not any(given[name] for name in ("share", "mcp_server", "run_history", "num_workers", "enable_monitoring"))
    assert os.environ["GRADIO_TEMP_DIR"]
