"""Runs on Kubeflow Pipelines from the command line, with a server that answers as its API server does."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import uvicorn
import yaml

from fairlead.adapters.fake_kfp_api import FakeKfpApi

REPO = Path(__file__).parents[2]
FOLDER = REPO / "manifests/envs/dev/pipelines"


def read(path):
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


@pytest.fixture
def fake():
    fake = FakeKfpApi()
    for kind in ("pipeline", "pipeline-version"):
        for name in ("train-and-release", "retrain-model"):
            fake.apply(read(FOLDER / f"{kind}-{name}.yaml"))
    return fake


@pytest.fixture
def address(fake):
    server = uvicorn.Server(uvicorn.Config(fake.app, host="127.0.0.1", port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    [socket] = server.servers[0].sockets
    yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    server.should_exit = True


def fairlead(*words, tmp_path):
    environ = {**os.environ, "FAIRLEAD_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}", "COLUMNS": "200"}
    program = str(Path(sys.executable).with_name("fairlead"))
    return subprocess.run([program, *words], cwd=REPO, env=environ, capture_output=True, text=True, check=False)


def run_on_cluster(*words, address, tmp_path):
    return fairlead("run", "flight-delay", "--on", "cluster", "--api", address, *words, tmp_path=tmp_path)


def test_a_run_is_watched_to_its_end_and_told_as_json(address, tmp_path):
    done = run_on_cluster("--json", address=address, tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["state"] == "succeeded"
    assert told["steps"]["train-model"] == "succeeded"
    assert told["version"] == read(FOLDER / "pipeline-version-train-and-release.yaml")["metadata"]["name"]
    assert "✓ Train model" in done.stderr


def test_a_run_that_nobody_waits_for_is_only_started(address, tmp_path):
    done = run_on_cluster("--json", "--no-wait", address=address, tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "waiting"


def test_a_failed_step_is_named_with_the_place_of_its_log(fake, address, tmp_path):
    fake.failing.add("train-model")
    done = run_on_cluster(address=address, tmp_path=tmp_path)
    assert done.returncode == 1
    assert "error: step train-model failed" in done.stderr
    assert "kubectl logs -n kubeflow -l pipeline/runid=" in done.stderr
    assert "s3://fairlead-dev/pipelines/train-and-release/" in done.stderr


def test_a_version_that_was_not_synced_yet_is_told(fake, address, tmp_path):
    fake.delete_version(read(FOLDER / "pipeline-version-train-and-release.yaml")["metadata"]["name"])
    done = run_on_cluster(address=address, tmp_path=tmp_path)
    assert done.returncode == 1
    assert "has this commit been synced?" in done.stderr


def test_declared_schedules_are_synced_and_a_second_sync_changes_nothing(address, tmp_path):
    file = tmp_path / "schedules.yaml"
    file.write_text(read(FOLDER / "config-map-schedules.yaml")["data"]["schedules.yaml"], encoding="utf-8")
    for action in ("created", "unchanged"):
        done = fairlead("schedules", "sync", str(file), "--api", address, "--json", tmp_path=tmp_path)
        assert done.returncode == 0, done.stderr
        assert [(item["name"], item["action"]) for item in json.loads(done.stdout)] == [("flight-delay-weekly", action)]
