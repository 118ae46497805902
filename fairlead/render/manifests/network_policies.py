"""The NetworkPolicies of an environment: nothing may talk, and then each edge that is needed, with its reason."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from fairlead.render.manifests import rollout
from fairlead.render.manifests.objects import (
    COLLECTOR,
    COLLECTOR_PORT,
    GRPC_CONTAINER_PORT,
    HTTP_CONTAINER_PORT,
    JOB,
    MODEL,
    Object,
    thing,
)
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.model import ModelSpec

MONITORING_NAMESPACE = "monitoring"
HTTPS_PORT, REDIS_PORT, DNS_PORT = 443, 6379, 53
AMAZON = "https://s3.amazonaws.com"
SERVING = {"matchExpressions": [{"key": MODEL, "operator": "Exists"}]}
"""The pods of endpoints."""
JOBS = {"matchLabels": JOB}


def network_policies(
    environment: EnvironmentSpec, models: Sequence[ModelSpec] = ()
) -> Mapping[str, tuple[Object, str]]:
    """Name → policy and why it is there."""
    serving_ports = [HTTP_CONTAINER_PORT, GRPC_CONTAINER_PORT]
    gateway, collector = environment.gateway.namespace, {"matchLabels": {"app.kubernetes.io/name": COLLECTOR}}
    edges: dict[str, tuple[Object, str]] = {
        "deny-all": (
            {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
            "Nothing may reach a pod and no pod may reach anything, but for the policies beside this one.",
        ),
        "all-to-dns": (
            _egress({}, _to(_namespace("kube-system")), _ports([DNS_PORT], "UDP") + _ports([DNS_PORT])),
            "Every name is asked for there.",
        ),
        "gateway-to-serving": (
            _ingress(SERVING, [_namespace(gateway)], _ports(serving_ports)),
            "The only way to an endpoint. `/v2/repository` and `/metrics` share its port: the route leaves them out.",
        ),
        "prometheus-to-serving": (
            _ingress(SERVING, [_namespace(MONITORING_NAMESPACE)], _ports([HTTP_CONTAINER_PORT])),
            "Counts and latencies, by which a rollout is decided.",
        ),
        "serving-to-storage": (
            _egress(SERVING, *_at(environment.storage.endpoint or AMAZON)),
            "The bundle is fetched from S3 when a pod starts.",
        ),
        "serving-to-online-store": (
            _egress(SERVING, {}, _ports([REDIS_PORT])),
            "Features are looked up in Redis. Its address is in the Secret, so only the port can be named here.",
        ),
        "jobs-to-storage": (
            _egress(JOBS, *_at(environment.storage.endpoint or AMAZON)),
            "A run keeps its tables, artifacts and bundles in S3.",
        ),
        "jobs-to-tracking": (
            _egress(JOBS, *_at(environment.tracking)),
            "A run is logged and its model registered in MLflow.",
        ),
        "jobs-to-online-store": (
            _egress(JOBS, {}, _ports([REDIS_PORT])),
            "Features are published to Redis.",
        ),
        "serving-to-collector": (
            _egress(SERVING, _to({"podSelector": collector}), _ports([COLLECTOR_PORT])),
            "Records of predictions are delivered there.",
        ),
        "collector-from-serving": (
            _ingress(collector, [{"podSelector": SERVING}], _ports([COLLECTOR_PORT])),
            "Records of predictions come from endpoints and from nobody else.",
        ),
        "collector-to-storage": (
            _egress(collector, *_at(environment.storage.endpoint or AMAZON)),
            "Records are kept in S3, and results of jobs that watch are read there.",
        ),
        "prometheus-to-collector": (
            _ingress(collector, [_namespace(MONITORING_NAMESPACE)], _ports([COLLECTOR_PORT])),
            "What the collector counts, and what jobs that watch have found.",
        ),
    }
    edges |= _of_releases(environment, models)
    return {
        name: (
            thing("networking.k8s.io/v1", "NetworkPolicy", name, namespace=environment.namespace, spec=spec),
            why,
        )
        for name, (spec, why) in edges.items()
    }


def _of_releases(environment: EnvironmentSpec, models: Sequence[ModelSpec]) -> dict[str, tuple[Object, str]]:
    if environment.releases is None:
        return {}
    pods = {"matchLabels": rollout.LABELS}
    storage = (
        _egress(pods, *_at(environment.storage.endpoint or AMAZON)),
        "Records and labels, by which a model's `rollout.quality` or `rollout.answers` judges a candidate.",
    )
    return {
        **({"rollout-to-storage": storage} if rollout.reads_records(models) else {}),
        "rollout-to-releases": (
            _egress(pods, *_at(_as_url(environment.releases.repository))),
            "Releases are read from Git and written there.",
        ),
        "rollout-to-pull-requests": (
            _egress(pods, {}, _ports([HTTPS_PORT])),
            "Promotions that a person must agree to are pull requests, by the API of GitHub.",
        ),
        "rollout-to-prometheus": (
            _egress(pods, *_at(environment.releases.prometheus)),
            "What a candidate is judged by.",
        ),
        "rollout-to-tracking": (
            _egress(pods, *_at(environment.tracking)),
            "Whether a version that somebody wrote into a release passed its gates.",
        ),
        "prometheus-to-rollout": (
            _ingress(pods, [_namespace(MONITORING_NAMESPACE)], _ports([rollout.METRICS_PORT])),
            "Stages, evidence, and whether the controller can see anything.",
        ),
    }


def _as_url(repository: str) -> str:
    """The address with a scheme and, for SSH, with its port: `git@host:path` has neither."""
    if "://" not in repository:
        return f"ssh://{repository.partition(':')[0]}:22"
    parts = urlsplit(repository)
    return f"ssh://{parts.hostname}:{parts.port or 22}" if parts.scheme == "ssh" else repository


def _egress(pods: Object, to: Object, ports: list[Object]) -> Object:
    return {"podSelector": pods, "policyTypes": ["Egress"], "egress": [{**to, **({"ports": ports} if ports else {})}]}


def _ingress(pods: Object, peers: list[Object], ports: list[Object]) -> Object:
    return {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": [{"from": peers, "ports": ports}]}


def _to(*peers: Object) -> Object:
    return {"to": list(peers)}


def _namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


def _ports(numbers: list[int], protocol: str = "TCP") -> list[Any]:
    return [{"protocol": protocol, "port": number} for number in numbers]


def _at(url: str) -> tuple[Object, list[Object]]:
    """The namespace of what is inside the cluster; any address on its port outside of it.

    A policy sees the pod's port, which is not the Service's: inside the cluster no port is named.
    """
    parts = urlsplit(url)
    _, _, domain = (parts.hostname or "").partition(".")
    namespace, _, kind = domain.partition(".")
    if kind in ("svc", "svc.cluster.local"):
        return _to(_namespace(namespace)), []
    return {}, _ports([parts.port or (HTTPS_PORT if parts.scheme == "https" else 80)])
