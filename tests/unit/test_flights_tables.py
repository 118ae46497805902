"""How the local clock times of flights become instants: by cases whose answer is known, and on the whole year."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fairlead.features.definitions import call_by_names, load_module
from fairlead.spec import load_dataset
from fairlead.tables.engine import connect
from fairlead.tables.sources import fetch, parse

REPO = Path(__file__).parents[2]
TABLES = load_module(REPO, "flights", "tables")

CLOCKS = ("year", "month", "day", "sched_dep_time", "dep_delay", "sched_arr_time", "arr_delay")
FLIGHTS = pa.schema([*((name, pa.int64()) for name in CLOCKS), ("dest", pa.string())])
ZONES = {
    "BOS": "America/New_York",
    "PBI": "America/New_York",
    "ORD": "America/Chicago",
    "PHX": "America/Phoenix",
    "LAX": "America/Los_Angeles",
    "HNL": "Pacific/Honolulu",
}
"""San Juan is not among them, as in the source."""

Row = dict[str, Any]


class Engine:
    """The function of flights, compiled once and run on whatever flights are given."""

    def __init__(self) -> None:
        self.connection = connect()
        airports = pa.table({"faa": list(ZONES), "tzone": list(ZONES.values())})
        self.connection.con.register("airports", airports)
        self.connection.con.register("flights", FLIGHTS.empty_table())
        tables = {name: self.connection.table(name) for name in ("flights", "airports")}
        self._query = self.connection.compile(call_by_names(TABLES, "flights", tables))

    def derive(self, flight: Row) -> Row:
        self.connection.con.register("flights", pa.Table.from_pylist([flight], FLIGHTS))
        (row,) = self.connection.con.execute(self._query).to_arrow_table().to_pylist()
        return row


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def flight(
    leaves: int, dest: str, arrives: int, day: str = "2013-01-15", late: tuple[int | None, int | None] = (0, 0)
) -> Row:
    """A row of the source; `late` holds the minutes at the departure and at the arrival."""
    year, month, day_of_month = map(int, day.split("-"))
    clocks = (year, month, day_of_month, leaves, late[0], arrives, late[1])
    return dict(zip(CLOCKS, clocks, strict=True)) | {"dest": dest}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


SCHEDULES = {
    "to a zone west of New York": (flight(515, "ORD", 719), "2013-01-15 10:15", "2013-01-15 13:19"),
    "after midnight": (flight(2145, "PBI", 34), "2013-01-16 02:45", "2013-01-16 05:34"),
    "at midnight, written as 2400": (flight(2100, "PBI", 2400), "2013-01-16 02:00", "2013-01-16 05:00"),
    "at midnight, written as 0": (flight(2100, "PBI", 0), "2013-01-16 02:00", "2013-01-16 05:00"),
    "on the next day there": (flight(2155, "LAX", 105), "2013-01-16 02:55", "2013-01-16 09:05"),
    "on the same day there, though on the next in New York": (
        flight(2155, "LAX", 2355), "2013-01-16 02:55", "2013-01-16 07:55",
    ),
    "before it left, by the clocks": (flight(900, "ORD", 855), "2013-01-15 14:00", "2013-01-15 14:55"),
    "in Honolulu, eleven hours on": (flight(900, "HNL", 1530), "2013-01-15 14:00", "2013-01-16 01:30"),
    "in San Juan in winter, an hour ahead": (flight(2359, "SJU", 440), "2013-01-16 04:59", "2013-01-16 08:40"),
    "in San Juan in summer, at New York's time": (
        flight(800, "SJU", 1150, "2013-07-15"), "2013-07-15 12:00", "2013-07-15 15:50",
    ),
    "in Phoenix in winter, two hours behind": (flight(800, "PHX", 1110), "2013-01-15 13:00", "2013-01-15 18:10"),
    "in Phoenix in summer, three hours behind": (
        flight(800, "PHX", 1010, "2013-07-15"), "2013-07-15 12:00", "2013-07-15 17:10",
    ),
    "after the hour that the clocks skip": (
        flight(2330, "BOS", 345, "2013-03-09"), "2013-03-10 04:30", "2013-03-10 07:45",
    ),
    "where no clock changes, in the night in which New York's do": (
        flight(2315, "SJU", 357, "2013-03-09"), "2013-03-10 04:15", "2013-03-10 07:57",
    ),
    "and leaves at a time that the clocks skip": (
        flight(230, "BOS", 430, "2013-03-10"), "2013-03-10 07:30", "2013-03-10 08:30",
    ),
    "on the morning after daylight saving began": (
        flight(600, "ORD", 720, "2013-03-10"), "2013-03-10 10:00", "2013-03-10 12:20",
    ),
    "after the hour that the clocks show twice": (
        flight(2359, "BOS", 300, "2013-11-02"), "2013-11-03 03:59", "2013-11-03 08:00",
    ),
    "and leaves at a time that the clocks show twice: the second": (
        flight(130, "BOS", 300, "2013-11-03"), "2013-11-03 06:30", "2013-11-03 08:00",
    ),
    "on the morning after daylight saving ended": (
        flight(600, "ORD", 720, "2013-11-03"), "2013-11-03 11:00", "2013-11-03 13:20",
    ),
    "in the next year": (flight(2359, "SJU", 440, "2013-12-31"), "2014-01-01 04:59", "2014-01-01 08:40"),
}  # fmt: skip


@pytest.mark.parametrize(("row", "departure", "arrival"), SCHEDULES.values(), ids=SCHEDULES)
def test_a_flight_arrives(engine: Engine, row: Row, departure: str, arrival: str) -> None:
    derived = engine.derive(row)
    assert (derived["scheduled_departure"], derived["scheduled_arrival"]) == (utc(departure), utc(arrival))
    assert (derived["actual_departure"], derived["actual_arrival"]) == (utc(departure), utc(arrival))


def test_actual_times_are_the_scheduled_ones_and_the_delay_also_over_midnight(engine: Engine) -> None:
    derived = engine.derive(flight(2300, "LAX", 215, late=(135, 121)))
    assert derived["actual_departure"] == utc("2013-01-16 06:15")
    assert derived["actual_arrival"] == utc("2013-01-16 12:16")


def test_a_delay_over_the_change_of_clocks_counts_the_minutes_that_pass(engine: Engine) -> None:
    derived = engine.derive(flight(2145, "PBI", 34, "2013-03-09", late=(92, 89)))
    assert derived["actual_arrival"] == utc("2013-03-10 07:03"), "03:03 on the clocks there"


def test_a_cancelled_flight_has_neither_actual_times_nor_a_label(engine: Engine) -> None:
    derived = engine.derive(flight(800, "LAX", 1110, late=(None, None)))
    assert derived["scheduled_arrival"] == utc("2013-01-15 19:10")
    assert [derived[name] for name in ("actual_departure", "actual_arrival", "arrived_late")] == [None] * 3


def test_a_diverted_flight_left_but_has_no_arrival_and_no_label(engine: Engine) -> None:
    derived = engine.derive(flight(800, "LAX", 1110, late=(20, None)))
    assert derived["actual_departure"] == utc("2013-01-15 13:20")
    assert (derived["actual_arrival"], derived["arrived_late"]) == (None, None)


@pytest.mark.parametrize(("minutes", "late"), [(-30, False), (0, False), (14, False), (15, True), (1000, True)])
def test_a_flight_is_late_from_fifteen_minutes_on_whatever_its_departure(
    engine: Engine, minutes: int, late: bool
) -> None:
    assert engine.derive(flight(800, "LAX", 1110, late=(60, minutes)))["arrived_late"] is late


@pytest.mark.parametrize(("day", "weekday"), [("2013-01-14", 0), ("2013-01-15", 1), ("2013-01-20", 6)])
def test_the_weekday_is_that_of_the_departure_in_new_york(engine: Engine, day: str, weekday: int) -> None:
    assert engine.derive(flight(2359, "SJU", 440, day))["weekday"] == weekday


def test_an_hour_of_weather_is_published_when_it_is_over() -> None:
    connection = connect()
    hours = pa.array([utc("2013-03-10 06:00"), utc("2013-03-10 07:00")], pa.timestamp("us", "UTC"))
    connection.con.register("weather", pa.table({"time_hour": hours}))
    rows = connection.to_pyarrow(call_by_names(TABLES, "weather", {"weather": connection.table("weather")})).to_pylist()
    assert [row["published_at"] - row["time_hour"] for row in rows] == [timedelta(hours=1)] * 2


@pytest.fixture(scope="module")
def year() -> Any:
    """A connection to the table `clean`: all flights of the source, and the zone of each one's destination."""
    connection = connect()
    dataset = load_dataset(REPO / "feature_repo" / "flights" / "dataset.yaml")
    for name in ("flights", "airports"):
        spec = dataset.tables[name]
        connection.con.register(name, parse(fetch(spec.source), name, spec))
    tables = {name: connection.table(name) for name in ("flights", "airports")}
    query = connection.compile(call_by_names(TABLES, "flights", tables))
    return connection.con.execute(f"""
        CREATE TABLE clean AS
        SELECT flights.*, coalesce(tzone, 'America/Puerto_Rico') AS place
        FROM ({query}) AS flights LEFT JOIN airports ON faa = dest
    """)


def test_the_hour_of_every_scheduled_departure_is_the_one_that_the_source_states(year: Any) -> None:
    same = "count(*) FILTER (date_trunc('hour', scheduled_departure) = time_hour)"
    assert year.execute(f"SELECT count(*), {same} FROM clean").fetchone() == (336_776, 336_776)


def test_every_flight_is_scheduled_for_50_to_700_minutes(year: Any) -> None:
    minutes = "date_diff('minute', scheduled_departure, scheduled_arrival)"
    assert year.execute(f"SELECT min({minutes}), max({minutes}) FROM clean").fetchone() == (50, 700)


def clocks(source: str, zone: str, instant: str) -> str:
    """A query for the flights that have an instant: what a clock showed then, as HHMM, and what the source says."""
    shown = f"SELECT *, timezone({zone}, {instant}) AS moment FROM clean WHERE {instant} IS NOT NULL"
    return f"SELECT *, hour(moment) * 100 + minute(moment) AS shown, {source} % 2400 AS stated FROM ({shown})"


def test_every_actual_departure_is_at_the_local_time_that_the_source_states(year: Any) -> None:
    query = clocks("dep_time", "'America/New_York'", "actual_departure")
    same = year.execute(f"SELECT count(*), count(*) FILTER (shown = stated) FROM ({query})").fetchone()
    assert same == (328_521, 328_521)


def test_every_actual_arrival_but_one_is_at_the_local_time_that_the_source_states(year: Any) -> None:
    query = clocks("arr_time", "place", "actual_arrival")
    year.execute(f"CREATE TABLE landed AS SELECT month, day, carrier, flight, dest, stated, shown FROM ({query})")
    assert year.execute("SELECT count(*) FROM landed").fetchone() == (327_346,)
    # The source reckons with the clock as it was before it changed under way, at two in the morning.
    others = year.execute("SELECT * FROM landed WHERE shown IS DISTINCT FROM stated").fetchall()
    assert others == [(3, 9, "B6", 35, "PBI", 203, 303)]
