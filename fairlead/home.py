"""The home folder of a laptop: everything a run writes, one run at a time."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fairlead.errors import HomeError

LOCK_FILE = "lock"
PID_FILE = "lock.pid"


def as_typed(path: Path) -> str:
    """A path as a person would type it: from the working directory, where it is below that."""
    whole, here = path.absolute(), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


@contextmanager
def lock_home(home: Path) -> Iterator[None]:
    """Hold a home for as long as the block runs; a killed run holds nothing.

    Raises:
        HomeError: the folder cannot be written, or another run holds it.
    """
    _require_writable(home)
    lock = FileLock(home / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise HomeError(f"{home} is in use by another run{_holder(home)}; wait for it, or use another --home") from None
    try:
        (home / PID_FILE).write_text(str(os.getpid()), encoding="utf-8")
        yield
    finally:
        lock.release()


def _require_writable(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
    except OSError as error:
        raise HomeError(f"the home folder {home} must be writable, but is not: {error.strerror}") from None


def _holder(home: Path) -> str:
    try:
        return f" (process {(home / PID_FILE).read_text(encoding='utf-8')})"
    except OSError:
        return ""
