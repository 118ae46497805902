"""Ingesting sources: when a version is written, what is kept with it, and when nothing is."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fairlead.adapters.delta import DeltaTables
from fairlead.errors import SourceError
from fairlead.spec import DatasetSpec
from fairlead.tables.ingest import IngestedTable, fingerprints, ingest

SALES = "number,city\n1,Rome\n2,Oslo\n"
CITIES = "name\nRome\nOslo\n"


class Shop:
    """Two sources in a folder, and the tables that are made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = DeltaTables(str(folder / "tables"))
        self.sales, self.cities = folder / "sales.csv", folder / "cities.csv"
        self.sales.write_text(SALES, encoding="utf-8")
        self.cities.write_text(CITIES, encoding="utf-8")

    def dataset(self, **columns: str) -> DatasetSpec:
        sales = {"number": "int64", "city": "string"} | columns
        tables = {
            "sales": {"source": {"uri": self.sales.as_uri()}, "columns": sales, "primary_key": ["number"]},
            "cities": {"source": {"uri": self.cities.as_uri()}, "columns": {"name": "string"}, "primary_key": ["name"]},
        }
        about = {"name": "shop", "description": "", "owner": "", "license": ""}
        return DatasetSpec.model_validate({**about, "tables": tables})

    def ingest(self, code_version: str = "abc", **columns: str) -> dict[str, IngestedTable]:
        dataset = self.dataset(**columns)
        tables = ingest(dataset, self.store, expected=fingerprints(dataset), code_version=code_version)
        return {table.name: table for table in tables}

    def rows(self, table: str, version: int) -> list[dict[str, Any]]:
        return [
            row for file in self.store.files(f"shop/raw/{table}", version) for row in pq.read_table(file).to_pylist()
        ]

    @property
    def written(self) -> list[str]:
        """The tables that have a version."""
        return sorted(log.parent.name for log in self.folder.glob("tables/shop/raw/*/_delta_log"))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_version_keeps_what_it_was_made_of(shop: Shop) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    sales = shop.ingest()["sales"]
    notes = shop.store.notes("shop/raw/sales", sales.version)
    assert (sales.rows, sales.columns, sales.reused) == (2, 2, False)
    assert notes["source"] == sales.source == shop.sales.as_uri()
    assert notes["sha256"] == sales.sha256 == sha256(SALES.encode()).hexdigest()
    assert (notes["rows"], notes["code_version"]) == ("2", "abc")
    assert notes["ingested_at"] == sales.ingested_at
    assert before <= datetime.fromisoformat(sales.ingested_at) <= datetime.now(UTC)
    assert shop.rows("sales", sales.version) == [{"number": 1, "city": "Rome"}, {"number": 2, "city": "Oslo"}]


def test_the_same_bytes_are_reused_with_the_provenance_of_when_they_were_read(shop: Shop) -> None:
    first, again = shop.ingest(code_version="abc"), shop.ingest(code_version="def")
    for name, table in first.items():
        assert again[name] == table.model_copy(update={"reused": True})
    assert again["sales"].code_version == "abc"
    with pytest.raises(SourceError, match="there is no version 1"):
        shop.store.files("shop/raw/sales", 1)


def test_a_changed_source_makes_a_version_of_its_table_alone_and_keeps_the_old_one(shop: Shop) -> None:
    old = shop.ingest()
    shop.sales.write_text(SALES + "3,Bern\n", encoding="utf-8")
    new = shop.ingest()
    assert (new["sales"].version, new["sales"].rows, new["sales"].reused) == (old["sales"].version + 1, 3, False)
    assert (new["cities"].version, new["cities"].reused) == (old["cities"].version, True)
    assert len(shop.rows("sales", old["sales"].version)) == 2


def test_a_source_that_is_as_it_was_before_a_change_gets_its_first_version_back(shop: Shop) -> None:
    first = shop.ingest(code_version="abc")["sales"]
    shop.sales.write_text(SALES + "3,Bern\n", encoding="utf-8")
    shop.ingest(code_version="def")
    shop.sales.write_text(SALES, encoding="utf-8")
    assert shop.ingest(code_version="def")["sales"] == first.model_copy(update={"reused": True})


def test_the_same_bytes_read_with_other_types_are_another_version(shop: Shop) -> None:
    whole, real = shop.ingest()["sales"], shop.ingest(number="float64")["sales"]
    assert (real.version, real.reused) == (whole.version + 1, False)
    assert [type(row["number"]) for row in shop.rows("sales", real.version)] == [float, float]


@pytest.mark.parametrize("changed", ["sales", "cities"])
def test_a_source_that_changed_since_the_plan_is_refused_and_nothing_is_written(shop: Shop, changed: str) -> None:
    dataset = shop.dataset()
    planned = fingerprints(dataset)
    source = shop.folder / f"{changed}.csv"
    source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(SourceError, match=f"{changed}: file:.*{changed}.csv changed while the run was being planned"):
        ingest(dataset, shop.store, expected=planned, code_version="abc")
    assert shop.written == []


@pytest.mark.parametrize("content", ["number,city\nx,Rome\n", "number\n1\n", "", None])
def test_one_bad_source_of_two_keeps_both_from_being_written(shop: Shop, content: str | None) -> None:
    shop.ingest()
    shop.cities.write_text(CITIES + "Bern\n", encoding="utf-8")
    shop.sales.unlink()
    if content is not None:
        shop.sales.write_text(content, encoding="utf-8")
    with pytest.raises(SourceError, match=r"sales"):
        shop.ingest()
    assert shop.store.notes("shop/raw/cities", 0)["rows"] == "2"
    with pytest.raises(SourceError, match="there is no version 1"):
        shop.store.files("shop/raw/cities", 1)
