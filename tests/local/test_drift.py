"""From a server's answers to an alarm: a real server, a real collector, the command, and what is scraped of it."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from fairlead.packaging.bundle import Bundle, load_bundle, release_bundle, write_bundle
from fairlead.spec.drift import DriftSpec
from fairlead.training.fit import as_columns
from tests.local.conftest import Checkout
from tests.local.test_collector import Collectors
from tests.local.test_recorded_answers import environment
from tests.local.test_workers import serving, wait_for
from tests.unit import training_example as example

NOW = datetime.now(UTC)
AS_OF = f"{NOW + timedelta(days=2):%Y-%m-%d}"
SPEC = DriftSpec(windows=3, breaches=1, entity=[], ignore=["hour"], min_rows=200)
ROWS = 600


@dataclass
class Scene:
    """A released bundle whose training rows are of this hour of the week, and all that runs around it."""

    checkout: Checkout
    collectors: Collectors
    rows: pd.DataFrame
    folder: Path


def training_rows() -> Any:
    """Rows of eight weeks, each of the hours that are now: what comes now can be compared with them."""
    data = example.training_set(rows=8000)
    weeks = pd.to_timedelta(np.arange(len(data.rows)) % 8 + 1, "W")
    hours = pd.to_timedelta(np.arange(len(data.rows)) // 8 % 2, "h")
    data.rows["event_timestamp"] = pd.Timestamp(NOW).floor("h") - weeks + hours
    return data


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("drift")
    model = example.model().model_copy(update={"drift": SPEC})
    repo, home = root / "repo", root / "home"
    for path, spec in (
        (repo / "pipelines" / "models" / "trip-delay.yaml", model),
        (repo / "feature_repo" / "trips" / "dataset.yaml", example.dataset()),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(spec.model_dump_json(exclude_none=True), encoding="utf-8")
    data = training_rows()
    example.packaged(root / "packaged", data, model)
    release_bundle(root / "packaged", home / "bundles" / "trip-delay" / "1", "1")
    serve_without_store(release_bundle(root / "packaged", root / "served", "1"), root / "served")
    collectors = Collectors(home)
    collectors.start()
    yield Scene(Checkout(repo, home), collectors, data.rows, root)
    collectors.end(signal.SIGKILL)


def serve_without_store(bundle: Bundle, folder: Path) -> None:
    """Make a bundle one that a server without a feature store takes: callers send everything."""
    inputs = [item.model_copy(update={"source": "request"}) for item in bundle.signature.inputs]
    signature = bundle.signature.model_copy(update={"inputs": inputs, "entities": []})
    write_bundle(bundle.model_copy(update={"signature": signature}), folder)


def answer(scene: Scene, rows: pd.DataFrame) -> None:
    """Ask a server about rows; return when their records are in the table."""
    signature = load_bundle(scene.folder / "served").signature
    matrix = signature.matrix(as_columns(rows, signature))
    tensor = {"name": "features", "shape": list(matrix.shape), "datatype": "FP32"}
    numbers = [None if np.isnan(value) else float(value) for value in matrix.reshape(-1)]
    environ = environment(scene.collectors, scene.folder)
    before = recorded(scene)
    with serving(scene.folder / "log", "--bundle", str(scene.folder / "served"), environ=environ) as server:
        body = json.dumps({"inputs": [{**tensor, "data": numbers}]}).replace("null", "NaN")
        told = server.call("POST", "/v2/models/trip-delay-vector/infer", content=body)
        assert told.status_code == 200, told.text
        wait_for(lambda: recorded(scene) == before + len(rows))


def recorded(scene: Scene) -> int:
    text = httpx.get(f"{scene.collectors.url}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("fairlead_collector_rows_total{")]
    return sum(int(float(line.split()[-1])) for line in lines)


def look(scene: Scene) -> dict[str, Any]:
    done = scene.checkout.run("drift", "trip-delay", "--as-of", AS_OF, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def alarms(report: dict[str, Any]) -> dict[str, bool]:
    return {kind["kind"]: kind["alarm"] for kind in report["versions"][0]["kinds"]}


def test_answers_like_the_training_raise_no_alarm_and_a_planted_shift_does(scene: Scene):
    shuffled = scene.rows.sample(ROWS, random_state=1)
    answer(scene, shuffled)
    assert not any(alarms(look(scene)).values())
    shifted = scene.rows.sample(ROWS, random_state=2)
    answer(scene, shifted.assign(network__late_share=shifted["network__late_share"] * 0.3))
    report = look(scene)
    assert alarms(report) == {"input": False, "feature": True, "prediction": True}
    # Scrapes share what was read for some seconds: the first may still show what was found before.
    alarm = 'fairlead_drift_alarm{kind="feature",model="trip-delay",version="1"} 1.0'
    wait_for(lambda: alarm in httpx.get(f"{scene.collectors.url}/metrics").text)


def test_a_missing_engine_is_an_error_of_the_command_and_a_figure_of_the_collector(scene: Scene):
    path = "pipelines/models/trip-delay.yaml"
    scene.checkout.edit(path, ('"engine":"own"', '"engine":"alibi"'))
    scene.checkout.environ = {"FAIRLEAD_ALIBI_PYTHON": "/nowhere/python"}
    done = scene.checkout.run("drift", "trip-delay", "--as-of", AS_OF)
    assert done.returncode == 1
    assert "/nowhere/python cannot be run" in done.stderr
    failed = 'fairlead_monitor_failed{detector="drift",error="EngineMissingError",model="trip-delay"} 1.0'
    wait_for(lambda: failed in httpx.get(f"{scene.collectors.url}/metrics").text)


def test_a_model_that_is_not_there_is_named_with_those_that_are(scene: Scene):
    done = scene.checkout.run("drift", "trip")
    assert done.returncode == 1
    assert "there is no model 'trip'; there is trip-delay" in done.stderr
