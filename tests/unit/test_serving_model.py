"""The models behind the server, over the whole interface but in this process: reading, looking up, refusing."""

import asyncio
import json
import struct
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from prometheus_client import REGISTRY

from fairlead.adapters.online_memory import MemoryReader
from fairlead.errors import BundleError, EndpointError
from fairlead.features.lookup import Looked
from fairlead.lineage.digest import hash_file
from fairlead.metrics import FEATURES_MISSING, FEATURES_UNAVAILABLE, Metric
from fairlead.packaging.bundle import MODEL_FILE, Bundle, write_bundle
from fairlead.packaging.session import ScoringSession
from fairlead.packaging.signature import Input, Signature
from fairlead.spec.model import FeatureReadSpec, ServingSpec
from serving.lookup import ReaderOf, open_reader
from serving.model import BundleModel, ColumnsModel, VectorModel
from serving.repository import BundleRepository, Folder
from serving.server import BundleDataPlane, RestServer
from tests.unit.serving_example import (
    ALTERED,
    ANYTHING,
    FEATURES,
    HOUR,
    NOON,
    SCALARS,
    SCORES,
    SIGNATURE,
    body,
    expected,
    graph,
    spoil,
    tensor,
    write,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:ORJSONResponse is deprecated"),  # the SDK's endpoints use it
    pytest.mark.filterwarnings("ignore:overflow encountered"),  # the server turns this off in its process
]


class Client:
    """Calls an ASGI application; a 500 is an answer, not an exception."""

    def __init__(self, models: list[BundleModel]) -> None:
        repository = BundleRepository([], None, "latest")
        for model in models:
            repository.update(model)
        app = RestServer(BundleDataPlane(repository), repository).config.app
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def open(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=self._transport, base_url="http://server")

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            async with self.open() as client:
                return await client.request(method, path, **request)

        return asyncio.run(once())

    def infer(self, body: Any, model: str = "flight-delay") -> httpx.Response:
        return self.call("POST", f"/v2/models/{model}/infer", json=body)

    def predict(self, body: Any, model: str = "flight-delay") -> httpx.Response:
        return self.call("POST", f"/v1/models/{model}:predict", json=body)


def load_models(folders: list[Path], reader_of: ReaderOf | None) -> None:
    BundleRepository([Folder(folder) for folder in folders], reader_of, "latest").open_all()


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ScoringSession:
    return ScoringSession.open(write(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="module")
def client(session: ScoringSession) -> Client:
    models: list[BundleModel] = [ColumnsModel(session, FEATURES), VectorModel(session)]
    for model in models:
        model.load()
    return Client(models)


# The bundle, opened.


def test_a_session_scores_rows_and_decides_at_the_threshold(session: ScoringSession) -> None:
    matrix = np.array([[1, 100, 10, 0.5], [0, 0, 0, np.nan]], dtype=np.float32)
    scores = session.scores(matrix)
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx([SCORES[0], 0.5])
    assert session.decisions(np.array([0.75, 0.7499], dtype=np.float32)).tolist() == [True, False]


def test_no_rows_have_no_scores(session: ScoringSession) -> None:
    assert session.scores(np.empty((0, 4), dtype=np.float32)).shape == (0,)


@pytest.mark.parametrize(
    "matrix", [np.zeros((1, 3), dtype=np.float32), np.zeros((1, 4)), np.zeros(4, dtype=np.float32)]
)
def test_a_matrix_that_does_not_fit_is_refused(session: ScoringSession, matrix: Any) -> None:
    with pytest.raises(BundleError, match=r"must be float32 \[n, 4\], but is float"):
        session.scores(matrix)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (graph(width=3), r"input 'features' must be of shape \[n, 4\], but is \['n', 3\]"),
        (graph(name="x"), r"must have the one input 'features', but has \['x'\]"),
        (graph(kind=TensorProto.DOUBLE), r"input 'features' must be tensor\(float\), but is tensor\(double\)"),
        (graph(missing=False), r"fails on two rows of 4 missing values: .* row 0 is \[nan, nan\]"),
    ],
)
def test_a_graph_that_does_not_fit_the_signature_is_refused(tmp_path: Path, model: Any, reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        ScoringSession.open(write(tmp_path, model))


def test_a_graph_without_probabilities_is_refused(tmp_path: Path) -> None:
    model = graph()
    model.output[0].CopyFrom(helper.make_tensor_value_info("yes", TensorProto.FLOAT, ["n", 1]))
    with pytest.raises(BundleError, match=r"must have the output 'probabilities', but has \['yes'\]"):
        ScoringSession.open(write(tmp_path, model))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / MODEL_FILE).write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="SHA-256 must be"):
        ScoringSession.open(tmp_path)
    bundle = Bundle.model_validate_json((tmp_path / "bundle.json").read_bytes())
    write_bundle(bundle.model_copy(update={"files": {MODEL_FILE: hash_file(tmp_path / MODEL_FILE)}}), tmp_path)
    with pytest.raises(BundleError, match="cannot run it"):
        ScoringSession.open(tmp_path)


# Looking up.


def test_features_are_looked_up_for_the_keys_and_scored_with_the_callers_columns(client: Client) -> None:
    answer = client.infer(body()).json()
    outputs = {item["name"]: item for item in answer["outputs"]}
    assert outputs["score"]["data"] == pytest.approx(SCORES)
    assert outputs["decision"]["data"] == [score >= 0.75 for score in SCORES]
    assert (outputs["score"]["shape"], outputs["decision"]["datatype"]) == ([2], "BOOL")


def test_features_that_have_expired_at_the_time_of_asking_count_as_missing(client: Client) -> None:
    late = {"asked_at": (NOON + 2 * HOUR).isoformat()}
    assert client.infer(body(parameters=late)).json()["outputs"][0]["data"][0] == pytest.approx(
        expected(1, 100, 0, 0.5)
    )


def test_the_time_of_asking_is_now_unless_told(client: Client) -> None:
    assert client.infer(body(parameters={})).json()["outputs"][0]["data"][0] == pytest.approx(expected(1, 100, 0, 0.5))


def test_keys_may_be_whole_numbers(client: Client) -> None:
    answer = client.infer(body(origin=tensor("origin", "INT64", [5, None])))
    assert answer.json()["outputs"][0]["data"][0] == pytest.approx(expected(1, 100, 20, 0.5))


def test_nulls_count_as_missing_in_any_datatype(client: Client) -> None:
    nothing = [None, None]
    answer = client.infer(
        body(
            carrier=tensor("carrier", "BYTES", nothing),
            distance=tensor("distance", "BYTES", nothing),
            origin=tensor("origin", "FP64", nothing),
        )
    )
    assert answer.json()["outputs"][0]["data"] == pytest.approx([expected(-1, 0, 0, 0.5)] * 2)


def test_v1_looks_up_for_the_time_of_asking_in_its_parameters(client: Client) -> None:
    instances = [
        {"carrier": "UA", "distance": 100, "origin": "EWR"},
        {"carrier": None, "distance": None, "origin": None},
    ]
    answer = client.predict({"instances": instances, "parameters": {"asked_at": "2013-10-01T08:00:00-04:00"}}).json()
    assert [item["score"] for item in answer["predictions"]] == pytest.approx([SCORES[0], expected(-1, 0, 0, 0.5)])
    assert [item["decision"] for item in answer["predictions"]] == [True, False]


def test_a_service_without_keys_answers_every_row(tmp_path: Path) -> None:
    inputs = [item for item in SIGNATURE.inputs if item.name != "weather__wind_mph"]
    folder = write(
        tmp_path, graph(width=3), signature=Signature(inputs=inputs, entities=[]), feature_service="network_v1"
    )
    model = ColumnsModel(ScoringSession.open(folder), reader(inputs[2:]))
    matrix = model.matrix({"carrier": ["AA", "UA"], "distance": [1, 2]}, NOON)
    assert matrix.tolist() == [[0, 1, 0.5], [1, 2, 0.5]]


DOWN = "the online store at redis:6379 does not answer"


def counted(metric: Metric, **labels: str) -> float:
    """What the server has counted so far, also in other tests."""
    found = {"model": "flight-delay", "version": "3", **labels}
    return REGISTRY.get_sample_value(metric.name, found) or 0.0


def reader(inputs: Sequence[Input] = SIGNATURE.looked_up) -> MemoryReader:
    """A store of its own, which a test may take down."""
    return MemoryReader(FEATURES.views, inputs)


def test_a_feature_store_that_cannot_be_read_is_a_503_with_the_reason(session: ScoringSession) -> None:
    store = reader()
    model = ColumnsModel(session, store)
    model.load()
    store.down, before = DOWN, counted(FEATURES_UNAVAILABLE)
    answer = Client([model]).infer(body())
    assert answer.status_code == 503
    assert DOWN in answer.json()["error"]
    assert counted(FEATURES_UNAVAILABLE) == before + 1


def test_without_the_store_a_model_may_answer_on_its_defaults(tmp_path: Path) -> None:
    inputs = [*SIGNATURE.inputs[:2], SIGNATURE.inputs[2].model_copy(update={"default": 30.0}), SIGNATURE.inputs[3]]
    spec = ServingSpec(features=FeatureReadSpec(unavailable="defaults"))
    folder = write(tmp_path, signature=SIGNATURE.model_copy(update={"inputs": inputs}), serving=spec)
    store = reader()
    store.down = DOWN
    model = ColumnsModel(ScoringSession.open(folder), store)
    model.load()
    before = counted(FEATURES_UNAVAILABLE)
    answer = Client([model]).infer(body())
    assert answer.json()["outputs"][0]["data"] == pytest.approx([expected(1, 100, 30, 0), expected(-1, 200, 30, 0)])
    assert counted(FEATURES_UNAVAILABLE) == before + 1


def test_a_model_counts_the_rows_that_had_no_features_by_view(session: ScoringSession) -> None:
    model = ColumnsModel(session, reader())
    model.load()
    client = Client([model])
    before = {view: counted(FEATURES_MISSING, view=view) for view in ("weather", "network")}
    client.infer(body())
    assert counted(FEATURES_MISSING, view="weather") == before["weather"] + 1
    client.infer(body(parameters={"asked_at": (NOON + 2 * HOUR).isoformat()}))
    assert counted(FEATURES_MISSING, view="weather") == before["weather"] + 3
    assert counted(FEATURES_MISSING, view="network") == before["network"]


def test_the_matrix_is_the_signatures_own_on_the_same_columns(session: ScoringSession) -> None:
    model = ColumnsModel(session, reader())
    sent = {"carrier": ["UA", None, "AA"], "distance": [1, None, 2.5], "origin": ["EWR", "LGA", 5]}
    looked = {"weather__wind_mph": [10.0, None, 20.0], "network__late_share": [0.5] * 3}
    np.testing.assert_array_equal(model.matrix(sent, NOON), SIGNATURE.matrix({**sent, **looked}))


def test_a_server_does_not_start_over_a_feature_store_that_cannot_be_read(tmp_path: Path) -> None:
    store = reader()
    store.down = DOWN
    with pytest.raises(EndpointError, match="redis:6379 does not answer"):
        load_models([write(tmp_path)], lambda bundle: store)


def test_a_bundle_that_needs_features_is_refused_without_a_store(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="flight-delay: needs 2 features of flight_v1, but has no feature store"):
        load_models([write(tmp_path)], None)


def test_a_bundle_that_does_not_say_how_to_look_its_features_up_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"looks up 2 features of flight_v1, but bundle.json has no `lookup`"):
        load_models([write(tmp_path)], open_reader)


def test_a_bundle_that_does_not_send_a_key_never_becomes_ready(tmp_path: Path) -> None:
    spec = ServingSpec(features=FeatureReadSpec(unavailable="defaults"))
    folder = write(tmp_path, signature=SIGNATURE.model_copy(update={"entities": []}), serving=spec)
    with pytest.raises(EndpointError, match="entity key 'origin' is required, but missing"):
        load_models([folder], lambda bundle: reader())


def test_two_bundles_of_one_model_are_refused(tmp_path: Path) -> None:
    folders = [write(tmp_path / "1"), write(tmp_path / "2")]
    with pytest.raises(EndpointError, match="two are flight-delay@3"):
        load_models(folders, lambda bundle: FEATURES)


class Slow:
    """A store that answers when it may."""

    def __init__(self) -> None:
        self.asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()

    def read(self, keys: Mapping[str, Any], asked_at: datetime, deadline_seconds: float) -> Looked:
        self.asked.set()
        assert self.may_answer.wait(60)
        return FEATURES.read(keys, asked_at, deadline_seconds)


def test_a_slow_lookup_keeps_nobody_else_waiting(session: ScoringSession) -> None:
    store = Slow()
    model = ColumnsModel(session, store)
    model.load()
    store.asked.clear()
    store.may_answer.clear()

    async def both() -> tuple[httpx.Response, httpx.Response]:
        async with Client([model]).open() as client:
            slow = asyncio.create_task(client.post("/v2/models/flight-delay/infer", json=body()))
            while not store.asked.is_set():
                await asyncio.sleep(0)
            ready = await client.get("/v2/models/flight-delay/ready")
            assert not slow.done()
            store.may_answer.set()
            return ready, await slow

    ready, slow = asyncio.run(both())
    assert (ready.status_code, slow.status_code) == (200, 200)


# The protocol.


def test_metadata_states_inputs_outputs_and_version(client: Client) -> None:
    columns = client.call("GET", "/v2/models/flight-delay").json()
    assert columns["versions"] == ["3"]
    assert columns["inputs"] == [
        {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
        {"name": "distance", "datatype": "FP32", "shape": [-1]},
        {"name": "origin", "datatype": "BYTES", "shape": [-1]},
    ]
    assert [(item["name"], item["datatype"]) for item in columns["outputs"]] == [
        ("score", "FP32"),
        ("decision", "BOOL"),
    ]
    vector = client.call("GET", "/v2/models/flight-delay-vector").json()
    assert vector["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert vector["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}]


def test_the_request_id_and_the_version_come_back(client: Client) -> None:
    answer = client.infer(body(id="request-7")).json()
    assert (answer["id"], answer["model_version"]) == ("request-7", "3")


def test_a_caller_gets_only_the_outputs_it_asks_for(client: Client) -> None:
    answer = client.infer(body(outputs=[{"name": "decision"}])).json()
    assert [item["name"] for item in answer["outputs"]] == ["decision"]


def test_a_vector_is_scored_flat_or_nested_and_a_null_is_missing(client: Client) -> None:
    rows = [[1, 100, 10, 0.5], [-1, 200, None, 0.5]]
    flat = [value for row in rows for value in row]
    for data in (rows, flat):
        answer = client.infer({"inputs": [tensor("features", "FP32", data, [2, 4])]}, "flight-delay-vector").json()
        assert answer["outputs"][0]["shape"] == [2, 2]
        assert answer["outputs"][0]["data"][1::2] == pytest.approx(SCORES)
    predictions = client.predict({"instances": rows}, "flight-delay-vector").json()["predictions"]
    assert [row[1] for row in predictions] == pytest.approx(SCORES)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/x-www-form-urlencoded", ""])
def test_json_is_understood_also_as_curl_and_other_clients_name_it(client: Client, content_type: str) -> None:
    headers = {"content-type": content_type}
    instances = [{"carrier": "UA", "distance": 1, "origin": "EWR"}]
    v1 = client.call(
        "POST", "/v1/models/flight-delay:predict", content=json.dumps({"instances": instances}), headers=headers
    )
    v2 = client.call("POST", "/v2/models/flight-delay/infer", content=json.dumps(body()), headers=headers)
    assert (v1.status_code, v2.status_code) == (200, 200)


@pytest.mark.parametrize("path", ["/v2/models/nobody/infer", "/v1/models/nobody:predict"])
def test_an_unknown_model_is_a_404(client: Client, path: str) -> None:
    answer = client.call("POST", path, json=body())
    assert answer.status_code == 404
    assert "nobody" in answer.json()["error"]


# What is refused.

DISTANCE = tensor("distance", "FP32", [1.0, 2.0])
V2_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a missing column": (
        body(distance=None),
        "must hold the column 'distance'; required are carrier, distance, origin",
    ),
    "a misspelt column": (
        body(distance={**DISTANCE, "name": "distence"}),
        "'distence', which does not exist; did you mean 'distance'?",
    ),
    "an unknown column": (
        {"inputs": [*body()["inputs"], tensor("gate", "BYTES", ["A", "B"])]},
        "'gate', which does not exist",
    ),
    "a column sent twice": ({"inputs": [*body()["inputs"], DISTANCE]}, "tensor 'distance' must appear once"),
    "no tensors": ({"inputs": []}, "must hold the column 'carrier'"),
    "a matrix for a column": (
        body(distance=tensor("distance", "FP32", [1.0, 2.0], [1, 2])),
        r"'distance' must be of shape [n] or [n, 1], but is [1, 2]",
    ),
    "fewer values than the shape says": (
        body(distance=tensor("distance", "FP32", [1.0], [2])),
        "'distance' must hold values for its shape [2], but the values are [1]",
    ),
    "columns of different length": (
        body(distance=tensor("distance", "FP32", [1.0])),
        "'distance' must have 2 rows like 'carrier', but has 1",
    ),
    "an empty batch": (
        body(**{name: tensor(name, "BYTES", [], [0]) for name in ("carrier", "distance", "origin")}),
        "'carrier' must have at least one row, but its shape is [0]",
    ),
    "text for a number": (
        body(distance=tensor("distance", "FP32", [1.0, "far"])),
        "'distance' must hold only finite numbers, but row 1 is 'far'",
    ),
    "a numeral for a number": (body(distance=tensor("distance", "FP32", ["1", "2"])), "row 0 is '1'"),
    "a text tensor for a number": (
        body(distance=tensor("distance", "BYTES", ["1", "2"])),
        "'distance' must be of datatype FP32 or FP64",
    ),
    "a number for text": (
        body(carrier=tensor("carrier", "BYTES", [1, 2])),
        "'carrier' must hold only text, but row 0 is 1",
    ),
    "a number tensor for text": (
        body(carrier=tensor("carrier", "INT64", [1, 2])),
        "'carrier' must be of datatype BYTES, but is INT64",
    ),
    "a fraction for a key": (
        body(origin=tensor("origin", "INT64", [1.5, 2])),
        "'origin' must hold only text or only whole numbers, but row 0 is 1.5",
    ),
    "text and numbers in one key": (body(origin=tensor("origin", "BYTES", ["EWR", 5])), "but row 1 is 5"),
    "a key beyond 64 bits": (body(origin=tensor("origin", "INT64", [2**70, 1])), "but row 0 is 1180591620717411303424"),
    "a number beyond FP32": (body(distance=tensor("distance", "FP64", [1e300, 1])), "row 0 is 1e+300"),
    "an unknown datatype": (body(distance={**DISTANCE, "datatype": "FLOAT"}), "but is FLOAT"),
    "a time of asking without offset": (
        body(parameters={"asked_at": "2013-10-01T12:00:00"}),
        "'asked_at' must be an ISO 8601 instant with an offset",
    ),
    "a time of asking that is none": (body(parameters={"asked_at": "noon"}), "but is 'noon'"),
    "a number as time of asking": (body(parameters={"asked_at": 12}), "but is 12"),
    "a time of asking outside of time": (body(parameters={"asked_at": "0001-01-01T00:00:00+14:00"}), "from 1970 on"),
    "a misspelt time of asking": (
        body(parameters={"asked_att": "x"}),
        "no parameter 'asked_att'; did you mean 'asked_at'?",
    ),
    "an unknown output": (body(outputs=[{"name": "scores"}]), "'scores', which does not exist; did you mean 'score'?"),
}


@pytest.mark.parametrize(("request_body", "reason"), V2_MISTAKES.values(), ids=V2_MISTAKES)
def test_a_mistake_over_v2_is_a_400_that_names_it(client: Client, request_body: Any, reason: str) -> None:
    answer = client.infer(request_body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


@pytest.mark.parametrize(
    ("request_body", "reason"),
    [
        (body(distance={"name": "distance", "datatype": "FP32", "shape": [2]}), "inputs.1.data: Field required"),
        ({}, "inputs: Field required"),
    ],
    ids=["no data", "no request"],
)
def test_json_that_is_no_v2_request_is_a_422_that_names_the_place(
    client: Client, request_body: Any, reason: str
) -> None:
    answer = client.infer(request_body)
    assert answer.status_code == 422
    assert reason in answer.json()["error"]


def test_json_that_is_no_v2_request_is_a_422_also_where_bytes_were_announced(client: Client) -> None:
    headers = {"content-type": "application/octet-stream"}
    answer = client.call("POST", "/v2/models/flight-delay/infer", content=b"{}", headers=headers)
    assert answer.status_code == 422


GOOD = {"carrier": "UA", "distance": 1, "origin": "EWR"}
V1_MISTAKES: dict[str, tuple[Any, str]] = {
    "a list": ([GOOD], "the body must be an object with 'instances'"),
    "no instances": ({}, "'instances' must be a list of at least one, but is None"),
    "an empty batch": ({"instances": []}, "'instances' must be a list of at least one, but is []"),
    "an instance that is no object": (
        {"instances": [GOOD, 5]},
        "instances[1] must be an object with carrier, distance",
    ),
    "a missing column": (
        {"instances": [GOOD, {"carrier": "UA", "origin": "EWR"}]},
        "instances[1] must hold the column 'dist",
    ),
    "a misspelt column": (
        {"instances": [{"carrier": "UA", "distence": 1, "origin": "EWR"}]},
        "instances[0] holds the column 'distence', which does not exist; did you mean 'distance'?",
    ),
    "text for a number": (
        {"instances": [GOOD, {**GOOD, "distance": "far"}]},
        "'distance' must hold only finite numbers, but row 1 is 'far'",
    ),
    "a list for text": (
        {"instances": [{**GOOD, "carrier": ["UA"]}]},
        "'carrier' must hold only text, but row 0 is ['UA']",
    ),
    "an unknown part": ({"instances": [GOOD], "parameter": {}}, "but holds 'parameter'"),
    "parameters that are no object": ({"instances": [GOOD], "parameters": 5}, "'parameters' must be an object"),
    "a bad time of asking": ({"instances": [GOOD], "parameters": {"asked_at": None}}, "'asked_at' must be an ISO 8601"),
}


@pytest.mark.parametrize(("request_body", "reason"), V1_MISTAKES.values(), ids=V1_MISTAKES)
def test_a_mistake_over_v1_is_a_400_that_names_it(client: Client, request_body: Any, reason: str) -> None:
    answer = client.predict(request_body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


VECTOR_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "another name": (tensor("x", "FP32", [1] * 4, [1, 4]), "must hold the one tensor 'features', but holds ['x']"),
    "another width": (tensor("features", "FP32", [1] * 3, [1, 3]), "must be of shape [n, 4], but is [1, 3]"),
    "a flat shape": (tensor("features", "FP32", [1] * 4, [4]), "must be of shape [n, 4], but is [4]"),
    "another datatype": (tensor("features", "FP64", [1] * 4, [1, 4]), "must be of datatype FP32, but is FP64"),
    "no rows": (tensor("features", "FP32", [], [0, 4]), "must have at least one row"),
    "ragged rows": (tensor("features", "FP32", [[1, 2, 3], [4, 5, 6, 7, 8]], [2, 4]), "for its shape [2, 4]"),
    "text": (tensor("features", "FP32", [1, "2", 3, 4], [1, 4]), "must hold numbers, but [1] is '2'"),
    "a number beyond FP32": (
        tensor("features", "FP32", [1, 1e39, 3, 4], [1, 4]),
        "finite FP32 numbers, but [1] is 1e+39",
    ),
}


@pytest.mark.parametrize(("sent", "reason"), VECTOR_MISTAKES.values(), ids=VECTOR_MISTAKES)
def test_a_mistake_in_a_vector_is_a_400_that_names_it(client: Client, sent: dict[str, Any], reason: str) -> None:
    answer = client.infer({"inputs": [sent]}, "flight-delay-vector")
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("instance", [[1, 2, 3], [1, 2, 3, "4"], [[1], [2], [3], [4]], {"a": 1}, 5])
def test_a_vector_over_v1_must_be_a_list_of_numbers(client: Client, instance: Any) -> None:
    answer = client.predict({"instances": [instance]}, "flight-delay-vector")
    assert answer.status_code == 400
    assert "instances" in answer.json()["error"]


def binary(announced: Any, content: bytes, json_length: str | None = None, **changes: Any) -> dict[str, Any]:
    """A vector request with one binary tensor."""
    sent = {"name": "features", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": announced}}
    head = json.dumps({"inputs": [{**sent, **changes}]}).encode()
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": json_length or str(len(head)),
    }
    return {"content": head + content, "headers": headers}


ROW = struct.pack("<4f", 1, 100, 10, 0.5)
BINARY_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "fewer bytes than announced": (binary(16, ROW[:8]), "'features' announces 16 bytes, but 8 are left"),
    "more bytes than announced": (binary(8, ROW), "the tensors announce 8 bytes, but 16 follow the JSON"),
    "bytes that do not fill the shape": (
        binary(8, ROW[:8]),
        "'features' must hold 4 values of FP32 for its shape [1, 4]",
    ),
    "a size that is none": (binary("x", ROW), "'binary_data_size' must be a number of bytes, but is 'x'"),
    "a negative size": (binary(-1, ROW), "'binary_data_size' must be a number of bytes, but is -1"),
    "data twice": (binary(16, ROW, data=[1, 2, 3, 4]), "must have either 'data' or"),
    "infinity": (binary(16, struct.pack("<4f", 1, 2, 3, float("inf"))), "finite FP32 numbers, but [0, 3] is inf"),
    "a JSON length beyond the body": (binary(16, ROW, "999"), "inference-header-content-length must be"),
    "a JSON length that is none": (binary(16, ROW, "-5"), "inference-header-content-length must be"),
    "a JSON length within the JSON": (binary(16, ROW, "20"), "the body must be JSON"),
    "text that is cut off": (binary(6, b"\xff\0\0\0ab", datatype="BYTES"), "must be of datatype FP32, but is BYTES"),
}


@pytest.mark.parametrize(("request_parts", "reason"), BINARY_MISTAKES.values(), ids=BINARY_MISTAKES)
def test_a_mistake_in_a_binary_tensor_is_a_400_that_names_it(client: Client, request_parts: Any, reason: str) -> None:
    answer = client.call("POST", "/v2/models/flight-delay-vector/infer", **request_parts)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("content", [b"\xff\0\0\0ab", b"\x02\0\0\0\xff\xfe"], ids=["cut off", "not UTF-8"])
def test_binary_text_that_is_none_is_refused(client: Client, content: bytes) -> None:
    parts = binary(6, content, name="carrier", datatype="BYTES", shape=[1])
    rest = [tensor("distance", "FP32", [1]), tensor("origin", "BYTES", ["EWR"])]
    end = int(parts["headers"]["inference-header-content-length"])
    head = json.loads(parts["content"][:end])
    head["inputs"] += rest
    parts["headers"]["inference-header-content-length"] = str(len(json.dumps(head)))
    answer = client.call(
        "POST", "/v2/models/flight-delay/infer", content=json.dumps(head).encode() + content, headers=parts["headers"]
    )
    assert answer.status_code == 400
    assert "tensor 'carrier' must hold" in answer.json()["error"]


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(sent=ANYTHING | ALTERED | spoil("carrier") | spoil("distance") | spoil("origin"))
@pytest.mark.parametrize("path", ["/v2/models/flight-delay/infer", "/v2/models/flight-delay-vector/infer"])
def test_no_body_makes_the_server_fail_over_v2(client: Client, path: str, sent: Any) -> None:
    answer = client.call("POST", path, content=json.dumps(sent), headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 422)


INSTANCES = st.fixed_dictionaries({"carrier": SCALARS, "distance": SCALARS, "origin": SCALARS})


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(sent=ANYTHING | st.fixed_dictionaries({"instances": st.lists(INSTANCES | ANYTHING, max_size=3)}))
@pytest.mark.parametrize("path", ["/v1/models/flight-delay:predict", "/v1/models/flight-delay-vector:predict"])
def test_no_body_makes_the_server_fail_over_v1(client: Client, path: str, sent: Any) -> None:
    answer = client.call("POST", path, content=json.dumps(sent), headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 422)
