"""What goes wrong on a cluster is told, and what serves serves on. Breaks the loop of `test_whole_loop.py`."""

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from fairlead.adapters.bundles import open_bundles
from fairlead.packaging.bundle import BUNDLE_FILE, bundle_json, load_bundle
from fairlead.rollout.file import release_path
from tests.cluster.loop import (
    BUCKET,
    COPY,
    MODEL,
    NAMESPACE,
    Loop,
    answers,
    ask,
    git,
    is_well,
    nobody_is_refused,
    refresh,
    status,
    wait_for,
)

pytestmark = pytest.mark.cluster

TWIN = "flight-delay-twin"
SEEN_SECONDS = 5.0
"""How long the endpoint is watched where nothing may change."""


@pytest.fixture
def few(loop: Loop) -> pa.Table:
    """Some rows to ask about, all the while."""
    assert loop.asked is not None, "tests/cluster/test_whole_loop.py releases the model that is broken here"
    return loop.asked.slice(0, 5)


@pytest.mark.parametrize("kind", ["deployment", "service", "networkpolicy"])
def test_what_is_deleted_by_hand_comes_back(loop: Loop, few: pa.Table, kind: str) -> None:
    names = {"deployment": f"{MODEL}-stable-predictor", "service": f"{MODEL}-stable", "networkpolicy": "deny-all"}
    before = NAMESPACE.kubectl("get", kind, names[kind], "-o", "jsonpath={.metadata.uid}")
    NAMESPACE.kubectl("delete", kind, names[kind])

    def back() -> bool:
        words = ["get", kind, names[kind], "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"]
        return NAMESPACE.kubectl(*words) not in ("", before)

    with loop.timed(f"a deleted {kind} → back"):
        wait_for(f"the {kind}", back)
    wait_for("answers", lambda: answers(few, COPY))


def test_a_version_that_does_not_exist_is_told_and_the_old_one_serves_on(loop: Loop, few: pa.Table) -> None:
    with nobody_is_refused(few) as versions:
        loop.fork.release("999", "A mistake")
        wait_for("the reason in the service's status", lambda: "bundle" in failure())
        wait_for("an application that is not healthy", lambda: health() not in ("Healthy", None))
        time.sleep(SEEN_SECONDS)
    assert set(versions) == {COPY}
    commit = revert(loop)
    wait_for("the model Synced and Healthy again", lambda: is_well(f"dev-{MODEL}", commit))


def revert(loop: Loop) -> str:
    git(loop.fork.work, "revert", "--no-edit", "HEAD")
    git(loop.fork.work, "push", "-q", "origin", "main")
    refresh()
    return git(loop.fork.work, "rev-parse", "HEAD")


def failure() -> str:
    """Why the newest pod of the stable service does not come up, as its InferenceService says."""
    path = "jsonpath={.status.modelStatus.lastFailureInfo.message}"
    return NAMESPACE.kubectl("get", "inferenceservice", f"{MODEL}-stable", "-o", path)


def health() -> str | None:
    found: str | None = status(f"dev-{MODEL}").get("health", {}).get("status")
    return found


def test_a_manifest_that_is_broken_in_git_is_told_and_the_old_one_serves_on(loop: Loop, few: pa.Table) -> None:
    path = loop.fork.work / release_path("dev", MODEL)
    good = path.read_text(encoding="utf-8")
    path.write_text(good.replace("kind: Release", "kind: Relaese"), encoding="utf-8")
    with nobody_is_refused(few) as versions:
        loop.fork.push("A typing error")

        def told() -> bool:
            return any("error" in item["type"].lower() for item in status(f"dev-{MODEL}").get("conditions", []))

        wait_for("a condition that says so", told)
        time.sleep(SEEN_SECONDS)
    assert set(versions) == {COPY}
    path.write_text(good, encoding="utf-8")
    commit = loop.fork.push("Mended")
    wait_for("the model Synced and Healthy again", lambda: is_well(f"dev-{MODEL}", commit))


@contextmanager
def other_keys(loop: Loop) -> Iterator[None]:
    """The storage does not know the keys of the environment's Secret any more."""
    url = f"{loop.s3['AWS_ENDPOINT_URL']}/moto-api/reset-auth"
    plain = {"content-type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(url, data=b"0", headers=plain))
    try:
        yield
    finally:
        urllib.request.urlopen(urllib.request.Request(url, data=b"inf", headers=plain))


def test_keys_that_the_storage_refuses_are_told_and_once_mended_the_version_comes(loop: Loop, few: pa.Table) -> None:
    with nobody_is_refused(few) as versions:
        with other_keys(loop):
            commit = loop.fork.release("1", "Back to 1, while the keys are wrong")
            of_it = f"/{MODEL}/1"
            said = wait_for("the reason in the service's status", lambda: failure() if of_it in failure() else "")
            time.sleep(SEEN_SECONDS)
            assert set(versions) == {COPY}
        wait_for("an answer of version 1", lambda: versions[-1:] == ["1"], 600)
    assert "InvalidAccessKeyId" in said or "403" in said, said
    wait_for("the model Synced and Healthy", lambda: is_well(f"dev-{MODEL}", commit))


def test_all_pods_that_are_lost_at_once_as_with_their_node_come_back_and_answer(loop: Loop, few: pa.Table) -> None:
    before = pods()
    NAMESPACE.kubectl("delete", "pods", "--all", "--force", "--grace-period=0")
    with loop.timed("all pods lost → answers"):
        wait_for("an answer", lambda: answers(few, "1"))
    assert not before & pods()


def pods() -> set[str]:
    found = NAMESPACE.kubectl("get", "pods", "-l", f"fairlead.dev/model={MODEL}", "-o", "json")
    return {
        item["metadata"]["uid"] for item in json.loads(found)["items"] if "deletionTimestamp" not in item["metadata"]
    }


def test_two_models_that_one_commit_releases_both_answer(loop: Loop, few: pa.Table, tmp_path: Path) -> None:
    make_twin(loop, tmp_path)
    with nobody_is_refused(few) as versions, loop.timed("two models in one commit → both answer"):
        loop.fork.release("1", "The first version of another model", model=TWIN, push=False)
        loop.fork.release(COPY, "Two models at once")
        wait_for("the other model", lambda: answers(few, "1", TWIN))
        wait_for("an answer of the other version", lambda: versions[-1:] == [COPY])
    assert ask(few, TWIN)[0] == pytest.approx(ask(few)[0], abs=1e-9)


def make_twin(loop: Loop, folder: Path) -> None:
    """Another model with the same bundle: its spec, its folder in the environment, its version in the bucket."""
    work = loop.fork.work
    spec = (work / f"pipelines/models/{MODEL}.yaml").read_text(encoding="utf-8")
    (work / f"pipelines/models/{TWIN}.yaml").write_text(spec.replace(f"name: {MODEL}\n", f"name: {TWIN}\n"))
    place = work / "manifests/envs/dev" / TWIN
    place.mkdir()
    shutil.copy(work / "manifests/envs/dev" / MODEL / "scale.yaml", place)
    loop.fork.render()
    with loop.storage():
        bundles = open_bundles(f"{BUCKET}/bundles")
        shutil.copytree(bundles.folder(MODEL, "1"), folder / "twin")
        twin = load_bundle(folder / "twin").model_copy(update={"model": TWIN})
        (folder / "twin" / BUNDLE_FILE).write_text(bundle_json(twin), encoding="utf-8")
        bundles.release(folder / "twin", TWIN, "1")


def test_a_body_beyond_the_limit_is_answered_with_413_at_the_gateway(few: pa.Table) -> None:
    url = f"{os.environ['FAIRLEAD_TEST_GATEWAY_URL']}/v2/models/{MODEL}/infer"
    body = b" " * (17 * 1024 * 1024)
    headers = {"host": f"{MODEL}.dev.models.example.com", "content-type": "application/json"}
    answer = httpx.post(url, content=body, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == 413
    assert answers(few, COPY)
