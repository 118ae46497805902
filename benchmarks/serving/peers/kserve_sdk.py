"""KServe's SDK as its documentation shows it."""

from benchmarks.serving.peers._base import Peer, Place, run_program
from benchmarks.serving.subject import VECTOR_MODEL


class KServeSdk(Peer):
    """A `kserve.Model` with a `predict` of its own under `kserve.ModelServer`."""

    name = "KServe SDK"
    remark = "logs each request, as it comes"

    def command(self, place: Place) -> list[str]:
        return run_program("kserve_sdk", VECTOR_MODEL, place.graph, place.port)
