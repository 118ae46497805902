"""Batches whose input and output are in S3, over the real protocol: moto's server speaks it."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import numpy as np
import pytest

from fairlead.errors import SourceError
from fairlead.scoring.request import run_plan
from fairlead.scoring.source import Source, digest_of, open_parquet
from tests.s3_server import BUCKET, s3_server
from tests.unit import scoring_example as example
from tests.unit.scoring_example import Home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return example.make(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def s3() -> Iterator[None]:
    with s3_server():
        yield


def upload(path: Path, key: str) -> str:
    boto3.client("s3").upload_file(str(path), BUCKET, key)
    return f"s3://{BUCKET}/{key}"


def rows_of(source: Source) -> list[int]:
    return [number for chunk in source.chunks(["id"], 7) for number in chunk["id"].to_pylist()]


def test_a_batch_reads_parquet_from_s3_and_scores_it_as_from_a_file(s3: None, home: Home, tmp_path: Path) -> None:
    local = example.write(example.asked(300), tmp_path / "rows.parquet")
    remote = upload(local, "incoming/rows.parquet")
    scores = []
    for source, output in ((str(local), "trips/predictions/local"), (remote, "trips/predictions/remote")):
        result = run_plan(home.plan(source, output=output), home.settings, lambda done, total, rate: None)
        assert (result.rows, result.output_version) == (300, 0)
        scores.append(home.predictions(output, 0)["score"].to_numpy())
    assert np.array_equal(*scores)
    again = run_plan(home.plan(remote, output="trips/predictions/remote"), home.settings, lambda *progress: None)
    assert again.reused


def test_predictions_may_go_to_a_table_in_s3_and_be_found_there_again(s3: None, home: Home, tmp_path: Path) -> None:
    source = example.write(example.asked(20), tmp_path / "rows.parquet")
    plan = home.plan(source, output=f"s3://{BUCKET}/out/predictions")
    results = [run_plan(plan, home.settings, lambda done, total, rate: None) for _ in range(2)]
    assert [(result.rows, result.output_version) for result in results] == [(20, 0), (20, 0)]
    assert results[1].reused


def test_a_prefix_is_read_as_a_folder_is(s3: None, tmp_path: Path) -> None:
    folder = tmp_path / "day"
    for name, seed in (("b.parquet", 1), ("a/x y.parquet", 2), ("_old/c.parquet", 3)):
        path = example.write(example.rows(20, seed), folder / name)
        upload(path, f"day/{name}")
    uri = f"s3://{BUCKET}/day"
    assert rows_of(open_parquet(uri)) == rows_of(open_parquet(str(folder))) == [*range(20), *range(20)]
    assert digest_of(uri) == digest_of(f"{uri}/") == digest_of(str(folder))


@pytest.mark.parametrize(
    ("key", "reason"),
    [("nothing/here", "must hold [*].parquet files or be a Delta table"), ("broken.parquet", "cannot read s3://")],
)
def test_what_cannot_be_read_from_s3_is_told(s3: None, tmp_path: Path, key: str, reason: str) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1, but no more")
    upload(tmp_path / "broken.parquet", "broken.parquet")
    with pytest.raises(SourceError, match=reason):
        open_parquet(f"s3://{BUCKET}/{key}")
