"""MLflow's scoring server over the same graph."""

import logging
import sys
from collections.abc import Mapping

import numpy as np
import orjson

from benchmarks.serving.peers._base import Peer, Place
from benchmarks.serving.subject import FEATURES
from benchmarks.serving.wires import Request, Wire, dump
from fairlead.packaging.signature import Matrix


class MLflow(Peer):
    """The application that `mlflow models serve` runs, started without its command line."""

    name = "MLflow"
    remark = "asked in its own JSON, at /invocations"
    ready_path = "/ping"
    wires = ("v2 JSON",)

    def prepare(self, place: Place) -> None:
        if not (place.folder / "model").exists():
            self._save_model(place)

    def _save_model(self, place: Place) -> None:
        import mlflow.onnx
        import onnx
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        logging.getLogger("mlflow").setLevel(logging.ERROR)  # it would like to write down a version of pip
        features = TensorSpec(np.dtype(np.float32), (-1, FEATURES), "features")
        probabilities = TensorSpec(np.dtype(np.float32), (-1, 2), "probabilities")
        mlflow.onnx.save_model(
            onnx.load(place.graph),
            str(place.folder / "model"),
            signature=ModelSignature(Schema([features]), Schema([probabilities])),
            pip_requirements=[],
            onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
        )

    def command(self, place: Place) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(place.port)]
        return [sys.executable, "-m", "uvicorn", *where, "mlflow.pyfunc.scoring_server.app:app"]

    def environ(self, place: Place) -> Mapping[str, str]:
        return {"__pyfunc_model_path__": str(place.folder / "model")}

    def request(self, wire: Wire, rows: Matrix) -> Request | None:
        return Request("/invocations", dump({"inputs": {"features": rows}})) if wire in self.wires else None

    def decode(self, body: bytes, json_length: str | None) -> Matrix:
        return np.array(orjson.loads(body)["predictions"]["probabilities"], dtype=np.float32)
