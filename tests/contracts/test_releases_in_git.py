"""The controller on real repositories: races of pushes, proposals that a person merges or closes, the command."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from fairlead.adapters.fake_github import FakeGitHub
from fairlead.adapters.git import GitBranch
from fairlead.adapters.github import GitHubPulls
from fairlead.rollout.control import Controller
from tests.contracts.test_git_branch import git
from tests.contracts.test_release_counters import Exposition, OfTheGateway
from tests.unit.rollout_world import MODEL, World, first_files

TOKEN = "a-token"
QUICK = {"shadow_minutes": 0, "steps": [50], "latency": None, "warm_up_seconds": 0}


def repository(folder: Path, environment: str, **rollout: object) -> Path:
    work, bare = folder / "work", folder / "remote.git"
    git(folder, "init", "-q", "-b", "main", str(work))
    for path, text in first_files(environment, **rollout).items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(text)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Begin")
    git(folder, "clone", "-q", "--bare", str(work), str(bare))
    return bare


@pytest.fixture
def production(tmp_path: Path) -> Path:
    return repository(tmp_path, "production", **QUICK)


@pytest.fixture
def api(production: Path) -> Iterator[str]:
    app = FakeGitHub("acme/platform", production, TOKEN).app()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def world(production: Path, api: str, tmp_path: Path) -> World:
    branch = GitBranch(str(production), "main", tmp_path / "clone.git")
    found = World(branch, "production")
    found.controller = Controller(
        branch,
        "main",
        "production",
        found.counters,
        gated=lambda model: {"3", "4"},
        pulls=GitHubPulls("acme/platform", SecretStr(TOKEN), api),
        clock=lambda: found.now,
    )
    return found


def by_person(api: str, method: str, path: str, **content: object) -> None:
    address = f"{api}/repos/acme/platform/pulls/{path}"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    httpx.request(method, address, json=content, headers=headers, trust_env=False).raise_for_status()


def test_a_promotion_in_production_is_proposed_once_and_done_when_a_person_merges_it(world, api):
    world.hour()
    world.start()
    [*_, look] = world.until("proposed")
    assert look.release.stage == "canary"
    world.window()
    again = world.look()
    assert (again.result, again.proposal) == ("nothing", look.proposal)
    by_person(api, "PUT", f"{look.proposal.number}/merge")
    assert world.look().release.stage == "promoted"
    world.counters.servers["s1"].version = "4"
    assert world.look().result == "settled"


def test_a_proposal_that_a_person_closes_is_a_no(world, api):
    world.hour()
    world.start()
    [*_, look] = world.until("proposed")
    by_person(api, "PATCH", str(look.proposal.number), state="closed")
    world.window()
    held = world.look()
    assert held.result == "held"
    assert "closed without a merge" in world.release.hold


def test_harm_while_a_proposal_is_open_rolls_back_and_withdraws_it(world, api):
    world.hour()
    world.start()
    [*_, look] = world.until("proposed")
    world.error_rates["candidate"] = 0.3
    world.until("rolled_back", most=10)
    assert world.controller.pulls.find(look_branch(look)).state == "closed"


def look_branch(look) -> str:
    return f"rollout/production/{MODEL}-4-r{look.release.revision}"


def test_controllers_in_threads_on_one_remote_make_each_decision_once(tmp_path):
    remote = repository(tmp_path, "dev")
    branches = [GitBranch(str(remote), "main", tmp_path / f"clone-{number}") for number in range(3)]
    world = World(branches[0])
    world.hour()
    world.error_rates["candidate"] = 0.2
    world.start()
    for _ in range(4):
        world.window()
    results: list[str] = []
    controllers = [world.another(branch) for branch in branches]
    threads = [
        threading.Thread(target=lambda one: results.append(one.look(MODEL).result), args=[x]) for x in controllers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Two that decide the same in the same second make the same commit, which both have pushed then.
    assert set(results) <= {"rolled_back", "overtaken", "nothing"}
    assert git(remote, "rev-list", "--count", "main") == "3"


def command(*words: str) -> list[str]:
    return [str(Path(sys.executable).with_name("fairlead")), "rollout", *words]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    remote = repository(tmp_path, "dev", **{**QUICK, "window_seconds": 0.3})
    place = {"FAIRLEAD_RELEASES": str(remote), "FAIRLEAD_ENVIRONMENT": "dev", "FAIRLEAD_HOME": str(tmp_path / "home")}
    return {**os.environ, **place, "COLUMNS": "200"}


def test_the_command_watches_tells_its_stage_and_leaves_when_told(tmp_path, environ):
    gateway = OfTheGateway(tmp_path)
    environ["FAIRLEAD_GATEWAY"] = f"http://{gateway.server.address}"
    routes, log = tmp_path / "route.yaml", tmp_path / "watch.log"
    with log.open("wb") as output:
        words = ["watch", "--metrics-port", "0", "--routes", str(routes)]
        process = subprocess.Popen(command(*words), env=environ, stderr=output)
        try:
            end = time.monotonic() + 60
            while not routes.exists() and time.monotonic() < end and process.poll() is None:
                time.sleep(0.1)
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert "flight-delay: idle: There is no candidate." in log.read_text()
    assert "flight-delay-stable" in routes.read_text()
    gateway.leave()


def test_the_command_ends_with_one_line_where_the_metrics_have_other_names(environ):
    other = Exposition(lambda: b"# TYPE other counter\nother_total 1\n")
    environ["FAIRLEAD_GATEWAY"] = f"http://{other.address}"
    done = subprocess.run(
        command("watch", "--metrics-port", "0"), env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "must have fairlead_gateway_requests_total" in done.stderr
    assert "Traceback" not in done.stderr
    other.stop()


def test_status_and_a_persons_words_as_json(environ):
    def ask(*words: str) -> dict[str, object]:
        done = subprocess.run(
            command(*words, "--json"), env=environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    assert ask("status", MODEL)["stage"] == "idle"
    assert ask("hold", MODEL, "--by", "ana", "--reason", "a holiday")["hold"] == "ana: a holiday"
    assert "a holiday" in str(ask("status", MODEL)["next"])
    assert ask("resume", MODEL, "--by", "ana")["hold"] is None


def test_what_is_not_legal_is_one_line(environ):
    done = subprocess.run(command("approve", MODEL), env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nothing to approve" in done.stderr
