"""The login of --auth: its name and password, who has given them, and a brake on guessing.

Gradio checks them and remembers who has, but asks for that on some of its routes only; doors.py asks on the others.
"""

import os
import time
from collections import deque

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..errors import SapiensError

VARIABLE = "SAPIENS_AUTH"  # what --auth gives stands in the list of processes, for every user of the machine to read
BRAKE_S = 60.0
MOST_WRONG = 5  # tries of an address within BRAKE_S
MOST_WRONG_OF_ALL = 30  # of all together: an address can be made up where a proxy passes it on
MESSAGE = f"After {MOST_WRONG} wrong passwords, wait a minute."


def credentials(auth: str | None) -> tuple[str, str] | None:
    """Name and password by what --auth says, or by $SAPIENS_AUTH; None where neither is there.

    Raises:
        SapiensError: they are not user:password, or are empty.
    """
    given = os.environ.get(VARIABLE) if auth is None else auth
    if given is None:
        return None
    user, _, password = given.partition(":")
    if not (user.strip() and password):
        raise SapiensError("The login is not of the form user:password. Give both, with a colon between them.")
    return user.strip(), password  # Gradio strips the name that a visitor gives


def is_known(scope: Scope) -> bool:
    """Whether a request may see what is for visitors: it carries the cookie of a login, or none is asked for."""
    app = scope["app"]
    if app.auth is None:
        return True
    cookies = HTTPConnection(scope).cookies
    given = (cookies.get(f"access-token-{kind}{app.cookie_id}") for kind in ("", "unsecure-"))
    return any(app.tokens.get(token) is not None for token in given)


class Brake:
    """Too many wrong passwords within a minute, and no more are looked at."""

    def __init__(self) -> None:
        self._tries: deque[tuple[float, str]] = deque()  # when and from where, the oldest first; never many

    def holds(self, address: str) -> bool:
        """Whether a try from there is not to be looked at now."""
        while self._tries and self._tries[0][0] <= time.monotonic() - BRAKE_S:
            self._tries.popleft()
        of_address = sum(whose == address for _, whose in self._tries)
        return of_address >= MOST_WRONG or len(self._tries) >= MOST_WRONG_OF_ALL

    def begin(self, address: str) -> tuple[float, str]:
        """A try is being looked at. It counts at once, so that many at the same time are no way around."""
        self._tries.append((time.monotonic(), address))
        return self._tries[-1]

    def was_right(self, one: tuple[float, str]) -> None:
        """What begin() gave was the password: it does not count."""
        if one in self._tries:
            self._tries.remove(one)
