"""`fairlead score` and the pipeline score_batch from the outside: processes, exit codes, and what they leave."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.endpoint import Endpoint, serve_in_background
from fairlead.adapters.feast import FeastFeatures
from fairlead.adapters.kfp import LocalPipelines
from fairlead.adapters.mlflow import MlflowRegistry
from tests.unit import scoring_example as example
from tests.unit.scoring_example import NOON, Home

REPO = Path(__file__).parents[2]
OUTPUT = "trips/predictions/trip-delay"
ROWS = 3_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """With a registry, in which the version is."""
    made = example.make(tmp_path_factory.mktemp("score"))
    (made.settings.repo / "pipelines").mkdir()
    made.version = MlflowRegistry(made.settings).register(made.record, made.packaged, {})
    return made


@pytest.fixture(scope="module")
def endpoint(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server that looks up what was known at noon."""
    versions = {"trips/features/weather": 0, "trips/features/network": 0}
    FeastFeatures(home.settings, "trips").publish("trip_v1", versions, None, NOON)
    log = tmp_path_factory.mktemp("log") / "server.log"
    with serve_in_background([home.bundle], log, environ=home.settings.environ()) as running:
        yield running


def command(home: Home, *words: str, model: str = "trip-delay") -> list[str]:
    folder = str(Path(home.settings.tables_uri).parent)
    return [str(Path(sys.executable).with_name("fairlead")), "score", model, *words, "--home", folder]


def variables(home: Home) -> dict[str, str]:
    return {**os.environ, "FAIRLEAD_REPO": str(home.settings.repo), "COLUMNS": "200"}


def score(home: Home, *words: str, model: str = "trip-delay") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(home, *words, model=model), env=variables(home), capture_output=True, text=True, check=False
    )


def newest(home: Home, name: str) -> Any:
    version = home.tables.newest(name)
    assert version is not None
    return home.predictions(name, version)


def test_a_batch_says_what_the_endpoint_says(home: Home, endpoint: Endpoint, tmp_path: Path) -> None:
    frame = example.rows(ROWS)
    source = example.write(frame, tmp_path / "rows.parquet")
    done = score(home, str(source), "--asked-at", NOON.isoformat(), "--output", "trips/predictions/noon", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == ROWS
    found = newest(home, "trips/predictions/noon")
    columns = {name: frame[name].where(frame[name].notna(), None).tolist() for name in ("carrier", "hour", "origin")}
    answer = endpoint.score("trip-delay", columns, asked_at=NOON)
    assert len(set(answer.scores)) > 100
    assert np.abs(found["score"].to_numpy() - np.array(answer.scores)).max() <= 1e-6
    assert found["decision"].to_pylist() == answer.decisions


@pytest.mark.slow
def test_a_killed_batch_leaves_nothing_to_be_seen_and_goes_on(home: Home, tmp_path: Path) -> None:
    source = example.write(example.asked(400_000), tmp_path / "rows.parquet")
    process = subprocess.Popen(
        command(home, str(source)), env=variables(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    work = Path(home.settings.tables_uri).parent / "scoring"
    deadline = time.monotonic() + 300
    while not list(work.glob("*/part-000001.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert home.tables.newest(OUTPUT) is None
    done = score(home, str(source), "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["rows"], summary["reused"]) == (400_000, False)
    assert summary["continued_from"] >= 100_000
    assert newest(home, OUTPUT)["id"].to_pylist() == list(range(400_000))
    again = score(home, str(source))
    assert again.returncode == 0
    assert again.stdout.startswith("= Score rows")
    assert "already there, scored at" in again.stdout
    assert home.tables.newest(OUTPUT) == 0


@pytest.mark.slow
def test_the_pipeline_leaves_what_the_command_leaves(home: Home, tmp_path: Path) -> None:
    source = example.write(example.asked(500), tmp_path / "rows.parquet")
    assert score(home, str(source), "--output", "trips/predictions/command").returncode == 0
    plan = home.plan(source, output="trips/predictions/pipeline", keep=["hour"])
    events: list[tuple[str, str]] = []
    runner = LocalPipelines(home.settings, Path(home.settings.tables_uri).parent)
    for reused in (False, True):
        summary = runner.run(
            REPO / "pipelines" / "compiled" / "score_batch.yaml",
            plan.arguments(),
            lambda event: events.append((event.task, event.kind)),
        )
        assert (summary["rows"], summary["output_version"], summary["reused"]) == (500, 0, reused)
    assert [event for event in events if event[1] != "progress"] == [
        ("score-batch", "started"),
        ("score-batch", "succeeded"),
    ] * 2
    by_command = newest(home, "trips/predictions/command")
    by_pipeline = newest(home, "trips/predictions/pipeline")
    assert by_command["score"].equals(by_pipeline["score"])
    assert "hour" in by_pipeline.column_names


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        ("trip-delay", ("nowhere.parquet",), "cannot read"),
        ("trip-delay@7", ("trips/clean/trips",), "there is no version trip-delay@7"),
    ],
)
def test_what_cannot_be_scored_is_one_message_and_code_1(
    home: Home, model: str, words: tuple[str, ...], message: str
) -> None:
    done = score(home, *words, model=model)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_output_may_be_a_folder_outside_the_home(home: Home, tmp_path: Path) -> None:
    done = score(home, "trips/clean/trips", "--output", str(tmp_path / "out"), "--keep", "left_at")
    assert done.returncode == 0, done.stderr
    assert DeltaTables(str(tmp_path)).newest("out") == 0
    assert done.stderr == ""
    assert "72 predictions of trip-delay@1" in done.stdout
