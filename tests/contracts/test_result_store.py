"""What every `ResultStore` does."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fairlead.adapters.memory_results import MemoryResults
from fairlead.adapters.result_files import ResultFiles
from fairlead.errors import HomeError, MonitorError
from fairlead.monitors.results import Result
from fairlead.ports import ResultStore
from tests.s3_server import BUCKET, s3_server

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server():
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["memory", "files", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    if request.param == "memory":
        return MemoryResults()
    root = tmp_path / "with space"
    return ResultFiles(str(root) if request.param == "files" else f"{request.getfixturevalue('s3')}{root}")


def test_there_is_none_until_one_is_written(store: ResultStore):
    assert store.read("m", "drift") is None
    assert store.names() == []


def test_the_newest_takes_the_place_of_the_one_before(store: ResultStore):
    store.write(Result(model="m", detector="drift", at=AT))
    newer = Result(model="m", detector="drift", version="2", at=AT, succeeded_at=AT)
    store.write(newer)
    assert store.read("m", "drift") == newer


def test_models_and_detectors_are_kept_apart(store: ResultStore):
    for model, detector in (("n", "drift"), ("m", "performance"), ("m", "drift")):
        store.write(Result(model=model, detector=detector, at=AT))
    assert store.names() == [("m", "drift"), ("m", "performance"), ("n", "drift")]
    found = store.read("m", "performance")
    assert found is not None
    assert found.detector == "performance"


def test_a_file_that_is_no_result_is_told_with_its_place_and_still_listed(tmp_path: Path):
    store = ResultFiles(str(tmp_path))
    (tmp_path / "monitoring" / "m").mkdir(parents=True)
    (tmp_path / "monitoring" / "m" / "drift.json").write_text('{"model": "m"}')
    with pytest.raises(MonitorError, match=r"m/drift\.json: detector: Field required"):
        store.read("m", "drift")
    assert store.names() == [("m", "drift")]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "monitoring").write_text("")
    with pytest.raises(HomeError, match="cannot write the result to"):
        ResultFiles(str(tmp_path)).write(Result(model="m", detector="drift", at=AT))
