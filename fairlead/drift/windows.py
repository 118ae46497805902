"""Records of predictions as samples: which rows belong to a window, and what the model saw in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson

from fairlead.drift._base import Column
from fairlead.drift.reference import SCORES, decoded, usable
from fairlead.drift.sample import Sample
from fairlead.errors import BundleError, DriftError
from fairlead.packaging.signature import Input, Signature, encode
from fairlead.spec.drift import DriftSpec

if TYPE_CHECKING:
    import pyarrow as pa

MONDAY = datetime(1970, 1, 5)
"""Windows are counted from here, on the clock of where the data is from."""


@dataclass(frozen=True)
class Window:
    """[start, end), UTC."""

    start: datetime
    end: datetime


def windows_before(as_of: datetime, spec: DriftSpec, zone: str) -> list[Window]:
    """The last whole windows, oldest first. What has only begun is not judged: it would be, again and again."""
    local = as_of.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    last = MONDAY + (local - MONDAY) // spec.window * spec.window
    ends = [last - number * spec.window for number in range(spec.windows, -1, -1)]
    instants = [end.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for end in ends]
    return [Window(start, end) for start, end in pairwise(instants)]


def of_window(rows: "pa.Table", window: Window) -> "pa.Table":
    """Those that were answered in it, and had an answer."""
    import pyarrow.compute as pc

    inside = (pc.field("time") >= window.start) & (pc.field("time") < window.end)
    return rows.filter(inside & pc.is_valid(pc.field("score")) & (pc.field("status") == 200))


def entity_columns(spec: DriftSpec, signature: Signature) -> Sequence[str]:
    """By which columns rows are told apart.

    Raises:
        DriftError: the spec names one that callers do not send.
    """
    unknown = [name for name in spec.entity or () if name not in signature.request_columns]
    if unknown:
        raise DriftError(
            f"drift.entity must be of the columns that callers send, {', '.join(signature.request_columns)}, but "
            f"{unknown[0]!r} is none"
        )
    return signature.entities if spec.entity is None else spec.entity


def to_sample(rows: "pa.Table", signature: Signature, entity: Sequence[str]) -> Sample:
    """Records of one version as a sample, with the score as the column `score`.

    Hours are those for which features were looked up, where a caller named them, else those of the answer. Where no
    matrix was recorded there are only the columns that callers sent.

    Raises:
        DriftError: the records are not of this signature.
    """
    at = np.where(rows.column("asked_at").is_null().to_numpy(), _instants(rows, "time"), _instants(rows, "asked_at"))
    sent = [orjson.loads(text) if text else {} for text in rows.column("columns").to_pylist()]
    columns = _columns(rows, sent, signature)
    columns[SCORES] = rows.column("score").to_numpy().astype(np.float64)
    return Sample(at, _entities(rows, sent, entity), columns)


def _instants(rows: "pa.Table", name: str) -> Any:
    return rows.column(name).cast("timestamp[us]").to_numpy().astype("datetime64[us]")


def _entities(rows: "pa.Table", sent: Sequence[Mapping[str, Any]], entity: Sequence[str]) -> Any:
    """A tuple of a row's keys; a row without them is about nobody else."""
    found = np.empty(len(rows), dtype=object)
    found[:] = [
        tuple(str(values[name]) for name in entity) if entity and all(name in values for name in entity) else identifier
        for values, identifier in zip(sent, rows.column("id").to_pylist(), strict=True)
    ]
    return found


def _columns(rows: "pa.Table", sent: Sequence[Mapping[str, Any]], signature: Signature) -> dict[str, Column]:
    features = rows.column("features").to_pylist()
    width = len(signature.inputs)
    sizes = {len(values) for values in features if values is not None}
    if sizes - {width}:
        raise DriftError(f"records must have {width} features like the bundle, but some have {min(sizes - {width})}")
    names = usable(signature)
    if not sizes:
        inputs = [item for item in signature.inputs if item.source == "request" and item.name in names]
        return {item.name: _from_sent(item, sent) for item in inputs if any(item.name in values for values in sent)}
    nothing = [np.nan] * width
    matrix = np.array([nothing if values is None else values for values in features], dtype=np.float64)
    return {
        name: values for name, values in decoded(signature.inputs, matrix.reshape(-1, width)).items() if name in names
    }


def _from_sent(item: Input, sent: Sequence[Mapping[str, Any]]) -> Column:
    try:
        values = encode(item, [row.get(item.name) for row in sent])
    except BundleError as error:
        raise DriftError(f"records do not fit the bundle: {error}") from None
    return decoded([item], values.reshape(-1, 1))[item.name]


def days_of(windows: Sequence[Window]) -> tuple[datetime, datetime]:
    """First and last instant whose days must be read; a day more, for clocks that go wrong."""
    return windows[0].start, windows[-1].end + timedelta(days=1)
