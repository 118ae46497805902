"""The first days after a model was trained, lived through again: features refreshed on the hour, an answer a flight."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from fairlead.adapters.endpoint import Endpoint
from fairlead.evaluation import bootstrap
from fairlead.evaluation.metrics import roc_auc
from fairlead.features.training_set import ASKED_AT, LABEL, ROW_ID
from fairlead.packaging.session import ScoringSession
from fairlead.report.summary import Replay, ReplayDay, Sample
from fairlead.training.fit import as_columns

if TYPE_CHECKING:
    import pandas as pd

REFRESH = timedelta(hours=1)
SAMPLES = 6


@dataclass(frozen=True)
class Answered:
    """A row and what the endpoint said of it."""

    row: int
    score: float
    decision: bool
    milliseconds: float


def replay(
    rows: "pd.DataFrame",
    session: ScoringSession,
    endpoint: Endpoint,
    publish: Callable[[datetime], None],
    zone: str,
    on_progress: Callable[[int, int], None],
) -> Replay:
    """Ask about every row at its time, and compare with the offline scores of the same rows.

    Args:
        rows: offline rows with their features, in the order of asking.
        session: scores them offline.
        endpoint: is asked with what a caller knows; it looks the rest up.
        publish: brings the online store up to an instant; called before the first request of each hour.
        zone: in which days begin.
        on_progress: rows done, rows in all.

    Raises:
        EndpointError: a request was not answered.
    """
    signature = session.bundle.signature
    matrix = signature.matrix(as_columns(rows, signature))
    offline = session.scores(matrix)
    answers: list[Answered] = []
    for hour, numbers in _by_hour(rows):
        publish(hour)
        answers += [_ask(rows.iloc[number], number, session, endpoint) for number in numbers]
        on_progress(len(answers), len(rows))
    return _judge(rows, matrix, offline, answers, session, zone)


def _by_hour(rows: "pd.DataFrame") -> Iterator[tuple[datetime, list[int]]]:
    hours: dict[datetime, list[int]] = defaultdict(list)
    for number, moment in enumerate(rows[ASKED_AT]):
        hours[moment.floor(REFRESH).to_pydatetime()].append(number)
    yield from sorted(hours.items())


def last_refresh(result: Replay) -> datetime:
    """What the online store knew when the last request of a replay was asked."""
    hours = (result.end - datetime.min.replace(tzinfo=result.end.tzinfo)) // REFRESH
    return datetime.min.replace(tzinfo=result.end.tzinfo) + hours * REFRESH


def _ask(row: "pd.Series[Any]", number: int, session: ScoringSession, endpoint: Endpoint) -> Answered:
    bundle = session.bundle
    answer = endpoint.score(
        bundle.model,
        {name: [value] for name, value in _request(row, session).items()},
        asked_at=row[ASKED_AT].to_pydatetime(),
        request_id=row[ROW_ID],
    )
    return Answered(number, answer.scores[0], answer.decisions[0], answer.milliseconds)


def _request(row: "pd.Series[Any]", session: ScoringSession) -> dict[str, Any]:
    columns = session.bundle.signature.request_columns
    return {name: _plain(row[name]) for name in columns}


def _plain(value: Any) -> Any:
    if value is None or value != value:
        return None
    return value.item() if isinstance(value, np.generic) else value


def _judge(
    rows: "pd.DataFrame", matrix: Any, offline: Any, answers: list[Answered], session: ScoringSession, zone: str
) -> Replay:
    answers = sorted(answers, key=lambda item: item.row)
    scores = np.array([item.score for item in answers])
    local = rows[ASKED_AT].dt.tz_convert(ZoneInfo(zone)).dt.date
    known = rows[LABEL].notna().to_numpy()
    labels = rows[LABEL].to_numpy(np.float64, na_value=np.nan)
    overall = bootstrap(labels[known].astype(int), scores[known], ["roc_auc"], seed=13)["roc_auc"]
    looked_up = [i for i, item in enumerate(session.bundle.signature.inputs) if item.source == "feature"]
    times = np.array([item.milliseconds for item in answers])
    return Replay(
        start=rows[ASKED_AT].min(),
        end=rows[ASKED_AT].max(),
        requests=len(rows),
        answered=len(answers),
        roc_auc=overall.value,
        roc_auc_low=overall.low,
        roc_auc_high=overall.high,
        level=overall.level,
        max_abs_difference=float(np.max(np.abs(scores - offline))),
        features_missing_share=float(np.isnan(matrix[:, looked_up]).mean()) if looked_up else 0.0,
        latency_p50_ms=float(np.quantile(times, 0.5)),
        latency_p99_ms=float(np.quantile(times, 0.99)),
        by_day=tuple(_day(day, (local == day).to_numpy(), known, labels, scores) for day in sorted(local.unique())),
        samples=tuple(_sample(rows, answers[number], session) for number in _spread(len(rows))),
    )


def _day(day: Any, of_day: Any, known: Any, labels: Any, scores: Any) -> ReplayDay:
    some = of_day & known
    return ReplayDay(
        date=day,
        requests=int(of_day.sum()),
        roc_auc=roc_auc(labels[some], scores[some]) if some.any() else None,
        base_rate=float(labels[some].mean()) if some.any() else None,
    )


def _spread(count: int) -> list[int]:
    return sorted({int(number) for number in np.linspace(0, count - 1, min(SAMPLES, count))})


def _sample(rows: "pd.DataFrame", answer: Answered, session: ScoringSession) -> Sample:
    row = rows.iloc[answer.row]
    request = {**_request(row, session), "asked_at": row[ASKED_AT].isoformat()}
    actual = None if row[LABEL] != row[LABEL] or row[LABEL] is None else bool(row[LABEL])
    return Sample(
        request=request, response={"score": round(answer.score, 4), "decision": answer.decision}, actual=actual
    )
