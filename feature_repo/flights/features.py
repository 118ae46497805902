"""Features of flights: pure functions from clean tables to feature tables.

A parameter names the table it takes. Each row of a result holds entity keys, `known_at` and feature values; nothing in
a row comes from anything later than its `known_at`.

History is refreshed on the hour: a flight that landed at 10:25 counts from 11:00 on. So what a server looks up between
two refreshes is exactly what training saw. A row appears only in hours in which something landed; in between the last
one holds, until the TTL of its view.
"""

from typing import TYPE_CHECKING

import ibis

if TYPE_CHECKING:
    import ibis.expr.types as ir

SECONDS_AN_HOUR = 3600
LONGEST_DELAY_MINUTES = 180
"""Delays are cut there: a single 20-hour delay says little about the next flight."""


def network_delays(flights: "ir.Table") -> "ir.Table":
    """All flights from New York: how late have they been landing?"""
    return _recent_delays(flights, keys=[], hours=[1, 3, 24])


def origin_delays(flights: "ir.Table") -> "ir.Table":
    """By airport of departure."""
    return _recent_delays(flights, keys=["origin"], hours=[3, 24])


def carrier_delays(flights: "ir.Table") -> "ir.Table":
    """By airline."""
    return _recent_delays(flights, keys=["carrier"], hours=[6, 24, 168])


def destination_delays(flights: "ir.Table") -> "ir.Table":
    """By airport of arrival."""
    return _recent_delays(flights, keys=["dest"], hours=[6, 168])


def route_delays(flights: "ir.Table") -> "ir.Table":
    """By pair of airports."""
    return _recent_delays(flights, keys=["origin", "dest"], hours=[168, 672])


def aircraft_delays(flights: "ir.Table") -> "ir.Table":
    """By aircraft: its last days of work."""
    return _recent_delays(flights.filter(flights.tailnum.notnull()), keys=["tailnum"], hours=[12, 168])


def aircraft(planes: "ir.Table") -> "ir.Table":
    """What is on the register, known all along."""
    return planes.select(
        "tailnum",
        known_at=ibis.timestamp("2000-01-01 00:00:00").cast("timestamp('UTC')"),
        built=planes.year.cast("float64"),
        seats=planes.seats.cast("float64"),
    )


def weather_at_origin(weather: "ir.Table") -> "ir.Table":
    """The last complete hour of observations at the airport of departure."""
    return weather.select(
        "origin",
        known_at=weather.published_at,
        temperature_f=weather.temp,
        humidity_percent=weather.humid,
        wind_mph=ibis.ifelse(weather.wind_speed < 150, weather.wind_speed, None),  # one reading says 1,048 mph
        gust_mph=weather.wind_gust,
        rain_inches=weather.precip,
        pressure_millibar=weather.pressure,
        visibility_miles=weather.visib,
    )


def _recent_delays(flights: "ir.Table", keys: list[str], hours: list[int]) -> "ir.Table":
    """Flights that landed in the last `hours`: how many, the share that was late, and the mean delay."""
    landed = flights.filter(flights.actual_arrival.notnull())
    # The hour at whose end the landing becomes known; a landing on the hour is known at once.
    hour = (landed.actual_arrival.epoch_seconds() + SECONDS_AN_HOUR - 1) // SECONDS_AN_HOUR
    # Whole minutes: sums of integers are the same in any order, so the same data gives the same features.
    delay = landed.arr_delay.clip(upper=LONGEST_DELAY_MINUTES)
    by_hour = landed.mutate(hour_number=hour, delay=delay).aggregate(
        by=[*keys, "hour_number"],
        landed=lambda rows: rows.count(),
        late=lambda rows: rows.arrived_late.cast("int64").sum(),
        minutes=lambda rows: rows.delay.sum(),
    )
    columns = {"known_at": (by_hour.hour_number * SECONDS_AN_HOUR).as_timestamp("s").cast("timestamp('UTC')")}
    for span in hours:
        window = ibis.range_window(preceding=span - 1, following=0, group_by=keys, order_by=by_hour.hour_number)
        count = by_hour.landed.sum().over(window)
        columns[f"landed_{span}h"] = count.cast("float64")
        columns[f"late_share_{span}h"] = by_hour.late.sum().over(window) / count
        columns[f"delay_minutes_{span}h"] = by_hour.minutes.sum().over(window) / count
    return by_hour.select(*keys, **columns)
