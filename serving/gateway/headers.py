"""Which headers of a message go on to the other side."""

from multidict import CIMultiDict, CIMultiDictProxy

MIRRORED = "x-fairlead-mirrored"
"""Marks a copy, so that a server can count it apart."""
HOP_BY_HOP = (
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
    *("te", "trailer", "transfer-encoding", "upgrade"),
)
"""RFC 9110, section 7.6.1, and what the ancestors of that section named beside."""


def passed_on(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """End-to-end headers, without those of this connection alone."""
    named = [name.strip() for value in headers.getall("connection", ()) for name in value.split(",")]
    kept = CIMultiDict(headers)
    for name in (*HOP_BY_HOP, *named):
        kept.popall(name, None)
    return kept


def for_backend(headers: CIMultiDictProxy[str], caller: str | None, host: str) -> CIMultiDict[str]:
    """A request's headers for a backend, with where it came from.

    Args:
        headers: as the caller sent them.
        caller: the caller's address; it is appended to those the caller names.
        host: as the caller sent it.
    """
    kept = passed_on(headers)
    kept.popall("expect", None)  # answered here
    kept.popall(MIRRORED, None)  # only this gateway says so
    chain = [*kept.popall("x-forwarded-for", []), *([caller] if caller else [])]
    kept["x-forwarded-for"] = ", ".join(chain)
    kept["x-forwarded-host"] = host
    kept["x-forwarded-proto"] = "http"
    return kept
