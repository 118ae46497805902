"""Pull requests: the adapter against an API that speaks as GitHub does.

With FAIRLEAD_TEST_GITHUB=owner/name and FAIRLEAD_TEST_GITHUB_TOKEN the same tests run on a real repository, whose
branch `main` they change.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from fairlead.adapters.fake_github import FakeGitHub
from fairlead.adapters.git import GitBranch
from fairlead.adapters.github import API, GitHubPulls
from fairlead.errors import RolloutError
from tests.contracts.test_git_branch import git

FILE = "manifests/envs/production/flight-delay/release.yaml"


@dataclass
class Hosted:
    """A repository and its API."""

    api: str
    repository: str
    token: str
    url: str

    def pulls(self) -> GitHubPulls:
        return GitHubPulls(self.repository, SecretStr(self.token), self.api)

    def by_person(self, method: str, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, f"{self.api}/repos/{self.repository}{path}", headers=headers, trust_env=False)


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    real = os.environ.get("FAIRLEAD_TEST_GITHUB")
    if real:
        token = os.environ["FAIRLEAD_TEST_GITHUB_TOKEN"]
        yield Hosted(API, real, token, f"https://x-access-token:{token}@github.com/{real}.git")
        return
    folder = tmp_path_factory.mktemp("github")
    git(folder, "init", "-q", "-b", "main", "work")
    (folder / "work/README.md").write_text("hello\n")
    git(folder / "work", "add", "-A")
    git(folder / "work", "commit", "-q", "-m", "Begin")
    git(folder, "clone", "-q", "--bare", "work", "remote.git")
    app = FakeGitHub("acme/platform", folder / "remote.git", "a-token").app()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Hosted(f"http://127.0.0.1:{port}", "acme/platform", "a-token", str(folder / "remote.git"))
    server.should_exit = True
    thread.join()


@pytest.fixture
def branch(hosted: Hosted, tmp_path: Path) -> GitBranch:
    return GitBranch(hosted.url, "main", tmp_path / "clone.git")


@pytest.fixture
def proposed(branch: GitBranch) -> str:
    """The name of a branch with one commit."""
    name = f"fairlead/{uuid4().hex[:8]}"
    branch.propose(name, FILE, f"proposed: {name}\n", "Promote version 4", seen=branch.head())
    return name


def test_a_proposal_becomes_a_pull_request_that_a_person_can_merge(hosted, branch, proposed):
    pulls = hosted.pulls()
    opened = pulls.open(proposed, "main", "Promote version 4", "Evidence: 12.")
    assert opened.state == "open"
    assert str(opened.number) in opened.url
    assert hosted.by_person("PUT", f"/pulls/{opened.number}/merge").status_code == 200
    assert pulls.find(proposed).state == "merged"
    assert branch.read(branch.head(), FILE) == f"proposed: {proposed}\n"


def test_opening_it_again_changes_the_words_of_the_open_one(hosted, proposed):
    pulls = hosted.pulls()
    first = pulls.open(proposed, "main", "Promote version 4", "Evidence: 12.")
    again = pulls.open(proposed, "main", "Promote version 4", "Evidence: 30.")
    assert again.number == first.number
    assert hosted.by_person("GET", f"/pulls/{first.number}").json()["body"] == "Evidence: 30."
    pulls.close(first)


def test_a_person_who_closes_it_has_said_no(hosted, proposed):
    pulls = hosted.pulls()
    pulls.close(pulls.open(proposed, "main", "Promote version 4", ""))
    assert pulls.find(proposed).state == "closed"


def test_a_branch_without_a_pull_request_has_none(hosted):
    assert hosted.pulls().find("fairlead/nothing") is None


def test_a_branch_that_is_not_there_is_refused_in_the_words_of_the_api(hosted):
    with pytest.raises(RolloutError, match=r"POST /repos/.*/pulls: 422 Validation Failed; head: invalid"):
        hosted.pulls().open("fairlead/nothing", "main", "Promote", "")


def test_a_branch_with_nothing_new_is_refused(hosted, branch):
    name = f"fairlead/{uuid4().hex[:8]}"
    head = branch.head()
    subprocess.run(["git", "push", "-q", hosted.url, f"{head}:refs/heads/{name}"], cwd=branch._clone, check=True)
    with pytest.raises(RolloutError, match=f"No commits between main and {name}"):
        hosted.pulls().open(name, "main", "Promote", "")


def test_a_wrong_token_is_told_and_not_shown(hosted):
    with pytest.raises(RolloutError, match="401 Bad credentials") as found:
        GitHubPulls(hosted.repository, SecretStr("wrong-token"), hosted.api).find("main")
    assert "wrong-token" not in str(found.value)


def test_an_api_that_is_away_is_told():
    with pytest.raises(RolloutError, match=r"http://127\.0\.0\.1:9: does not answer"):
        GitHubPulls("acme/platform", SecretStr("x"), "http://127.0.0.1:9").find("main")
