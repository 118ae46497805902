"""Releases in Git: what every repository must do, whatever its address is."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fairlead.adapters.git import GitBranch
from fairlead.errors import ReleaseConflictError, RolloutError

FILE = "manifests/envs/dev/flight-delay/release.yaml"


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=A Person", "-c", "user.email=p@example.com", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare repository with one commit."""
    work = tmp_path / "work"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    (work / FILE).parent.mkdir(parents=True)
    (work / FILE).write_text("weight: 0\n")
    (work / "README.md").write_text("hello\n")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Begin")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(tmp_path / "remote.git"))
    return tmp_path / "remote.git"


@pytest.fixture(params=["path", "url"])
def address(request, remote: Path) -> str:
    return str(remote) if request.param == "path" else remote.as_uri()


@pytest.fixture
def branch(address: str, tmp_path: Path) -> GitBranch:
    return GitBranch(address, "main", tmp_path / "clone.git")


def by_person(tmp_path: Path, remote: Path, path: str, text: str, message: str) -> None:
    work = tmp_path / "person"
    if not work.exists():
        git(tmp_path, "clone", "-q", str(remote), str(work))
    git(work, "pull", "-q")
    (work / path).write_text(text)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", message)
    git(work, "push", "-q", "origin", "main")


def test_a_file_is_read_as_it_is_in_a_commit(branch):
    head = branch.head()
    assert branch.read(head, FILE) == "weight: 0\n"
    assert branch.read(head, "no/such/file") is None


def test_a_commit_changes_one_file_and_says_who_and_why(branch, remote):
    head = branch.head()
    made = branch.commit(FILE, "weight: 5\n", "Give the candidate 5%\n\nEvidence: 12.\n", seen=head)
    assert git(remote, "rev-parse", "main") == made
    assert git(remote, "diff", "--name-only", head, made) == FILE
    assert git(remote, "log", "-1", "--format=%an|%B").strip() == "fairlead|Give the candidate 5%\n\nEvidence: 12."
    assert branch.read(made, FILE) == "weight: 5\n"


def test_a_commit_that_is_repeated_is_made_once(branch, remote):
    head = branch.head()
    made = branch.commit(FILE, "weight: 5\n", "five", seen=head)
    assert branch.commit(FILE, "weight: 5\n", "five", seen=made) == made
    assert git(remote, "rev-list", "--count", "main") == "2"


def test_a_commit_lands_on_top_of_what_others_did_to_other_files(branch, remote, tmp_path):
    head = branch.head()
    by_person(tmp_path, remote, "README.md", "hello again\n", "Say it again")
    made = branch.commit(FILE, "weight: 5\n", "five", seen=head)
    assert branch.read(made, "README.md") == "hello again\n"
    assert git(remote, "rev-list", "--count", "main") == "3"


def test_a_commit_is_refused_where_somebody_else_changed_the_file_and_says_who(branch, remote, tmp_path):
    head = branch.head()
    by_person(tmp_path, remote, FILE, "weight: 50\n", "I know better")
    with pytest.raises(
        ReleaseConflictError, match=r"release\.yaml was changed by A Person in \w{10} \(I know better\)"
    ):
        branch.commit(FILE, "weight: 5\n", "five", seen=head)
    assert branch.read(branch.head(), FILE) == "weight: 50\n"


def test_of_two_controllers_that_decide_at_once_one_wins_and_the_other_notices(address, tmp_path):
    branches = [GitBranch(address, "main", tmp_path / f"clone-{number}.git") for number in range(4)]
    heads = [item.head() for item in branches]

    def decide(number: int) -> str:
        try:
            branches[number].commit(FILE, f"weight: {number + 10}\n", f"by {number}", seen=heads[number])
        except ReleaseConflictError:
            return "noticed"
        return "won"

    with ThreadPoolExecutor(4) as pool:
        results = sorted(pool.map(decide, range(4)))
    assert results == ["noticed", "noticed", "noticed", "won"]


def test_many_who_write_other_files_all_get_through(address, remote, tmp_path):
    branches = [GitBranch(address, "main", tmp_path / f"clone-{number}.git") for number in range(4)]

    def write(number: int) -> str:
        return branches[number].commit(f"models/{number}.yaml", "x\n", f"file {number}", seen=branches[number].head())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert git(remote, "ls-tree", "-r", "--name-only", "main", "models").splitlines() == [
        f"models/{number}.yaml" for number in range(4)
    ]


def test_the_changes_of_a_file_are_told_newest_first(branch, remote, tmp_path):
    branch.commit(FILE, "weight: 5\n", "five\n\nbecause", seen=branch.head())
    by_person(tmp_path, remote, "README.md", "x\n", "another file")
    by_person(tmp_path, remote, FILE, "weight: 0\n", "back")
    found = branch.changes(branch.head(), FILE, 5)
    assert [(change.author, change.message) for change in found] == [
        ("A Person", "back"),
        ("fairlead", "five\n\nbecause"),
        ("A Person", "Begin"),
    ]
    assert len(branch.changes(branch.head(), FILE, 1)) == 1


def test_a_proposal_leaves_the_branch_alone_and_is_replaced_by_the_next(branch, remote):
    head = branch.head()
    branch.propose("fairlead/five", FILE, "weight: 5\n", "five", seen=head)
    made = branch.propose("fairlead/five", FILE, "weight: 6\n", "six", seen=head)
    assert branch.propose("fairlead/five", FILE, "weight: 6\n", "six", seen=head) == made
    assert git(remote, "show", f"fairlead/five:{FILE}") == "weight: 6"
    assert git(remote, "rev-list", "--count", "fairlead/five") == "2"
    assert git(remote, "rev-parse", "main") == head


def test_a_hook_that_refuses_a_push_is_quoted(branch, remote):
    hook = remote / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'releases need a ticket' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RolloutError, match=r"cannot push to main: .*releases need a ticket"):
        branch.commit(FILE, "weight: 5\n", "five", seen=branch.head())


@pytest.mark.parametrize(("url", "name", "told"), [("gone.git", "main", "git fetch failed"), (None, "other", "other")])
def test_what_is_not_there_is_named(remote, tmp_path, url, name, told):
    branch = GitBranch(str(tmp_path / url) if url else str(remote), name, tmp_path / "clone.git")
    with pytest.raises(RolloutError, match=told):
        branch.head()


def test_no_error_shows_a_password(tmp_path):
    branch = GitBranch("http://user:secret@127.0.0.1:9/x.git", "main", tmp_path / "clone.git")
    with pytest.raises(RolloutError) as found:
        branch.head()
    assert "secret" not in str(found.value)
