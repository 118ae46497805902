"""Wall clocks and instants, as Ibis expressions.

A local time that a clock shows twice (the hour after daylight saving ends) is the second of the two, and one that it
skips is moved on by the hour skipped: ICU's rule, which DuckDB follows. On another engine `timezone` must be mapped to
its own function (`to_utc_timestamp` and `from_utc_timestamp` on Spark).
"""

from typing import TYPE_CHECKING

import ibis
from ibis.expr import datatypes as dt

if TYPE_CHECKING:
    import ibis.expr.types as ir


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.timestamp), dt.Timestamp(timezone="UTC")))  # type: ignore[untyped-decorator]  # no types published
def _to_instant(zone: str, local):  # type: ignore[no-untyped-def]
    ...


@ibis.udf.scalar.builtin(name="timezone", signature=((dt.string, dt.Timestamp(timezone="UTC")), dt.timestamp))  # type: ignore[untyped-decorator]  # no types published
def _to_local(zone: str, instant):  # type: ignore[no-untyped-def]
    ...


def to_instant(local: "ir.TimestampValue", zone: "ir.StringValue | str") -> "ir.TimestampValue":
    """The instant at which the clocks of `zone` show `local`."""
    return _to_instant(zone, local)


def to_local(instant: "ir.TimestampValue", zone: "ir.StringValue | str") -> "ir.TimestampValue":
    """What the clocks of `zone` show at `instant`."""
    return _to_local(zone, instant)


def clock_minutes(hhmm: "ir.IntegerValue") -> "ir.IntegerValue":
    """Minutes since midnight of a clock written as one number, 517 for 05:17; 2400 is 1440."""
    return (hhmm // 100) * 60 + hhmm % 100


def add_minutes(moment: "ir.TimestampValue", minutes: "ir.IntegerValue") -> "ir.TimestampValue":
    """`moment` moved by whole minutes."""
    return moment + minutes.as_interval("m")
