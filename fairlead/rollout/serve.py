"""What a release means on a cluster: what both services run and where requests go. Follows from the release alone."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from fairlead.rollout.release import Release, Version
from fairlead.spec._base import Spec
from fairlead.spec.environment import EnvironmentSpec

HTTP_PORT, GRPC_PORT = 80, 8081
"""Of the services."""
ARM_HEADER = "x-fairlead-arm"
"""In an A/B test a request with it goes to the arm that it names: whoever assigns users to arms sets it."""
GRPC_METHODS = ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer")
"""The methods that may be called from outside: those of a model, not RepositoryModelLoad and its kind."""

Rules = list[dict[str, Any]]
Arm = Literal["stable", "candidate"]


class Service(Spec):
    """What one of the two services runs."""

    model_config = ConfigDict(alias_generator=to_camel)

    version: Version
    storage_uri: Annotated[str, StringConstraints(pattern=r"^s3://")]
    """Of its bundle."""
    stop: Literal["true", "false"]
    """Whether it has no pods; a text, as annotations are. An idle candidate is stopped."""


class Serve(Spec):
    """Values that kustomize copies into the objects of a model."""

    stable: Service
    candidate: Service
    """Without a candidate it names the stable version, and is stopped."""
    rules: Annotated[Rules, Field(min_length=1)]
    """Of the HTTPRoute, whole."""


def serve_of(release: Release, environment: EnvironmentSpec) -> Serve:
    """What follows from a release in an environment."""
    return Serve(
        stable=_service(release, release.stable, environment, stop=False),
        candidate=_service(release, release.candidate or release.stable, environment, stop=release.candidate is None),
        rules=rules_of(release),
    )


def service_name(model: str, arm: Arm) -> str:
    """Of the InferenceService and of the Service that the route points at."""
    return f"{model}-{arm}"


def _service(release: Release, version: str, environment: EnvironmentSpec, *, stop: bool) -> Service:
    return Service(
        version=version,
        storageUri=f"{environment.bundles_uri}/{release.model}/{version}",
        stop="true" if stop else "false",
    )


def rules_of(release: Release) -> Rules:
    """One rule for each protocol; no match leads to `/v2/repository`, `/metrics` or the interface's own pages."""
    protocols = ((_rest(release.model), HTTP_PORT), (_grpc(), GRPC_PORT))
    chosen: Rules = []
    if release.stage == "canary" and release.strategy == "ab":
        arms: tuple[Arm, ...] = ("stable", "candidate")
        chosen = [
            {"matches": _with_arm(matches, arm), "backendRefs": [_backend(release.model, arm, port)]}
            for arm in arms
            for matches, port in protocols
        ]
    return chosen + [_rule(release, matches, port) for matches, port in protocols]


def _rule(release: Release, matches: Rules, port: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"matches": matches}
    if release.mirror:
        rule["filters"] = [_mirror(release, port)]
    shares: tuple[tuple[Arm, int], ...] = (("stable", 100 - release.weight), ("candidate", release.weight))
    # A backend that gets nothing is left out: it may be stopped.
    rule["backendRefs"] = [_backend(release.model, arm, port) | {"weight": share} for arm, share in shares if share]
    return rule


def _mirror(release: Release, port: int) -> dict[str, Any]:
    mirror: dict[str, Any] = {"backendRef": _backend(release.model, "candidate", port)}
    if release.mirror < 100:
        mirror["percent"] = release.mirror
    return {"type": "RequestMirror", "requestMirror": mirror}


def _backend(model: str, arm: Arm, port: int) -> dict[str, Any]:
    return {"name": service_name(model, arm), "port": port}


def _rest(model: str) -> Rules:
    """A PathPrefix matches whole elements: that of `/v1/models/a` would match `a/…`, and not `a:predict`."""
    names = (model, f"{model}-vector")
    return [
        _path("Exact", "/v2"),
        _path("PathPrefix", "/v2/health"),
        *(_path("PathPrefix", f"/v2/models/{name}") for name in names),
        *(_path("Exact", f"/v1/models/{name}:predict") for name in names),
    ]


def _grpc() -> Rules:
    return [_path("Exact", f"/inference.GRPCInferenceService/{method}") for method in GRPC_METHODS]


def _path(kind: str, value: str) -> dict[str, Any]:
    return {"path": {"type": kind, "value": value}}


def _with_arm(matches: Rules, arm: Arm) -> Rules:
    return [match | {"headers": [{"type": "Exact", "name": ARM_HEADER, "value": arm}]} for match in matches]
