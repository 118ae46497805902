"""Files that a reader sees either as they were or complete."""

import os
import threading
from pathlib import Path


def write_whole(path: Path, content: str | bytes, *, durable: bool = False) -> Path:
    """Write beside `path`, then rename to `path`; text as UTF-8.

    Args:
        path: the file; folders above it are made.
        content: all of it.
        durable: it survives a power cut as soon as this returns, for what is told to others as kept.

    Raises:
        OSError: it cannot be written; what was there is there still.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with aside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def whole_lines(content: bytes) -> int:
    """Bytes of the lines that are whole: a kill may have torn the last, and nobody was told that it is kept."""
    return content.rfind(b"\n") + 1
