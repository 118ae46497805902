"""What a pipeline backend promises: on the fake that ships, and on the API server that FAIRLEAD_TEST_KFP names.

On a real server the pipelines of manifests/envs/dev/pipelines must have been applied.
"""

import os
import socket
import threading
import time
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import uvicorn
import yaml

from fairlead.adapters.fake_kfp_api import FakeKfpApi, RefusedError
from fairlead.adapters.kfp_api import KfpApi
from fairlead.errors import BackendDownError, PipelineError
from fairlead.runs.request import MAX_PARAMETER_BYTES, Repetition, RunRequest
from fairlead.runs.schedules import DeclaredSchedules, sync_schedules
from fairlead.runs.watch import wait

FOLDER = Path(__file__).parents[2] / "manifests/envs/dev/pipelines"
REAL = os.environ.get("FAIRLEAD_TEST_KFP", "")
CRON = "0 30 2 * * *"


def manifest(name):
    return deepcopy(read(name))


@cache
def read(name):
    return yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)


VERSION = manifest("pipeline-version-retrain-model")["metadata"]["name"]


def fake_with_pipelines():
    fake = FakeKfpApi()
    fake.apply(manifest("pipeline-retrain-model"))
    fake.apply(manifest("pipeline-version-retrain-model"))
    return fake


@pytest.fixture(scope="module")
def serve():
    """Serve a fake on a free port; returns its address."""
    servers = []

    def start(fake):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(fake.app, host="127.0.0.1", port=port, log_level="warning"))
        threading.Thread(target=server.run, daemon=True).start()
        while not server.started:
            time.sleep(0.01)
        servers.append(server)
        return f"http://127.0.0.1:{port}"

    yield start
    for server in servers:
        server.should_exit = True


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kfp)])
def backend(request, serve):
    if request.param == "fake":
        return KfpApi(serve(fake_with_pipelines()), "kubeflow")
    if not REAL:
        pytest.fail("FAIRLEAD_TEST_KFP must be the address of an API server: http://127.0.0.1:8888")
    return KfpApi(REAL, os.environ.get("FAIRLEAD_TEST_KFP_NAMESPACE", "kubeflow"))


@pytest.fixture
def fake():
    return fake_with_pipelines()


@pytest.fixture
def on_fake(fake, serve):
    return KfpApi(serve(fake), "kubeflow")


def request_for(version, **parameters):
    return RunRequest(version=version, name="a test", experiment="tests", parameters=parameters)


def declared(*schedules, environment="test"):
    return DeclaredSchedules(
        api="http://ml-pipeline:8888", namespace="kubeflow", environment=environment, schedules=schedules
    )


def schedule(name="nightly", **changes):
    return {
        "name": name,
        "pipeline": "retrain-model",
        "cron": CRON,
        "parameters": {"model": "flight-delay"},
        "version": VERSION,
        **changes,
    }


@pytest.fixture
def clean(backend):
    """Leave no schedule on the server."""
    yield backend
    sync_schedules(declared(), backend)


def named(backend, name):
    return [item for item in backend.repetitions() if item.name == name]


def test_a_version_is_found_by_its_name_which_is_its_content(backend):
    found = backend.resolve("retrain-model", VERSION)
    assert (found.pipeline, found.name) == ("retrain-model", VERSION)
    assert found.version_id
    assert found.pipeline_id != found.version_id


def test_a_version_that_is_not_there_is_an_error_that_names_those_that_are(backend):
    with pytest.raises(PipelineError, match=f"no version 'retrain-model-0' .*{VERSION}.*synced"):
        backend.resolve("retrain-model", "retrain-model-0")


def test_a_pipeline_that_is_not_there_is_an_error(backend):
    with pytest.raises(PipelineError, match="no-such-pipeline"):
        backend.resolve("no-such-pipeline", "no-such-pipeline-1")


def test_a_run_is_started_and_can_be_looked_at(backend):
    version = backend.resolve("retrain-model", VERSION)
    run = backend.start(request_for(version, model="flight-delay", as_of="2013-04-01"))
    assert backend.status(run).run_id == run


def test_a_run_without_a_parameter_it_needs_is_refused_with_its_name(backend):
    version = backend.resolve("retrain-model", VERSION)
    with pytest.raises(PipelineError, match="parameter model is not optional"):
        backend.start(request_for(version))


def test_a_run_with_a_parameter_that_the_pipeline_does_not_have_is_refused(backend):
    version = backend.resolve("retrain-model", VERSION)
    with pytest.raises(PipelineError, match="not required by pipeline: modle"):
        backend.start(request_for(version, model="flight-delay", modle="flight-delay"))


def test_a_run_of_a_version_that_is_gone_is_refused(backend):
    version = backend.resolve("retrain-model", VERSION)
    gone = type(version)(version.pipeline, "gone", version.pipeline_id, "00000000-0000-0000-0000-000000000000")
    with pytest.raises(PipelineError):
        backend.start(request_for(gone, model="flight-delay"))


def test_a_parameter_that_no_step_could_take_is_refused_before_it_is_sent(backend):
    version = backend.resolve("retrain-model", VERSION)
    with pytest.raises(PipelineError, match="parameter model must not be above 131,072 bytes, but has 131,073"):
        backend.start(request_for(version, model="x" * (MAX_PARAMETER_BYTES + 1)))


def test_a_run_that_is_not_there_is_an_error(backend):
    with pytest.raises(PipelineError):
        backend.status("00000000-0000-0000-0000-000000000000")


def test_syncing_schedules_twice_changes_nothing(clean):
    [first] = sync_schedules(declared(schedule()), clean)
    before = named(clean, "nightly")
    [second] = sync_schedules(declared(schedule()), clean)
    assert (first.action, second.action) == ("created", "unchanged")
    assert named(clean, "nightly") == before
    assert [item.version_id for item in before] == [clean.resolve("retrain-model", VERSION).version_id]


def test_a_changed_schedule_is_made_anew_and_there_once(clean):
    sync_schedules(declared(schedule()), clean)
    [change] = sync_schedules(declared(schedule(cron="0 0 3 * * *")), clean)
    assert change.action == "replaced"
    assert len(named(clean, "nightly")) == 1


def test_a_schedule_that_is_there_twice_is_there_once_after_a_sync(clean):
    sync_schedules(declared(schedule()), clean)
    version = clean.resolve("retrain-model", VERSION)
    [there] = named(clean, "nightly")
    twin = Repetition("nightly", version, CRON, {"model": "flight-delay"}, 1, "schedules")
    clean.add_repetition(twin, there.note)
    assert len(named(clean, "nightly")) == 2
    [change] = sync_schedules(declared(schedule()), clean)
    assert change.action == "replaced"
    assert len(named(clean, "nightly")) == 1


def test_a_schedule_that_is_declared_no_more_is_removed_and_one_made_by_hand_is_not(clean):
    version = clean.resolve("retrain-model", VERSION)
    by_hand = clean.add_repetition(Repetition("by-hand", version, CRON, {"model": "flight-delay"}, 1, "tests"), "mine")
    sync_schedules(declared(schedule()), clean)
    [change] = sync_schedules(declared(), clean)
    assert (change.name, change.action) == ("nightly", "removed")
    assert [item.id for item in named(clean, "by-hand")] == [by_hand]
    clean.remove_repetition(by_hand)
    assert named(clean, "by-hand") == []


def test_removing_what_is_gone_is_no_error(backend):
    backend.remove_repetition("00000000-0000-0000-0000-000000000000")


def test_a_backend_that_is_not_there_says_where_it_was_looked_for():
    with pytest.raises(BackendDownError, match=r"does not answer at http://127\.0\.0\.1:9"):
        KfpApi("http://127.0.0.1:9", "kubeflow").resolve("retrain-model", VERSION)


def test_a_watched_run_tells_each_step_and_ends(on_fake):
    version = on_fake.resolve("retrain-model", VERSION)
    run = on_fake.start(request_for(version, model="flight-delay"))
    seen = []
    status = wait(on_fake, run, seen.append, poll_seconds=0)
    assert status.state == "succeeded"
    assert status.steps == {"plan-run": "succeeded", "train-and-release": "succeeded"}
    assert seen[0].state == "waiting"
    assert {"plan-run": "running"} in [item.steps for item in seen]


def test_a_failed_run_names_its_step(fake, on_fake):
    fake.failing.add("train-and-release")
    version = on_fake.resolve("retrain-model", VERSION)
    status = wait(on_fake, on_fake.start(request_for(version, model="flight-delay")), lambda status: None, 0)
    assert (status.state, status.failed) == ("failed", ["train-and-release"])


def test_a_schedule_follows_its_version_when_that_has_been_made_anew(fake, on_fake):
    sync_schedules(declared(schedule()), on_fake)
    [before] = named(on_fake, "nightly")
    fake.delete_version(VERSION)
    fake.apply(manifest("pipeline-version-retrain-model"))
    [change] = sync_schedules(declared(schedule()), on_fake)
    [after] = named(on_fake, "nightly")
    assert change.action == "replaced"
    assert after.version_id != before.version_id


def test_a_version_is_found_on_a_later_page(fake, on_fake):
    newest = manifest("pipeline-version-retrain-model")
    for number in range(120):
        fake.apply({**newest, "metadata": {"name": f"retrain-model-{number}"}})
    assert on_fake.resolve("retrain-model", "retrain-model-119").name == "retrain-model-119"


def test_without_a_version_id_the_server_takes_the_newest_which_is_why_ours_is_always_named(fake, on_fake):
    import kfp_server_api as server

    newer = manifest("pipeline-version-retrain-model")
    newer["spec"]["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]["more"] = {"parameterType": "STRING"}
    fake.apply({**newer, "metadata": {"name": "retrain-model-newer"}})
    version = on_fake.resolve("retrain-model", VERSION)
    on_fake.start(request_for(version, model="flight-delay"))
    unpinned = server.V2beta1PipelineVersionReference(pipeline_id=version.pipeline_id)
    run = server.V2beta1Run(
        display_name="a test",
        pipeline_version_reference=unpinned,
        runtime_config=server.V2beta1RuntimeConfig(parameters={"model": "flight-delay"}),
    )
    runs = server.RunServiceApi(server.ApiClient(server.Configuration(host=on_fake._address)))
    with pytest.raises(server.ApiException, match="parameter more is not optional"):
        runs.run_service_create_run(run)


def test_a_version_that_is_changed_in_place_is_refused(fake):
    changed = manifest("pipeline-version-retrain-model")
    changed["spec"]["pipelineSpec"]["deploymentSpec"]["executors"]["exec-plan-run"]["container"]["image"] = "other:1"
    with pytest.raises(RefusedError, match="Pipeline spec is immutable"):
        fake.apply(changed)


def test_a_version_of_an_unknown_pipeline_is_refused():
    with pytest.raises(RefusedError, match=r"spec\.pipelineName"):
        FakeKfpApi().apply(manifest("pipeline-version-retrain-model"))
