"""A page that tests can visit, on a machine whose name server says of every name that it is this machine."""

import sapiens_mlx  # noqa: F401  isort: skip

import socket

from sapiens_mlx.ui.page import serve

ask = socket.getaddrinfo


def told(
    host: str | bytes | None, port: object, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list:
    try:
        return ask(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    except socket.gaierror:
        return ask("127.0.0.1", port, family, type, proto, flags)


if __name__ == "__main__":
    socket.getaddrinfo = told
    serve()
