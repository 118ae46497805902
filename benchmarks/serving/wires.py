"""Rows as requests and answers as probabilities, in each of the protocols that are compared."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import orjson

from benchmarks.serving.subject import FEATURES, VECTOR_MODEL
from fairlead.packaging.signature import Matrix

JSON_LENGTH = "Inference-Header-Content-Length"
"""Where the JSON of a v2 message ends and its tensors begin."""

Wire = Literal["v2 JSON", "v2 binary", "v1"]


@dataclass(frozen=True)
class Request:
    """A POST."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def encode_v2_json(rows: Matrix) -> Request:
    """The values flat, as Triton's own client sends them."""
    tensor = {"name": "features", "shape": [len(rows), FEATURES], "datatype": "FP32", "data": rows.ravel()}
    return Request(f"/v2/models/{VECTOR_MODEL}/infer", dump({"inputs": [tensor]}))


def encode_v2_binary(rows: Matrix) -> Request:
    """A binary tensor that asks for a binary answer."""
    content = rows.tobytes()
    tensor: dict[str, Any] = {"name": "features", "shape": [len(rows), FEATURES], "datatype": "FP32"}
    tensor |= {"parameters": {"binary_data_size": len(content)}}
    head = dump({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(head))}
    return Request(f"/v2/models/{VECTOR_MODEL}/infer", head + content, headers)


def encode_v1(rows: Matrix) -> Request:
    """A list of lists."""
    return Request(f"/v1/models/{VECTOR_MODEL}:predict", dump({"instances": rows}))


ENCODERS: dict[Wire, Callable[[Matrix], Request]] = {
    "v2 JSON": encode_v2_json,
    "v2 binary": encode_v2_binary,
    "v1": encode_v1,
}


def decode(body: bytes, json_length: str | None) -> Matrix:
    """The probabilities in an answer of v1 or v2, shape [n, 2].

    Args:
        body: all of it.
        json_length: the header `Inference-Header-Content-Length`; None: the answer is JSON to its end.
    """
    end = len(body) if json_length is None else int(json_length)
    answer = orjson.loads(body[:end])
    if "predictions" in answer:
        return np.array(answer["predictions"], dtype=np.float32)
    output = answer["outputs"][0]
    values = np.frombuffer(body[end:], np.float32) if "data" not in output else np.array(output["data"], np.float32)
    return values.reshape(output["shape"])


def dump(content: dict[str, Any]) -> bytes:
    """JSON in which arrays are lists, with as many digits as their floats need."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
