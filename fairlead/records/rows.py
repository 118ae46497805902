"""Records as rows of a table: one a prediction, one for each request that failed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from fairlead.records.reading import PredictionEvent

SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # <event id>/<row>
        ("event_id", pa.string()),
        ("row", pa.int32()),
        ("day", pa.date32()),  # of `time`, in UTC: the partition
        ("time", pa.timestamp("us", tz="UTC")),  # of the answer
        ("received_at", pa.timestamp("us", tz="UTC")),
        ("asked_at", pa.timestamp("us", tz="UTC")),
        ("version", pa.string()),
        ("request_id", pa.string()),
        ("rows", pa.int32()),  # predictions in the same answer; 0: failed
        ("columns", pa.string()),  # JSON: what the caller sent for this row
        ("features", pa.list_(pa.float32())),  # in the order of the bundle's signature
        ("features_hash", pa.string()),
        ("score", pa.float64()),
        ("decision", pa.bool_()),
        ("latency_ms", pa.float64()),  # of the whole request
        ("status", pa.int32()),
        ("error", pa.string()),
        ("mirrored", pa.bool_()),  # the caller got another server's answer
    ]
)


def to_table(events: Sequence[PredictionEvent], received_at: datetime) -> pa.Table:
    """All predictions of all events, in their order."""
    rows = [row for event in events for row in _rows(event, received_at.astimezone(UTC))]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _rows(event: PredictionEvent, received_at: datetime) -> list[dict[str, Any]]:
    data = event.data
    shared = {
        "event_id": event.id,
        "day": event.time.date(),
        "time": event.time,
        "received_at": received_at,
        "asked_at": data.asked_at,
        "version": data.version,
        "request_id": data.request_id,
        "rows": data.rows,
        "features_hash": data.features_hash,
        "latency_ms": data.latency_ms,
        "status": data.status,
        "error": data.error,
        "mirrored": data.mirrored,
    }
    if data.rows == 0:
        return [{**shared, "id": f"{event.id}/0", "row": 0}]
    matrix = data.matrix()
    return [
        {
            **shared,
            "id": f"{event.id}/{row}",
            "row": row,
            "columns": _columns(data.columns, row),
            "features": None if matrix is None else matrix[row],
            "score": np.nan if data.scores[row] is None else data.scores[row],
            "decision": data.decisions[row],
        }
        for row in range(data.rows)
    ]


def _columns(columns: dict[str, list[Any]] | None, row: int) -> str | None:
    if columns is None:
        return None
    return orjson.dumps({name: values[row] for name, values in columns.items()}).decode()
