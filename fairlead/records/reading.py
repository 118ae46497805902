"""From the bytes of CloudEvents back to records, checked: what a receiver may take."""

import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from fairlead.errors import RecordError
from fairlead.packaging.signature import Matrix
from fairlead.spec._base import KebabName

Count = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
CLOUD_EVENT_HEADERS = ("ce-specversion", "ce-type", "ce-source", "ce-id", "ce-time")


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"must be an instant of the years 1 to 9999 in UTC, but is {moment}") from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""In UTC, whatever offset it came with."""


class PredictionData(BaseModel):
    """What an event says of one request. A newer sender may say more."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    model: KebabName
    version: Name | None = None
    request_id: str | None = None
    rows: Count
    """Predictions in the answer; 0: the request was refused or failed."""
    columns: dict[str, list[Any]] | None = None
    """What the caller sent, as far as it may be recorded."""
    features: str | None = None
    """Base64 of the float32 matrix the model saw, little-endian, row by row."""
    features_hash: str | None = None
    scores: list[float | None] = []
    decisions: list[bool | None] = []
    """None: the sender tells scores only."""
    latency_ms: float | None
    """None: the sender does not know."""
    status: Annotated[int, Field(ge=100, le=599)]
    error: str | None = None
    asked_at: Instant | None = None
    mirrored: bool = False

    @model_validator(mode="after")
    def _rows_agree(self) -> Self:
        sizes = {"scores": len(self.scores), "decisions": len(self.decisions)}
        sizes |= {f"columns.{name}": len(values) for name, values in (self.columns or {}).items()}
        wrong = next((name for name, size in sizes.items() if size != self.rows), None)
        if wrong is not None:
            raise ValueError(f"{wrong} must hold {self.rows} values like `rows`, but holds {sizes[wrong]}")
        try:
            orjson.dumps(self.columns)
        except orjson.JSONEncodeError as error:
            raise ValueError(f"columns must hold text, 64-bit numbers and the like, but: {error}") from None
        self.matrix()
        return self

    def matrix(self) -> Matrix | None:
        """The matrix the model saw, shape [n, d]; None where it was not recorded."""
        if self.features is None:
            return None
        try:
            values = np.frombuffer(binascii.a2b_base64(self.features, strict_mode=True), dtype="<f4")
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"features must be base64 of float32 numbers, but: {error}") from None
        if self.rows == 0 or values.size % self.rows:
            raise ValueError(f"features must be a matrix of {self.rows} rows, but are {values.size} numbers")
        return values.reshape(self.rows, -1).astype(np.float32, copy=False)


class PredictionEvent(BaseModel):
    """One CloudEvent of a prediction."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"]
    type: Literal["io.fairlead.prediction.v1"]
    source: Name
    id: Name
    time: Instant
    data: PredictionData

    @property
    def predictions(self) -> int:
        """How many rows it makes: one for each prediction, and one for a failure."""
        return max(self.data.rows, 1)

    @property
    def day(self) -> str:
        """The day of its time in UTC, `2013-10-01`."""
        return self.time.date().isoformat()


T = TypeVar("T")

_EVENT = TypeAdapter(PredictionEvent)
_BATCH = TypeAdapter(list[PredictionEvent])


def read_event(body: bytes) -> PredictionEvent:
    """An event in structured mode.

    Raises:
        RecordError: it is none; the message names the place, the rule and the value.
    """
    return _read(_EVENT, body)


def read_batch(body: bytes) -> Sequence[PredictionEvent]:
    """A batch of events.

    Raises:
        RecordError: it is none, or one of its events is none.
    """
    return _read(_BATCH, body)


def read_binary(headers: Mapping[str, str], body: bytes) -> PredictionEvent:
    """An event in binary mode: attributes in headers (in small letters), data in the body.

    Raises:
        RecordError: an attribute is missing, or it is no event of a prediction.
    """
    missing = next((name for name in CLOUD_EVENT_HEADERS if name not in headers), None)
    if missing is not None:
        raise RecordError(f"an event in binary mode must have the header {missing}")
    attributes = {name.removeprefix("ce-"): headers[name] for name in CLOUD_EVENT_HEADERS}
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RecordError(f"the event's data must be JSON, but: {error}") from None
    return _read(_EVENT, orjson.dumps({**attributes, "data": data}))


def _read(adapter: TypeAdapter[T], body: bytes) -> T:
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"]) or "the body"
        raise RecordError(f"{place}: {detail['msg'].removeprefix('Value error, ')}") from None
