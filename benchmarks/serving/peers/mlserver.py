"""MLServer, in an environment of its own: it wants an older FastAPI than ours."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path

from benchmarks.serving.peers._base import ROOT, Peer, Place
from benchmarks.serving.subject import VECTOR_MODEL

ENVIRONMENT = ROOT / ".bench" / "peers"


class MLServer(Peer):
    """A runtime of our own in its process: faster for small models than its pool of workers."""

    name = "MLServer"
    remark = "parallel_workers 0 and debug off, which suit it best; speaks neither v1 nor binary tensors"
    wires = ("v2 JSON",)

    def missing(self) -> str | None:
        return None if self._program.exists() else "its environment is missing: make .bench/peers/ready"

    def prepare(self, place: Place) -> None:
        settings = {"host": "127.0.0.1", "http_port": place.port, "parallel_workers": 0, "debug": False}
        settings |= {"grpc_port": _free_port(), "metrics_port": _free_port()}
        model = {"name": VECTOR_MODEL, "implementation": "benchmarks.serving.programs.mlserver_runtime.Scorer"}
        model_settings = {**model, "parameters": {"uri": str(place.graph)}}
        (place.folder / "settings.json").write_text(json.dumps(settings))
        (place.folder / "model-settings.json").write_text(json.dumps(model_settings))

    def command(self, place: Place) -> list[str]:
        return [str(self._program), "start", str(place.folder)]

    def environ(self, place: Place) -> Mapping[str, str]:
        return {"PYTHONPATH": str(ROOT)}

    @property
    def _program(self) -> Path:
        return ENVIRONMENT / "bin" / "mlserver"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
