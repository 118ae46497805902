"""The record of one request, as the bytes of a CloudEvent: what is cheap to write and enough to monitor a model."""

import hashlib
import secrets
import time
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import orjson

from fairlead.errors import RecordError
from fairlead.packaging.bundle import Bundle
from fairlead.packaging.signature import Matrix

EVENT_TYPE = "io.fairlead.prediction.v1"
BATCH_TYPE = "application/cloudevents-batch+json"
HASH_BYTES = 16
"""Of pseudonyms and of the hash over features: enough that no two in a day are the same by chance."""
LONGEST_ERROR = 500
"""Characters kept of the reason of a failure."""
VALUE_IN_REASON = ", but "
"""Reasons state a rule, then what was found instead."""

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NAIVE_UTC


class Pseudonyms:
    """Stands in for personal values: a keyed BLAKE2b in hex, so that records of one person can still be joined."""

    def __init__(self, key: str) -> None:
        self._key = hashlib.blake2b(key.encode(), digest_size=32).digest()

    def of(self, value: Any) -> str | None:
        """The same for a number and for its text; a missing value stays missing."""
        if value is None:
            return None
        text = value if isinstance(value, bytes) else str(value).encode()
        return hashlib.blake2b(text, key=self._key, digest_size=HASH_BYTES).hexdigest()


class EventEncoder:
    """Writes the records of one bundle. Several threads may call it at once; make it after a fork, not before."""

    def __init__(self, bundle: Bundle, pseudonyms: Pseudonyms | None) -> None:
        """Learn what a record of this bundle may hold.

        Raises:
            RecordError: a column is to be pseudonymised, but there is no key.
        """
        rules = {name: bundle.signature.personal.get(name, "keep") for name in bundle.signature.request_columns}
        self._kept = [name for name, rule in rules.items() if rule == "keep"]
        self._hashed = [name for name, rule in rules.items() if rule == "pseudonymise"]
        if self._hashed and pseudonyms is None:
            raise RecordError(
                f"{bundle.model}: records must hold {self._hashed[0]!r} as a pseudonym, but FAIRLEAD_PSEUDONYM_KEY is "
                "not set"
            )
        self._pseudonyms = pseudonyms
        self._policy = bundle.serving.records.features
        personal = {name for name, rule in bundle.signature.personal.items() if rule != "keep"}
        self._blanked = [index for index, name in enumerate(bundle.signature.names) if name in personal]
        self._reasons_hold_values = not personal
        self._ids = count()
        self._head, self._data_head = _heads(bundle)
        self._second: tuple[int, bytes] = (0, b"")

    def answered(
        self,
        *,
        request_id: str | None,
        columns: Mapping[str, Sequence[Any]] | None,
        matrix: Matrix,
        scores: npt.NDArray[np.float32],
        decisions: npt.NDArray[np.bool_],
        latency_ms: float,
        status: int = 200,
        asked_at: datetime | None = None,
        mirrored: bool = False,
    ) -> bytes:
        """The event of a request that got an answer.

        Args:
            request_id: the caller's or the server's id of the request.
            columns: every one of `Signature.request_columns`; None where the caller sent the matrix itself.
            matrix: shape [n, d], float32: what the model saw.
            scores: shape [n].
            decisions: shape [n].
            latency_ms: from the request's arrival until now.
            status: the HTTP status of the answer.
            asked_at: the instant for which features were looked up, where the caller named one.
            mirrored: the caller got another server's answer.

        Raises:
            RecordError: a column holds what JSON cannot.
        """
        data: dict[str, Any] = {
            "request_id": request_id,
            "rows": len(matrix),
            "scores": scores.tolist(),
            "decisions": decisions.tolist(),
            "latency_ms": latency_ms,
            "status": status,
        }
        if columns is not None:
            data["columns"] = self._allowed(columns)
        if asked_at is not None:
            data["asked_at"] = asked_at
        if mirrored:
            data["mirrored"] = True
        return self._event(data, self._features(matrix))

    def failed(
        self, *, request_id: str | None, status: int, reason: str, latency_ms: float, mirrored: bool = False
    ) -> bytes:
        """The event of a request that was refused or failed.

        Reasons quote values. Where the bundle has personal columns, only the rule is kept of a reason.
        """
        error = reason if self._reasons_hold_values else reason.partition(VALUE_IN_REASON)[0]
        error = error[:LONGEST_ERROR].encode(errors="replace").decode()
        data = {"request_id": request_id, "rows": 0, "latency_ms": latency_ms, "status": status, "error": error}
        if mirrored:
            data["mirrored"] = True
        return self._event(data, b"}")

    def _allowed(self, columns: Mapping[str, Sequence[Any]]) -> Mapping[str, Any]:
        if len(columns) == len(self._kept) and type(columns) is dict:  # nothing is left out, nothing is hashed
            return columns
        allowed: dict[str, Any] = {name: columns[name] for name in self._kept}
        if self._hashed and self._pseudonyms is not None:
            for name in self._hashed:
                allowed[name] = [self._pseudonyms.of(value) for value in columns[name]]
        return allowed

    def _features(self, matrix: Matrix) -> bytes:
        """The last part of an event's data; base64 and hex need no escaping in JSON."""
        if self._policy == "none":
            return b"}"
        if self._blanked:
            matrix = matrix.copy()
            matrix[:, self._blanked] = np.nan
        if self._policy == "values":
            return b',"features":"%s"}' % b2a_base64(matrix.tobytes(), newline=False)
        return (
            b',"features_hash":"%s"}' % hashlib.blake2b(matrix.tobytes(), digest_size=HASH_BYTES).hexdigest().encode()
        )

    def _event(self, data: dict[str, Any], features: bytes) -> bytes:
        try:
            tail = orjson.dumps(data, _plain, _OPTIONS)
        except orjson.JSONEncodeError as error:
            raise RecordError(f"a record must be JSON, but {error}; request {data['request_id']!r}") from None
        seconds = time.time()
        whole = int(seconds)
        known, text = self._second
        if known != whole:  # the calendar is asked once a second
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)).encode()
            self._second = (whole, text)
        return b'%s%d","time":"%s.%06dZ","data":%s%s%s}' % (
            self._head,
            next(self._ids),
            text,
            (seconds - whole) * 1e6,
            self._data_head,
            tail[1:-1],
            features,
        )


def _heads(bundle: Bundle) -> tuple[bytes, bytes]:
    """What every event of a bundle begins with, up to its number; and what its data begins with."""
    source = f"/models/{quote(bundle.model, safe='')}"
    if bundle.version is not None:
        source += f"/{quote(bundle.version, safe='')}"
    attributes = {
        "specversion": "1.0",
        "type": EVENT_TYPE,
        "source": source,
        "datacontenttype": "application/json",
        "id": f"{secrets.token_hex(10)}-",
    }
    data = orjson.dumps({"model": bundle.model, "version": bundle.version})
    return orjson.dumps(attributes)[:-2], data[:-1] + b","


def _plain(value: Any) -> Any:
    """What orjson does not know of the values that a request's columns may hold."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    raise TypeError(f"holds {type(value).__name__}")
