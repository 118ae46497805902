"""The features of flights: what counts, from when on, and that nothing is known too early."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fairlead.features.definitions import call_by_names, functions, load_module
from fairlead.tables.engine import connect

REPO = Path(__file__).parents[2]
FEATURES = load_module(REPO, "flights", "features")
TABLES = load_module(REPO, "flights", "tables")
TEN = datetime(2013, 5, 1, 10, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
SCHEMAS = {
    "flights": pa.schema(
        {
            "origin": pa.string(),
            "dest": pa.string(),
            "carrier": pa.string(),
            "tailnum": pa.string(),
            "arr_delay": pa.int64(),
            "arrived_late": pa.bool_(),
            "actual_arrival": INSTANT,
        }
    ),
    "planes": pa.schema({"tailnum": pa.string(), "year": pa.int64(), "seats": pa.int64()}),
    "weather": pa.schema(
        {
            "origin": pa.string(),
            "time_hour": INSTANT,
            "published_at": INSTANT,
            **dict.fromkeys(("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"), pa.float64()),
        }
    ),
}
KNOWN_AT = {"flights": "actual_arrival", "weather": "published_at"}

Row = dict[str, Any]
Tables = Mapping[str, Sequence[Row]]


class Engine:
    """The feature functions, compiled once each and run on whatever rows are given."""

    def __init__(self) -> None:
        self.connection = connect()
        tables = self.open({})
        self._queries = {
            name: self.connection.compile(call_by_names(FEATURES, name, tables).order_by("known_at"))
            for name in functions(FEATURES)
        }

    def open(self, rows: Tables) -> dict[str, Any]:
        for name, schema in SCHEMAS.items():
            self.connection.con.register(name, pa.Table.from_pylist(list(rows.get(name, [])), schema=schema))
        return {name: self.connection.table(name) for name in SCHEMAS}

    def compute(self, name: str, **rows: Sequence[Row]) -> list[Row]:
        """The rows of a feature table, in the order in which they become known."""
        return self.compute_all(rows, [name])[name]

    def compute_all(self, rows: Tables, names: Sequence[str]) -> dict[str, list[Row]]:
        self.open(rows)
        return {name: self.connection.con.execute(self._queries[name]).to_arrow_table().to_pylist() for name in names}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def at(hour: float) -> datetime:
    """Hours of the day of TEN; more than 24 lie on later days."""
    return TEN + timedelta(hours=hour - 10)


def flight(landed: datetime | None, delay: int | None = 0, **other: Any) -> Row:
    late = None if delay is None else delay >= 15
    where = {"origin": "JFK", "dest": "LAX", "carrier": "UA", "tailnum": "N1"} | other
    return {**where, "arr_delay": delay, "arrived_late": late, "actual_arrival": landed}


def test_a_flight_that_landed_at_25_past_counts_from_the_next_full_hour_and_not_before(engine: Engine) -> None:
    (row,) = engine.compute("network_delays", flights=[flight(at(10) + timedelta(minutes=25))])
    assert (row["known_at"], row["landed_1h"]) == (at(11), 1)


def test_a_flight_that_landed_on_the_hour_counts_at_once(engine: Engine) -> None:
    (row,) = engine.compute("network_delays", flights=[flight(at(10))])
    assert (row["known_at"], row["landed_1h"]) == (at(10), 1)


def test_a_second_after_the_hour_is_the_next_hour(engine: Engine) -> None:
    (row,) = engine.compute("network_delays", flights=[flight(at(10) + timedelta(seconds=1))])
    assert row["known_at"] == at(11)


@pytest.mark.parametrize(
    ("table", "hours"),
    [
        ("network_delays", 1),
        ("network_delays", 3),
        ("network_delays", 24),
        ("route_delays", 168),
        ("route_delays", 672),
    ],
)
def test_a_window_holds_exactly_the_flights_that_landed_in_it(engine: Engine, table: str, hours: int) -> None:
    end = at(10)
    start = end - timedelta(hours=hours)
    inside = [start + timedelta(minutes=1), end - timedelta(minutes=30), end]
    outside = [start - timedelta(minutes=1), start, end + timedelta(minutes=1)]
    rows = engine.compute(table, flights=[flight(moment) for moment in inside + outside])
    (now,) = [row for row in rows if row["known_at"] == end]
    assert now[f"landed_{hours}h"] == len(inside)


def test_the_share_of_late_flights_and_the_mean_delay_are_those_of_the_window(engine: Engine) -> None:
    delays = {9.5: -10, 9.9: 14, 9.95: 15, 6.5: 90}
    rows = engine.compute("network_delays", flights=[flight(at(hour), delay) for hour, delay in delays.items()])
    now = rows[-1]
    assert now["known_at"] == at(10)
    assert (now["late_share_1h"], now["delay_minutes_1h"]) == (pytest.approx(1 / 3), pytest.approx(19 / 3))
    assert (now["late_share_24h"], now["delay_minutes_24h"]) == (0.5, pytest.approx(109 / 4))


def test_delays_are_cut_at_180_minutes(engine: Engine) -> None:
    (row,) = engine.compute("network_delays", flights=[flight(at(10), 1200), flight(at(10), 180), flight(at(10), 0)])
    assert row["delay_minutes_1h"] == 120


@pytest.mark.parametrize("table", [name for name in functions(FEATURES) if name.endswith("_delays")])
def test_cancelled_flights_count_nowhere(engine: Engine, table: str) -> None:
    cancelled = [flight(None, None), flight(None, None, origin="EWR", dest="SFO", carrier="AA", tailnum="N2")]
    (row,) = engine.compute(table, flights=[flight(at(10), 30), *cancelled])
    assert {value for column, value in row.items() if column.startswith("landed_")} == {1}


def test_each_key_has_a_history_of_its_own(engine: Engine) -> None:
    flights = [flight(at(10), 0), flight(at(10), 60, dest="SFO"), flight(at(10), 90, origin="EWR")]
    routes = engine.compute("route_delays", flights=flights)
    assert {(row["origin"], row["dest"]): row["delay_minutes_168h"] for row in routes} == {
        ("JFK", "LAX"): 0,
        ("JFK", "SFO"): 60,
        ("EWR", "LAX"): 90,
    }
    origins = {row["origin"]: row["landed_3h"] for row in engine.compute("origin_delays", flights=flights)}
    assert origins == {"JFK": 2, "EWR": 1}


def test_a_missing_tail_number_makes_no_aircraft(engine: Engine) -> None:
    rows = engine.compute("aircraft_delays", flights=[flight(at(10)), flight(at(10), tailnum=None)])
    assert [(row["tailnum"], row["landed_12h"]) for row in rows] == [("N1", 1)]


def test_what_is_on_the_register_was_known_before_the_first_flight(engine: Engine) -> None:
    planes = [{"tailnum": "N1", "year": 1999, "seats": 140}, {"tailnum": "N2", "year": None, "seats": 2}]
    rows = engine.compute("aircraft", planes=planes)
    assert [(row["tailnum"], row["built"], row["seats"]) for row in rows] == [("N1", 1999, 140), ("N2", None, 2)]
    assert all(row["known_at"] < datetime(2013, 1, 1, tzinfo=UTC) for row in rows)


def test_weather_is_known_an_hour_after_it_began(engine: Engine) -> None:
    tables = engine.open({"weather": [{"origin": "JFK", "time_hour": at(10), "temp": 70.0}]})
    clean = TABLES.weather(tables["weather"].drop("published_at"))
    (row,) = engine.connection.to_pyarrow(FEATURES.weather_at_origin(clean)).to_pylist()
    assert (row["known_at"], row["temperature_f"]) == (at(11), 70)


def test_the_reading_of_1048_mph_is_no_wind(engine: Engine) -> None:
    winds = {"EWR": 1048.36, "JFK": 12.0, "LGA": None}
    weather = [{"origin": name, "published_at": at(10), "wind_speed": mph} for name, mph in winds.items()]
    rows = engine.compute("weather_at_origin", weather=weather)
    assert [row["wind_mph"] for row in rows] == [None, 12.0, None]


minutes = st.integers(0, 3 * 24 * 60)
delays = st.integers(-60, 400)
flights_landed = st.builds(
    lambda minute, delay, origin, dest, carrier, tailnum: flight(
        None if minute is None else TEN + timedelta(minutes=minute),
        None if minute is None else delay,
        origin=origin,
        dest=dest,
        carrier=carrier,
        tailnum=tailnum,
    ),
    st.none() | minutes,
    delays,
    st.sampled_from(["EWR", "JFK"]),
    st.sampled_from(["LAX", "SFO"]),
    st.sampled_from(["UA", "AA"]),
    st.sampled_from(["N1", "N2", None]),
)


def future_of(flights: Sequence[Row], now: datetime) -> list[Row]:
    """Behind each flight what only the future of `now` knows: landings later in the same hour and long after it."""
    later = [timedelta(seconds=1), timedelta(minutes=7), timedelta(days=2)]
    return [row | flight(now + wait, 300, **keys_of(row)) for row in flights for wait in later]


def keys_of(row: Row) -> Row:
    return {name: row[name] for name in ("origin", "dest", "carrier", "tailnum")}


def observations(hours: Sequence[int]) -> list[Row]:
    moments = [TEN + timedelta(hours=hour) for hour in hours]
    return [
        {"origin": "JFK", "time_hour": moment, "published_at": moment + timedelta(hours=1), "temp": float(number)}
        for number, moment in enumerate(moments)
    ]


def until(rows: Tables, now: datetime) -> Tables:
    """The rows that were known by `now`."""

    def known(table: str, row: Row) -> bool:
        moment = row[KNOWN_AT[table]] if table in KNOWN_AT else None
        return moment is None or moment <= now

    return {table: [row for row in items if known(table, row)] for table, items in rows.items()}


def seen(engine: Engine, rows: Tables, now: datetime) -> dict[str, list[str]]:
    tables = engine.compute_all(rows, functions(FEATURES))
    return {name: sorted(str(row) for row in table if row["known_at"] <= now) for name, table in tables.items()}


# Examples are small as they are; to shrink one takes minutes.
@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.lists(flights_landed, max_size=8), minutes, st.lists(st.integers(0, 72), unique=True, max_size=5))
def test_no_row_holds_what_became_known_after_it(
    engine: Engine, flights: list[Row], minute: int, hours: list[int]
) -> None:
    now = TEN + timedelta(minutes=minute)
    planes = [{"tailnum": "N1", "year": 1999, "seats": 140}]
    whole = {"flights": flights + future_of(flights, now), "planes": planes, "weather": observations(hours)}
    assert seen(engine, whole, now) == seen(engine, until(whole, now), now)
