"""The loop as a cluster runs it: tables, bundles and artifacts in S3, features in Redis, MLflow over HTTP."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.endpoint import Endpoint
from fairlead.adapters.s3_arrow import dataset
from tests.contracts.online_example import fake_redis
from tests.local.conftest import AS_OF, Checkout, make_checkout
from tests.local.test_serving import free_port
from tests.mlflow_server import HOST, START_SECONDS, child, mlflow_server, wait
from tests.s3_server import BUCKET, s3_server

ROOT = f"s3://{BUCKET}/somewhere"
COLUMNS = ["carrier", "origin", "dest", "distance", "hour", "weekday", "tailnum"]
MODEL = "flight-delay"
ASKED_AT = f"{AS_OF}T06:00:00+00:00"
ROWS = 200


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A checkout whose commands find in their environment what a pod's would say."""
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server())
        tracking = stack.enter_context(mlflow_server(folder / "mlflow", f"{ROOT}/mlflow"))
        store = stack.enter_context(fake_redis())
        checkout = make_checkout(folder / "repo", folder / "scratch")
        file = "pipelines/models/flight-delay.yaml"
        checkout.edit(file, ("name: flight-delay\n", "name: flight-delay\nserving: {features: {deadline_ms: 5000}}\n"))
        checkout.environ = {
            **s3,
            "FAIRLEAD_REPO": str(checkout.repo),
            "FAIRLEAD_TABLES_URI": f"{ROOT}/tables",
            "FAIRLEAD_FEATURE_STORE": str(checkout.repo / "feature_repo" / "envs" / "cluster" / "feature_store.yaml"),
            "FAIRLEAD_FEAST_URI": f"{ROOT}/feast",
            "FAIRLEAD_TRACKING_URI": tracking,
            "FAIRLEAD_ARTIFACTS_URI": f"{ROOT}/mlflow",
            "FAIRLEAD_BUNDLES_URI": f"{ROOT}/bundles",
            "FAIRLEAD_ONLINE_STORE": store,
        }
        wait(tracking)
        yield checkout


def done(cluster: Checkout, *words: str) -> str:
    result = cluster.run(*words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rows_to_ask_about(folder: Path) -> Path:
    tables = DeltaTables(f"{ROOT}/tables")
    flights = dataset(tables.files("flights/clean/flights", 0)).to_table(columns=COLUMNS)
    path = folder / "rows.parquet"
    pq.write_table(flights.slice(0, ROWS), path)
    return path


@pytest.mark.slow
def test_the_loop_runs_where_the_environment_says_and_the_endpoint_answers_what_was_scored_offline(
    cluster: Checkout, tmp_path: Path
) -> None:
    done(cluster, "run", MODEL, "--as-of", AS_OF)
    assert "is the champion" in done(cluster, "promote", MODEL)
    assert "rows are online" in done(cluster, "publish", MODEL)
    rows = rows_to_ask_about(tmp_path)
    keep = [word for name in COLUMNS for word in ("--keep", name)]
    done(cluster, "score", MODEL, str(rows), "--asked-at", ASKED_AT, *keep)
    files = DeltaTables(f"{ROOT}/tables").files(f"flights/predictions/{MODEL}", 0)
    offline = dataset(files).to_table().sort_by("row")
    port = free_port()
    words = ["serve", MODEL, "--port", str(port), "--grpc-port", "0"]
    with (
        child(cluster.command(*words), tmp_path / "serving.log", cluster.variables()) as process,
        Endpoint(f"http://{HOST}:{port}") as endpoint,
    ):
        endpoint.wait_ready(MODEL, START_SECONDS, process)
        online = endpoint.score(
            MODEL,
            {name: offline[name].to_pylist() for name in COLUMNS},
            asked_at=datetime.fromisoformat(ASKED_AT),
        )
    assert len(online.scores) == ROWS
    np.testing.assert_allclose(online.scores, offline["score"].to_numpy(), atol=1e-6)
    left = {path.name.partition("-")[0] for path in cluster.home.iterdir()}
    assert left == {"cache", "lock", "lock.pid", "logs", "report", "runs"}, "only what a pod may lose is on its disk"
