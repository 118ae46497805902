"""Routing as pure functions: which rule, which backend, and what a routes file may say."""

from collections import Counter
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from ruamel.yaml import YAML
from scipy.stats import binomtest

from fairlead.errors import SpecError
from serving.gateway.choice import by_chance, by_key
from serving.gateway.headers import for_backend, passed_on
from serving.gateway.reload import read_table
from serving.gateway.routing import Asked, Backend, RouteTable, edit

REPO = Path(__file__).resolve().parents[2]
EXAMPLE = REPO / "docs" / "how-to" / "canary" / "route.yaml"
BACKENDS = {name: f"http://127.0.0.1:{port}" for port, name in enumerate(("one", "two", "three", "four"), start=9001)}
WEIGHTS = st.lists(st.integers(0, 1000), min_size=1, max_size=5)
KEYS = [f"user-{number}" for number in range(300)]


def ref(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "port": 80, **more}


def route(*rules: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "route", "annotations": annotations or {}},
        "spec": {"rules": list(rules), **spec},
    }


def to(name: str, *matches: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"matches": list(matches), "backendRefs": [ref(name)], **more}


def write(folder: Path, document: Any) -> Path:
    path = folder / "route.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(document, file)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("routes")


def table(folder: Path, *rules: dict[str, Any], **more: Any) -> RouteTable:
    return read_table(write(folder, route(*rules, **more)), BACKENDS)


def ask(target: str = "/", method: str = "GET", host: str = "h", **headers: str) -> Asked:
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Asked(method, host, target, named)


def found(routes: RouteTable, asked: Asked) -> str | None:
    target = routes.find(asked)
    return target.backends[0].label if target else None


def backends(*weights: int) -> list[Backend]:
    return [Backend(f"b{number}:80", f"b{number}", "http://x", weight) for number, weight in enumerate(weights)]


# Which rule


def prefix(value: str) -> dict[str, Any]:
    return {"path": {"type": "PathPrefix", "value": value}}


def exact(value: str) -> dict[str, Any]:
    return {"path": {"type": "Exact", "value": value}}


@pytest.mark.parametrize(
    ("path", "holds"),
    [("/v2", True), ("/v2/", True), ("/v2/models?x=1", True), ("/v2?x=1", True), ("/v21", False), ("/", False)],
)
@pytest.mark.parametrize("value", ["/v2", "/v2/"])
def test_a_prefix_matches_whole_elements_of_a_path(folder, value, path, holds):
    assert (found(table(folder, to("one", prefix(value))), ask(path)) == "one") == holds


def test_an_exact_path_matches_that_path_alone_whatever_the_query(folder):
    routes = table(folder, to("one", exact("/v2/x")))
    assert [found(routes, ask(path)) for path in ("/v2/x", "/v2/x?a=1", "/v2/x/", "/v2/x/y")] == [
        "one",
        "one",
        None,
        None,
    ]


def test_a_rule_without_matches_takes_every_path(folder):
    assert found(table(folder, to("one")), ask("/any/where")) == "one"


def test_headers_match_by_value_and_by_regular_expression_over_the_whole_value(folder):
    match = {
        "headers": [{"name": "X-User", "value": "a"}, {"name": "x-lab", "type": "RegularExpression", "value": "b+"}]
    }
    routes = table(folder, to("one", match))
    assert found(routes, ask(x_user="a", x_lab="bbb")) == "one"
    assert found(routes, ask(x_user="a", x_lab="bbbc")) is None
    assert found(routes, ask(x_user="a")) is None


def test_a_regular_expression_for_anything_still_wants_the_header(folder):
    match = {"headers": [{"name": "x-lab", "type": "RegularExpression", "value": ".*"}]}
    routes = table(folder, to("one", match))
    assert [found(routes, ask()), found(routes, ask(x_lab=""))] == [None, "one"]


def test_several_values_of_a_header_are_one_joined_by_commas(folder):
    routes = table(folder, to("one", {"headers": [{"name": "x-lab", "value": "a,b"}]}))
    headers = CIMultiDict([("x-lab", "a"), ("x-lab", "b")])
    assert found(routes, Asked("GET", "h", "/", headers)) == "one"


def test_query_parameters_match_decoded_and_by_their_first_value(folder):
    routes = table(folder, to("one", {"queryParams": [{"name": "q", "value": "a b"}]}))
    assert [found(routes, ask(path)) for path in ("/?q=a%20b", "/?q=a+b&q=c", "/?q=c&q=a+b", "/")] == [
        "one",
        "one",
        None,
        None,
    ]


def test_hostnames_match_whole_or_below_a_star(folder):
    routes = table(folder, to("one"), hostnames=["a.example", "*.b.example"])
    hosts = ("a.example", "x.b.example", "y.x.b.example", "b.example", "c.example")
    assert [found(routes, ask(host=host)) for host in hosts] == ["one", "one", "one", None, None]


SPECIFIC = [
    {**exact("/v2/x")},
    {**prefix("/v2/x"), "headers": [{"name": "x-a", "value": "1"}]},
    {**prefix("/v2"), "method": "GET"},
    {**prefix("/v2"), "headers": [{"name": "x-a", "value": "1"}, {"name": "x-b", "value": "1"}]},
    {**prefix("/v2"), "headers": [{"name": "x-a", "value": "1"}], "queryParams": [{"name": "q", "value": "1"}]},
    {**prefix("/v2"), "headers": [{"name": "x-a", "value": "1"}]},
    {**prefix("/v2"), "queryParams": [{"name": "q", "value": "1"}, {"name": "r", "value": "1"}]},
    {**prefix("/v2"), "queryParams": [{"name": "q", "value": "1"}]},
    {**prefix("/v2")},
    {**prefix("/"), "method": "GET"},
]
"""From the most specific on; all hold for one request."""
ALL_HOLD = ask("/v2/x?q=1&r=1", x_a="1", x_b="1")


@settings(deadline=None)
@given(st.permutations(range(len(SPECIFIC))), st.integers(1, len(SPECIFIC)))
def test_the_most_specific_match_wins_in_any_order_of_rules(folder, order, size):
    order = order[:size]
    known = {f"r{number}": "http://127.0.0.1:1" for number in order}
    document = route(*[to(f"r{number}", SPECIFIC[number]) for number in order])
    assert found(read_table(write(folder, document), known), ALL_HOLD) == f"r{min(order)}"


@settings(deadline=None)
@given(st.permutations(range(len(SPECIFIC))))
def test_matches_of_one_rule_count_one_by_one(folder, order):
    half = len(order) // 2
    rules = [to("one", *[SPECIFIC[i] for i in order[:half]]), to("two", *[SPECIFIC[i] for i in order[half:]])]
    assert found(table(folder, *rules), ALL_HOLD) == ("one" if 0 in order[:half] else "two")


def test_of_equal_matches_the_first_rule_wins(folder):
    for first, second in permutations(("one", "two")):
        assert found(table(folder, to(first, prefix("/v2")), to(second, prefix("/v2/"))), ask("/v2")) == first


# Which backend


@settings(deadline=None)
@given(WEIGHTS, st.floats(0, 1, exclude_max=True))
def test_chance_never_takes_a_backend_of_weight_0(weights, point):
    chosen = by_chance(backends(*weights), point)
    assert (chosen is None) == (sum(weights) == 0)
    assert chosen is None or chosen.weight > 0


@settings(deadline=None)
@given(WEIGHTS)
def test_chance_gives_each_backend_a_part_as_wide_as_its_share(weights):
    total = sum(weights)
    middles = [by_chance(backends(*weights), (number + 0.5) / total) for number in range(total)]
    counted = Counter(backend.identity for backend in middles if backend)
    assert [counted[f"b{number}:80"] for number in range(len(weights))] == weights


@pytest.mark.parametrize("weights", [(90, 10), (1, 1), (1, 2, 5), (999, 1), (3, 0, 1)])
def test_10000_requests_split_as_their_weights_say(weights):
    able, chance = backends(*weights), Random(20)
    by_point = Counter(chosen.identity for _ in range(10_000) if (chosen := by_chance(able, chance.random())))
    by_user = Counter(chosen.identity for user in range(10_000) if (chosen := by_key(able, f"user-{user}")))
    for counted in (by_point, by_user):
        for backend in able:
            assert binomtest(counted[backend.identity], 10_000, backend.weight / sum(weights)).pvalue > 0.001


@settings(deadline=None)
@given(WEIGHTS, st.text(), st.randoms())
def test_a_key_keeps_its_backend_whatever_the_order_and_the_scale_of_weights(weights, key, chance):
    able = backends(*weights)
    scaled = backends(*(weight * 4 for weight in weights))  # a power of two: no rounding
    chance.shuffle(scaled)
    first, second = by_key(able, key), by_key(scaled, key)
    assert (first and first.identity) == (second and second.identity)
    assert (first is None) == (sum(weights) == 0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=5))
def test_a_key_moves_only_to_a_backend_whose_weight_grew_beside_the_old_ones(pairs):
    before, after = backends(*(old for old, _ in pairs)), backends(*(new for _, new in pairs))
    for key in KEYS[:50]:
        old, new = by_key(before, key), by_key(after, key)
        if old and new and old.identity != new.identity:
            i, j = int(old.identity[1]), int(new.identity[1])
            assert pairs[j][1] * pairs[i][0] > pairs[i][1] * pairs[j][0]


def test_from_10_to_20_percent_a_tenth_of_the_keys_moves_and_all_of_them_to_the_candidate():
    users = [f"user-{number}" for number in range(10_000)]
    moved = 0
    for user in users:
        old, new = by_key(backends(90, 10), user), by_key(backends(80, 20), user)
        assert old is not None
        assert new is not None
        if old.identity != new.identity:
            moved += 1
            assert new.identity == "b1:80"
    assert binomtest(moved, len(users), 0.1).pvalue > 0.001


def test_a_sticky_route_takes_its_key_from_a_header_or_a_cookie(folder):
    headers = CIMultiDict({"X-User": "ann"})
    of_header = table(folder, to("one"), annotations={"fairlead.io/sticky": "header=x-user"})
    of_cookie = table(folder, to("one"), annotations={"fairlead.io/sticky": "cookie=session"})
    of_none = table(folder, to("one"))
    assert of_header.key(headers, {"session": "s"}) == "ann"
    assert of_cookie.key(headers, {"session": "s"}) == "s"
    assert of_header.key(CIMultiDict(), {}) is None
    assert of_none.key(headers, {"session": "s"}) is None


# Headers


def test_headers_of_one_connection_are_dropped_also_those_that_connection_names():
    headers = CIMultiDict(
        [("Connection", "close, X-Mine"), ("X-Mine", "1"), ("TE", "trailers"), ("Accept", "a"), ("Accept", "b")]
    )
    assert list(passed_on(CIMultiDictProxy(headers)).items()) == [("Accept", "a"), ("Accept", "b")]


def test_a_backend_is_told_where_a_request_came_from_and_callers_cannot_mark_copies():
    headers = CIMultiDict({"X-Forwarded-For": "10.0.0.1", "x-fairlead-mirrored": "1", "X-Forwarded-Proto": "https"})
    assert dict(for_backend(CIMultiDictProxy(headers), "127.0.0.1", "a.example")) == {
        "x-forwarded-for": "10.0.0.1, 127.0.0.1",
        "x-forwarded-host": "a.example",
        "x-forwarded-proto": "http",
    }


def test_a_modifier_sets_adds_and_removes_without_regard_to_case(folder):
    modifier = {
        "set": [{"name": "x-a", "value": "new"}],
        "add": [{"name": "x-b", "value": "2"}],
        "remove": ["X-C"],
    }
    rule = to("one", filters=[{"type": "RequestHeaderModifier", "requestHeaderModifier": modifier}])
    target = table(folder, rule).find(ask())
    assert target is not None
    headers = CIMultiDict([("X-A", "1"), ("X-A", "2"), ("X-B", "1"), ("x-c", "1")])
    edit(headers, target.request_edit)
    assert sorted((name.lower(), value) for name, value in headers.items()) == [
        ("x-a", "new"),
        ("x-b", "1"),
        ("x-b", "2"),
    ]


# What a file may say


def refusal(folder: Path, document: Any) -> str:
    with pytest.raises(SpecError) as error:
        read_table(write(folder, document), BACKENDS)
    return str(error.value).removeprefix(str(folder / "route.yaml"))


def mirror(**more: Any) -> dict[str, Any]:
    return {"type": "RequestMirror", "requestMirror": {"backendRef": ref("two"), **more}}


def test_the_route_of_the_guide_is_accepted():
    names = ("flight-delay-stable", "flight-delay-candidate")
    target = read_table(EXAMPLE, dict.fromkeys(names, "http://127.0.0.1:1")).find(ask())
    assert target is not None
    assert [(item.label, item.weight) for item in target.backends] == list(zip(names, (90, 10), strict=True))


@pytest.mark.parametrize(
    ("more", "share"), [({}, 1.0), ({"percent": 5}, 0.05), ({"fraction": {"numerator": 1, "denominator": 400}}, 0.0025)]
)
def test_a_mirror_gets_all_a_percentage_or_a_fraction(folder, more, share):
    target = table(folder, to("one", filters=[mirror(**more)])).find(ask())
    assert target is not None
    assert [item.share for item in target.mirrors] == [share]


def test_a_backend_without_weight_needs_no_url(folder):
    rule = {"backendRefs": [ref("one"), ref("nowhere", weight=0)]}
    assert found(table(folder, rule), ask()) == "one"


def test_a_port_of_a_service_may_have_a_url_of_its_own(folder):
    path = write(folder, route({"backendRefs": [ref("one")]}))
    assert found(read_table(path, {"one": "http://a", "one:80": "http://b"}), ask()) == "one:80"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"timeouts": {"request": "1s"}},
            "spec.rules.0.timeouts: unknown key; allowed: backendRefs, filters, matches, name",
        ),
        ({"backendRef": []}, "spec.rules.0.backendRef: unknown key; did you mean 'backendRefs'?"),
        ({"backendRefs": [{"name": "one"}]}, "spec.rules.0.backendRefs.0.port: is required, but missing"),
        (
            {"backendRefs": [ref("one", kind="InferencePool")]},
            "spec.rules.0.backendRefs.0.kind: must be one of Service, but is 'InferencePool'",
        ),
        (
            {"backendRefs": [ref("one", weight=-1)]},
            "spec.rules.0.backendRefs.0.weight: input should be greater than or equal to 0, but is -1",
        ),
        (
            {"backendRefs": [ref("five")]},
            "spec.rules.0.backendRefs.0.name: has no URL: start the gateway with --backend five=URL",
        ),
        (
            to("one", {"path": {"type": "RegularExpression", "value": "/.*"}}),
            "spec.rules.0.matches.0.path.type: must be one of Exact, PathPrefix, but is 'RegularExpression'",
        ),
        (
            to("one", {"path": {"value": "/a/../b"}}),
            "spec.rules.0.matches.0.path.value: must not hold '/../', but is '/a/../b'",
        ),
        (
            to("one", {"headers": [{"name": "a", "type": "RegularExpression", "value": "(?=x)"}]}),
            "spec.rules.0.matches.0.headers.0.value: must be a regular expression of RE2, which has no '(?=', "
            "but is '(?=x)'",
        ),
        (
            to("one", {"headers": [{"name": "a", "value": "1"}, {"name": "A", "value": "2"}]}),
            "spec.rules.0.matches.0.headers: must hold each name once, but 'a' stands there twice",
        ),
        (
            to("one", filters=[{"type": "URLRewrite"}]),
            "spec.rules.0.filters.0.type: must be one of RequestMirror, RequestHeaderModifier, ResponseHeaderModifier, "
            "but is 'URLRewrite'",
        ),
        (
            to("one", filters=[mirror(percent=1, fraction={"numerator": 1})]),
            "spec.rules.0.filters.0.requestMirror.percent: must not stand beside fraction: only one of them can hold",
        ),
        (
            to("one", filters=[{**mirror(), "type": "RequestHeaderModifier"}]),
            "spec.rules.0.filters.0.type: 'RequestHeaderModifier' needs the key 'requestHeaderModifier', which is "
            "missing",
        ),
        (
            to(
                "one",
                filters=[
                    {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["Content-Length"]}},
                ],
            ),
            "spec.rules.0.filters.0.requestHeaderModifier.remove.0: must not be a header that frames or addresses a "
            "message, but is 'Content-Length'",
        ),
        (
            to("one", filters=[{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["a"]}}] * 2),
            "spec.rules.0.filters.1: repeats ResponseHeaderModifier, which a rule can have once",
        ),
        (
            {"backendRefs": [ref("one", filters=[{"type": "RequestMirror"}])]},
            "spec.rules.0.backendRefs.0.filters.0.type: must be one of RequestHeaderModifier, but is 'RequestMirror'",
        ),
    ],
)
def test_what_is_not_implemented_or_not_allowed_is_refused_by_its_place(folder, rule, message):
    place, _, told = refusal(folder, route(rule)).partition(": ")
    assert told.startswith(message)
    assert int(place.lstrip(":")) > 1


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({"fairlead.io/stiky": "header=a"}, "must hold no key of fairlead.io/ but 'fairlead.io/sticky'"),
        ({"fairlead.io/sticky": "query=a"}, "must be header=<name> or cookie=<name>, but is 'query=a'"),
    ],
)
def test_a_wrong_annotation_of_ours_is_refused(folder, annotations, message):
    assert message in refusal(folder, route(to("one"), annotations=annotations))


def test_another_kind_of_route_is_refused(folder):
    told = refusal(folder, {**route(to("one")), "kind": "GRPCRoute"})
    assert ": kind: must be one of HTTPRoute, but is 'GRPCRoute'" in told
