"""GitHub's pull requests over a bare repository on this disk: for trying releases, and for tests.

It answers as the REST API does (version 2022-11-28), in status, names and errors, for what `github.py` asks and what a
person does: `POST /pulls`, `GET /pulls`, `GET|PATCH /pulls/N`, `PUT /pulls/N/merge`. A merge is a real one, by Git.
"""

import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

MERGE_MESSAGE = "Merge pull request #{number} from {branch}"
PERSON = ["-c", "user.name=A Person", "-c", "user.email=person@localhost"]


@dataclass
class _Pull:
    number: int
    title: str
    body: str
    branch: str
    base: str
    state: str = "open"
    merged_at: str | None = None


@dataclass
class FakeGitHub:
    """One repository, `owner/name`, whose content is a bare repository."""

    repository: str
    folder: Path
    token: str
    pulls: list[_Pull] = field(default_factory=list)

    def app(self) -> Starlette:
        """What answers below an address of one's choice."""
        root = f"/repos/{self.repository}/pulls"
        return Starlette(
            routes=[
                Route(root, self._allowed(self._list), methods=["GET"]),
                Route(root, self._allowed(self._open), methods=["POST"]),
                Route(f"{root}/{{number:int}}", self._allowed(self._show), methods=["GET"]),
                Route(f"{root}/{{number:int}}", self._allowed(self._edit), methods=["PATCH"]),
                Route(f"{root}/{{number:int}}/merge", self._allowed(self._merge), methods=["PUT"]),
            ]
        )

    def _allowed(
        self, answer: Callable[[Request], Awaitable[JSONResponse]]
    ) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def check(request: Request) -> JSONResponse:
            if request.headers.get("authorization") != f"Bearer {self.token}":
                return _error(401, "Bad credentials")
            return await answer(request)

        return check

    async def _list(self, request: Request) -> JSONResponse:
        asked = request.query_params
        found = [
            pull
            for pull in self.pulls
            if asked.get("head") in (None, f"{self._owner}:{pull.branch}")
            and asked.get("base") in (None, pull.base)
            and asked.get("state", "open") in ("all", pull.state)
        ]
        found.sort(key=lambda pull: pull.number, reverse=asked.get("direction", "desc") == "desc")
        return JSONResponse([self._show_one(request, pull) for pull in found[: int(asked.get("per_page", "30"))]])

    async def _open(self, request: Request) -> JSONResponse:
        asked = await request.json()
        missing = [name for name in ("title", "head", "base") if not asked.get(name)]
        if missing:
            return _invalid([{"resource": "PullRequest", "code": "missing_field", "field": missing[0]}])
        for name in ("head", "base"):
            if self._commit(asked[name]) is None:
                return _invalid([{"resource": "PullRequest", "code": "invalid", "field": name}])
        branch = asked["head"].removeprefix(f"{self._owner}:")
        if any(pull.branch == branch and pull.base == asked["base"] and pull.state == "open" for pull in self.pulls):
            told = f"A pull request already exists for {self._owner}:{branch}."
            return _invalid([{"resource": "PullRequest", "code": "custom", "message": told}])
        if not self._git("rev-list", f"{asked['base']}..{branch}"):
            told = f"No commits between {asked['base']} and {branch}"
            return _invalid([{"resource": "PullRequest", "code": "custom", "message": told}])
        pull = _Pull(len(self.pulls) + 1, asked["title"], asked.get("body") or "", branch, asked["base"])
        self.pulls.append(pull)
        return JSONResponse(self._show_one(request, pull), 201)

    async def _show(self, request: Request) -> JSONResponse:
        pull = self._find(request)
        return _error(404, "Not Found") if pull is None else JSONResponse(self._show_one(request, pull))

    async def _edit(self, request: Request) -> JSONResponse:
        pull = self._find(request)
        if pull is None:
            return _error(404, "Not Found")
        asked = await request.json()
        pull.title, pull.body = asked.get("title", pull.title), asked.get("body", pull.body)
        if pull.merged_at is None:
            pull.state = asked.get("state", pull.state)
        return JSONResponse(self._show_one(request, pull))

    async def _merge(self, request: Request) -> JSONResponse:
        pull = self._find(request)
        if pull is None:
            return _error(404, "Not Found")
        if pull.state != "open":
            return _error(405, "Pull Request is not mergeable")
        merged = self._merged(pull)
        if merged is None:
            return _error(405, "Pull Request is not mergeable")
        pull.state, pull.merged_at = "closed", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return JSONResponse({"sha": merged, "merged": True, "message": "Pull Request successfully merged"})

    def _merged(self, pull: _Pull) -> str | None:
        """Merge, as the button does; None: there are conflicts."""
        tip, theirs = self._commit(pull.base), self._commit(pull.branch)
        assert tip is not None
        if theirs is None:
            return None
        done = self._run("merge-tree", "--write-tree", tip, theirs)
        if done.returncode != 0:
            return None
        message = f"{MERGE_MESSAGE.format(number=pull.number, branch=pull.branch)}\n\n{pull.title}"
        made = self._git(*PERSON, "commit-tree", done.stdout.split()[0], "-p", tip, "-p", theirs, "-m", message)
        self._git("update-ref", f"refs/heads/{pull.base}", made, tip)
        return made

    def _find(self, request: Request) -> _Pull | None:
        number = request.path_params["number"]
        return next((pull for pull in self.pulls if pull.number == number), None)

    def _show_one(self, request: Request, pull: _Pull) -> dict[str, Any]:
        return {
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "state": pull.state,
            "merged_at": pull.merged_at,
            "html_url": f"{request.base_url}{self.repository}/pull/{pull.number}",
            "head": {"ref": pull.branch, "sha": self._commit(pull.branch)},
            "base": {"ref": pull.base, "sha": self._commit(pull.base)},
        }

    @property
    def _owner(self) -> str:
        return self.repository.partition("/")[0]

    def _commit(self, branch: str) -> str | None:
        done = self._run("rev-parse", "--verify", "--quiet", f"refs/heads/{branch.removeprefix(f'{self._owner}:')}")
        return done.stdout.strip() or None

    def _git(self, *words: str) -> str:
        done = self._run(*words)
        done.check_returncode()
        return done.stdout.strip()

    def _run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = ["git", "-C", str(self.folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"message": message, "documentation_url": "https://docs.github.com/rest"}, status)


def _invalid(errors: list[dict[str, str]]) -> JSONResponse:
    return JSONResponse({"message": "Validation Failed", "errors": errors}, 422)
