"""The server that everybody would write. `python -m benchmarks.serving.programs.lean MODEL GRAPH PORT`."""

import sys
from typing import Any

import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

from benchmarks.serving.programs.session import open_session

JSON_LENGTH = "inference-header-content-length"


def application(model: str, graph: str) -> FastAPI:
    """v1 and v2, binary tensors among them, by the shortest way."""
    app, session = FastAPI(), open_session(graph)

    @app.get(f"/v2/models/{model}/ready")
    async def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post(f"/v2/models/{model}/infer")
    async def infer(request: Request) -> Response:
        features, binary = read_tensor(await request.body(), request.headers.get(JSON_LENGTH))
        probabilities = session.run(["probabilities"], {"features": features})[0]
        return answer_tensor(model, probabilities, binary)

    @app.post(f"/v1/models/{model}:predict")
    async def predict(request: Request) -> Response:
        instances = orjson.loads(await request.body())["instances"]
        features = np.array(instances, dtype=np.float32)
        probabilities = session.run(["probabilities"], {"features": features})[0]
        return answer_json({"predictions": probabilities})

    return app


def read_tensor(body: bytes, json_length: str | None) -> tuple[Any, bool]:
    """The only input, and whether it came as bytes."""
    end = len(body) if json_length is None else int(json_length)
    tensor = orjson.loads(body[:end])["inputs"][0]
    if "data" in tensor:
        return np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"]), False
    return np.frombuffer(body, dtype=np.float32, offset=end).reshape(tensor["shape"]), True


def answer_tensor(model: str, values: Any, binary: bool) -> Response:
    """A v2 response with one output, in the form of the request."""
    output: dict[str, Any] = {"name": "probabilities", "shape": values.shape, "datatype": "FP32"}
    if not binary:
        return answer_json({"model_name": model, "outputs": [{**output, "data": values.ravel()}]})
    content = values.tobytes()
    output["parameters"] = {"binary_data_size": len(content)}
    head = orjson.dumps({"model_name": model, "outputs": [output]})
    return Response(head + content, headers={JSON_LENGTH: str(len(head))}, media_type="application/octet-stream")


def answer_json(content: dict[str, Any]) -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(application(*sys.argv[1:3]), host="127.0.0.1", port=int(sys.argv[3]), access_log=False)
