"""Digests that name content."""

import hashlib
import json
from pathlib import Path
from typing import Any


def hash_text(text: str) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def hash_json(value: Any) -> str:
    """SHA-256 of a JSON value, independent of the order of keys."""
    return hash_text(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str))


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
