"""Clients that are not ours: Triton's, over HTTP and gRPC."""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.local.test_serving import COLUMNS, SCORES, free_port, write
from tests.local.test_workers import serving

pytestmark = pytest.mark.foreign
"""In a process of their own: Triton's messages and KServe's have the same names, and protobuf takes only one."""

Protocol = Any
"""Of tritonclient's two modules, which have the same names."""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    root, port = tmp_path_factory.mktemp("models"), free_port()
    for version in ("2", "3"):
        write(root / "flight-delay" / version, version=version)
    words = ["--bundle", str(root), "--versions", "all", "--grpc-port", str(port)]
    with serving(root / "log", *words) as running:
        yield {
            "tritonclient.http": running.url.removeprefix("http://"),
            "tritonclient.grpc": f"127.0.0.1:{port}",
        }


@pytest.fixture(params=["tritonclient.http", "tritonclient.grpc"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return importlib.import_module(request.param)


@pytest.fixture
def client(protocol: Protocol, addresses: dict[str, str]) -> Iterator[Any]:
    with protocol.InferenceServerClient(addresses[protocol.__name__]) as client:
        yield client


def inputs(protocol: Protocol, columns: dict[str, Any], *, binary: bool | None = None) -> list[Any]:
    tensors = []
    for name, values in columns.items():
        array = np.array(values, dtype=object) if isinstance(values[0], str) else np.array(values)
        kind = {"O": "BYTES", "f": "FP32", "d": "FP64", "l": "INT64", "i": "INT32"}[array.dtype.char]
        tensor = protocol.InferInput(name, list(array.shape), kind)
        tensor.set_data_from_numpy(array, **({} if binary is None else {"binary_data": binary}))
        tensors.append(tensor)
    return tensors


def refusal() -> type[Exception]:
    """What Triton's clients raise."""
    found: type[Exception] = importlib.import_module("tritonclient.utils").InferenceServerException
    return found


KNOWN = {"carrier": ["UA", "AA"], "distance": np.array([2, -3], dtype=np.float32), "tailnum": ["N1", "N2"]}


def test_the_server_and_its_models_are_live_and_ready(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("flight-delay")
    assert client.is_model_ready("flight-delay-vector", "2")


def test_metadata_names_tensors_and_the_version(client: Any, protocol: Protocol) -> None:
    plain = (lambda message: message) if protocol.__name__ == "tritonclient.http" else _as_dict
    metadata = plain(client.get_model_metadata("flight-delay"))
    assert (metadata["name"], list(metadata["versions"])) == ("flight-delay", ["3"])
    assert [item["name"] for item in metadata["inputs"]] == list(COLUMNS)
    older = plain(client.get_model_metadata("flight-delay", "2"))
    assert (older["name"], list(older["versions"])) == ("flight-delay", ["2"])


def _as_dict(message: Any) -> dict[str, Any]:
    return {
        "name": message.name,
        "versions": message.versions,
        "inputs": [{"name": item.name} for item in message.inputs],
    }


@pytest.mark.parametrize("version", ["", "2", "3"])
def test_columns_are_scored_and_the_id_comes_back(client: Any, protocol: Protocol, version: str) -> None:
    result = client.infer("flight-delay", inputs(protocol, KNOWN), model_version=version, request_id="mine")
    assert result.as_numpy("score") == pytest.approx(SCORES[:2])
    assert result.as_numpy("decision").tolist() == [True, False]
    response = result.get_response()
    told = response if isinstance(response, dict) else {"id": response.id, "model_version": response.model_version}
    assert (told["id"], told["model_version"]) == ("mine", version or "3")


@pytest.mark.parametrize(
    "dtype",
    [
        np.float16,
        np.float32,
        np.float64,
        np.int8,
        np.int16,
        np.int32,
        np.int64,
        np.uint8,
        np.uint16,
        np.uint32,
        np.uint64,
        bool,
    ],
)
def test_a_number_may_come_in_any_datatype(client: Any, protocol: Protocol, dtype: Any) -> None:
    array = np.array([1, 0]).astype(dtype)
    tensors = inputs(protocol, {key: value for key, value in KNOWN.items() if key != "distance"})
    tensor = protocol.InferInput(
        "distance", [2], importlib.import_module("tritonclient.utils").np_to_triton_dtype(array.dtype)
    )
    tensor.set_data_from_numpy(array)
    scores = client.infer("flight-delay", [*tensors, tensor]).as_numpy("score")
    assert scores == pytest.approx([1 / (1 + np.exp(-2)), 0.5])


def test_only_the_outputs_that_are_asked_for_come(client: Any, protocol: Protocol) -> None:
    asked = [protocol.InferRequestedOutput("decision")]
    result = client.infer("flight-delay", inputs(protocol, KNOWN), outputs=asked)
    assert result.as_numpy("decision").tolist() == [True, False]
    assert result.as_numpy("score") is None


@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "JSON"])
@pytest.mark.parametrize("back", [True, False], ids=["bytes back", "JSON back"])
def test_a_vector_goes_and_comes_as_bytes_or_as_json(addresses: Any, binary: bool, back: bool) -> None:
    http = importlib.import_module("tritonclient.http")
    matrix = np.array([[1, 2], [0, np.nan if binary else -3.0]], dtype=np.float32)
    with http.InferenceServerClient(addresses[http.__name__]) as client:
        result = client.infer(
            "flight-delay-vector",
            inputs(http, {"features": matrix}, binary=binary),
            outputs=[http.InferRequestedOutput("probabilities", binary_data=back)],
        )
    expected = [1 / (1 + np.exp(-3)), 0.5 if binary else 1 / (1 + np.exp(3))]
    assert result.as_numpy("probabilities")[:, 1] == pytest.approx(expected)


def test_a_mistake_is_told_with_its_tensor(client: Any, protocol: Protocol) -> None:
    wrong = {**KNOWN, "carrier": np.array([1, 2], dtype=np.int64)}
    with pytest.raises(refusal(), match="tensor 'carrier' must be of datatype BYTES, but is INT64"):
        client.infer("flight-delay", inputs(protocol, wrong))


@pytest.mark.parametrize(("model", "version"), [("nobody", ""), ("flight-delay", "7")])
def test_an_unknown_model_or_version_is_told(client: Any, protocol: Protocol, model: str, version: str) -> None:
    with pytest.raises(refusal(), match="does not exist"):
        client.infer(model, inputs(protocol, KNOWN), model_version=version)


@pytest.mark.parametrize("name", ["flight-delay", "flight-delay@2"])
def test_models_are_loaded_and_unloaded(client: Any, name: str) -> None:
    model, _, version = name.partition("@")
    client.unload_model(name)
    assert not _is_ready(client, model, version)
    client.load_model(name)
    assert _is_ready(client, model, version)


def test_an_unknown_model_is_not_loaded(client: Any) -> None:
    with pytest.raises(refusal(), match="nobody"):
        client.load_model("nobody")


def _is_ready(client: Any, model: str, version: str) -> bool:
    try:
        return bool(client.is_model_ready(model, version))
    except refusal():
        return False
