"""Logs of retraining as JSON lines, `<root>/<model>.jsonl`, in a folder or in S3."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock
from pydantic import ValidationError

from fairlead.adapters import s3
from fairlead.adapters.object_store import s3_store
from fairlead.errors import RetrainingError
from fairlead.files import whole_lines
from fairlead.ports import RetrainingLog
from fairlead.retraining.entries import ENTRY, Entry


class FolderLog:
    """`RetrainingLog` in files of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, model: str) -> list[Entry]:
        path = self._path(model)
        try:
            return _entries(path.read_bytes(), str(path))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RetrainingError(f"cannot read {path}: {error.strerror or error}") from None

    def append(self, model: str, entry: Entry, after: int) -> bool:
        path = self._path(model)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if len(self.read(model)) != after:
                    return False
                with path.open("ab+") as file:
                    file.truncate(whole_lines(path.read_bytes()))
                    file.write(_line(entry))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise RetrainingError(f"cannot write {path}: {error.strerror or error}") from None
        return True

    def _path(self, model: str) -> Path:
        return self._root / f"{model}.jsonl"


class S3Log:
    """`RetrainingLog` below an `s3://bucket/prefix`: a log is one object, replaced if nobody else did meanwhile."""

    def __init__(self, root: str) -> None:
        parts = urlsplit(root)
        self._root, self._prefix = root.rstrip("/"), parts.path.strip("/")
        self._store = s3_store(parts.netloc)

    def read(self, model: str) -> list[Entry]:
        return _entries(self._get(model)[0], f"{self._root}/{model}.jsonl")

    def append(self, model: str, entry: Entry, after: int) -> bool:
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        content, tag = self._get(model)
        if len(_entries(content, f"{self._root}/{model}.jsonl")) != after:
            return False
        mode: Any = "create" if tag is None else {"e_tag": tag}
        try:
            self._store.put(self._path(model), content + _line(entry), mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError):
            return False
        except (OSError, BaseError) as error:
            raise RetrainingError(f"cannot write {self._root}/{model}.jsonl: {_first_line(error)}") from None
        return True

    def _get(self, model: str) -> tuple[bytes, str | None]:
        from obstore.exceptions import BaseError

        try:
            found = self._store.get(self._path(model))
            return bytes(found.bytes()), found.meta["e_tag"]
        except FileNotFoundError:
            return b"", None
        except (OSError, BaseError) as error:
            raise RetrainingError(f"cannot read {self._root}/{model}.jsonl: {_first_line(error)}") from None

    def _path(self, model: str) -> str:
        return f"{self._prefix}/{model}.jsonl".lstrip("/")


class MemoryLog:
    """`RetrainingLog` that forgets when the process ends, for tests."""

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {}

    def read(self, model: str) -> list[Entry]:
        return list(self._entries.get(model, []))

    def append(self, model: str, entry: Entry, after: int) -> bool:
        kept = self._entries.setdefault(model, [])
        if len(kept) != after:
            return False
        kept.append(entry)
        return True


def open_log(tables_uri: str) -> RetrainingLog:
    """The log beside the tables, `<tables>/retraining/<model>.jsonl`."""
    root = f"{tables_uri.rstrip('/')}/retraining"
    return S3Log(root) if s3.in_s3(root) else FolderLog(Path(root))


def _line(entry: Entry) -> bytes:
    return ENTRY.dump_json(entry, exclude_defaults=False) + b"\n"


def _entries(content: bytes, where: str) -> list[Entry]:
    found = []
    for number, line in enumerate(content[: whole_lines(content)].splitlines(), 1):
        try:
            found.append(ENTRY.validate_json(line))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            raise RetrainingError(f"{where}:{number}: {problem['loc']}: {problem['msg']}") from None
    return found


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
