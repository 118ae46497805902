"""ONNX Runtime as all peers use it; imports nothing else, for it also runs outside of our environment."""

from pathlib import Path

import onnxruntime


def open_session(graph: str | Path) -> onnxruntime.InferenceSession:
    """A session of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
