"""From a fitted model to `model.onnx`: one tensor in, one tensor out."""

from typing import TYPE_CHECKING

from fairlead.errors import BundleError
from fairlead.packaging.session import INPUT, OUTPUT
from fairlead.training.candidates import Fitted

if TYPE_CHECKING:
    import onnx


def export(fitted: Fitted) -> bytes:
    """Serialise the graph `features` FP32 [n, d] → `probabilities` FP32 [n, 2].

    The label that converters add is dropped: it costs time. The same model gives the same bytes.

    Raises:
        BundleError: the converter gave no such graph.
    """
    import onnx

    proto = fitted.to_onnx()
    outputs = {output.name: output for output in proto.graph.output}
    if OUTPUT not in outputs or [item.name for item in proto.graph.input] != [INPUT]:
        raise BundleError(f"the exported graph must map {INPUT!r} to {OUTPUT!r}, but has {sorted(outputs)}")
    del proto.graph.output[:]
    proto.graph.output.append(outputs[OUTPUT])
    _name_shape(proto)
    _order_opsets(proto)
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def _name_shape(proto: "onnx.ModelProto") -> None:
    """Say [n, 2], where converters leave it open."""
    shape = proto.graph.output[0].type.tensor_type.shape
    del shape.dim[:]
    shape.dim.add().dim_param = "n"
    shape.dim.add().dim_value = 2
    batch = proto.graph.input[0].type.tensor_type.shape.dim[0]
    batch.dim_param = "n"


def _order_opsets(proto: "onnx.ModelProto") -> None:
    """Converters list them in the order of a set, which differs from process to process."""
    ordered = sorted(proto.opset_import, key=lambda item: item.domain)
    del proto.opset_import[:]
    proto.opset_import.extend(ordered)


def opset(content: bytes) -> int:
    """The version of the standard operators that a graph needs."""
    import onnx

    versions = {item.domain: item.version for item in onnx.load_from_string(content).opset_import}
    return int(versions.get("", versions.get("ai.onnx", 0)) or max(versions.values()))
