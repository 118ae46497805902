"""A constant answer: what the load generator and this machine can do at most."""

from benchmarks.serving.peers._base import Peer, Place, run_program


class Constant(Peer):
    """uvloop and a protocol that counts bytes."""

    name = "constant answer"
    ready_path = "/"
    checked = False

    def command(self, place: Place) -> list[str]:
        return run_program("constant", place.port)
