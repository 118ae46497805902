"""From the answer of a real server to the table of a real collector: each once, whatever dies in between."""

import signal
import time
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fairlead.adapters.delta_records import DeltaRecords
from tests.local.test_collector import Collectors
from tests.local.test_serving import SIGNATURE, write
from tests.local.test_workers import INSTANCE, serving, wait_for

LONG = (date(2000, 1, 1), date(2100, 1, 1))
PERSONAL = SIGNATURE.model_copy(update={"personal": {"tailnum": "pseudonymise"}})


def environment(collectors: Collectors, folder: Path, **changes: str) -> dict[str, str]:
    return {
        "FAIRLEAD_COLLECTOR_URL": collectors.url,
        "FAIRLEAD_SPOOL_FOLDER": str(folder / "spool"),
        "FAIRLEAD_SPOOL_BYTES": "1000000",
        "FAIRLEAD_SPOOL_WHEN_FULL": "refuse",
        "FAIRLEAD_PSEUDONYM_KEY": "a key of sixteen",
        **changes,
    }


@pytest.fixture
def collectors(tmp_path: Path) -> Any:
    made = Collectors(tmp_path / "collector")
    (tmp_path / "collector").mkdir()
    yield made
    if made.process is not None:
        made.end(signal.SIGKILL)


def kept(collectors: Collectors) -> pa.Table:
    return DeltaRecords(str(collectors.tables)).read("flight-delay", *LONG)


def test_every_answer_is_recorded_once_also_when_the_server_is_killed_while_nobody_takes_records(
    collectors: Collectors, tmp_path: Path
) -> None:
    words = ["--bundle", str(write(tmp_path / "bundle", signature=PERSONAL))]
    environ = environment(collectors, tmp_path)
    vector = {"inputs": [{"name": "features", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}], "id": "two"}
    with serving(tmp_path / "log", *words, environ=environ) as server:
        for _ in range(3):
            assert server.predict().status_code == 200
        assert server.call("POST", "/v2/models/flight-delay-vector/infer", json=vector).status_code == 200
        wrong = {"instances": [{**INSTANCE, "distance": "far"}]}
        assert server.call("POST", "/v1/models/flight-delay:predict", json=wrong).status_code == 400
        server.process.kill()
    collectors.start()
    with serving(tmp_path / "log", *words, environ=environ) as server:
        assert server.predict().status_code == 200
        wait_for(lambda: "fairlead_records_waiting 0.0" in server.call("GET", "/metrics").text)
        wait_for(lambda: kept(collectors).num_rows == 7)
    rows = kept(collectors).to_pylist()
    assert sorted(row["status"] for row in rows) == [200] * 6 + [400]
    assert len({row["id"] for row in rows}) == 7
    text = str(rows)
    assert "N1" not in text, "the tail number is personal"
    assert {row["request_id"] for row in rows if row["rows"] == 2} == {"two"}


def test_a_server_that_must_not_answer_without_a_record_refuses_when_the_spool_is_full_and_recovers(
    collectors: Collectors, tmp_path: Path
) -> None:
    words = ["--bundle", str(write(tmp_path / "bundle"))]
    environ = environment(collectors, tmp_path, FAIRLEAD_SPOOL_BYTES="65536")
    with serving(tmp_path / "log", *words, environ=environ) as server:
        statuses = []
        while 503 not in statuses:
            statuses.append(server.predict().status_code)
            assert len(statuses) < 1000
        refused = server.predict()
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        collectors.start()
        wait_for(lambda: server.predict().status_code == 200)
        expected = statuses.count(200) + 1
        wait_for(lambda: sum(status == 200 for status in kept(collectors)["status"].to_pylist()) >= expected)


def test_old_records_are_given_up_and_counted_where_the_policy_says_so(collectors: Collectors, tmp_path: Path) -> None:
    environ = environment(collectors, tmp_path, FAIRLEAD_SPOOL_BYTES="65536", FAIRLEAD_SPOOL_WHEN_FULL="drop_oldest")
    with serving(tmp_path / "log", "--bundle", str(write(tmp_path / "bundle")), environ=environ) as server:
        assert {server.predict().status_code for _ in range(300)} == {200}
        time.sleep(1.5)  # metrics about records are a second old at most
        text = server.call("GET", "/metrics").text
    dropped = next(line for line in text.splitlines() if line.startswith('fairlead_records_total{result="dropped"}'))
    assert float(dropped.split()[-1]) > 0


def test_a_bundle_with_personal_columns_is_not_served_with_records_but_without_a_key(
    collectors: Collectors, tmp_path: Path
) -> None:
    environ = environment(collectors, tmp_path, FAIRLEAD_PSEUDONYM_KEY="")
    words = ["--bundle", str(write(tmp_path / "bundle", signature=PERSONAL))]
    with (
        pytest.raises(AssertionError, match="FAIRLEAD_PSEUDONYM_KEY"),
        serving(tmp_path / "log", *words, environ=environ),
    ):
        pass
