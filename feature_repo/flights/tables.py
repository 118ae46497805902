"""From the source's tables to clean ones: the derived columns of dataset.yaml.

How local clock times become instants:

- A scheduled departure is on the clock of the origin (all three are in America/New_York), on the day of the row.
- A scheduled arrival is on the clock of the destination, with no date. It is the first moment after the scheduled
  departure at which that clock shows that time: no flight from New York is scheduled for 24 hours or more (the
  longest, to Honolulu, takes 11 h 40 min).
- Actual times are the scheduled ones plus the delay in minutes. The clock times `dep_time` and `arr_time` are not
  used: they have no date, and a departure delayed past midnight would land on the wrong day.
- Four destinations are missing from `airports` (BQN, PSE, SJU, STT); all keep America/Puerto_Rico's time.
"""

from typing import TYPE_CHECKING

import ibis

from fairlead.tables.clock import add_minutes, clock_minutes, to_instant, to_local

if TYPE_CHECKING:
    import ibis.expr.types as ir

ORIGIN_ZONE = "America/New_York"
CARIBBEAN_ZONE = "America/Puerto_Rico"
MINUTES_A_DAY = 1440
LATE_MINUTES = 15
"""The threshold of the US Bureau of Transportation Statistics: later than that is not on time."""


def flights(flights: "ir.Table", airports: "ir.Table") -> "ir.Table":
    """Add instants, the weekday and the label."""
    zones = airports.filter(airports.tzone.notnull()).select(dest="faa", zone="tzone")
    rows = flights.left_join(zones, "dest").drop("dest_right")
    rows = rows.mutate(zone=rows.zone.fill_null(CARIBBEAN_ZONE))

    date = ibis.timestamp(rows.year, rows.month, rows.day, 0, 0, 0)
    departure = to_instant(add_minutes(date, clock_minutes(rows.sched_dep_time)), ORIGIN_ZONE)
    rows = rows.mutate(scheduled_departure=departure, weekday=date.day_of_week.index().cast("int64"))

    left = to_local(rows.scheduled_departure, rows.zone)
    same_day = add_minutes(left.truncate("D"), clock_minutes(rows.sched_arr_time))
    landing = add_minutes(same_day, ibis.ifelse(same_day > left, 0, MINUTES_A_DAY))
    rows = rows.mutate(scheduled_arrival=to_instant(landing, rows.zone))
    return rows.mutate(
        actual_departure=add_minutes(rows.scheduled_departure, rows.dep_delay),
        actual_arrival=add_minutes(rows.scheduled_arrival, rows.arr_delay),
        arrived_late=rows.arr_delay >= LATE_MINUTES,
    ).drop("zone")


def weather(weather: "ir.Table") -> "ir.Table":
    """Add when an hour's observations are complete."""
    return weather.mutate(published_at=weather.time_hour + ibis.interval(hours=1))
