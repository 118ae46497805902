"""The server that everybody would write: FastAPI, orjson, NumPy and ONNX Runtime."""

from benchmarks.serving.peers._base import Peer, Place, run_program
from benchmarks.serving.subject import VECTOR_MODEL


class Lean(Peer):
    """No checks, no metrics, no access log."""

    name = "lean FastAPI"
    remark = "checks, counts and logs nothing"

    def command(self, place: Place) -> list[str]:
        return run_program("lean", VECTOR_MODEL, place.graph, place.port)
