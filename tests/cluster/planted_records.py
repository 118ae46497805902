"""Records of a week as servers would have sent them, of flights that took place, with a change planted."""

import base64
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fairlead.drift.reference import AT
from fairlead.packaging.bundle import REFERENCE_FILE, load_bundle
from fairlead.packaging.signature import Signature

KEY = ["year", "month", "day", "carrier", "flight", "origin"]
SENT = ["carrier", "origin", "dest", "tailnum"]
HOURS_OF_WEEK = 24 * 7


def events(
    bundle: Path, version: str, flights: pd.DataFrame, first: date, days: int, changed: str
) -> list[dict[str, Any]]:
    """A CloudEvent a flight. Its features are those of a training row of the same hour of the week, but for one input
    that is half as large again; its score knows something of the label.

    Args:
        bundle: folder of the version that answered.
        flights: rows of the clean table, with their labels.
        first: first day, UTC.
        changed: a number among the inputs.
    """
    signature = load_bundle(bundle).signature
    reference = pq.read_table(bundle / REFERENCE_FILE).to_pandas()
    reference[changed] *= 1.5
    draw = np.random.default_rng(7)
    by_hour = reference.groupby(_hour_of_week(reference[AT])).indices
    moments = pd.to_datetime(flights["scheduled_departure"], utc=True).dt.tz_localize(None)
    begin = pd.Timestamp(first)
    inside = (moments >= begin) & (moments < begin + timedelta(days=days)) & flights["arrived_late"].notna()
    chosen = flights[inside].assign(at=moments[inside])
    found = []
    for flight, hour in zip(chosen.to_dict("records"), _hour_of_week(chosen["at"]), strict=True):
        if hour in by_hour:
            row = reference.iloc[draw.choice(by_hour[hour])]
            score = 0.2 + 0.3 * float(flight["arrived_late"]) + 0.5 * draw.random()
            found.append(_event(version, flight, _features(row, signature), score))
    return found


def _hour_of_week(moments: "pd.Series[Any]") -> Any:
    return (moments.to_numpy().astype("datetime64[h]").astype(np.int64) % HOURS_OF_WEEK).tolist()


def _features(row: "pd.Series[Any]", signature: Signature) -> str:
    values = np.array([row.get(name, np.nan) for name in signature.names], dtype="<f4")  # personal ones are not kept
    return base64.b64encode(values.tobytes()).decode()


def _event(version: str, flight: dict[str, Any], features: str, score: float) -> dict[str, Any]:
    key = "-".join(str(flight[name]) for name in KEY)
    return {
        "specversion": "1.0",
        "type": "io.fairlead.prediction.v1",
        "source": "/tests",
        "id": key,
        "time": f"{flight['at'].isoformat()}Z",
        "data": {
            "model": "flight-delay",
            "version": version,
            "request_id": key,
            "rows": 1,
            "columns": {name: [flight[name]] for name in SENT},
            "features": features,
            "scores": [score],
            "decisions": [score >= 0.5],
            "latency_ms": 1.0,
            "status": 200,
        },
    }


def send(collector: str, planted: list[dict[str, Any]]) -> None:
    """In batches, as a server's spool is delivered."""
    for batch in _pieces(planted, 500):
        content = {"content-type": "application/cloudevents-batch+json"}
        answer = httpx.post(collector, json=batch, headers=content, timeout=60, trust_env=False)
        assert answer.is_success, f"{answer.status_code}: {answer.text}"


def _pieces(items: list[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    return (items[start : start + size] for start in range(0, len(items), size))
