"""Ports are taken before anything slow begins, so that a taken one is known at once."""

import argparse
import socket

from fairlead.errors import EndpointError

LARGEST_PORT = 65535


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Take a TCP port, without answering on it yet; port 0 takes a free one.

    `shared` lets other processes of the same user take it too; the kernel spreads connections over those that listen.

    Raises:
        EndpointError: the port is in use, or the host is not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise EndpointError(f"cannot listen on {show(host, port)}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise EndpointError(f"cannot listen on {show(host, port)}: {error.strerror}") from None
    return listener


def begin(listener: socket.socket) -> None:
    """Let callers connect to a taken port.

    To be called before an event loop does it: uvloop says nothing if it fails.

    Raises:
        EndpointError: the port was taken meanwhile.
    """
    try:
        listener.listen()
    except OSError as error:
        address = show(*listener.getsockname()[:2])
        raise EndpointError(f"cannot listen on {address}: {error.strerror}") from None


def check_free(host: str, port: int) -> None:
    """See whether a port could be taken, and leave it.

    Raises:
        EndpointError: it could not.
    """
    listen(host, port).close()


def show(host: str, port: int) -> str:
    """`host:port`, as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_port(text: str) -> int:
    """A port as it is typed.

    Raises:
        ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or int(text) > LARGEST_PORT:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to {LARGEST_PORT}, but is {text!r}")
    return int(text)
