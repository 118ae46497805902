"""`fairlead serve` from the outside: the server takes the command's place."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fairlead.adapters.feast import FeastFeatures
from fairlead.adapters.mlflow import MlflowRegistry
from tests.local.test_workers import READY, wait_for
from tests.unit import scoring_example as example


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> example.Home:
    made = example.make(tmp_path_factory.mktemp("serve"))
    (made.settings.repo / "pipelines").mkdir()
    made.version = MlflowRegistry(made.settings).register(made.record, made.packaged, {})
    versions = {"trips/features/weather": 0, "trips/features/network": 0}
    FeastFeatures(made.settings, "trips").publish("trip_v1", versions, None, example.NOON)
    return made


def test_a_version_is_served_by_as_many_workers_as_are_asked_for_on_this_machine_only(
    home: example.Home, tmp_path: Path
) -> None:
    folder = str(Path(home.settings.tables_uri).parent)
    command = [str(Path(sys.executable).with_name("fairlead")), "serve", "trip-delay", "--home", folder]
    command += ["--port", "0", "--grpc-port", "0", "--workers", "2"]
    log = tmp_path / "log"
    with log.open("wb") as output:
        environ = {**os.environ, "FAIRLEAD_REPO": str(home.settings.repo)}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environ)
    try:
        found = wait_for(lambda: process.poll() is not None or READY.search(log.read_text()))
        assert not isinstance(found, bool), log.read_text()
        children = psutil.Process(process.pid).children()
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert found[1] == "trip-delay@1"
    assert found[2].startswith("http://127.0.0.1:")
    assert len(children) == 2
