"""KServe's SDK as it comes. `python -m benchmarks.serving.programs.kserve_sdk MODEL GRAPH PORT`."""

import sys
from typing import Any

import numpy as np

from benchmarks.serving.programs.session import open_session

_arguments, sys.argv = sys.argv, sys.argv[:1]  # the SDK reads them when it is imported

from kserve import InferRequest, InferResponse, Model, ModelServer  # noqa: E402
from kserve.utils.utils import get_predict_response  # noqa: E402


class Scorer(Model):
    """What the documentation's examples are: `load` and `predict`."""

    def __init__(self, name: str, graph: str) -> None:
        super().__init__(name)
        self._graph = graph

    def load(self) -> bool:
        self._session = open_session(self._graph)
        self.ready = True
        return self.ready

    def predict(
        self, payload: dict[str, Any] | InferRequest, headers: dict[str, str] | None = None
    ) -> dict[str, Any] | InferResponse:
        if isinstance(payload, InferRequest):
            features = payload.inputs[0].as_numpy()
        else:
            features = np.array(payload["instances"], dtype=np.float32)
        probabilities = self._session.run(["probabilities"], {"features": features})[0]
        return get_predict_response(payload, probabilities, self.name)


class LoopbackServer(ModelServer):
    """The SDK's server listens on all interfaces and has no option for it."""

    async def _serve(self) -> None:
        self._rest_server.config.host = "127.0.0.1"
        await super()._serve()


if __name__ == "__main__":
    name, graph, port = _arguments[1:]
    model = Scorer(name, graph)
    model.load()
    LoopbackServer(http_port=int(port), enable_grpc=False).start([model])
