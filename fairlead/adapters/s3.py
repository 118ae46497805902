"""S3 as AWS's own tools find it: credentials, region and endpoint come from their variables.

Three libraries read it here, deltalake, Arrow (`s3_arrow.py`) and obstore (`object_store.py`), and each leaves out
something that AWS's tools know by themselves.
"""

import os

SCHEME = "s3://"
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Unset: Amazon's."""
CONNECT_SECONDS, REQUEST_SECONDS = 5, 60
RETRY_SECONDS = 60
"""How long deltalake repeats a request that failed; its own choice would be three minutes."""


def in_s3(uri: str) -> bool:
    """Whether a place is in S3."""
    return uri.startswith(SCHEME)


def endpoint() -> str | None:
    """The address of the store; None: Amazon's."""
    return next((os.environ[name] for name in ENDPOINT_VARIABLES if os.environ.get(name)), None)


def delta_options(uri: str) -> dict[str, str] | None:
    """What deltalake needs to be told for a table; commits are conditional puts, so that of two writers one fails."""
    if not in_s3(uri):
        return None
    options = {
        "connect_timeout": f"{CONNECT_SECONDS}s",
        "timeout": f"{REQUEST_SECONDS}s",
        "retry_timeout": f"{RETRY_SECONDS}s",
        "conditional_put": "etag",
    }
    found = endpoint()
    if found:
        options |= {"endpoint_url": found, "allow_http": str(found.startswith("http://")).lower()}
    return options
