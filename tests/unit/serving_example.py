"""A bundle whose score can be computed by hand, its features, and requests for it, good and spoilt."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fairlead.adapters.online_memory import MemoryReader, MemoryView
from fairlead.lineage.digest import hash_file
from fairlead.packaging.bundle import MODEL_FILE, Bundle, write_bundle
from fairlead.packaging.signature import Input, Signature

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEIGHTS = [1.0, 0.01, 0.1, 2.0]
SIGNATURE = Signature(
    inputs=[
        Input(name="carrier", source="request", kind="category", categories=["AA", "UA"]),
        Input(name="distance", source="request", kind="number"),
        Input(name="weather__wind_mph", source="feature", kind="number"),
        Input(name="network__late_share", source="feature", kind="number"),
    ],
    entities=["origin"],
)
FEATURES = MemoryReader(
    views=[
        MemoryView(
            name="weather",
            entities=["origin"],
            features=["wind_mph"],
            ttl=2 * HOUR,
            rows=[
                {"origin": "EWR", "known_at": NOON - HOUR, "wind_mph": 10.0},
                {"origin": 5, "known_at": NOON - HOUR, "wind_mph": 20.0},
            ],
        ),
        MemoryView(name="network", entities=[], features=["late_share"], rows=[{"known_at": NOON, "late_share": 0.5}]),
    ],
    inputs=SIGNATURE.looked_up,
)


def graph(
    width: int = 4, *, name: str = "features", missing: bool = True, kind: int = TensorProto.FLOAT
) -> onnx.GraphProto:
    """`sigmoid(features @ WEIGHTS)`, where missing values count as 0 if `missing` is allowed."""
    constants = {"zero": 0.0, "one": 1.0, "weights": [[weight] for weight in WEIGHTS[:width]]}
    dtype = np.float32 if kind == TensorProto.FLOAT else np.float64
    nodes = [
        helper.make_node("IsNaN", [name], ["unknown"]),
        helper.make_node("Where", ["unknown", "zero", name], ["known"]),
        helper.make_node("MatMul", ["known" if missing else name, "weights"], ["total"]),
        helper.make_node("Sigmoid", ["total"], ["yes"]),
        helper.make_node("Sub", ["one", "yes"], ["no"]),
        helper.make_node("Concat", ["no", "yes"], ["probabilities"], axis=1),
    ]
    return helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info(name, kind, ["n", width])],
        [helper.make_tensor_value_info("probabilities", kind, ["n", 2])],
        [numpy_helper.from_array(np.array(value, dtype=dtype), key) for key, value in constants.items()],
    )


BARE = Signature(
    inputs=[Input(name=name, source="request", kind="number") for name in ("carrier", "distance", "wind", "late")],
    entities=[],
)
"""The same inputs, all of them sent: no feature store is needed."""


def erring_graph(known: int = 4) -> onnx.GraphProto:
    """As `graph`, but a carrier at or above `known` is outside of a table: the runtime fails on that row."""
    sound = graph()
    nodes = [
        helper.make_node("Gather", ["known", "first"], ["carrier"], axis=1),
        helper.make_node("Cast", ["carrier"], ["code"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "code"], ["nothing"], axis=0),
        helper.make_node("Add", ["total", "nothing"], ["sum"]),
    ]
    place = next(number for number, node in enumerate(sound.node) if node.op_type == "Sigmoid")
    behind = list(sound.node)[place:]
    behind[0].input[0] = "sum"
    constants = {"table": np.zeros(known, dtype=np.float32), "first": np.array([0])}
    more = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    whole = [*list(sound.node)[:place], *nodes, *behind]
    return helper.make_graph(whole, "erring", list(sound.input), list(sound.output), [*sound.initializer, *more])


def write(folder: Path, model: onnx.GraphProto | None = None, /, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    proto = helper.make_model(model or graph(), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / MODEL_FILE).write_bytes(proto.SerializeToString())
    content: dict[str, Any] = {
        "model": "flight-delay",
        "description": "Late?",
        "version": "3",
        "task": "binary",
        "candidate": "logistic",
        "signature": SIGNATURE,
        "threshold": 0.75,
        "feature_service": "flight_v1",
        "dataset": "flights",
        "as_of": "2013-10-01T00:00:00Z",
        "tables": {},
        "code_version": "src-0",
        "lock": "lock-none",
        "spec_digest": "0",
        "opset": 17,
        "files": {MODEL_FILE: hash_file(folder / MODEL_FILE)},
    }
    write_bundle(Bundle(**{**content, **changes}), folder)
    return folder


def expected(*values: float) -> float:
    """The score of one row."""
    return float(1 / (1 + np.exp(-np.dot(WEIGHTS, values))))


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def body(**parts: Any) -> dict[str, Any]:
    """A good request of two rows, with its tensors by name and other parts replaced; None takes a tensor out."""
    tensors = {
        "carrier": tensor("carrier", "BYTES", ["UA", "ZZ"]),
        "distance": tensor("distance", "FP32", [100.0, 200.0]),
        "origin": tensor("origin", "BYTES", ["EWR", "LGA"]),
    }
    rest = {"parameters": {"asked_at": NOON.isoformat()}}
    for key, value in parts.items():
        (tensors if key in tensors else rest)[key] = value
    return {"inputs": [value for value in tensors.values() if value], **rest}


SCORES = [expected(1, 100, 10, 0.5), expected(-1, 200, 0, 0.5)]


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("\ud800"))
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["carrier", "distance", "origin", "features"]) | st.text(max_size=3),
        "datatype": st.sampled_from(["BYTES", "FP32", "FP64", "INT64", "BOOL", "FP16"]) | st.text(max_size=4),
        "shape": st.lists(st.integers(-1, 4), max_size=3),
        "data": st.lists(SCALARS, max_size=4) | st.lists(ANYTHING, max_size=3),
    }
)
ALTERED = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=4)},
    optional={
        "id": SCALARS,
        "parameters": st.dictionaries(st.sampled_from(["asked_at", "binary_data_output"]), SCALARS),
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["score", "x"])})),
    },
)


def spoil(column: str) -> st.SearchStrategy[Any]:
    """A good request with one column's values and datatype replaced."""
    return st.builds(
        lambda data, datatype: body(**{column: tensor(column, datatype, data)}),
        st.lists(SCALARS, min_size=2, max_size=2),
        st.sampled_from(["BYTES", "FP32", "INT64"]),
    )
