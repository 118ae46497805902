"""Runs that end early, and runs that are refused. Each is minutes of real work."""

import json
import signal
import socket
import subprocess
import time

import pytest

from fairlead.home import lock_home

pytestmark = pytest.mark.slow

RUN = ("run", "flight-delay", "--as-of", "2013-02-10")


@pytest.fixture(scope="module")
def whole(checkout):
    """A run that nothing disturbed."""
    done = checkout.run(*RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    return checkout


def _wait_for(process: "subprocess.Popen[str]", text: str) -> None:
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the run ended without {text!r}")


@pytest.mark.parametrize("after", ["Ingest tables", "Build training set", "Evaluate model"])
def test_a_killed_run_ends_the_same_when_run_again(whole, tmp_path, after):
    victim = type(whole)(whole.repo, tmp_path / "home")
    process = victim.start(*RUN)
    _wait_for(process, after)
    time.sleep(1)  # into the next step
    process.kill()
    process.wait()
    done = victim.run(*RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert victim.models() == {"1": whole.models()["1"]}


def test_ctrl_c_ends_a_run_with_one_line_and_it_goes_on_where_it_stopped(whole, tmp_path):
    victim = type(whole)(whole.repo, tmp_path / "home")
    process = victim.start(*RUN)
    _wait_for(process, "Validate tables")
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait() == 130
    assert "interrupted; the same command goes on where this one stopped" in rest
    assert "Traceback" not in rest
    again = victim.run(*RUN)
    assert again.returncode == 0
    assert again.stdout.count("unchanged, reused") >= 2


def test_a_step_does_not_outlive_its_killed_runner(whole, tmp_path):
    victim = type(whole)(whole.repo, tmp_path / "home")
    process = victim.start(*RUN)
    _wait_for(process, "Ingest tables")
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while _steps_in(str(victim.home)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert _steps_in(str(victim.home)) == []


def _steps_in(home: str) -> list[str]:
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if "executor_main" in line and home in line]


def test_a_second_run_in_the_same_home_is_refused_while_one_runs(whole, tmp_path):
    victim = type(whole)(whole.repo, tmp_path / "home")
    process = victim.start(*RUN)
    _wait_for(process, "Ingest tables")
    second = victim.run(*RUN)
    process.kill()
    process.wait()
    assert second.returncode == 1
    assert f"is in use by another run (process {process.pid})" in second.stderr


def test_a_model_that_fails_its_gates_is_registered_as_refused_and_never_promoted(whole):
    path = "pipelines/models/flight-delay.yaml"
    whole.edit(path, ("min: 0.6", "min: 0.99"))
    done = whole.run(*RUN)
    whole.edit(path, ("min: 0.99", "min: 0.6"))
    assert done.returncode == 3
    assert "refused roc_auc >= 0.99" in done.stdout
    promoted = whole.run("promote", "flight-delay@2")
    assert promoted.returncode == 1
    assert "was refused by its gates and stays so" in promoted.stderr
    assert '"challenger"' in whole.run("models", "--json").stdout


def test_a_version_is_reproduced_to_the_byte(whole):
    done = whole.run("reproduce", "flight-delay@1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "identical" in done.stdout


def test_a_version_that_was_compared_with_a_champion_is_reproduced_and_a_second_attempt_reuses_its_steps(whole):
    assert whole.run("promote", "flight-delay@1").returncode == 0
    done = whole.run("run", "flight-delay", "--as-of", "2013-02-12")
    assert done.returncode in (0, 3), done.stdout + done.stderr
    following = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("next")]
    assert following[-6:-3] in (["promote", "publish", "serve"], []), done.stdout
    [version] = [item for item in json.loads(whole.run("models", "--json").stdout) if "-02-12" in item["as_of"]]
    name = f"flight-delay@{version['version']}"
    assert json.loads(whole.run("show", name, "--json").stdout)["plan"]["champion"] == "1"
    first, second = whole.run("reproduce", name), whole.run("reproduce", name)
    for again in (first, second):
        assert again.returncode == 0, again.stdout + again.stderr
        assert "identical" in again.stdout
    assert "reused" not in first.stdout
    assert second.stdout.count("unchanged, reused") == 8


def test_a_model_is_not_promoted_while_a_run_holds_the_home(whole):
    with lock_home(whole.home):
        done = whole.run("promote", "flight-delay@1")
    assert done.returncode == 1
    assert "is in use by another run" in done.stderr


def test_a_port_in_use_is_one_clear_error(whole):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = whole.run("serve", "flight-delay", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_one_clear_error_and_a_run_with_room_works(whole, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    victim = type(whole)(whole.repo, home)
    mount = f"mount -t tmpfs -o size=6m tmpfs {home} && exec {' '.join(victim.command(*RUN))}"
    small = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount]
    done = subprocess.run(small, env=victim.variables(), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "No space left on device" in done.stderr or "disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(home.iterdir()) == []
    assert victim.run(*RUN).returncode == 0
