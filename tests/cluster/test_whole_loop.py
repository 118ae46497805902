"""The whole loop on a cluster: one file applied, a model trained in a pod, released by a commit, asked by callers.

Besides KUBECONFIG and the images: FAIRLEAD_TEST_GATEWAY (`namespace/name` of a Gateway) and FAIRLEAD_TEST_GATEWAY_URL
(its address here). Argo CD must be able to read a repository of this machine.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from fairlead.adapters.bundles import open_bundles
from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.result_files import ResultFiles
from fairlead.adapters.s3_arrow import dataset, filesystem
from tests.cluster.conftest import Namespace
from tests.cluster.loop import (
    ASKED_AT,
    BUCKET,
    COLUMNS,
    COPY,
    DOMAIN,
    MODEL,
    NAMESPACE,
    Loop,
    answers,
    ask,
    is_well,
    mounted,
    nobody_is_refused,
    run_job,
    small_model,
    volume_of,
    wait_for,
)
from tests.cluster.programs import kubectl
from tests.cluster.stand_ins import PIPELINES
from tests.cluster.step_pods import Pods
from tests.local.conftest import AS_OF

pytestmark = pytest.mark.cluster

ROWS = 200


def test_one_file_brings_up_the_environment_and_its_pipelines(loop: Loop) -> None:
    with loop.timed("apply root.yaml → all Synced and Healthy"):
        for name in ("fairlead", "dev-common", "dev-pipelines"):
            wait_for(f"{name} Synced and Healthy", lambda name=name: is_well(name, loop.commit))
    assert "pipelineversion" in kubectl("get", "pipelineversions", "-n", "kubeflow", "-o", "name")


def bundle_files(loop: Loop, version: str) -> dict[str, bytes]:
    with loop.storage():
        found = filesystem().get_file_info(_below(f"fairlead-dev/bundles/{MODEL}/{version}"))
        return {item.base_name: filesystem().open_input_file(item.path).read() for item in found}


def test_each_step_runs_in_a_pod_of_its_own_with_artifacts_in_s3(loop: Loop, images: dict[str, str]) -> None:
    steps = Namespace(PIPELINES)
    steps.apply(small_model())
    volume, mount = volume_of("small")
    pods = Pods(steps, images["pipeline"], f"{BUCKET}/pipelines/by-hand", [volume], [mount])
    with loop.timed("the training pipeline, a pod a step"):
        plan = pods.step("retrain_model", "plan-run", {"model": MODEL, "as_of": AS_OF}, {})
        made = pods.pipeline("train_and_release", plan.parameters)
    assert made["register-model"].parameters == {"Output": "1"}
    assert {"bundle.json", "model.onnx"} <= set(bundle_files(loop, "1"))


def test_a_whole_run_in_one_pod_makes_the_same_model(loop: Loop) -> None:
    NAMESPACE.apply(small_model())
    before = bundle_files(loop, "1")
    with loop.timed("train in a pod"):
        said = run_job("first-training", mounted("small", "--as-of", AS_OF))
    assert f"{MODEL}@1" in said
    assert bundle_files(loop, "1") == before


def _below(path: str) -> Any:
    from pyarrow.fs import FileSelector

    return FileSelector(path)


def test_features_are_published_and_rows_scored_offline_in_a_pod(loop: Loop) -> None:
    import pyarrow.parquet as pq

    rows = f"{BUCKET}/rows.parquet"
    with loop.storage():
        flights = dataset(DeltaTables(f"{BUCKET}/tables").files("flights/clean/flights", 0)).to_table(columns=COLUMNS)
        pq.write_table(flights.slice(0, ROWS), rows.removeprefix("s3://"), filesystem=filesystem())
    keep = " ".join(f"--keep {name}" for name in COLUMNS)
    home = "--home /tmp/home/fairlead"
    steps = [
        f"fairlead promote {MODEL}@1 {home}",
        f"fairlead publish {MODEL}@1 {home}",
        f"fairlead score {MODEL}@1 {rows} --asked-at {ASKED_AT} {keep} {home}",
    ]

    def these(pod: dict[str, Any]) -> None:
        pod["containers"][0]["command"] = ["sh", "-euc", "\n".join(steps)]

    with loop.timed("promote, publish and score in a pod"):
        run_job("publish", these)
    with loop.storage():
        files = DeltaTables(f"{BUCKET}/tables").files(f"flights/predictions/{MODEL}", 0)
        loop.asked = dataset(files).to_table().sort_by("row")
    assert len(loop.asked) == ROWS


def test_a_commit_releases_it_and_the_gateway_answers_what_was_scored_offline(loop: Loop) -> None:
    assert loop.asked is not None
    with loop.timed("first release: commit → answers"):
        commit = loop.fork.release("1", "Release flight-delay 1")
        wait_for("an answer of version 1", lambda: answers(loop.asked, "1"))
    scores, _ = ask(loop.asked)
    np.testing.assert_allclose(scores, loop.asked["score"].to_numpy(), atol=1e-6)
    wait_for("the model Synced and Healthy", lambda: is_well(f"dev-{MODEL}", commit))


def test_every_answer_becomes_a_record_in_the_table_and_the_drift_job_reads_it(loop: Loop) -> None:
    assert loop.asked is not None
    today = datetime.now(UTC).date()

    def recorded() -> list[dict[str, Any]]:
        with loop.storage():
            rows = DeltaRecords(f"{BUCKET}/tables").read(MODEL, today - timedelta(days=1), today + timedelta(days=1))
        return [row for row in rows.to_pylist() if row["version"] == "1" and row["status"] == 200]

    with loop.timed("answer → record in S3"):
        ask(loop.asked)
        wait_for("records", lambda: len(recorded()) >= ROWS)
    rows = recorded()
    assert len({row["id"] for row in rows}) == len(rows)
    known = set(loop.asked["tailnum"].to_pylist())
    assert not known & {json.loads(row["columns"])["tailnum"] for row in rows}, "tail numbers are personal"
    with loop.timed("drift job"):
        said = run_job("look-for-drift", what="drift")
    assert "not enough data" in said
    with loop.storage():
        result = ResultFiles(f"{BUCKET}/tables").read(MODEL, "drift")
    assert result is not None
    assert result.failure is None
    name = NAMESPACE.kubectl("get", "pods", "-l", "app.kubernetes.io/name=fairlead-collector", "-o", "name")
    with NAMESPACE.forwarded(name.strip().removeprefix("pod/"), 8090) as url:
        text = httpx.get(f"{url}/metrics", trust_env=False).text
    assert f'fairlead_collector_rows_total{{model="{MODEL}"}}' in text
    assert f'fairlead_monitor_failed{{detector="drift",error="",model="{MODEL}"}} 0.0' in text


GRPC = """
import json, sys
import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
address, host, model, asked_at, columns = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], json.loads(sys.argv[5])
client = InferenceServerClient(address, channel_args=[("grpc.default_authority", host)])
inputs = []
for name, values in columns.items():
    text = isinstance(values[0], str)
    data = np.array(values, dtype=object if text else np.int64 if isinstance(values[0], int) else np.float64)
    inputs.append(InferInput(name, data.shape, "BYTES" if text else "INT64" if data.dtype == np.int64 else "FP64"))
    inputs[-1].set_data_from_numpy(data)
answer = client.infer(model, inputs, parameters={"asked_at": asked_at})
print(json.dumps(answer.as_numpy("score").tolist()))
"""
"""A foreign client, in a process of its own: its messages clash with KServe's."""


def test_grpc_behind_the_same_host_answers_the_same(loop: Loop) -> None:
    assert loop.asked is not None
    few = loop.asked.slice(0, 5)
    address = os.environ["FAIRLEAD_TEST_GATEWAY_URL"].removeprefix("http://")
    columns = json.dumps({name: few[name].to_pylist() for name in COLUMNS})
    words = [sys.executable, "-c", GRPC, address, f"{MODEL}.{DOMAIN}", MODEL, ASKED_AT, columns]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), ask(few)[0], atol=1e-9)


def test_another_version_comes_by_a_commit_and_no_request_fails(loop: Loop, tmp_path: Path) -> None:
    assert loop.asked is not None
    with loop.storage():
        bundles = open_bundles(f"{BUCKET}/bundles")
        bundles.release(bundles.folder(MODEL, "1"), MODEL, COPY)
    few = loop.asked.slice(0, 5)
    with nobody_is_refused(few) as versions, loop.timed("commit → answers of the new version"):
        commit = loop.fork.release(COPY, "Release another version")
        wait_for("an answer of the other version", lambda: versions[-1:] == [COPY])
    assert versions[0] == "1"
    wait_for("the model Synced and Healthy", lambda: is_well(f"dev-{MODEL}", commit))


def test_what_is_not_for_callers_is_not_reachable_from_outside(loop: Loop) -> None:
    url = os.environ["FAIRLEAD_TEST_GATEWAY_URL"]
    for path in ("/v2/repository/index", "/metrics", "/openapi.json"):
        answer = httpx.get(url + path, headers={"host": f"{MODEL}.{DOMAIN}"}, trust_env=False)
        assert answer.status_code == 404
