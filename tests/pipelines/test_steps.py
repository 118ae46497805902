"""A step runs with the command and arguments that are compiled for it, and with what a launcher hands it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.settings import laptop
from fairlead.spec.dataset import DatasetSpec
from fairlead.spec.load import load_text
from tests.step_runs import StepRun, load_package

REPO = Path(__file__).parents[2]
PACKAGE = load_package("train_and_release")

DATASET = """
name: trips
description: A few trips.
owner: a@example.com
license: CC0-1.0
tables:
  trips:
    source: {uri: "file://%s", format: csv}
    primary_key: [id]
    event_time: started
    known_at: started
    columns: {id: int64, started: timestamp, late: bool}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A dataset of one small table."""
    data = tmp_path_factory.mktemp("data") / "trips.csv"
    data.write_text("id,started,late\n1,2013-01-01T00:00:00Z,true\n2,2013-01-02T00:00:00Z,false\n")
    return load_text(DATASET % data, Path("dataset.yaml"), DatasetSpec)


def run(step, home):
    folder = Path(sys.executable).parent
    environ = {
        **os.environ,
        **laptop(home, REPO).environ(),
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(step.command(), env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(Path(step.root, "executor_output.json").read_text(encoding="utf-8"))


def test_ingest_tables_writes_its_report_and_says_the_versions(home, dataset, tmp_path):
    from fairlead.tables.ingest import fingerprints

    parameters = {"dataset": dataset.to_parameter(), "sources": fingerprints(dataset), "code_version": "src-test"}
    step = StepRun(PACKAGE, "ingest-tables", tmp_path, parameters)
    output = run(step, home)
    assert output["parameterValues"] == {"Output": {"trips": 0}}
    [table] = json.loads(Path(step.outputs()["report"]).read_text(encoding="utf-8"))
    assert (table["name"], table["rows"]) == ("trips", 2)


def test_a_step_whose_environment_is_incomplete_fails_and_names_what_is_missing(dataset, tmp_path):
    parameters = {"dataset": dataset.to_parameter(), "sources": {}, "code_version": "src-test"}
    step = StepRun(PACKAGE, "ingest-tables", tmp_path, parameters)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
    environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(step.command(), env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "the environment must set FAIRLEAD_REPO, FAIRLEAD_TABLES_URI" in done.stdout + done.stderr


def test_plan_run_says_what_the_training_pipeline_takes(home, tmp_path):
    step = StepRun(
        load_package("retrain_model"), "plan-run", tmp_path, {"model": "flight-delay", "as_of": "2013-04-01"}
    )
    planned = run(step, home)["parameterValues"]
    assert set(planned) == set(PACKAGE["root"]["inputDefinitions"]["parameters"])
    assert planned["as_of"] == "2013-04-01T04:00:00+00:00"
    assert json.loads(planned["model"])["name"] == "flight-delay"
    assert set(planned["sources"]) == {"flights", "weather", "planes", "airports", "airlines"}
