"""Pull requests on GitHub, by its REST API (version 2022-11-28): for releases that a person must agree to."""

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import SecretStr

from fairlead.errors import RolloutError
from fairlead.rollout.commits import PullRequest

API = "https://api.github.com"
VERSION = "2022-11-28"
TIMEOUT_SECONDS = 30.0
ATTEMPTS = 3
"""Of a connection; an answer is never asked for twice."""


class GitHubPulls:
    """Pull requests of one repository."""

    def __init__(self, repository: str, token: SecretStr, api: str = API) -> None:
        """Nothing is done yet.

        Args:
            repository: `owner/name`.
            token: with the permission to read and write pull requests.
            api: another one for GitHub Enterprise: `https://host/api/v3`.
        """
        self._repository = repository
        self._api = api.rstrip("/")
        self._client = httpx.Client(
            base_url=f"{self._api}/repos/{repository}",
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": f"Bearer {token.get_secret_value()}",
                "X-GitHub-Api-Version": VERSION,
            },
            timeout=TIMEOUT_SECONDS,
            transport=httpx.HTTPTransport(retries=ATTEMPTS),
        )

    def open(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        """Open a pull request from a branch; if it has an open one, that gets the title and body.

        Raises:
            RolloutError: GitHub does not answer, or says no; the message is its own.
        """
        found = self.find(branch)
        if found is not None and found.state == "open":
            return _read(self._ask("PATCH", f"/pulls/{found.number}", {"title": title, "body": body}))
        asked = {"title": title, "head": branch, "base": base, "body": body}
        return _read(self._ask("POST", "/pulls", asked))

    def find(self, branch: str) -> PullRequest | None:
        """The newest pull request from a branch of the repository itself, in whatever state.

        Raises:
            RolloutError: as `open`.
        """
        owner = self._repository.partition("/")[0]
        asked = {"head": f"{owner}:{branch}", "state": "all", "sort": "created", "direction": "desc", "per_page": "1"}
        found = self._ask("GET", "/pulls", params=asked)
        return _read(found[0]) if found else None

    def close(self, pull: PullRequest) -> PullRequest:
        """Withdraw a proposal.

        Raises:
            RolloutError: as `open`.
        """
        return _read(self._ask("PATCH", f"/pulls/{pull.number}", {"state": "closed"}))

    def _ask(
        self, method: str, path: str, content: Mapping[str, Any] | None = None, params: Mapping[str, str] | None = None
    ) -> Any:
        try:
            answer = self._client.request(method, path, json=content, params=params)
        except httpx.HTTPError as error:
            raise RolloutError(f"{self._api}: does not answer: {error}") from None
        if answer.is_success:
            return answer.json()
        raise RolloutError(f"{self._api}: {method} {answer.request.url.path}: {answer.status_code} {_reason(answer)}")


def _read(found: Mapping[str, Any]) -> PullRequest:
    merged = found.get("merged_at") is not None
    return PullRequest(found["number"], found["html_url"], "merged" if merged else found["state"])


def _reason(answer: httpx.Response) -> str:
    try:
        content = answer.json()
    except ValueError:
        return answer.text[:200]
    details = [item.get("message") or f"{item.get('field')}: {item.get('code')}" for item in content.get("errors", [])]
    return "; ".join([str(content.get("message")), *details])
