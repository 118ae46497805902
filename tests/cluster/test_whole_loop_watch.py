"""What watches a model on a cluster, on the loop of `test_whole_loop.py`: drift, performance, alerts, retraining."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import httpx
import pytest

from fairlead.adapters.bundles import open_bundles
from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.result_files import ResultFiles
from fairlead.adapters.retraining_log import open_log
from fairlead.adapters.s3_arrow import dataset
from fairlead.monitors.results import Result
from fairlead.rollout.file import release_path
from tests.cluster.loop import BUCKET, MODEL, NAMESPACE, Loop, is_well, mounted, run_job, small_model, wait_for
from tests.cluster.planted_records import events, send

pytestmark = pytest.mark.cluster

FIRST, DAYS = date(2013, 2, 5), 6
"""The last days of flights that the run of `test_whole_loop.py` has in its tables, in UTC."""
AFTER = "2013-02-11"
LATER = "2013-02-24"
"""By then labels have grown by more than `retraining.growth`."""
ALIBI = {"engine": "alibi"}
ALERT = {
    "status": "firing",
    "labels": {"alertname": "ModelDecay", "model": MODEL, "retraining": "decay"},
    "annotations": {"summary": "a test"},
    "startsAt": "2013-02-16T00:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "c1f7b2d9e0a34a51",
}
NOTIFICATION = {
    "version": "4", "groupKey": "of-a-test", "status": "firing", "receiver": "retraining", "groupLabels": {},
    "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager", "truncatedAlerts": 0,
}  # fmt: skip


@pytest.fixture
def collector() -> Iterator[str]:
    name = NAMESPACE.kubectl("get", "pods", "-l", "app.kubernetes.io/name=fairlead-collector", "-o", "name")
    with NAMESPACE.forwarded(name.strip().removeprefix("pod/"), 8090) as url:
        yield url


@pytest.fixture(scope="module", autouse=True)
def records(loop: Loop) -> None:
    """A week of them, kept by the collector."""
    with loop.storage():
        store = DeltaTables(f"{BUCKET}/tables")
        flights = dataset(store.files("flights/clean/flights", 0)).to_table().to_pandas()
        folder = open_bundles(f"{BUCKET}/bundles").folder(MODEL, "1")
        planted = events(folder, "1", flights, FIRST, DAYS, "distance")
    name = NAMESPACE.kubectl("get", "pods", "-l", "app.kubernetes.io/name=fairlead-collector", "-o", "name")
    with NAMESPACE.forwarded(name.strip().removeprefix("pod/"), 8090) as url, loop.timed(f"{len(planted)} records"):
        send(url, planted)


def printed(log: str) -> dict[str, Any]:
    """The JSON in a pod's log, which has the lines for people too."""
    lines = log.splitlines()
    found: dict[str, Any] = json.loads("\n".join(lines[lines.index("{") : lines.index("}") + 1]))
    return found


def result(loop: Loop, detector: str) -> Result:
    with loop.storage():
        found = ResultFiles(f"{BUCKET}/tables").read(MODEL, detector)
    assert found is not None
    assert found.failure is None
    return found


def test_a_planted_change_is_found_by_alibi_detect_in_a_container_of_its_own(
    loop: Loop, image: Callable[[str], str], collector: str
) -> None:
    for path in loop.fork.work.glob("manifests/envs/*/images.yaml"):
        loop.fork.edit(str(path.relative_to(loop.fork.work)), lambda it: {**it, "alibi": image("alibi")})
    loop.fork.edit(f"pipelines/models/{MODEL}.yaml", lambda it: {**it, "drift": {**it["drift"], **ALIBI}})
    loop.fork.render()
    commit = loop.fork.push("Drift by alibi-detect")
    wait_for("the jobs of the commit", lambda: is_well("dev-common", commit))
    NAMESPACE.apply(small_model("small-alibi", lambda spec: spec["drift"].update(ALIBI)))
    change = mounted("small-alibi", "--as-of", AFTER, "--json")
    with loop.timed("drift job with alibi-detect"):
        said = printed(run_job("look-by-alibi", change, "drift"))
    assert said["library"] == "alibi-detect 0.11.4"
    assert {kind["kind"]: kind["alarm"] for kind in said["versions"][0]["kinds"]}["input"]
    assert result(loop, "drift").metrics
    text = httpx.get(f"{collector}/metrics", trust_env=False).text
    wanted = f'fairlead_drift_alarm{{kind="input",model="{MODEL}",version="1"}} 1.0'
    wait_for("the alarm where Prometheus reads it", lambda: wanted in text)


def test_labels_are_joined_to_the_records_and_the_quality_is_measured(loop: Loop) -> None:
    NAMESPACE.apply(small_model())
    with loop.timed("performance job"):
        said = printed(run_job("measure", mounted("small", "--at", f"{AFTER}T00:00Z", "--json"), "performance"))
    (version,) = said["versions"]
    assert version["version"] == "1"
    assert version["labels"]["known"] > 2000
    assert version["live"]["metrics"]["roc_auc"]["value"] > 0.7
    assert result(loop, "performance").metrics


def test_an_alert_asks_the_brakes_let_it_through_and_a_challenger_comes_but_no_release(
    loop: Loop, collector: str
) -> None:
    body = {**NOTIFICATION, "alerts": [ALERT]}
    assert httpx.post(f"{collector}/alertmanager", json=body, trust_env=False).json() == {"asked": 1}
    assert httpx.post(f"{collector}/alertmanager", json=body, trust_env=False).json() == {"repeated": 1}
    released = (loop.fork.work / release_path("dev", MODEL)).read_text(encoding="utf-8")
    NAMESPACE.apply(small_model())
    with loop.timed("retraining job"):
        said = printed(run_job("act", mounted("small", "--as-of", LATER, "--json"), "retraining"))
    assert said["answers"][0]["started"], said
    with loop.storage():
        asked = [entry for entry in open_log(f"{BUCKET}/tables").read(MODEL) if entry.kind == "asked"]
    assert [(item.trigger, item.by) for item in asked] == [("decay", "ModelDecay"), ("schedule", "LabelsGrown")]
    assert said["outcome"] in ("accepted", "refused"), said
    again = printed(run_job("act-again", mounted("small", "--as-of", LATER, "--json"), "retraining"))
    assert again["answers"] == [], "an alert that is repeated is one request"
    assert (loop.fork.work / release_path("dev", MODEL)).read_text(encoding="utf-8") == released
    assert result(loop, "retraining").metrics
