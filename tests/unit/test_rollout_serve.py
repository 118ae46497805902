"""What a release means on a cluster: which services run, where requests go, and what no request reaches."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from multidict import CIMultiDict

from fairlead.rollout.quality import Quality
from fairlead.rollout.release import Release
from fairlead.rollout.serve import GRPC_METHODS, serve_of
from fairlead.rollout.stages import Abort, Observe, Settle, Start, step
from fairlead.spec.load import load_environment
from fairlead.spec.model import QualityRule, RolloutSpec
from serving.gateway.route import HttpRoute
from serving.gateway.routing import Asked, RouteTable

ENVIRONMENT = load_environment(Path(__file__).parents[2] / "manifests/envs/dev/environment.yaml")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
IDLE = Release(model="flight-delay", stable="3", since=NOW)
GOOD = Quality("not_worse", 2000, 0.1, 0.1, 0.02, 0.0, 5.0)
BACKENDS = {"flight-delay-stable": "http://stable", "flight-delay-candidate": "http://candidate"}
AB = RolloutSpec(strategy="ab", quality=QualityRule(), shadow_minutes=0)


def after(release, *events, spec=None, **more):
    spec = spec or RolloutSpec(**more)
    for kind, fields in events:
        at = release.since + timedelta(minutes=20)
        release = step(release, kind(at=at, revision=release.revision, **fields), spec)
    return release


START = (Start, {"version": "4", "run": "r"})
ADVANCE = (Observe, {"verdict": "advance", "reason": "good", "quality": GOOD})
SHADOW = after(IDLE, START)
CANARY = after(IDLE, START, ADVANCE)
BLUE_GREEN = after(IDLE, START, ADVANCE, strategy="blue-green")
PROMOTED = after(IDLE, START, *[ADVANCE] * 4)
SETTLED = after(PROMOTED, (Settle, {}))
ROLLED_BACK = after(CANARY, (Abort, {"by": "ana", "reason": "no"}))
AB_CANARY = after(IDLE, START, spec=AB)
ALL = [IDLE, SHADOW, CANARY, BLUE_GREEN, PROMOTED, SETTLED, ROLLED_BACK, AB_CANARY]


def table(release):
    route = HttpRoute.model_validate(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": release.model},
            "spec": {"rules": serve_of(release, ENVIRONMENT).rules},
        }
    )
    return RouteTable(route, BACKENDS)


def asked(release, path, **headers):
    """Backend → weight of who answers, and who gets copies; None: nobody."""
    found = table(release).find(Asked("POST", "host", path, CIMultiDict(headers)))
    if found is None:
        return None
    return {backend.label.rpartition("-")[2]: backend.weight for backend in found.backends}, found.mirrors


@pytest.mark.parametrize(
    ("release", "weights", "copies"),
    [
        (IDLE, {"stable": 100}, 0),
        (SHADOW, {"stable": 100}, 1),
        (CANARY, {"stable": 95, "candidate": 5}, 0),
        (BLUE_GREEN, {"candidate": 100}, 0),
        (PROMOTED, {"candidate": 100}, 0),
        (SETTLED, {"stable": 100}, 0),
        (ROLLED_BACK, {"stable": 100}, 0),
    ],
)
@pytest.mark.parametrize("path", ["/v2/models/flight-delay/infer", "/inference.GRPCInferenceService/ModelInfer"])
def test_each_stage_sends_requests_where_its_weight_says(release, weights, copies, path):
    found, mirrors = asked(release, path)
    assert found == weights
    assert len(mirrors) == copies


def test_a_shadow_of_a_part_says_which_part():
    _, (mirror,) = asked(after(IDLE, START, mirror_percent=30), "/v2/models/flight-delay/infer")
    assert (mirror.label, mirror.share) == ("flight-delay-candidate", 0.3)


def test_in_an_ab_test_the_header_names_the_arm_and_the_weight_decides_for_the_rest():
    path = "/v2/models/flight-delay/infer"
    assert asked(AB_CANARY, path, **{"x-fairlead-arm": "candidate"})[0] == {"candidate": 1}
    assert asked(AB_CANARY, path, **{"x-fairlead-arm": "stable"})[0] == {"stable": 1}
    assert asked(AB_CANARY, path)[0] == {"stable": 95, "candidate": 5}
    assert asked(CANARY, path, **{"x-fairlead-arm": "candidate"})[0] == {"stable": 95, "candidate": 5}


@pytest.mark.parametrize("release", ALL)
def test_a_candidate_is_stopped_if_and_only_if_there_is_none_and_then_nothing_leads_to_it(release):
    serve = serve_of(release, ENVIRONMENT)
    assert serve.stable.stop == "false"
    assert (serve.candidate.stop == "true") == (release.candidate is None)
    assert serve.stable.storage_uri == f"s3://fairlead-dev/bundles/flight-delay/{release.stable}"
    assert serve.candidate.version == (release.candidate or release.stable)
    if serve.candidate.stop == "true":
        assert "flight-delay-candidate" not in str(serve.rules)


@pytest.mark.parametrize("release", ALL)
@pytest.mark.parametrize(
    "path",
    [
        "/v2/repository/index",
        "/v2/repository/models/flight-delay/unload",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/",
        "/v1/models/flight-delay",
        "/v1/models/flight-delayed:predict",
        "/v1/models/flight-delay:explain",
        "/v2/models/flight-delayed/infer",
        "/v2/models/other/infer",
        "/inference.GRPCInferenceService/RepositoryModelLoad",
        "/inference.GRPCInferenceService/RepositoryModelUnload",
        "/v2/models",
    ],
)
def test_what_is_not_the_models_own_is_not_reached_from_outside(release, path):
    assert asked(release, path) is None


@pytest.mark.parametrize("release", ALL)
@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/health/ready",
        "/v2/models/flight-delay",
        "/v2/models/flight-delay/versions/3/infer",
        "/v2/models/flight-delay-vector/infer",
        "/v1/models/flight-delay:predict",
        "/v1/models/flight-delay-vector:predict",
        *(f"/inference.GRPCInferenceService/{method}" for method in GRPC_METHODS),
    ],
)
def test_what_is_the_models_own_is_reached(release, path):
    assert asked(release, path) is not None
