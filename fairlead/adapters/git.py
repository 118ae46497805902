"""One branch of a Git repository, local or remote, read and written without a work tree.

Commits are built from Git's own plumbing in a bare clone and pushed, never with force. A push that is refused because
somebody else was first is repeated on top of their commit, if that did not touch the same file.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from pydantic import SecretStr

from fairlead.errors import ReleaseConflictError, RolloutError
from fairlead.rollout.commits import Change

ATTEMPTS = 10
"""Of a push, each on top of what another one pushed meanwhile."""
TIMEOUT_SECONDS = 120.0
LOST_RACE = re.compile(
    r"\[rejected\]|cannot lock ref|failed to update ref|incorrect old value|reference already exists"
)
"""How Git tells that the branch moved. A refusal by a rule of the remote reads otherwise, and is not repeated."""
TOKEN_USER = "x-access-token"
"""GitHub's; GitLab and Gitea take any."""
TOKEN_VARIABLE = "FAIRLEAD_GIT_PASSWORD"
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


class GitBranch:
    """`Repository` on one branch."""

    def __init__(
        self,
        url: str,
        branch: str,
        clone: Path,
        *,
        name: str = "fairlead",
        email: str = "fairlead@localhost",
        token: SecretStr | None = None,
    ):
        """Nothing is done yet.

        Args:
            url: of the repository, or its path.
            branch: that is read and written.
            clone: a folder for this process's own bare clone; it is made if it is missing, and can be deleted.
            name: of who commits.
            email: of who commits.
            token: the password of an https:// address, where Git has none of its own. It is handed to Git in its
                environment, and is on no disk and in no list of processes.
        """
        self._environ = _credentials(token) if token else {}
        self._url = url
        self._branch = branch
        self._folder = clone
        self._who = ["-c", f"user.name={name}", "-c", f"user.email={email}"]

    def head(self) -> str:
        """Fetch; the branch's newest commit.

        Raises:
            RolloutError: the repository cannot be read, or has no such branch.
        """
        self._git("fetch", "--quiet", "--no-tags", "origin", f"+refs/heads/{self._branch}:{self._ref}")
        return self._git("rev-parse", "--verify", self._ref)

    def files(self, commit: str, folder: str) -> list[str]:
        """The paths of all files of a commit below a folder, in order."""
        return self._git("ls-tree", "-r", "--name-only", commit, "--", f"{folder.rstrip('/')}/").splitlines()

    def read(self, commit: str, path: str) -> str | None:
        """A file of a commit; None if it has none of that name."""
        return self._git("cat-file", "blob", f"{commit}:{path}", strip=False) if self._blob(commit, path) else None

    def changes(self, commit: str, path: str, most: int) -> list[Change]:
        """The newest commits up to `commit` that touched a file, newest first, at most so many."""
        form = "%H%x00%an%x00%cI%x00%B%x1e"
        out = self._git("log", f"--max-count={most}", f"--format={form}", commit, "--", path)
        entries = [entry.strip("\n").split("\0") for entry in out.split("\x1e") if entry.strip()]
        return [
            Change(found, author, datetime.fromisoformat(at).astimezone(UTC), message.strip())
            for found, author, at, message in entries
        ]

    def commit(self, path: str, text: str, message: str, *, seen: str) -> str:
        """Replace one file on the branch; returns the commit, which is on the remote then.

        A file that says the same already is left as it is: repeating a commit makes no second one.

        Args:
            path: from the root of the repository.
            text: its new content.
            message: why.
            seen: the commit in which the file was read that led to the new content.

        Raises:
            ReleaseConflictError: the file is another one by now.
            RolloutError: the repository cannot be written.
        """
        for _ in range(ATTEMPTS):
            tip = self.head()
            self._require_same(path, seen, tip)
            if self.read(tip, path) == text:
                return tip
            made = self._build(tip, path, text, message)
            if self._push(made, self._branch):
                return made
        raise RolloutError(f"{self._shown}: {ATTEMPTS} pushes to {self._branch} were overtaken by others; try again")

    def propose(self, branch: str, path: str, text: str, message: str, *, seen: str) -> str:
        """As `commit`, but on a branch of its own, which is made anew if it is there already."""
        self._require_same(path, seen, self.head())
        made = self._build(seen, path, text, message)
        current = self._git("ls-remote", "origin", f"refs/heads/{branch}").partition("\t")[0]
        if current:
            self._git("fetch", "--quiet", "--no-tags", "origin", current)
            if self._tree(current) == self._tree(made):
                return current
        # The branch is ours alone: what an earlier proposal left there is replaced, unless it moves meanwhile.
        if not self._push(made, branch, f"--force-with-lease=refs/heads/{branch}:{current}"):
            raise ReleaseConflictError(f"{self._shown}: the branch {branch} was changed by another at the same time")
        return made

    def _require_same(self, path: str, seen: str, tip: str) -> None:
        if self._blob(seen, path) == self._blob(tip, path):
            return
        found = self.changes(tip, path, 1)
        by = f" by {found[0].author} in {found[0].commit[:10]} ({found[0].message.splitlines()[0]})" if found else ""
        raise ReleaseConflictError(f"{path} was changed{by} since {seen[:10]} was read")

    def _build(self, parent: str, path: str, text: str, message: str) -> str:
        """A commit with one other file, in the clone only."""
        index = {"GIT_INDEX_FILE": str(self._folder / f"index-{os.getpid()}")}
        blob = self._git("hash-object", "-w", "--stdin", stdin=text)
        self._git("read-tree", parent, environ=index)
        self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", environ=index)
        tree = self._git("write-tree", environ=index)
        return self._git(*self._who, "commit-tree", tree, "-p", parent, "-F", "-", stdin=message)

    def _push(self, commit: str, branch: str, *options: str) -> bool:
        """Whether the branch is at `commit` now; False: somebody else was first."""
        done = self._run("push", "--porcelain", *options, "origin", f"{commit}:refs/heads/{branch}")
        if done.returncode == 0:
            return True
        if LOST_RACE.search(done.stdout + done.stderr):
            return False
        raise RolloutError(f"{self._shown}: cannot push to {branch}: {_told(done)}")

    def _blob(self, commit: str, path: str) -> str:
        """The id of a file's content; empty if there is none."""
        return self._git("ls-tree", "--format=%(objectname)", commit, "--", path)

    def _tree(self, commit: str) -> str:
        return self._git("rev-parse", f"{commit}^{{tree}}")

    @property
    def _ref(self) -> str:
        return f"refs/remotes/origin/{self._branch}"

    @property
    def _shown(self) -> str:
        return CREDENTIALS.sub("", self._url)

    @cached_property
    def _clone(self) -> Path:
        if not (self._folder / "HEAD").exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            _call(["git", "init", "--quiet", "--bare", str(self._folder)])
            _call(["git", "-C", str(self._folder), "remote", "add", "origin", self._url])
        else:
            _call(["git", "-C", str(self._folder), "remote", "set-url", "origin", self._url])
        return self._folder

    def _git(
        self, *words: str, stdin: str | None = None, environ: dict[str, str] | None = None, strip: bool = True
    ) -> str:
        done = self._run(*words, stdin=stdin, environ=environ)
        if done.returncode != 0:
            command = next(word for word in words if not word.startswith("-") and "=" not in word)
            raise RolloutError(f"{self._shown}: git {command} failed: {_told(done)}")
        return done.stdout.strip() if strip else done.stdout

    def _run(
        self, *words: str, stdin: str | None = None, environ: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        more = {**self._environ, **(environ or {})}
        return _call(["git", "-C", str(self._clone), *words], stdin=stdin, environ=more)


def _credentials(token: SecretStr) -> dict[str, str]:
    """A helper that answers with a variable; an empty one before it, so that no other is asked."""
    answer = f'!f() {{ echo username={TOKEN_USER}; echo "password=${TOKEN_VARIABLE}"; }}; f'
    settings = [("credential.helper", ""), ("credential.helper", answer)]
    environ = {TOKEN_VARIABLE: token.get_secret_value(), "GIT_CONFIG_COUNT": str(len(settings))}
    for index, (key, value) in enumerate(settings):
        environ |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return environ


def _call(
    command: Sequence[str], stdin: str | None = None, environ: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run Git, which must neither ask nor wait for ever, and speaks English."""
    asked = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(environ or {})}
    try:
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=asked,
            timeout=TIMEOUT_SECONDS,
            start_new_session=True,  # Ctrl-C is for the caller, which lets a push come to its end
        )
    except FileNotFoundError:
        raise RolloutError("releases are kept in Git, but there is no `git` on the PATH") from None
    except subprocess.TimeoutExpired:
        raise RolloutError(f"git has not answered for {TIMEOUT_SECONDS:g} s: {' '.join(command[3:5])}") from None


def _told(done: "subprocess.CompletedProcess[str]") -> str:
    text = CREDENTIALS.sub("", done.stderr.strip() or done.stdout.strip())
    return " ".join(text.split()) or f"code {done.returncode}"
