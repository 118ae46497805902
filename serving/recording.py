"""From an answered request to its record: what a server calls once for each request."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead.packaging.bundle import Bundle
from fairlead.packaging.signature import Matrix
from fairlead.records.record import EventEncoder
from fairlead.records.recorder import Recorder


class RequestRecorder:
    """Records the requests of one bundle. Threads may call it at once.

    A server that must not answer without a record lets `SpoolFullError` become a 503 with Retry-After.
    """

    def __init__(self, bundle: Bundle, recorder: Recorder) -> None:
        """Learn what may be recorded of this bundle.

        Raises:
            RecordError: a column is to be pseudonymised, but the environment has no key.
        """
        self._encoder = EventEncoder(bundle, recorder.pseudonyms)
        self._record = recorder.record
        self._threshold = np.float32(bundle.threshold)

    def answered(
        self,
        columns: Mapping[str, Sequence[Any]] | None,
        matrix: Matrix,
        probabilities: Matrix,
        decisions: npt.NDArray[np.bool_] | None,
        request_id: str | None,
        started: float,
        status: int = 200,
        asked_at: datetime | None = None,
        mirrored: bool = False,
    ) -> None:
        """Record a request that got an answer; call it before the answer is sent.

        Args:
            columns: every request column; None where the caller sent the matrix.
            matrix: shape [n, d], float32: what the model saw.
            probabilities: shape [n, 2].
            decisions: shape [n]; None: as the bundle's threshold has it.
            request_id: the caller's id or the server's.
            started: `time.perf_counter()` when the request came.
            status: the HTTP status of the answer.
            asked_at: the instant for which features were looked up, where the caller named one.
            mirrored: the caller gets another server's answer.

        Raises:
            SpoolFullError: there is no room for the record and the policy is to refuse.
            RecordError: a column holds what JSON cannot.
        """
        scores = probabilities[:, 1]
        event = self._encoder.answered(
            request_id=request_id,
            columns=columns,
            matrix=matrix,
            scores=scores,
            decisions=scores >= self._threshold if decisions is None else decisions,
            latency_ms=_milliseconds_since(started),
            status=status,
            asked_at=asked_at,
            mirrored=mirrored,
        )
        self._record(event)

    def failed(self, request_id: str | None, status: int, reason: str, started: float, mirrored: bool = False) -> None:
        """Record a request that was refused or failed.

        Raises:
            SpoolFullError: there is no room for the record and the policy is to refuse.
        """
        latency_ms = _milliseconds_since(started)
        event = self._encoder.failed(
            request_id=request_id, status=status, reason=reason, latency_ms=latency_ms, mirrored=mirrored
        )
        self._record(event)


def _milliseconds_since(started: float) -> float:
    return int((perf_counter() - started) * 1e6) / 1e3
