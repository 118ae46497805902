"""Compiled pipelines run on this machine, as `fairlead run` does it."""

import tempfile

import pytest
from kfp import compiler, dsl

from fairlead.adapters.kfp import LocalPipelines
from fairlead.errors import PipelineError
from fairlead.settings import laptop


@dsl.component(base_image="none", install_kfp_package=False)
def add(number: int) -> int:
    return number + 1


@dsl.pipeline(name="add-twice")
def add_twice(number: int) -> int:
    return add(number=add(number=number).output).output


@pytest.fixture
def package(tmp_path):
    path = tmp_path / "add_twice.yaml"
    compiler.Compiler().compile(add_twice, str(path))
    return path


def test_a_step_is_reported_as_done_when_its_result_is_kept_for_the_next_run(package, tmp_path):
    home = tmp_path / "home"
    kept = []

    def on_event(event):
        if event.kind == "succeeded":
            kept.append((event.task, len(list((home / "cache").glob("*.json")))))

    assert LocalPipelines(laptop(home, tmp_path), home).run(package, {"number": 1}, on_event) == 3
    assert kept == [("add", 1), ("add-2", 2)]


def test_a_run_leaves_nothing_in_the_folder_for_temporary_files(package, tmp_path, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    LocalPipelines(laptop(tmp_path / "home", tmp_path), tmp_path / "home").run(package, {"number": 1}, print)
    assert list(temporary.iterdir()) == []


def test_a_step_that_ran_for_other_places_is_not_reused(package, tmp_path):
    home = tmp_path / "home"
    LocalPipelines(laptop(home, tmp_path), home).run(package, {"number": 1}, lambda event: None)
    elsewhere = laptop(home, tmp_path).model_copy(update={"tables_uri": "s3://bucket/tables"})
    kinds = []
    for _ in range(2):
        LocalPipelines(elsewhere, home).run(package, {"number": 1}, lambda event: kinds.append(event.kind))
    assert (kinds[:4].count("cached"), kinds[-2:]) == (0, ["cached", "cached"])


def test_a_step_with_the_inputs_of_an_earlier_run_is_reported_as_reused(package, tmp_path):
    home = tmp_path / "home"
    pipelines = LocalPipelines(laptop(home, tmp_path), home)
    pipelines.run(package, {"number": 1}, lambda event: None)
    events = []
    assert pipelines.run(package, {"number": 1}, lambda event: events.append((event.task, event.kind))) == 3
    assert events == [("add", "cached"), ("add-2", "cached")]


@dsl.component(base_image="none", install_kfp_package=False)
def fail(log: str) -> int:
    with open(log, "a") as file:
        file.write("called\n")
    raise ValueError("no")


def test_a_step_that_failed_is_not_tried_again_although_a_cluster_would(tmp_path):
    @dsl.pipeline(name="fail-twice")
    def fail_twice(log: str):
        fail(log=log).set_retry(num_retries=2, backoff_duration="1s")

    package, log = tmp_path / "fail_twice.yaml", tmp_path / "log"
    compiler.Compiler().compile(fail_twice, str(package))
    assert "maxRetryCount: 2" in package.read_text()
    with pytest.raises(PipelineError, match="ValueError: no"):
        LocalPipelines(laptop(tmp_path, tmp_path), tmp_path).run(package, {"log": str(log)}, lambda event: None)
    assert log.read_text() == "called\n"
