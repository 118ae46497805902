"""The watch of a champion: what its records, and the labels that have arrived, say on an evening."""

from binascii import b2a_base64
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.drift.novelty import WINDOW, Known
from fairlead.features.training_set import ASKED_AT, ROW_ID
from fairlead.packaging.session import ScoringSession
from fairlead.packaging.signature import Matrix
from fairlead.performance.decay import Decay, decay
from fairlead.performance.labels import join, predictions_of
from fairlead.ports import RecordStore
from fairlead.records.reading import PredictionData, PredictionEvent
from fairlead.records.record import EVENT_TYPE
from fairlead.replay.learn import Trained
from fairlead.replay.year import Year
from fairlead.retraining.signals import Signals
from fairlead.spec import ModelSpec
from fairlead.training.splits import midnight

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SECONDS_TO_ANSWER = 0.002


class Watch:
    """Looks at one champion."""

    def __init__(self, year: Year, model: ModelSpec, champion: Trained, records: RecordStore) -> None:
        self._year, self._model, self._champion, self._records = year, model, champion, records
        self._known = Known.of(champion.folder)
        self._learnt = year.new_labels(datetime.min.replace(tzinfo=UTC), champion.as_of)

    def look(self, now: datetime) -> Signals:
        """What is to be seen by an instant; nothing of later."""
        spec = self._model.performance
        since = now - max(spec.window, WINDOW)
        rows = self._records.read(self._model.name, since.date(), now.date())
        return Signals(
            at=now,
            version=self._champion.version,
            decay=self._decay(rows, now),
            novelty=self._known.novelty(rows, self._champion.version, now),
            labels=self._year.new_labels(datetime.min.replace(tzinfo=UTC), now),
            learnt=self._learnt,
        )

    def _decay(self, rows: "pa.Table", now: datetime) -> Decay | None:
        spec = self._model.performance
        joined = join(predictions_of(rows), self._year.labels_by(now), now, spec.longest_delay)
        known = joined.known(self._champion.version)
        known = known[known["asked_at"] >= now - spec.window]
        return decay(
            known["label"].to_numpy(np.float64), known["score"].to_numpy(np.float64), spec.decay, spec.least_rows
        )


def events(rows: "pd.DataFrame", session: ScoringSession, matrix: Matrix, scores: Any) -> list[PredictionEvent]:
    """The records of a day's requests, one a row, as the server would have written them at the time of asking."""
    bundle = session.bundle
    kept = [name for name in bundle.signature.request_columns if bundle.signature.personal.get(name, "keep") == "keep"]
    columns = rows[kept].astype(object).where(rows[kept].notna(), None).to_dict("records")
    decisions = session.decisions(scores)
    return [
        PredictionEvent(
            specversion="1.0",
            type=EVENT_TYPE,
            source=f"/models/{bundle.model}/{bundle.version}",
            id=f"{bundle.version}/{identifier}",
            time=moment.to_pydatetime() + timedelta(seconds=SECONDS_TO_ANSWER),
            data=PredictionData(
                model=bundle.model,
                version=bundle.version,
                request_id=identifier,
                rows=1,
                columns={name: [value] for name, value in sent.items()},
                features=b2a_base64(vector.tobytes(), newline=False).decode("ascii"),
                scores=[float(score)],
                decisions=[bool(decision)],
                latency_ms=SECONDS_TO_ANSWER * 1000,
                status=200,
                asked_at=moment.to_pydatetime(),
            ),
        )
        for identifier, moment, sent, vector, score, decision in zip(
            rows[ROW_ID], rows[ASKED_AT], columns, matrix, scores, decisions, strict=True
        )
    ]


def evening(day: date, year: Year) -> datetime:
    """The end of a day: when the watch looks."""
    return midnight(day + timedelta(days=1), year.timezone)
