"""What every `TableStore` does, and what `DeltaTables` does when something is in its way."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fairlead.adapters.delta import DeltaTables
from fairlead.errors import HomeError, SourceError
from fairlead.scoring.source import open_table
from fairlead.tables.engine import connect, open_tables
from tests.s3_server import BUCKET, s3_server
from tests.small_disk import largest_file

SALES = "shop/raw/sales"
ONE = pa.table({"number": [1, 2], "city": ["Rome", None]})
TWO = pa.table({"number": [3], "city": ["Oslo"], "paid": [True]})


def on_delta(folder: Path) -> DeltaTables:
    return DeltaTables(str(folder / "tables"))


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server():
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store without tables."""
    if request.param == "folder":
        return on_delta(tmp_path)
    return DeltaTables(f"{request.getfixturevalue('s3')}{tmp_path}/tables")


def read(store: Any, version: int, name: str = SALES) -> list[dict[str, Any]]:
    """The rows of a version, as the engine of the laptop reads them."""
    connection = connect()
    return connection.to_pyarrow(open_tables(connection, store, {name: version})[name.rpartition("/")[2]]).to_pylist()


def test_what_was_written_is_read_from_the_files_of_its_version(store: Any) -> None:
    version = store.write(SALES, ONE, key="one", notes={})
    assert read(store, version) == ONE.to_pylist()


def test_the_same_key_makes_no_second_version(store: Any) -> None:
    first = store.write(SALES, ONE, key="one", notes={"by": "a"})
    assert store.write(SALES, TWO, key="one", notes={"by": "b"}) == first
    assert read(store, first) == ONE.to_pylist()
    assert store.notes(SALES, first)["by"] == "a"


def test_another_key_makes_a_version_also_of_the_same_rows(store: Any) -> None:
    versions = [store.write(SALES, ONE, key=key, notes={}) for key in ("one", "two", "one")]
    assert versions[0] == versions[2] != versions[1]
    assert [store.find(SALES, key) for key in ("one", "two", "three")] == [*versions[:2], None]


def test_an_older_version_keeps_its_rows_its_columns_and_its_notes(store: Any) -> None:
    old = store.write(SALES, ONE, key="one", notes={"rows": "2"})
    new = store.write(SALES, TWO, key="two", notes={"rows": "1"})
    assert (read(store, old), read(store, new)) == (ONE.to_pylist(), TWO.to_pylist())
    assert (store.notes(SALES, old)["rows"], store.notes(SALES, new)["rows"]) == ("2", "1")


def test_tables_know_nothing_of_each_other(store: Any) -> None:
    store.write(SALES, ONE, key="one", notes={})
    assert store.find("shop/raw/cities", "one") is None
    assert store.write("shop/clean/sales", TWO, key="one", notes={}) == 0
    assert read(store, 0) == ONE.to_pylist()


def test_a_table_that_nobody_wrote_has_no_key(store: Any) -> None:
    assert store.find(SALES, "one") is None


@pytest.mark.parametrize("ask", ["files", "notes"])
def test_a_table_or_version_that_is_not_there_is_refused(store: Any, ask: str) -> None:
    with pytest.raises(SourceError, match="there is no version 0 of the table shop/raw/sales"):
        getattr(store, ask)(SALES, 0)
    store.write(SALES, ONE, key="one", notes={})
    with pytest.raises(SourceError, match="there is no version 1 of the table shop/raw/sales"):
        getattr(store, ask)(SALES, 1)


def test_types_and_missing_values_survive(store: Any) -> None:
    types = {"whole": pa.int64(), "real": pa.float64(), "text": pa.string(), "flag": pa.bool_()}
    schema = pa.schema(types | {"at": pa.timestamp("us", "UTC")})
    rows = pa.Table.from_pylist([{}, {"whole": 2**53 + 1, "real": 0.1, "text": "ä", "flag": False, "at": 1}], schema)
    store.write(SALES, rows, key="one", notes={})
    connection = connect()
    assert connection.to_pyarrow(open_tables(connection, store, {SALES: 0})["sales"]).cast(schema).equals(rows)


@pytest.mark.parametrize("folder", ["plain", "with a space", "José", "100%", "it's"])
def test_the_files_of_a_version_exist_whatever_the_folder_is_called(tmp_path: Path, folder: str) -> None:
    store = DeltaTables(str(tmp_path / folder))
    store.write(SALES, ONE, key="one", notes={})
    assert [Path(file).is_file() for file in store.files(SALES, 0)] == [True]
    assert read(store, 0) == ONE.to_pylist()


@pytest.mark.parametrize("folder", ["[x]", "a#b", "why?", "a%20b", "a|b", "a\nb"])
def test_a_folder_whose_name_delta_cannot_have_is_refused_before_anything_is_written(
    tmp_path: Path, folder: str
) -> None:
    with pytest.raises(HomeError, match="the path of a table must not hold"):
        DeltaTables(str(tmp_path / folder)).write(SALES, ONE, key="one", notes={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["tables", "tables/shop", f"tables/{SALES}", f"tables/{SALES}/_delta_log"])
def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("no folder", encoding="utf-8")
    with pytest.raises(
        HomeError, match=r"cannot (write|read) the table shop/raw/sales .*(Not a directory|File exists)"
    ):
        on_delta(tmp_path).write(SALES, ONE, key="one", notes={})
    assert (tmp_path / place).read_text(encoding="utf-8") == "no folder"


def test_a_damaged_log_is_told_on_one_line(tmp_path: Path) -> None:
    store = on_delta(tmp_path)
    store.write(SALES, ONE, key="one", notes={})
    next(Path(store.uri(SALES), "_delta_log").glob("*.json")).write_text("damage", encoding="utf-8")
    with pytest.raises(HomeError, match=r"^cannot read the table shop/raw/sales in .*$") as error:
        store.find(SALES, "one")
    assert "\n" not in str(error.value)


def test_rows_of_a_write_that_was_killed_before_its_commit_are_seen_by_nobody(tmp_path: Path) -> None:
    store = on_delta(tmp_path)
    store.write(SALES, ONE, key="one", notes={})
    written = Path(store.files(SALES, 0)[0])
    shutil.copy(written, written.with_name("part-00000-left-over.snappy.parquet"))
    assert read(store, 0) == ONE.to_pylist()
    assert store.write(SALES, TWO, key="two", notes={}) == 1
    assert read(store, 1) == TWO.to_pylist()


def test_a_full_disk_is_told_and_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    store = on_delta(tmp_path)
    store.write(SALES, ONE, key="one", notes={})
    many = pa.table({"number": range(100_000)})
    with largest_file(20_000), pytest.raises(HomeError, match=r"shop/raw/sales .*File too large"):
        store.write(SALES, many, key="two", notes={})
    assert store.find(SALES, "two") is None
    assert read(store, 0) == ONE.to_pylist()
    assert store.write(SALES, many, key="two", notes={}) == 1


def stream(*tables: pa.Table) -> pa.RecordBatchReader:
    batches = [batch for table in tables for batch in table.to_batches()]
    return pa.RecordBatchReader.from_batches(tables[0].schema, batches)


def test_what_is_appended_stands_beside_what_was_there(store: Any) -> None:
    first = store.append(SALES, stream(ONE, ONE), key="one", notes={"by": "a"})
    second = store.append(SALES, stream(TWO), key="two", notes={"by": "b"})
    assert store.newest(SALES) == second == first + 1
    assert read(store, first) == ONE.to_pylist() * 2
    source = open_table(store, SALES, second, "sales")
    [rows] = source.chunks(["number", "paid"], 10)
    assert (rows.num_rows, rows["paid"].null_count) == (5, 4), "what the first rows lack is null"
    assert [store.notes(SALES, version)["by"] for version in (first, second)] == ["a", "b"]


def test_the_same_key_appends_no_rows_twice(store: Any) -> None:
    versions = [store.append(SALES, stream(ONE), key="one", notes={}) for _ in range(2)]
    assert versions == [0, 0]
    assert read(store, 0) == ONE.to_pylist()


def test_a_column_of_another_type_is_not_appended(store: Any) -> None:
    store.append(SALES, stream(ONE), key="one", notes={})
    other = pa.table({"number": [{"a": 1}]})
    with pytest.raises(HomeError, match="cannot append to the table shop/raw/sales"):
        store.append(SALES, stream(other), key="two", notes={})
    assert store.newest(SALES) == 0


def test_rows_that_cannot_be_read_to_their_end_leave_the_table_as_it_was(store: Any) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from ONE.to_batches()
        raise OSError("the file is gone")

    with pytest.raises(HomeError, match="the file is gone"):
        store.append(SALES, pa.RecordBatchReader.from_batches(ONE.schema, broken()), key="one", notes={})
    assert store.newest(SALES) is None


def test_a_table_made_anew_has_another_identity_and_a_version_its_schema(tmp_path: Path) -> None:
    store = on_delta(tmp_path)
    identities = []
    for _ in range(2):
        store.write(SALES, ONE, key="one", notes={})
        identities.append(store.identity(SALES, 0))
        assert store.schema(SALES, 0).names == ["number", "city"]
        shutil.rmtree(store.uri(SALES))
    assert identities[0] != identities[1]


def test_a_table_whose_files_are_not_the_whole_of_it_is_refused(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(tmp_path / "tables" / SALES), ONE, partition_by="city")
    with pytest.raises(SourceError, match=r"from its Parquet files alone, but .* is partitioned by \['city'\]"):
        on_delta(tmp_path).schema(SALES, 0)


@pytest.mark.parametrize("there", [True, False])
def test_of_two_writers_of_one_key_at_once_the_second_one_fails(store: Any, there: bool) -> None:
    if there:
        store.append(SALES, stream(TWO), key="zero", notes={})

    def overtaken() -> Iterator[pa.RecordBatch]:
        yield from ONE.to_batches()
        with ThreadPoolExecutor() as other:
            other.submit(store.append, SALES, stream(ONE), key="one", notes={}).result()

    with pytest.raises(HomeError, match=r"cannot append to the table shop/raw/sales .*Failed to commit transaction"):
        store.append(SALES, pa.RecordBatchReader.from_batches(ONE.schema, overtaken()), key="one", notes={})
    assert store.newest(SALES) == int(there)
    assert store.append(SALES, stream(ONE), key="one", notes={}) == int(there), "it is there already"


def test_a_store_that_does_not_answer_is_told_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.adapters.s3.RETRY_SECONDS", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(HomeError, match=r"^cannot read the table shop/raw/sales in s3://nowhere/shop/raw/sales: .*$"):
        DeltaTables("s3://nowhere").find(SALES, "one")
