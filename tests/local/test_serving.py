"""The server as it runs: a process of its own, asked over real connections."""

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from fairlead.adapters.endpoint import Endpoint, serve_in_background
from fairlead.errors import EndpointError
from fairlead.packaging.signature import Input, Signature
from tests.unit.serving_example import BARE, erring_graph
from tests.unit.serving_example import write as write_example

REPO = Path(__file__).resolve().parents[2]
SIGNATURE = Signature(
    inputs=[
        Input(name="carrier", source="request", kind="category", categories=["AA", "UA"]),
        Input(name="distance", source="request", kind="number"),
    ],
    entities=["tailnum"],
)
COLUMNS = {"carrier": ["UA", "AA", None], "distance": [2.0, -3.0, float("nan")], "tailnum": ["N1", None, "N2"]}
SCORES = [1 / (1 + np.exp(-total)) for total in (1 + 2, 0 - 3, -1 + 0)]


def write(folder: Path, **changes: Any) -> Path:
    """A bundle whose score is `sigmoid(carrier's code + distance)`, where a missing distance counts as 0."""
    constants = {"zero": 0.0, "one": 1.0, "weights": [[1.0], [1.0]]}
    nodes = [
        helper.make_node("IsNaN", ["features"], ["unknown"]),
        helper.make_node("Where", ["unknown", "zero", "features"], ["known"]),
        helper.make_node("MatMul", ["known", "weights"], ["total"]),
        helper.make_node("Sigmoid", ["total"], ["yes"]),
        helper.make_node("Sub", ["one", "yes"], ["no"]),
        helper.make_node("Concat", ["no", "yes"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.array(value, dtype=np.float32), key) for key, value in constants.items()],
    )
    defaults = {"signature": SIGNATURE, "threshold": 0.5}
    return write_example(folder, graph, **{**defaults, **changes})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def grpc_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serving")


@pytest.fixture(scope="module")
def endpoint(folder: Path, grpc_port: int) -> Iterator[Endpoint]:
    bundles = [write(folder / "flight-delay" / "3"), write(folder / "other" / "1", model="other", version="1")]
    log = folder / "server.log"
    with serve_in_background(bundles, log, feature_store="none", grpc_port=grpc_port) as running:
        yield running
    # Here it has had SIGTERM, and has ended with 0: another code would have been raised.
    assert log.read_text() == f"serving flight-delay@3, other@1 on {running.url}\n", "nothing else is said"


@pytest.fixture(scope="module")
def http(endpoint: Endpoint) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=endpoint.url, trust_env=False) as client:
        yield client


def test_the_endpoint_scores_columns(endpoint: Endpoint) -> None:
    answer = endpoint.score("flight-delay", COLUMNS, request_id="request-7")
    assert answer.scores == pytest.approx(SCORES)
    assert answer.decisions == [True, False, False]
    assert answer.id == "request-7"


def test_numbers_may_come_as_numpy_scalars_and_whole_numbers(endpoint: Endpoint) -> None:
    columns = {"carrier": ["UA"], "distance": list(np.array([2])), "tailnum": [14228]}
    assert endpoint.score("flight-delay", columns).scores == pytest.approx(SCORES[:1])


def test_several_bundles_answer_beside_each_other(endpoint: Endpoint) -> None:
    assert endpoint.score("other", COLUMNS).scores == pytest.approx(SCORES)


def test_the_endpoint_tells_status_and_reason_of_a_refusal(endpoint: Endpoint) -> None:
    columns = {**COLUMNS, "distance": ["far", "near", None]}
    with pytest.raises(
        EndpointError, match=r"flight-delay answered 400: tensor 'distance' must be of datatype FP32 or"
    ):
        endpoint.score("flight-delay", columns)
    with pytest.raises(EndpointError, match=r"nobody answered 404: .*nobody"):
        endpoint.score("nobody", COLUMNS)


def test_both_names_are_ready_and_an_unknown_one_is_not(endpoint: Endpoint, http: httpx.Client) -> None:
    for model in ("flight-delay", "flight-delay-vector"):
        endpoint.wait_ready(model, timeout_seconds=30)
        assert http.get(f"/v2/models/{model}/ready").json() == {"name": model, "ready": True}
    with pytest.raises(EndpointError, match=r"nobody must be ready within 0\.2 s, but: 404"):
        endpoint.wait_ready("nobody", timeout_seconds=0.2)


def test_metadata_states_the_version_that_answers(http: httpx.Client) -> None:
    metadata = http.get("/v2/models/flight-delay").json()
    assert (metadata["name"], metadata["versions"]) == ("flight-delay", ["3"])
    assert [item["name"] for item in metadata["inputs"]] == ["carrier", "distance", "tailnum"]


def test_binary_tensors_go_in_and_come_out(http: httpx.Client) -> None:
    matrix = np.array([[1, 2], [0, -3]], dtype="<f4").tobytes()
    sent = {"name": "features", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(matrix)}}
    head = json.dumps({"id": "b", "inputs": [sent], "parameters": {"binary_data_output": True}}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    answer = http.post("/v2/models/flight-delay-vector/infer", content=head + matrix, headers=headers)
    assert answer.status_code == 200, answer.text
    end = int(answer.headers["inference-header-content-length"])
    output = json.loads(answer.content[:end])["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [2, 2])
    assert np.frombuffer(answer.content[end:], dtype="<f4")[1::2].tolist() == pytest.approx(SCORES[:2])


def test_binary_columns_of_text_are_understood_beside_columns_in_json(http: httpx.Client) -> None:
    text = b"".join(struct.pack("<I", len(word)) + word for word in (b"UA", b"AA"))
    inputs = [
        {"name": "carrier", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(text)}},
        {"name": "distance", "shape": [2], "datatype": "FP32", "data": [2, -3]},
        {"name": "tailnum", "shape": [2], "datatype": "BYTES", "data": ["N1", None]},
    ]
    outputs = [{"name": "decision", "parameters": {"binary_data": True}}, {"name": "score"}]
    head = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    answer = http.post("/v2/models/flight-delay/infer", content=head + text, headers=headers)
    assert answer.status_code == 200, answer.text
    end = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:end])["outputs"][1]["data"] == pytest.approx(SCORES[:2])
    assert answer.content[end:] == b"\x01\x00"


def test_v1_answers_scores_and_decisions_also_with_a_charset(http: httpx.Client) -> None:
    instances = [{"carrier": "UA", "distance": 2, "tailnum": "N1"}, {"carrier": "AA", "distance": -3, "tailnum": None}]
    answer = http.post(
        "/v1/models/flight-delay:predict",
        content=json.dumps({"instances": instances}),
        headers={"content-type": "application/json; charset=utf-8"},
    )
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    assert [item["score"] for item in predictions] == pytest.approx(SCORES[:2])
    assert [item["decision"] for item in predictions] == [True, False]


def test_v1_answers_a_vector_with_lists(http: httpx.Client) -> None:
    answer = http.post("/v1/models/flight-delay-vector:predict", json={"instances": [[1, 2], [0, -3]]})
    assert [row[1] for row in answer.json()["predictions"]] == pytest.approx(SCORES[:2])


def test_grpc_answers_and_refuses_like_http(endpoint: Endpoint, grpc_port: int) -> None:
    import grpc

    from serving.sdk import InferInput, InferRequest, InferResponse, grpc_predict_v2_pb2_grpc

    def request(**columns: tuple[str, list[Any]]) -> Any:
        inputs = [InferInput(name, [len(data)], datatype, data) for name, (datatype, data) in columns.items()]
        return InferRequest(
            "flight-delay", inputs, request_id="g", parameters={"asked_at": "2013-10-01T12:00Z"}
        ).to_grpc()

    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
        good = request(carrier=("BYTES", ["UA", "AA"]), distance=("FP64", [2, -3]), tailnum=("BYTES", ["N1", ""]))
        answer = InferResponse.from_grpc(stub.ModelInfer(good))
        assert answer.outputs[0].as_numpy().tolist() == pytest.approx(SCORES[:2])
        assert answer.outputs[1].as_numpy().tolist() == [True, False]
        assert (answer.id, answer.model_version) == ("g", "3")
        with pytest.raises(grpc.RpcError, match="must hold the column 'distance'") as refusal:
            stub.ModelInfer(request(carrier=("BYTES", ["UA"]), tailnum=("BYTES", ["N1"])))
        assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_only_this_machine_can_reach_the_ports(endpoint: Endpoint, grpc_port: int) -> None:
    for port in (int(endpoint.url.rpartition(":")[2]), grpc_port):
        # All of 127/8 is this machine; a server on every interface would answer at any of its addresses.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_taken_port_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flags in (["--http-port", str(port)], ["--http-port", "0", "--grpc-port", str(port)]):
            command = [sys.executable, "-m", "serving", "--bundle", str(tmp_path / "nowhere"), *flags]
            done = subprocess.run(command, capture_output=True, text=True, cwd=REPO)
            assert done.returncode == 2
            assert done.stderr == f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_a_server_in_the_background_that_cannot_start_says_why(tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(EndpointError, match=rf"ended with code 2: error: cannot listen on 127.0.0.1:{port}"),
            serve_in_background([bundle], tmp_path / "log", feature_store="none", http_port=port),
        ):
            pass


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_code_0_and_without_a_word(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "serving", "--bundle", str(write(tmp_path / "bundle")), "--feature-store", "none"]
    command += ["--http-port", "0", "--grpc-port", str(free_port())]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPO)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("serving flight-delay@3 on http://127.0.0.1:")
        process.send_signal(number)
        _, rest = process.communicate(timeout=60)
        assert (process.returncode, rest) == (0, "")
    finally:
        process.kill()
        process.wait()


def test_a_server_does_not_outlive_a_killed_starter(tmp_path):
    bundle = write(tmp_path / "bundle")
    starter = f"""
from pathlib import Path
from fairlead.adapters.endpoint import serve_in_background
bundle, log = Path({str(bundle)!r}), Path({str(tmp_path / "log")!r})
with serve_in_background([bundle], log, feature_store="none") as endpoint:
    print(endpoint.url, flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    url = process.stdout.readline().strip()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while _answers(url) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _answers(url)


def _answers(url):
    try:
        return httpx.get(f"{url}/v2/health/live", timeout=5).is_success
    except httpx.HTTPError:
        return False


def test_what_the_model_fails_to_answer_is_counted_as_an_error_of_its_version(tmp_path: Path) -> None:
    bundle = write_example(tmp_path / "bundle", erring_graph(), signature=BARE)
    with serve_in_background([bundle], tmp_path / "log", feature_store="none") as running:
        url = f"{running.url}/v2/models/flight-delay-vector/infer"
        for carrier, status in ((1.0, 200), (7.0, 500)):
            tensor = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [carrier, 1.0, 1.0, 0.5]}
            assert httpx.post(url, json={"inputs": [tensor]}, trust_env=False).status_code == status
        said = httpx.get(f"{running.url}/metrics", trust_env=False).text
    labels = 'model="flight-delay-vector",protocol="v2",status="500",traffic="live",version="3"'
    assert f"fairlead_requests_total{{{labels}}} 1.0" in said
