"""The binary tensors of the v2 protocol: JSON first, then the bytes of the tensors it announces."""

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from serving.sdk import (
    INFERENCE_CONTENT_LENGTH_HEADER,
    InferenceRequest,
    InferInput,
    InferRequest,
    InvalidInput,
    RequestedOutput,
    RequestInput,
)


class BadSchema(InvalidInput):
    """A body that is JSON, but no request of the v2 protocol: 422, as the SDK has it; INVALID_ARGUMENT over gRPC."""


class _Input(RequestInput):
    data: list[Any] | None = None


class _Request(InferenceRequest):
    inputs: list[_Input]


def read_binary(body: bytes, json_length: str | None, model: str) -> InferRequest:
    """A request of which some tensors follow its JSON as bytes.

    The SDK's own reader answers most faults with a 500, and turns every tensor into a list.

    Args:
        body: all of it.
        json_length: the header that says where the JSON ends; None: it is JSON to its end.
        model: the model that is asked.

    Raises:
        InvalidInput: names what is wrong, and in which tensor.
    """
    end = _json_end(body, json_length)
    try:
        request = _Request.model_validate_json(body[:end])
    except ValidationError as error:
        problems = error.errors()
        kind = InvalidInput if is_no_json(problems) else BadSchema
        raise kind(explain(problems)) from None
    raw, position = [], end
    for tensor in request.inputs:
        size = _size(tensor)
        if position + size > len(body):
            raise InvalidInput(f"tensor {tensor.name!r} announces {size} bytes, but {len(body) - position} are left")
        raw.append(body[position : position + size] if tensor.data is None else None)
        position += size
    if position != len(body):
        raise InvalidInput(f"the tensors announce {position - end} bytes, but {len(body) - end} follow the JSON")
    return InferRequest(
        model_name=model,
        infer_inputs=[InferInput(item.name, item.shape, item.datatype, item.data) for item in request.inputs],
        request_id=request.id,
        raw_inputs=raw,
        parameters=request.parameters,
        request_outputs=[RequestedOutput(item.name, item.parameters) for item in request.outputs or []],
    )


def _json_end(body: bytes, json_length: str | None) -> int:
    if json_length is None:
        return len(body)
    if not json_length.isdecimal() or int(json_length) > len(body):
        expected = f"a number of bytes up to {len(body)}"
        raise InvalidInput(f"header {INFERENCE_CONTENT_LENGTH_HEADER} must be {expected}, but is {json_length!r}")
    return int(json_length)


def _size(tensor: _Input) -> int:
    """How many bytes belong to a tensor; none where its values are in the JSON."""
    size = (tensor.parameters or {}).get("binary_data_size")
    if (tensor.data is None) == (size is None):
        raise InvalidInput(f"tensor {tensor.name!r} must have either 'data' or the parameter 'binary_data_size'")
    if size is None:
        return 0
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise InvalidInput(f"tensor {tensor.name!r}: 'binary_data_size' must be a number of bytes, but is {size!r}")
    return size


def is_no_json(problems: Iterable[Any]) -> bool:
    """Whether a body fails before its shape is asked for."""
    return any(problem["type"] == "json_invalid" for problem in problems)


def explain(problems: list[Any]) -> str:
    """One line about the first thing that keeps a body from being a v2 request."""
    # A body may also be bytes; that it is not is no news.
    problem = next((item for item in problems if "bytes" not in item["loc"]), problems[0])
    if problem["type"] == "json_invalid":
        return f"the body must be JSON, but is not: {problem.get('ctx', {}).get('error', problem['msg'])}"
    place = ".".join(str(part) for part in problem["loc"] if part not in ("body", "InferenceRequest"))
    return f"the body must be a request of the v2 protocol, but {place or 'it'}: {problem['msg']}"
