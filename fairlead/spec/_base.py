"""What all specs share: frozen, no unknown keys, names of one form."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints, WithJsonSchema

_DURATION = re.compile(r"(\d+)\s*(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
"""A column, table or dataset: snake_case, so that it is a name in SQL and Python alike."""

KebabName = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$")]
"""A model: a DNS label with room for the suffixes `-stable` and `-candidate`."""


class Spec(BaseModel):
    """Base of every part of a spec."""

    # JSON, and so a pipeline's parameter, has no number for infinity.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="strings")

    def to_parameter(self) -> str:
        """As a parameter of a pipeline; `model_validate_json` reads it back.

        A text, as KFP's mappings lose the order of keys, make floats of whole numbers and know no null.
        """
        return self.model_dump_json(exclude_none=True)


def parse_duration(value: Any) -> Any:
    """Read `90m`, `1h`, `7d` or `2w`. A bare number is refused: pydantic would take it for seconds.

    Raises:
        ValueError: not of that form, or longer than a `timedelta` can be.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be a number and a unit (m, h, d or w), such as 90m or 7d, but is {value!r}")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        raise ValueError(f"must be a duration of at most {timedelta.max.days} days, but is {value!r}") from None


def format_duration(value: timedelta) -> str:
    """The shortest form that `parse_duration` reads back."""
    minutes = int(value.total_seconds() // 60)
    for unit, size in (("w", 10080), ("d", 1440), ("h", 60)):
        if minutes and minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+\s*(m|h|d|w)$"}),
]
