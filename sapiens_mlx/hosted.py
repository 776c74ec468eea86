"""Whether strangers share this machine."""

import ipaddress
import os

_open_to_strangers = False  # of this process, which serves one page


def is_hosted() -> bool:
    """Whether strangers may use the page of this process: it is on a Hugging Face Space, or open_to_strangers() was
    called."""
    return _open_to_strangers or "SPACE_ID" in os.environ


def open_to_strangers() -> None:
    """The page that is about to be served can be reached by others than who runs it and whom he gave a password."""
    global _open_to_strangers
    _open_to_strangers = True


def is_loopback(host: str | None) -> bool:
    """Whether a name or an address of a host, as it stands in a URL or beside --host, is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address((host or "").strip("[]")).is_loopback
    except ValueError:
        return False
