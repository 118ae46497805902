"""Which code and which environment ran."""

import os
import subprocess
from pathlib import Path

from fairlead.lineage.digest import hash_file, hash_json

CODE_FOLDERS = ("fairlead", "components", "feature_repo", "pipelines", "serving")


def code_version(repo: Path) -> str:
    """A name for the sources and the lock as they are on disk, committed or not: `src-` and 12 hex digits.

    It goes into the parameters of every step, because a pipeline's cache does not look inside the image.
    """
    files = [
        path
        for folder in CODE_FOLDERS
        for path in sorted((repo / folder).rglob("*"))
        if path.suffix in (".py", ".j2") and "__pycache__" not in path.parts
    ]
    contents = {str(path.relative_to(repo)): hash_file(path) for path in files}
    return "src-" + hash_json({**contents, "lock": lock_hash(repo)})[:12]


def lock_hash(repo: Path) -> str:
    """A name for the locked environment: `lock-` and 12 hex digits, or `lock-none` outside a full checkout."""
    lock = repo / "requirements" / "runtime.txt"
    return "lock-" + (hash_file(lock)[:12] if lock.exists() else "none")


def git_commit(repo: Path) -> str:
    """The commit that is checked out, with `+changes` where the work tree differs.

    Outside Git it is the one that the image was built from, FAIRLEAD_COMMIT, or `none`.
    """
    head = _git(repo, "rev-parse", "HEAD")
    if head is None:
        return os.environ.get("FAIRLEAD_COMMIT") or "none"
    return head + ("+changes" if _git(repo, "status", "--porcelain") else "")


def _git(repo: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(repo), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
