"""Connections to backends, and what their failures mean."""

from collections.abc import AsyncIterator

from aiohttp import (
    ClientConnectorError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)

KEEP_ALIVE_SECONDS = 4
"""Less than the 5 s after which uvicorn closes an idle connection: no request goes into a closing one."""
CONNECT_SECONDS = 5
ADDED_BY_CLIENT = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What aiohttp's client would add to a request that has none."""

Body = bytes | AsyncIterator[bytes] | None


def open_session(timeout_seconds: float) -> ClientSession:
    """A pool of connections that changes nothing on the way: no cookies, no decoding, no proxies, no credentials."""
    return ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=ADDED_BY_CLIENT,
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=timeout_seconds),
    )


def status_of(error: Exception) -> int:
    """503: no connection; 504: no answer in time; 502: an answer that broke off or is none."""
    if isinstance(error, ClientConnectorError | ConnectionTimeoutError):
        return 503
    return 504 if isinstance(error, TimeoutError) else 502
