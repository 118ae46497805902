"""The lean lane: inference over HTTP without the SDK's detours. Whatever it does not understand, the SDK answers.

Where a request of one row spends its time with KServe's own route, about 600 µs: FastAPI's encoder on the response,
NumPy to lists and back twice, pydantic on the request, log lines, timing middleware, and unresolved metric children;
ONNX Runtime needs 10-20 µs of it. Here it is orjson → one array → ONNX Runtime → orjson. Each trick has its reason
beside it. A body that is wrong in any way is `NotForTheLane`: the SDK's route then reads it again and explains.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from fairlead.packaging.signature import Matrix
from serving.columns import LARGEST_NUMBER, Column, check_names, read_asked_at
from serving.ids import new_id
from serving.model import BundleModel, ColumnsModel, VectorModel
from serving.sdk import InvalidInput
from serving.tensors import DATATYPES

FEW_NUMBERS = 256
INLINE_BYTES = 64 * 1024
"""A larger body is read in a thread: reading it here would keep all other connections waiting for a millisecond."""

RAW_DTYPES = {
    "FP16": "<f2", "FP32": "<f4", "FP64": "<f8", "BOOL": "?",
    "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
    "UINT8": "u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8",
}  # fmt: skip
"""Datatype of the v2 protocol → how its bytes are laid out. BYTES has no fixed width and is left to the SDK."""

SCALARS = (str, int, float, bool)


class NotForTheLane(Exception):  # noqa: N818  it is no error: another route answers
    """The lane does not understand the request."""


@dataclass(slots=True)  # not frozen: that costs 1 µs an answer
class Answer:
    """What goes back, and what was scored."""

    body: bytes
    json_length: int | None
    """Where the JSON of a body with binary tensors ends; None: it is JSON to its end."""
    matrix: Matrix
    probabilities: Matrix
    id: str
    columns: Mapping[str, list[Any]] | None
    """What a caller of `<model>` sent."""
    asked_at: datetime | None
    """The instant that the caller named."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path that the lane answers."""

    model: BundleModel
    protocol: str
    """`v1` or `v2`."""
    inline: bool = field(init=False)
    """Whether an answer needs this process's own work only, so that a thread would cost more than it gains."""

    def __post_init__(self) -> None:
        waits = isinstance(self.model, ColumnsModel) and self.model.looks_up
        object.__setattr__(self, "inline", not waits)


def answer(route: Route, body: bytes, json_length: str | None) -> Answer:
    """Answer a request.

    Args:
        route: what was asked.
        body: all of it.
        json_length: the header `inference-header-content-length`, where a v2 body has binary tensors.

    Raises:
        NotForTheLane: ask the SDK's route.
        FeaturesUnavailable: the feature store cannot be read.
    """
    try:
        if route.protocol == "v1":
            return _answer_v1(route.model, orjson.loads(body))
        if json_length is None:
            return _answer_v2(route.model, orjson.loads(body), memoryview(b""))
        end = int(json_length)
        view = memoryview(body)
        return _answer_v2(route.model, orjson.loads(view[:end]), view[end:])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, InvalidInput):
        # JSON that is none, or is not shaped as expected: to say what is wrong is the slow route's work.
        raise NotForTheLane from None


def _answer_v1(model: BundleModel, sent: Any) -> Answer:
    instances, parameters = sent["instances"], sent.get("parameters") or {}
    if len(sent) > 1 + ("parameters" in sent) or type(instances) is not list or not instances:
        raise NotForTheLane
    columns, asked_at = None, None
    if isinstance(model, ColumnsModel):
        columns, asked_at = _columns_of_instances(model, instances), read_asked_at(parameters)
        matrix = model.matrix(columns, asked_at or datetime.now(UTC))
    else:
        assert isinstance(model, VectorModel)
        matrix = _matrix(instances, len(instances), model.width, nested=True)
    probabilities = model.session.probabilities(matrix)
    body = orjson.dumps({"predictions": model.predictions(probabilities)})
    return Answer(body, None, matrix, probabilities, new_id(), columns, asked_at)


def _columns_of_instances(model: ColumnsModel, instances: list[dict[str, Any]]) -> dict[str, list[Any]]:
    width = len(model.columns)
    if any(len(instance) != width for instance in instances):
        raise NotForTheLane
    return model.take(instances)


def _answer_v2(model: BundleModel, sent: Any, raw: memoryview) -> Answer:
    parameters = _parameters(sent)
    given = sent.get("id")
    if given is not None and type(given) is not str:
        raise NotForTheLane
    tensors = _take_bytes(sent["inputs"], raw)
    columns, asked_at = None, None
    if isinstance(model, ColumnsModel):
        check_names(tensors, model.columns, "the request")
        columns, asked_at = _columns_of_tensors(tensors, model.columns), _asked_at(parameters)
        matrix = model.matrix(columns, asked_at or datetime.now(UTC))
    else:
        assert isinstance(model, VectorModel)
        if len(tensors) != 1:
            raise NotForTheLane
        matrix = _vector(tensors["features"], model.width)
    probabilities = model.session.probabilities(matrix)
    name = given or new_id()
    forms = _forms(sent.get("outputs"), parameters, model)
    body, length = _write(model, name, probabilities, forms)
    return Answer(body, length, matrix, probabilities, name, columns, asked_at)


def _parameters(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if type(parameters) is not dict or not all(isinstance(value, SCALARS) for value in parameters.values()):
        raise NotForTheLane
    return parameters


def _asked_at(parameters: Mapping[str, Any]) -> datetime | None:
    return read_asked_at({key: value for key, value in parameters.items() if key != "binary_data_output"})


def _take_bytes(inputs: list[dict[str, Any]], raw: memoryview) -> dict[str, dict[str, Any]]:
    """Tensors by name; those that announce bytes get them, in their order, as `data`."""
    tensors: dict[str, dict[str, Any]] = {}
    position = 0
    for tensor in inputs:
        size = _parameters(tensor).get("binary_data_size") if "parameters" in tensor else None
        if size is not None:
            if type(size) is not int or size < 0 or "data" in tensor:
                raise NotForTheLane
            tensor["data"] = raw[position : position + size]
            position += size
        tensors[tensor["name"]] = tensor
    if position != len(raw) or len(tensors) != len(inputs):
        raise NotForTheLane
    return tensors


def _columns_of_tensors(tensors: Mapping[str, dict[str, Any]], columns: Mapping[str, Column]) -> dict[str, list[Any]]:
    values, rows = {}, None
    for name, column in columns.items():
        tensor = tensors[name]
        shape, data = tensor["shape"], tensor["data"]
        if tensor["datatype"] not in column.datatypes or not _is_column(shape):
            raise NotForTheLane
        if type(data) is not list:
            data = np.frombuffer(data, RAW_DTYPES[tensor["datatype"]]).tolist()
        if len(data) != shape[0] or rows not in (None, shape[0]):
            raise NotForTheLane
        rows = shape[0]
        column.check(data)
        values[name] = data
    return values


def _is_column(shape: Any) -> bool:
    return type(shape) is list and len(shape) == 1 and type(shape[0]) is int and shape[0] > 0


def _vector(tensor: Mapping[str, Any], width: int) -> Matrix:
    shape, data = tensor["shape"], tensor["data"]
    if tensor["datatype"] != "FP32" or len(shape) != 2 or shape[1] != width:
        raise NotForTheLane
    rows = shape[0]
    if type(rows) is not int or rows < 1:
        raise NotForTheLane
    if type(data) is list:
        return _matrix(data, rows, width, nested=False)
    # The bytes as they came: no list, no copy. ONNX Runtime reads from a read-only array.
    return _finite(np.frombuffer(data, "<f4").reshape(rows, width), or_nan=True)


def _matrix(data: list[Any], rows: int, width: int, *, nested: bool) -> Matrix:
    if type(data[0]) is list:
        if len(data) != rows or any(len(row) != width for row in data):
            raise NotForTheLane
        data = list(itertools.chain.from_iterable(data))
    elif nested:
        raise NotForTheLane
    if len(data) != rows * width:
        raise NotForTheLane
    if len(data) > FEW_NUMBERS:
        return _large_matrix(data).reshape(rows, width)
    # Python compares a few numbers sooner than NumPy begins, and a text or a null makes it raise.
    if not (min(data) >= -LARGEST_NUMBER and max(data) <= LARGEST_NUMBER):
        raise NotForTheLane
    return np.array(data, dtype=np.float32).reshape(rows, width)


def _large_matrix(data: list[Any]) -> Matrix:
    array = np.array(data)
    if array.dtype.kind != "f":
        if array.dtype.kind != "i":  # truth values, texts, nulls
            raise NotForTheLane
        array = array.astype(np.float64)  # as the other route: whole numbers are rounded twice
    return _finite(array.astype(np.float32))


def _finite(matrix: Matrix, *, or_nan: bool = False) -> Matrix:
    # One sum in place of a test of each number, 1.5 µs to 5: it is not finite if any of them is not. A sum of large
    # numbers may be infinite too; they take the other route.
    if not math.isfinite(np.add.reduce(matrix, axis=None)) and not (or_nan and not np.isinf(matrix).any()):
        raise NotForTheLane
    return matrix


def _forms(asked: Any, parameters: Mapping[str, Any], model: BundleModel) -> Iterable[tuple[str, bool]]:
    """The outputs to write, in order, and whether as bytes."""
    if not asked and not parameters:
        return model.all_as_json
    binary = bool(parameters.get("binary_data_output", False))
    if not asked:
        return [(name, binary) for name in model.output_names]
    forms = [(item["name"], bool(_parameters(item).get("binary_data", binary))) for item in asked]
    if any(name not in model.output_names for name, _ in forms) or len(dict(forms)) != len(forms):
        raise NotForTheLane
    return forms


def _write(
    model: BundleModel, name: str, probabilities: Matrix, forms: Iterable[tuple[str, bool]]
) -> tuple[bytes, int | None]:
    values = model.outputs(probabilities)
    outputs, raw = [], []
    for output, binary in forms:
        array: npt.NDArray[Any] = values[output]
        entry = {
            "name": output,
            "shape": array.shape,
            "datatype": DATATYPES[array.dtype.char],
            "parameters": None,
        }
        if binary:
            raw.append(array.tobytes())
            entry["parameters"] = {"binary_data_size": len(raw[-1])}
        else:
            # As lists, not by OPT_SERIALIZE_NUMPY: that writes 0.3 where the SDK writes 0.30000001192092896.
            entry["data"] = array.ravel().tolist()
        outputs.append(entry)
    head = orjson.dumps(
        {"model_name": model.name, "model_version": model.version, "id": name, "parameters": None, "outputs": outputs}
    )
    return (b"".join([head, *raw]), len(head)) if raw else (head, None)
