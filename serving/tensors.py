"""Tensors of the v2 protocol: from requests to checked values, from values to responses."""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead.packaging.signature import Matrix
from fairlead.spec.dataset import did_you_mean
from serving.columns import Column, show
from serving.ids import new_id
from serving.sdk import InferInput, InferOutput, InferRequest, InferResponse, InvalidInput, RequestedOutput

DATATYPES = {"f": "FP32", "?": "BOOL"}
"""NumPy's character of a dtype → datatype of what models answer."""


def by_name(request: InferRequest) -> dict[str, InferInput]:
    """The input tensors of a request.

    Raises:
        InvalidInput: two have the same name.
    """
    tensors: dict[str, InferInput] = {}
    for tensor in request.inputs:
        if tensor.name in tensors:
            raise InvalidInput(f"tensor {tensor.name!r} must appear once, but appears again")
        tensors[tensor.name] = tensor
    return tensors


def read_columns(tensors: Mapping[str, InferInput], columns: Mapping[str, Column]) -> dict[str, list[Any]]:
    """Values of each column: text, whole numbers or numbers, None where missing; all equally long, at least one row.

    Raises:
        InvalidInput: names the tensor, what was expected and what came.
    """
    values = {name: _read_column(tensors[name], column) for name, column in columns.items()}
    first, rows = next((name, len(column)) for name, column in values.items())
    for name, column in values.items():
        if len(column) != rows:
            raise InvalidInput(f"tensor {name!r} must have {rows} rows like {first!r}, but has {len(column)}")
    return values


def _read_column(tensor: InferInput, column: Column) -> list[Any]:
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise InvalidInput(f"tensor {tensor.name!r} must be of shape [n] or [n, 1], but is {shape}")
    check_rows(tensor.name, shape)
    values = [_text(tensor.name, value) for value in _array(tensor).ravel().tolist()]
    if tensor.datatype not in column.datatypes and any(value is not None for value in values):
        expected = " or ".join(column.datatypes)
        raise InvalidInput(f"tensor {tensor.name!r} must be of datatype {expected}, but is {tensor.datatype}")
    column.check(values)
    return values


def read_matrix(tensor: InferInput, width: int) -> Matrix:
    """An FP32 tensor of shape [n, width], n at least 1; a null is NaN.

    Raises:
        InvalidInput: names the tensor, what was expected and what came.
    """
    shape = list(tensor.shape)
    if len(shape) != 2 or shape[1] != width:
        raise InvalidInput(f"tensor {tensor.name!r} must be of shape [n, {width}], but is {shape}")
    check_rows(tensor.name, shape)
    if tensor.datatype != "FP32":
        raise InvalidInput(f"tensor {tensor.name!r} must be of datatype FP32, but is {tensor.datatype}")
    return numbers(_array(tensor), f"tensor {tensor.name!r}").reshape(shape)


def check_rows(name: str, shape: Sequence[int]) -> None:
    """Refuse an empty batch."""
    if shape[0] < 1:
        raise InvalidInput(f"tensor {name!r} must have at least one row, but its shape is {list(shape)}")


def numbers(array: npt.NDArray[Any], where: str) -> Matrix:
    """An array of any shape as float32; None is NaN.

    Raises:
        InvalidInput: names `where`, and the first value that is no finite number, by its place.
    """
    if array.dtype.kind not in "fiub":
        flat = array.ravel().tolist()
        if set(map(type, flat)) != {float}:
            flat = [_number(value, index, where) for index, value in np.ndenumerate(array)]
        array = np.array(flat, dtype=np.float64).reshape(array.shape)
    with np.errstate(over="ignore"):
        result: Matrix = array.astype(np.float32)
    if np.isinf(result).any():
        place = tuple(np.argwhere(np.isinf(result))[0].tolist())
        raise InvalidInput(f"{where} must hold finite FP32 numbers, but {list(place)} is {array[place].item()}")
    return result


def _number(value: Any, index: tuple[int, ...], where: str) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, (int, float)):
        raise InvalidInput(f"{where} must hold numbers, but {list(index)} is {show(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _array(tensor: InferInput) -> npt.NDArray[Any]:
    """The values in the tensor's shape or flat; those that came as JSON are Python's objects still."""
    shape = list(tensor.shape)
    try:
        sent_as_list = isinstance(tensor.data, list) and tensor.data
        array = np.array(tensor.data, dtype=object) if sent_as_list else tensor.as_numpy()
    except (ValueError, TypeError, struct.error) as error:
        expected = f"{math.prod(shape)} values of {tensor.datatype} for its shape {shape}"
        raise InvalidInput(f"tensor {tensor.name!r} must hold {expected}, but: {error}") from None
    if list(array.shape) not in (shape, [math.prod(shape)]):
        found = f"the values are {list(array.shape)}"
        raise InvalidInput(f"tensor {tensor.name!r} must hold values for its shape {shape}, but {found}")
    return array


def _text(name: str, value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"tensor {name!r} must hold UTF-8 text, but holds {show(value)}") from None


def respond(
    request: InferRequest, answers: Mapping[str, npt.NDArray[Any]], model: str, version: str | None
) -> InferResponse:
    """The answer to a request, with its id: all outputs, or those it asks for, in its order.

    Raises:
        InvalidInput: the request asks for an output that does not exist.
    """
    asked = request.request_outputs or [RequestedOutput(name) for name in answers]
    for output in asked:
        if output.name not in answers:
            raise InvalidInput(f"the request asks for the output {output.name!r}" + did_you_mean(output.name, answers))
    binary = bool(request.use_binary_outputs)
    outputs = []
    for output in asked:
        values = answers[output.name]
        # The SDK asks an array for its truth value on its way to gRPC.
        data = values.ravel().tolist() if request.from_grpc else values
        outputs.append(InferOutput(output.name, list(values.shape), DATATYPES[values.dtype.char], data))
    forms = [binary if output.binary_data is None else bool(output.binary_data) for output in asked]
    return InferResponse(
        response_id=request.id or new_id(),
        model_name=model,
        model_version=version,
        infer_outputs=outputs,
        use_binary_outputs=binary,
        requested_outputs=[
            RequestedOutput(output.name, {"binary_data": form}) for output, form in zip(asked, forms, strict=True)
        ],
    )
