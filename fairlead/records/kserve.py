"""KServe's payload logger: a request and its answer as two CloudEvents, brought together into one record.

The agent beside a model posts both in binary mode with the same id, the body as it was, in any order, and only for
answers of 200 (pkg/logger of kserve/kserve, 0.20). It knows nothing of the model's version: that comes with the
annotations which `spec.predictor.logger.metadataAnnotations` names, or in the answer of a server of the v2 protocol.
"""

import json
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import orjson
from pydantic import ValidationError

from fairlead.errors import RecordError
from fairlead.records.reading import PredictionEvent
from fairlead.records.record import EVENT_TYPE

Side = Literal["request", "response"]
TYPES: Mapping[str, Side] = {
    "org.kubeflow.serving.inference.request": "request",
    "org.kubeflow.serving.inference.response": "response",
}
MODEL_ANNOTATION, VERSION_ANNOTATION = "fairlead.dev/model", "fairlead.dev/version"
ARMS = ("-stable", "-candidate")
VECTOR, TENSOR = "-vector", "features"
"""`<model>-vector` takes one tensor of this name, shape [n, d]."""
SCORES, DECISIONS, PROBABILITIES = ("score", "scores"), ("decision", "decisions"), "probabilities"
LONGEST_ID = 150


@dataclass(frozen=True)
class Payload:
    """One of the two events."""

    key: str
    """The same for both, and for no other pair of the namespace's InferenceService."""
    side: Side
    time: datetime
    model: str
    """As the InferenceService and its annotations name it; an answer of the v2 protocol knows better."""
    version: str | None
    body: bytes


def is_payload(headers: Mapping[str, str]) -> bool:
    """Whether an event in binary mode is one of KServe's logger."""
    return headers.get("ce-type") in TYPES


def read_payload(headers: Mapping[str, str], body: bytes) -> Payload:
    """Read one of the two.

    Args:
        headers: names in small letters.
        body: what the caller sent or got.

    Raises:
        RecordError: an attribute is missing or is not of its form. The body is not looked at.
    """
    needed = ("ce-id", "ce-time", "ce-inferenceservicename")
    missing = next((name for name in needed if not headers.get(name)), None)
    if missing is not None:
        raise RecordError(f"a payload of KServe's logger must have the header {missing}")
    annotations = _annotations(headers.get("ce-annotations", ""))
    service = headers["ce-inferenceservicename"]
    if len(headers["ce-id"]) > LONGEST_ID:
        raise RecordError(f"ce-id must have at most {LONGEST_ID} characters, but has {len(headers['ce-id'])}")
    return Payload(
        key=f"{headers.get('ce-namespace', '')}/{service}/{headers['ce-id']}",
        side=TYPES[headers["ce-type"]],
        time=_instant(headers["ce-time"]),
        model=annotations.get(MODEL_ANNOTATION) or _without(service, ARMS),
        version=annotations.get(VERSION_ANNOTATION) or None,
        body=body,
    )


def to_event(answer: Payload, request: Payload | None, recorded: Mapping[str, Sequence[str]]) -> PredictionEvent:
    """The record of one request, from its two halves.

    The record's id holds the time of the answer: a caller who uses an id again gets another record, an answer that
    comes again does not. How long the model took is not known.

    Args:
        answer: what the caller got.
        request: what the caller sent; None: it never came.
        recorded: model → columns of its requests that may be recorded; `*`: all. Of a model that is not there none
            is, since the logger knows nothing of personal values.

    Raises:
        RecordError: the bodies are of no protocol that is understood, or do not fit each other.
    """
    said = _json(answer.body, "the answer")
    scores, decisions = _scores(said)
    named = str(said.get("model_name") or answer.model)
    asked = {} if request is None else _json(request.body, "the request")
    columns, features = _asked(asked, len(scores))
    model = _without(_without(named, ARMS), (VECTOR,))
    kept = recorded.get(model, ())
    data: dict[str, Any] = {
        "model": model,
        "version": answer.version or said.get("model_version") or None,
        "request_id": answer.key.rpartition("/")[2],
        "rows": len(scores),
        "scores": scores,
        "decisions": decisions,
        "columns": _allowed(columns, kept),
        "asked_at": _asked_at(asked),
        "latency_ms": None,
        "status": 200,
    }
    if features is not None and (TENSOR in kept or "*" in kept):
        data["features"] = b2a_base64(features.tobytes(), newline=False).decode("ascii")
    event = {
        "specversion": "1.0",
        "type": EVENT_TYPE,
        "source": f"/kserve/{answer.key.rpartition('/')[0]}",
        "id": f"kserve/{answer.key}/{answer.time.astimezone(UTC):%Y%m%dT%H%M%S.%f}"[-200:],
        "time": answer.time,
        "data": data,
    }
    try:
        return PredictionEvent.model_validate(event)
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        place = ".".join(map(str, found["loc"]))
        raise RecordError(f"{answer.key}: {place}: {found['msg'].removeprefix('Value error, ')}") from None


def _annotations(text: str) -> Mapping[str, str]:
    try:
        found = json.loads(text) if text else {}
    except json.JSONDecodeError as error:
        raise RecordError(f"ce-annotations must be JSON, but: {error}") from None
    if not isinstance(found, dict):
        raise RecordError(f"ce-annotations must be an object, but is {text[:100]!r}")
    return {str(name): str(value) for name, value in found.items()}


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RecordError(f"a time must be an instant, but is {text[:100]!r}") from None
    if moment.tzinfo is None:
        raise RecordError(f"a time must have an offset from UTC, but is {text!r}")
    return moment


def _without(name: str, suffixes: Sequence[str]) -> str:
    return next((name.removesuffix(suffix) for suffix in suffixes if name.endswith(suffix)), name)


def _json(body: bytes, what: str) -> dict[str, Any]:
    """A body that is JSON, or begins with it: the v2 protocol may send numbers as bytes behind, which cannot be read
    without the header that says where they begin, and that header is not logged.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RecordError(f"{what} must be JSON of the v1 or v2 protocol, but: {error}") from None
    if not isinstance(found, dict):
        raise RecordError(f"{what} must be an object, but is {type(found).__name__}")
    return found


def _scores(said: Mapping[str, Any]) -> tuple[list[float | None], list[bool | None]]:
    """From `predictions` of v1 or `outputs` of v2."""
    if "predictions" in said:
        return _scores_v1(said["predictions"])
    tensors = {str(item.get("name")): item for item in said.get("outputs", []) if isinstance(item, dict)}
    named = next((tensors[name] for name in SCORES if name in tensors), None)
    if named is not None:
        scores = _flat(named)
    elif PROBABILITIES in tensors:
        scores = _positive(tensors[PROBABILITIES])
    else:
        raise RecordError(
            f"the answer must have `predictions`, or an output {SCORES[0]!r} or {PROBABILITIES!r}, but has "
            f"{sorted(tensors) or sorted(said)}"
        )
    decided = next((tensors[name] for name in DECISIONS if name in tensors), None)
    return scores, _decisions(scores, [] if decided is None else _flat(decided))


def _scores_v1(predictions: Any) -> tuple[list[float | None], list[bool | None]]:
    if not isinstance(predictions, list):
        raise RecordError(f"predictions must be a list, but is {type(predictions).__name__}")
    scores: list[Any] = []
    decided: list[Any] = []
    for item in predictions:
        if isinstance(item, dict):
            scores.append(next((item[name] for name in SCORES if name in item), None))
            decided.append(next((item[name] for name in DECISIONS if name in item), None))
        else:  # a number, or the probabilities of both classes
            scores.append(item[-1] if isinstance(item, list) and item else item)
    return scores, _decisions(scores, decided)


def _decisions(scores: Sequence[Any], decided: Sequence[Any]) -> list[bool | None]:
    """As answered; None: the server answers none."""
    if len(decided) != len(scores):
        return [None] * len(scores)
    return [None if value is None else bool(value) for value in decided]


def _flat(tensor: Mapping[str, Any]) -> list[Any]:
    return np.array(tensor.get("data", []), dtype=object).reshape(-1).tolist()


def _positive(tensor: Mapping[str, Any]) -> list[float | None]:
    values = _flat(tensor)
    if tensor.get("shape", [0, 0])[-1] != 2 or len(values) % 2:
        raise RecordError(f"{PROBABILITIES} must be of the shape [n, 2], but is {tensor.get('shape')}")
    return values[1::2]


def _asked_at(request: Mapping[str, Any]) -> datetime | None:
    """The instant for which features were looked up, where the caller named one."""
    parameters = request.get("parameters")
    text = parameters.get("asked_at") if isinstance(parameters, dict) else None
    return _instant(text) if isinstance(text, str) else None


def _asked(request: Mapping[str, Any], rows: int) -> tuple[dict[str, list[Any]] | None, Any]:
    """The columns of a request, or its matrix, shape [n, d]."""
    if "instances" in request:
        return _asked_v1(request["instances"], rows)
    tensors = {str(item.get("name")): item for item in request.get("inputs", []) if isinstance(item, dict)}
    columns = {name: _flat(item) for name, item in tensors.items()}
    if set(columns) == {TENSOR}:
        return None, _matrix(columns[TENSOR], rows)
    return columns or None, None


def _asked_v1(instances: Any, rows: int) -> tuple[dict[str, list[Any]] | None, Any]:
    if isinstance(instances, list) and instances and all(isinstance(item, dict) for item in instances):
        names = dict.fromkeys(name for item in instances for name in item)
        return {name: [item.get(name) for item in instances] for name in names}, None
    flat = np.array(instances, dtype=object).reshape(-1).tolist()
    return None, _matrix(flat, rows)


def _matrix(values: Sequence[Any], rows: int) -> Any:
    try:
        numbers = np.array([np.nan if value is None else value for value in values], dtype="<f4")
    except (ValueError, TypeError):
        raise RecordError(f"{TENSOR} must be numbers") from None
    if rows == 0 or numbers.size % rows:
        raise RecordError(f"{TENSOR} must be a matrix of {rows} rows, but are {numbers.size} numbers")
    return numbers


def _allowed(columns: dict[str, list[Any]] | None, kept: Sequence[str]) -> dict[str, list[Any]] | None:
    if columns is None or "*" in kept:
        return columns
    return {name: values for name, values in columns.items() if name in kept} or None
