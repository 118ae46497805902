"""Clean tables: what is derived, what is cut off, and what a dataset's functions must return."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import ibis
import pyarrow as pa
import pytest

from fairlead.adapters.delta import DeltaTables
from fairlead.errors import SourceError, SpecError
from fairlead.spec import DatasetSpec
from fairlead.tables.prepare import prepare

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
INSTANT = pa.timestamp("us", "UTC")
SALES = pa.table(
    {"number": [3, 1, 2], "sold_at": pa.array([NOON, NOON - 2 * HOUR, NOON - HOUR], INSTANT), "price": [5, None, 7]}
)
CITIES = pa.table({"name": ["Rome", "Oslo"]})
SOURCE = {"uri": "file:///shop.csv"}


class Shop:
    """Raw sales and cities, and the functions of `tables.py` that a test gives."""

    def __init__(self, folder: Path) -> None:
        self.store = DeltaTables(str(folder))
        self.write(SALES)
        self.store.write("shop/raw/cities", CITIES, key="", notes={})

    def write(self, sales: pa.Table) -> None:
        self.newest = self.store.write("shop/raw/sales", sales, key=str(sales), notes={})

    def prepare(
        self,
        as_of: datetime = NOON,
        derived: dict[str, str] | None = None,
        event_time: str | None = "sold_at",
        known_at: str | None = None,
        functions: dict[str, Callable[..., Any]] | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        columns = {"number": "int64", "sold_at": "timestamp", "price": "int64"}
        times = {"event_time": event_time, "known_at": known_at}
        sales = {"columns": columns, "derived": derived or {}, "primary_key": ["number"], **times}
        cities = {"columns": {"name": "string"}, "primary_key": ["name"]}
        tables = {"sales": {"source": SOURCE, **sales}, "cities": {"source": SOURCE, **cities}}
        about = {"name": "shop", "description": "", "owner": "", "license": "", "tables": tables}
        module = ModuleType("tables")
        module.__file__ = "tables.py"
        vars(module).update(functions or {})
        versions = {"sales": self.newest, "cities": 0}
        clean = prepare(DatasetSpec.model_validate(about), versions, self.store, module, as_of)
        return {name: rows.to_pylist() for name, rows in clean.items()}

    def derive(self, kind: str, value: Any) -> list[Any]:
        """The values of a column that is declared as `kind`."""
        rows = self.prepare(derived={"more": kind}, functions={"sales": lambda sales: sales.mutate(more=value(sales))})
        return [row["more"] for row in rows["sales"]]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def numbers(clean: dict[str, list[dict[str, Any]]]) -> list[int]:
    return [row["number"] for row in clean["sales"]]


def test_what_happens_at_or_after_the_time_of_the_run_is_cut_off(shop: Shop) -> None:
    assert numbers(shop.prepare(as_of=NOON)) == [1, 2]
    assert numbers(shop.prepare(as_of=NOON + timedelta(microseconds=1))) == [1, 2, 3]


@pytest.mark.parametrize("hours", [-5, 9])
def test_the_time_of_the_run_may_be_given_in_any_zone(shop: Shop, hours: int) -> None:
    assert numbers(shop.prepare(as_of=NOON.astimezone(timezone(hours * HOUR)))) == [1, 2]


def test_tables_without_event_time_are_whole(shop: Shop) -> None:
    clean = shop.prepare(as_of=NOON - 100 * HOUR, event_time=None)
    assert numbers(clean) == [1, 2, 3]
    assert clean["cities"] == [{"name": "Oslo"}, {"name": "Rome"}]


def test_rows_that_lack_their_event_time_are_left_for_the_quality_gate_to_refuse(shop: Shop) -> None:
    shop.write(SALES.set_column(1, "sold_at", pa.array([None, NOON - HOUR, NOON], INSTANT)))
    assert numbers(shop.prepare()) == [1, 3]


def test_rows_that_are_not_complete_by_then_are_cut_off_but_not_those_that_never_will_be(shop: Shop) -> None:
    def sales(sales: Any) -> Any:
        """Number 2 is complete an hour after its sale at 11:00, and number 1 never."""
        return sales.mutate(paid_at=ibis.ifelse(sales.number == 1, None, sales.sold_at + ibis.interval(hours=1)))

    known = {"derived": {"paid_at": "timestamp"}, "known_at": "paid_at", "functions": {"sales": sales}}
    assert numbers(shop.prepare(as_of=NOON, **known)) == [1, 2]
    assert numbers(shop.prepare(as_of=NOON - timedelta(microseconds=1), **known)) == [1]


def test_a_run_before_everything_is_refused(shop: Shop) -> None:
    with pytest.raises(SourceError, match=r"^sales: no row happened before 2013-01-01T10:00:00\+00:00$"):
        shop.prepare(as_of=NOON - 2 * HOUR)


def test_a_table_gets_its_derived_columns_from_the_function_of_its_name(shop: Shop) -> None:
    def sales(sales: Any, cities: Any) -> Any:
        return sales.cross_join(cities.filter(cities.name == "Rome")).mutate(paid=sales.price > 6, extra=1)

    rows = shop.prepare(derived={"paid": "bool", "name": "string"}, functions={"sales": sales})["sales"]
    assert [list(row) for row in rows] == [["number", "sold_at", "price", "paid", "name"]] * 2
    assert [(row["paid"], row["name"]) for row in rows] == [(None, "Rome"), (True, "Rome")]


def test_a_derived_column_may_be_the_event_time(shop: Shop) -> None:
    late = {"sales": lambda sales: sales.mutate(paid_at=sales.sold_at + ibis.interval(hours=1))}
    assert numbers(shop.prepare(derived={"paid_at": "timestamp"}, event_time="paid_at", functions=late)) == [1]


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        ("int64", lambda sales: sales.number.cast("int8"), [1, 2]),
        ("float64", lambda sales: sales.number, [1.0, 2.0]),
        ("float64", lambda sales: ibis.null(), [None, None]),
        ("timestamp", lambda sales: ibis.timestamp("2013-01-01 12:00:00"), [NOON, NOON]),
    ],
    ids=["a narrow integer", "an integer as a float", "nothing at all", "a time without zone is in UTC"],
)
def test_a_derived_column_is_brought_to_its_declared_type(shop: Shop, kind: str, value: Any, result: Any) -> None:
    assert shop.derive(kind, value) == result


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("int64", lambda sales: ibis.literal("12"), "string"),
        ("int64", lambda sales: sales.number / 2, "double"),
        ("int64", lambda sales: sales.sold_at, r"timestamp\[us, tz=UTC\]"),
        ("timestamp", lambda sales: sales.number, "int64"),
        ("bool", lambda sales: sales.number, "int64"),
        ("string", lambda sales: sales.number, "int64"),
        ("float64", lambda sales: ibis.array([1.5]), "list<.*>"),
    ],
)
def test_a_derived_column_of_another_kind_is_refused(shop: Shop, kind: str, value: Any, found: str) -> None:
    told = f"table sales: the derived column 'more' must be of type {kind}, but is {found}$"
    with pytest.raises(SpecError, match=told):
        shop.derive(kind, value)


@pytest.mark.parametrize(
    ("functions", "problem"),
    [
        ({}, r"must define sales\(\), which does not exist; there are none"),
        ({"sales": lambda sales: sales}, r"sales\(\) must return the column 'paid', as declared"),
        (
            {"sales": lambda sales: sales.mutate(paid=True).drop("price")},
            r"sales\(\) must return the column 'price', as declared",
        ),
        ({"sales": lambda sales: None}, r"sales\(\) must return a table, but returns NoneType"),
        (
            {"sales": lambda sale: sale},
            r"sales\(\) asks for the table 'sale', which does not exist; did you mean 'sales'\?",
        ),
    ],
    ids=["missing", "a column too few", "a column of the source lost", "no result", "an unknown table"],
)
def test_a_function_that_does_not_do_as_declared_is_refused(
    shop: Shop, functions: dict[str, Callable[..., Any]], problem: str
) -> None:
    with pytest.raises(SpecError, match=rf"^tables\.py: {problem}$"):
        shop.prepare(derived={"paid": "bool"}, functions=functions)
