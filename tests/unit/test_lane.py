"""The lean lane answers as the SDK's route does, or leaves the request to it."""

import asyncio
import json
import math
import struct
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.packaging.session import ScoringSession
from serving.lane import NotForTheLane, Route, answer
from serving.model import BundleModel, ColumnsModel, VectorModel
from serving.repository import BundleRepository
from serving.server import BundleDataPlane, RestServer
from tests.unit.serving_example import ALTERED, ANYTHING, FEATURES, SCALARS, body, spoil, tensor, write

pytestmark = pytest.mark.filterwarnings("ignore:ORJSONResponse is deprecated", "ignore:overflow encountered")

JSON = {"content-type": "application/json"}


class BothRoutes:
    """The same request through the lane and, past it, through the SDK's application."""

    def __init__(self, models: list[BundleModel]) -> None:
        repository = BundleRepository([], None, "latest")
        for model in models:
            repository.update(model)
        server = RestServer(BundleDataPlane(repository), repository)
        self.front = server.front
        self._applications = (server.front, server.front.behind)

    def call(self, path: str, content: bytes, headers: dict[str, str]) -> list[httpx.Response]:
        async def once(application: Any) -> httpx.Response:
            transport = httpx.ASGITransport(application, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return await client.post(path, content=content, headers=headers)

        async def both() -> list[httpx.Response]:
            return [await once(application) for application in self._applications]

        return asyncio.run(both())

    def agree(self, path: str, content: bytes, headers: dict[str, str] = JSON) -> int:
        """Assert that both answer alike; returns the status."""
        lane, sdk = self.call(path, content, headers)
        assert lane.status_code == sdk.status_code
        assert _meaning(lane) == _meaning(sdk)
        assert lane.status_code in (200, 400, 422)
        return lane.status_code


def _meaning(response: httpx.Response) -> Any:
    """What an answer says: without nulls, and without an id that the server chose."""
    length = response.headers.get("inference-header-content-length")
    if length is None:
        return _plain(response.json())
    return _plain(json.loads(response.content[: int(length)])), response.content[int(length) :]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None and not _is_chosen(key, item)}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _is_chosen(key: str, value: Any) -> bool:
    return key == "id" and not str(value).startswith("mine")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> BothRoutes:
    session = ScoringSession.open(write(tmp_path_factory.mktemp("bundle")))
    models: list[BundleModel] = [ColumnsModel(session, FEATURES), VectorModel(session)]
    for model in models:
        model.load()
    return BothRoutes(models)


def vector(rows: int, **changes: Any) -> dict[str, Any]:
    data = [index / 8 for index in range(rows * 4)]
    return {"inputs": [{"name": "features", "datatype": "FP32", "shape": [rows, 4], "data": data, **changes}]}


GOOD = {
    "columns": ("/v2/models/flight-delay/infer", body()),
    "columns with an id": ("/v2/models/flight-delay/infer", {**body(), "id": "mine-1"}),
    "one output": ("/v2/models/flight-delay/infer", body(outputs=[{"name": "decision"}])),
    "outputs in another order": (
        "/v2/models/flight-delay/infer",
        body(outputs=[{"name": "decision"}, {"name": "score"}]),
    ),
    "nulls": ("/v2/models/flight-delay/infer", body(distance=tensor("distance", "FP32", [None, 1]))),
    "a flat vector": ("/v2/models/flight-delay-vector/infer", vector(2)),
    "a nested vector": ("/v2/models/flight-delay-vector/infer", vector(2, data=[[1, 2, 3, 4], [5, 6, 7, 8.5]])),
    "many numbers": ("/v2/models/flight-delay-vector/infer", vector(80)),
    "many whole numbers": ("/v2/models/flight-delay-vector/infer", vector(80, data=[2**53 + 1] * 320)),
    "truth values": ("/v2/models/flight-delay-vector/infer", vector(1, data=[True, False, True, True])),
    "a large sum of finite numbers": ("/v2/models/flight-delay-vector/infer", vector(1, data=[3e38, 3e38, 3e38, 1])),
    "whole numbers": ("/v2/models/flight-delay-vector/infer", vector(1, data=[1, 2, 3, 2**53 + 1])),
    "bytes back": (
        "/v2/models/flight-delay-vector/infer",
        {**vector(2), "parameters": {"binary_data_output": True}},
    ),
    "one output of two as bytes": (
        "/v2/models/flight-delay/infer",
        body(outputs=[{"name": "score", "parameters": {"binary_data": True}}, {"name": "decision"}]),
    ),
    "v1": (
        "/v1/models/flight-delay:predict",
        {
            "instances": [{"carrier": "UA", "distance": 1, "origin": "EWR"}],
            "parameters": {"asked_at": "2013-10-01T12:00:00Z"},
        },
    ),
    "v1, a vector": ("/v1/models/flight-delay-vector:predict", {"instances": [[1, 2, 3, 4.5]]}),
}


@pytest.mark.parametrize(("path", "sent"), GOOD.values(), ids=GOOD)
def test_the_lane_itself_answers_usual_requests_as_the_sdk_does(both: BothRoutes, path: str, sent: Any) -> None:
    content = json.dumps(sent).encode()
    answer(both.front.routes[path], content, None)  # would raise NotForTheLane
    assert both.agree(path, content) == 200


UNUSUAL = {
    "nulls in a vector": ("/v2/models/flight-delay-vector/infer", vector(1, data=[1, None, 3, 4])),
    "many truth values": ("/v2/models/flight-delay-vector/infer", vector(80, data=[True, False] * 160)),
    "a column of shape [n, 1]": (
        "/v2/models/flight-delay/infer",
        body(distance=tensor("distance", "FP32", [1, 2], shape=[2, 1])),
    ),
    "a shape in floating point": ("/v2/models/flight-delay-vector/infer", vector(1, shape=[1.0, 4])),
    "a large sum of many finite numbers": ("/v2/models/flight-delay-vector/infer", vector(80, data=[3e38] * 320)),
}


@pytest.mark.parametrize(("path", "sent"), UNUSUAL.values(), ids=UNUSUAL)
def test_the_sdk_answers_what_the_lane_does_not_understand(both: BothRoutes, path: str, sent: Any) -> None:
    content = json.dumps(sent).encode()
    with pytest.raises(NotForTheLane):
        answer(both.front.routes[path], content, None)
    assert both.agree(path, content) == 200


WRONG = {
    "infinity among many": ("/v2/models/flight-delay-vector/infer", vector(80, data=[1e300] * 320)),
    "a text among many": ("/v2/models/flight-delay-vector/infer", vector(80, data=[1.0] * 319 + ["1"])),
    "infinity": ("/v2/models/flight-delay-vector/infer", vector(1, data=[1, 1e300, 3, 4])),
    "an empty batch": ("/v2/models/flight-delay-vector/infer", vector(0)),
    "a ragged list": ("/v2/models/flight-delay-vector/infer", vector(2, data=[[1, 2, 3, 4], [5]])),
    "a huge whole number": ("/v2/models/flight-delay-vector/infer", vector(1, data=[1, 2, 3, 10**400])),
    "a numeral": ("/v2/models/flight-delay-vector/infer", vector(1, data=["1", "2", "3", "4"])),
    "too few values": ("/v2/models/flight-delay-vector/infer", vector(2, data=[1, 2, 3, 4])),
    "another datatype": ("/v2/models/flight-delay-vector/infer", vector(1, datatype="FP64")),
    "a name twice": ("/v2/models/flight-delay-vector/infer", {"inputs": vector(1)["inputs"] * 2}),
    "an output twice": ("/v2/models/flight-delay/infer", body(outputs=[{"name": "score"}, {"name": "scores"}])),
    "instances of different width": ("/v1/models/flight-delay-vector:predict", {"instances": [[1, 2, 3, 4], [1]]}),
    "no instances": ("/v1/models/flight-delay-vector:predict", {"instances": []}),
    "an unknown column": (
        "/v1/models/flight-delay:predict",
        {"instances": [{"carrier": "UA", "distance": 1, "origin": "EWR", "x": 1}]},
    ),
    "no request": ("/v2/models/flight-delay/infer", {}),
    "a list": ("/v2/models/flight-delay/infer", []),
}


@pytest.mark.parametrize(("path", "sent"), WRONG.values(), ids=WRONG)
def test_both_routes_refuse_alike(both: BothRoutes, path: str, sent: Any) -> None:
    assert both.agree(path, json.dumps(sent).encode()) in (400, 422)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"inputs": NaN}', b"null", b'"text"', b"[" * 10000])
@pytest.mark.parametrize("path", ["/v2/models/flight-delay/infer", "/v1/models/flight-delay-vector:predict"])
def test_both_routes_refuse_what_is_no_json_alike(both: BothRoutes, path: str, content: bytes) -> None:
    assert both.agree(path, content) in (400, 422)


def binary(values: list[float], shape: list[int], **parameters: Any) -> tuple[bytes, dict[str, str]]:
    raw = struct.pack(f"<{len(values)}f", *values)
    tensor = {"name": "features", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor], "parameters": parameters}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return head + raw, headers


@pytest.mark.parametrize("back", [False, True], ids=["JSON back", "bytes back"])
def test_bytes_go_through_the_lane_without_a_list(both: BothRoutes, back: bool) -> None:
    content, headers = binary([1, 2, math.nan, 4] * 3, [3, 4], binary_data_output=back)
    path = "/v2/models/flight-delay-vector/infer"
    result = answer(both.front.routes[path], content, headers["inference-header-content-length"])
    assert not result.matrix.flags.owndata
    assert both.agree(path, content, headers) == 200


@pytest.mark.parametrize(
    ("values", "shape"), [([1, 2, 3, math.inf], [1, 4]), ([1, 2, 3], [1, 4]), ([1, 2, 3, 4], [2, 4]), ([], [0, 4])]
)
def test_both_routes_refuse_wrong_bytes_alike(both: BothRoutes, values: list[float], shape: list[int]) -> None:
    content, headers = binary(values, shape)
    assert both.agree("/v2/models/flight-delay-vector/infer", content, headers) == 400


def test_a_body_of_bytes_with_a_wrong_length_of_its_json_is_refused_alike(both: BothRoutes) -> None:
    content, headers = binary([1, 2, 3, 4], [1, 4])
    for length in ("-1", "x", "0", "99999", str(len(content))):
        headers["inference-header-content-length"] = length
        assert both.agree("/v2/models/flight-delay-vector/infer", content, headers) in (400, 422)


NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False, width=32)
VECTORS = st.integers(1, 3).flatmap(
    lambda rows: st.lists(NUMBERS, min_size=rows * 4, max_size=rows * 4).map(lambda data: vector(rows, data=data))
)
COLUMNS = st.integers(1, 4).flatmap(
    lambda rows: st.builds(
        lambda carriers, distances, origins: body(
            carrier=tensor("carrier", "BYTES", carriers),
            distance=tensor("distance", "FP32", distances),
            origin=tensor("origin", "BYTES", origins),
        ),
        st.lists(st.sampled_from(["AA", "UA", "ZZ", None, ""]), min_size=rows, max_size=rows),
        st.lists(NUMBERS | st.none(), min_size=rows, max_size=rows),
        st.lists(st.sampled_from(["EWR", "LGA", None]), min_size=rows, max_size=rows),
    )
)
INSTANCES = st.fixed_dictionaries({"carrier": SCALARS, "distance": SCALARS, "origin": SCALARS})
V1 = st.fixed_dictionaries(
    {"instances": st.lists(INSTANCES, min_size=1, max_size=3) | st.lists(st.lists(NUMBERS, min_size=4, max_size=4))}
)


def check_alike(both: BothRoutes, path: str, sent: Any) -> None:
    both.agree(path, json.dumps(sent).encode())


V2_PATHS = ["/v2/models/flight-delay/infer", "/v2/models/flight-delay-vector/infer"]
V1_PATHS = ["/v1/models/flight-delay:predict", "/v1/models/flight-delay-vector:predict"]
V2_BODIES = VECTORS | COLUMNS | ALTERED | spoil("carrier") | spoil("distance") | spoil("origin") | ANYTHING
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
THOROUGH = settings(max_examples=2500, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("path", V2_PATHS)
@QUICK
@given(sent=V2_BODIES)
def test_any_v2_body_gets_the_same_answer_from_both_routes(both: BothRoutes, path: str, sent: Any) -> None:
    check_alike(both, path, sent)


@pytest.mark.parametrize("path", V1_PATHS)
@QUICK
@given(sent=V1 | ANYTHING)
def test_any_v1_body_gets_the_same_answer_from_both_routes(both: BothRoutes, path: str, sent: Any) -> None:
    check_alike(both, path, sent)


@pytest.mark.slow
@pytest.mark.parametrize("path", V2_PATHS)
@THOROUGH
@given(sent=V2_BODIES)
def test_thousands_of_v2_bodies_get_the_same_answer(both: BothRoutes, path: str, sent: Any) -> None:
    check_alike(both, path, sent)


@pytest.mark.slow
@pytest.mark.parametrize("path", V1_PATHS)
@THOROUGH
@given(sent=V1 | ANYTHING)
def test_thousands_of_v1_bodies_get_the_same_answer(both: BothRoutes, path: str, sent: Any) -> None:
    check_alike(both, path, sent)


def test_a_model_that_looks_nothing_up_is_answered_where_its_last_byte_is_parsed(both: BothRoutes) -> None:
    assert both.front.routes["/v2/models/flight-delay-vector/infer"].inline
    assert not both.front.routes["/v2/models/flight-delay/infer"].inline


def test_a_route_names_its_protocol(both: BothRoutes) -> None:
    assert {type(route) for route in both.front.routes.values()} == {Route}
    assert both.front.routes["/v1/models/flight-delay:predict"].protocol == "v1"
