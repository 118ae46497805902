"""The servers that are compared, one file each, and the one that only answers a constant."""

from benchmarks.serving.peers._base import Peer, Place
from benchmarks.serving.peers.constant import Constant
from benchmarks.serving.peers.kserve_sdk import KServeSdk
from benchmarks.serving.peers.lean import Lean
from benchmarks.serving.peers.mlflow import MLflow
from benchmarks.serving.peers.mlserver import MLServer
from benchmarks.serving.peers.ours import Ours

OURS, LEAN, KSERVE = Ours(), Lean(), KServeSdk()
CEILING = Constant()
ROSTER: tuple[Peer, ...] = (OURS, LEAN, KSERVE, MLServer(), MLflow())

__all__ = ["CEILING", "KSERVE", "LEAN", "OURS", "ROSTER", "Ours", "Peer", "Place"]
