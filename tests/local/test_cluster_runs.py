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
from fairlead.adapters.mlflow import TAG_AS_OF, TAG_PLAN, TAG_REASONS, TAG_STATUS, plan_digest
from fairlead.cli.app import DEFAULT_AS_OF
from fairlead.lineage.plan import make_plan
from fairlead.settings import laptop
from fairlead.spec.load import load_specs
from fairlead.training.splits import midnight

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


def register(tmp_path, status, reasons=()):
    """What the last step of a real run leaves in the registry."""
    from mlflow import MlflowClient

    settings = laptop(tmp_path, REPO).model_copy(update={"tracking_uri": f"sqlite:///{tmp_path / 'mlflow.db'}"})
    model, dataset = load_specs(REPO, "flight-delay")
    plan = make_plan(settings, dataset, model, midnight(DEFAULT_AS_OF.date(), dataset.timezone))
    # Both named: MLflow's own default for the registry is what this process used last.
    client = MlflowClient(settings.tracking_uri, registry_uri=settings.tracking_uri)
    run = client.create_run(client.create_experiment("flight-delay"))
    client.create_registered_model("flight-delay")
    tags = {
        TAG_PLAN: plan_digest(plan),
        TAG_STATUS: status,
        TAG_REASONS: json.dumps(reasons),
        TAG_AS_OF: plan.as_of,
    }
    client.create_model_version("flight-delay", "s3://somewhere", run.info.run_id, tags=tags)


def test_a_run_is_watched_to_its_end_and_told_as_json(address, tmp_path):
    register(tmp_path, "accepted")
    done = run_on_cluster("--json", address=address, tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["model"], told["status"]) == ("succeeded", "flight-delay@1", "accepted")
    assert told["steps"]["train-model"] == "succeeded"
    assert told["version"] == read(FOLDER / "pipeline-version-train-and-release.yaml")["metadata"]["name"]
    assert "✓ Train model" in done.stderr


def test_a_run_whose_model_the_gates_refused_ends_with_3_and_the_reasons(address, tmp_path):
    register(tmp_path, "refused", ["roc_auc must be at least 0.6, but is 0.5"])
    done = run_on_cluster(address=address, tmp_path=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "flight-delay@1 was refused" in done.stdout
    assert "roc_auc must be at least 0.6, but is 0.5" in done.stdout


def test_a_run_that_left_no_version_is_an_error(address, tmp_path):
    done = run_on_cluster(address=address, tmp_path=tmp_path)
    assert done.returncode == 1
    assert "succeeded, but sqlite:///" in done.stderr
    assert "has no version that it made" in done.stderr


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
