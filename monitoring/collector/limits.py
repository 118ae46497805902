"""What a collector takes at once."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Limits:
    """Bounds of one process."""

    body_bytes: int = 16 * 1024 * 1024
    """Of one request; 413 beyond it."""
    waiting_rows: int = 200_000
    """In memory until the next commit; 429 beyond it."""
    gather_seconds: float = 0.1
    """How long the first of some requests waits for others, to share a commit with them."""
    payload_bytes: int = 256 * 1024 * 1024
    """Of payloads of KServe's logger that wait for their other half, on disk; 429 beyond it."""
    payload_patience: timedelta = timedelta(minutes=10)
    """How long they wait. Then an answer is recorded without its request, and a request without an answer is not."""
