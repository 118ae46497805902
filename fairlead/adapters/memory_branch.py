"""A branch of a repository in dictionaries: for tests of what is decided on it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fairlead.errors import ReleaseConflictError, RolloutError
from fairlead.lineage.digest import hash_json
from fairlead.rollout.commits import Change


@dataclass(frozen=True)
class _Commit:
    change: Change
    parent: str | None
    files: Mapping[str, str]


class MemoryBranch:
    """`ReleaseRepository` over commits of this process. Several threads may write at once."""

    def __init__(self, files: Mapping[str, str]) -> None:
        """A branch whose first commit has these files."""
        self._lock = threading.Lock()
        self._commits: dict[str, _Commit] = {}
        self.branches: dict[str, str] = {}
        """Name of what was proposed → its commit."""
        self.away = False
        """Whether nothing can be read or written now."""
        self._tip = self._add(None, dict(files), "A Person", "Begin")

    def head(self) -> str:
        """The newest commit."""
        if self.away:
            raise RolloutError("the repository is away")
        return self._tip

    def files(self, commit: str, folder: str) -> list[str]:
        """All paths below a folder."""
        return sorted(path for path in self._commits[commit].files if path.startswith(f"{folder.rstrip('/')}/"))

    def read(self, commit: str, path: str) -> str | None:
        """A file of a commit."""
        return self._commits[commit].files.get(path)

    def changes(self, commit: str, path: str, most: int) -> list[Change]:
        """Those that touched the file, newest first."""
        found: list[Change] = []
        here: str | None = commit
        while here is not None and len(found) < most:
            one = self._commits[here]
            before = self._commits[one.parent].files if one.parent else {}
            if one.files.get(path) != before.get(path):
                found.append(one.change)
            here = one.parent
        return found

    def commit(self, path: str, text: str, message: str, *, seen: str, author: str = "fairlead") -> str:
        """Replace one file."""
        with self._lock:
            tip = self.head()
            self._require_same(path, seen, tip)
            if self.read(tip, path) != text:
                self._tip = self._add(tip, {**self._commits[tip].files, path: text}, author, message)
            return self._tip

    def propose(self, branch: str, path: str, text: str, message: str, *, seen: str) -> str:
        """A commit on no branch but its own."""
        with self._lock:
            self._require_same(path, seen, self.head())
            self.branches[branch] = self._add(seen, {**self._commits[seen].files, path: text}, "fairlead", message)
            return self.branches[branch]

    def _require_same(self, path: str, seen: str, tip: str) -> None:
        if self.read(seen, path) != self.read(tip, path):
            [last] = self.changes(tip, path, 1)
            raise ReleaseConflictError(f"{path} was changed by {last.author} since {seen[:10]} was read")

    def _add(self, parent: str | None, files: Mapping[str, str], author: str, message: str) -> str:
        name = hash_json({"parent": parent or "", "files": dict(files), "message": message})
        self._commits[name] = _Commit(Change(name, author, datetime.now(UTC), message.strip()), parent, files)
        return name
