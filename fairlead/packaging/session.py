"""A bundle, opened for scoring: the same for the server, the batch job and the evaluation."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fairlead.errors import BundleError
from fairlead.packaging.bundle import MODEL_FILE, Bundle, load_bundle
from fairlead.packaging.signature import Matrix

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUT = "features"
OUTPUT = "probabilities"
FEW_NUMBERS = 64
FLOAT_TENSOR = "tensor(float)"
"""ONNX Runtime's name for FP32."""


class ScoringSession:
    """A checked bundle and the graph in it; several threads may call it at once."""

    def __init__(self, bundle: Bundle, graph: "InferenceSession") -> None:
        self.bundle = bundle
        # The call that `run` ends in. Before it, `run` looks in Python whether the inputs have the right names and
        # whether another session owns them, a tenth of the time of one row; the names are checked once, when opened.
        self._run = graph._sess.run

    @classmethod
    def open(cls, folder: Path) -> "ScoringSession":
        """Load a bundle and run its graph once.

        Raises:
            BundleError: the files are not those that were packaged, or the graph does not fit the signature.
        """
        bundle = load_bundle(folder)
        if MODEL_FILE not in bundle.files:
            raise BundleError(f"{folder}: {MODEL_FILE} must be among the files, but they are {sorted(bundle.files)}")
        path = folder / MODEL_FILE
        graph = _open_graph(path, bundle.serving.threads)
        _check_declared(graph, len(bundle.signature.inputs), path)
        session = cls(bundle, graph)
        session._check_by_running(path)
        return session

    def probabilities(self, matrix: Matrix) -> Matrix:
        """Probability of no and of yes: shape [n, 2], rows in the order of `matrix`.

        Args:
            matrix: shape [n, d], float32, as `Signature.matrix` makes it; NaN is a missing value.

        Raises:
            BundleError: the matrix is not of that shape or type, or the graph answers a row with no number.
        """
        width = len(self.bundle.signature.inputs)
        if matrix.ndim != 2 or matrix.shape[1] != width or matrix.dtype != np.float32:
            found = f"{matrix.dtype} {list(matrix.shape)}"
            raise BundleError(f"the matrix of {self.bundle.model} must be float32 [n, {width}], but is {found}")
        if not len(matrix):
            return np.empty((0, 2), dtype=np.float32)
        answer: Matrix = self._run([OUTPUT], {INPUT: matrix}, None)[0]
        if answer.shape != (len(matrix), 2):
            raise BundleError(f"output {OUTPUT!r} must be of shape {[len(matrix), 2]}, but is {list(answer.shape)}")
        if not math.isfinite(_total(answer)):  # one sum takes a fifth of the time of a test of each
            finite = np.isfinite(answer).all(axis=1)
            row = int(np.flatnonzero(~finite)[0])
            raise BundleError(f"output {OUTPUT!r} must hold numbers, but row {row} is {answer[row].tolist()}")
        return answer

    def scores(self, matrix: Matrix) -> npt.NDArray[np.float32]:
        """Probability of yes: shape [n]; arguments and errors are those of `probabilities`."""
        return self.probabilities(matrix)[:, 1]

    def decisions(self, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """True where a score reaches the bundle's threshold, both in float32."""
        decided: npt.NDArray[np.bool_] = scores >= np.float32(self.bundle.threshold)
        return decided

    def _check_by_running(self, path: Path) -> None:
        """Score two rows of which nothing is known: a graph may leave its sizes open, or not bear missing values."""
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        signature = self.bundle.signature
        matrix = signature.matrix({name: [None, None] for name in signature.names})
        try:
            self.probabilities(matrix)
        except (BundleError, state.InvalidArgument, state.RuntimeException, state.Fail) as error:
            raise BundleError(f"{path}: fails on two rows of {len(signature.inputs)} missing values: {error}") from None


def _total(answer: Matrix) -> float:
    """The sum of all; of a few numbers Python has it before NumPy begins."""
    if answer.size <= FEW_NUMBERS:
        return sum(answer.ravel().tolist())
    return float(np.add.reduce(answer, axis=None))


def _open_graph(path: Path, threads: int) -> "InferenceSession":
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    unusable = (state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument, state.NotImplemented, state.Fail)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except unusable as error:
        raise BundleError(f"{path}: ONNX Runtime {onnxruntime.__version__} cannot run it: {error}") from None


def _check_declared(graph: "InferenceSession", width: int, path: Path) -> None:
    """Compare what the graph says of itself with what the signature needs; an open size passes here."""
    names = [item.name for item in graph.get_inputs()]
    if names != [INPUT]:
        raise BundleError(f"{path}: the graph must have the one input {INPUT!r}, but has {names}")
    _check_tensor(graph.get_inputs()[0], f"input {INPUT!r}", width, path)
    outputs = {item.name: item for item in graph.get_outputs()}
    if OUTPUT not in outputs:
        raise BundleError(f"{path}: the graph must have the output {OUTPUT!r}, but has {list(outputs)}")
    _check_tensor(outputs[OUTPUT], f"output {OUTPUT!r}", 2, path)


def _check_tensor(found: Any, what: str, width: int, path: Path) -> None:
    if found.type != FLOAT_TENSOR:
        raise BundleError(f"{path}: {what} must be {FLOAT_TENSOR}, but is {found.type}")
    shape = list(found.shape)
    if shape and (len(shape) != 2 or (isinstance(shape[1], int) and shape[1] != width)):
        raise BundleError(f"{path}: {what} must be of shape [n, {width}], but is {shape}")
