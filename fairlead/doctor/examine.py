"""All checks, of what a checkout says and a cluster has."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from ruamel.yaml import YAML

from fairlead.doctor import gateway, models, needs, pipelines
from fairlead.doctor.argo_cd import application, applications
from fairlead.doctor.definitions import definitions
from fairlead.doctor.finding import Finding
from fairlead.errors import SpecError
from fairlead.ports import ClusterReader
from fairlead.render.argocd import COMMON, ENVIRONMENTS, PIPELINES, RELEASE, SETTINGS
from fairlead.render.pipelines import find_environment, rendered_version
from fairlead.rollout.file import read_release
from fairlead.rollout.serve import Arm, serve_of, service_name
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import load_document
from fairlead.spec.platform import ClusterSettings


def examine(repo: Path, cluster: ClusterReader, only: str | None = None) -> list[Finding]:
    """Each finding once, in the order in which things are mended.

    Args:
        repo: the checkout.
        cluster: what is examined.
        only: one environment instead of those that argocd/settings.yaml names.

    Raises:
        SpecError: a file of the checkout does not hold, or there is no such environment.
        RolloutError: a release does not hold.
        ClusterDownError: the cluster does not answer.
    """
    settings = load_document(repo / SETTINGS, ClusterSettings)
    found = definitions(cluster)
    for name in settings.platform:
        if name in needs.OF_COMPONENTS:
            found += needs.secret(cluster, *needs.OF_COMPONENTS[name])
    found += applications(cluster, settings.platform)
    for name in [only] if only else settings.environments:
        found += _environment(repo, cluster, find_environment(repo, name))
    return list(dict.fromkeys(found))


def _environment(repo: Path, cluster: ClusterReader, environment: EnvironmentSpec) -> Iterator[Finding]:
    name, namespace, folder = environment.name, environment.namespace, ENVIRONMENTS / environment.name
    file = str(folder / "environment.yaml")
    yield from needs.namespace(cluster, namespace, str(folder / COMMON / "namespace.yaml"))
    for needed in needs.secrets_of(namespace, environment.pipelines.namespace, environment.records):
        yield from needs.secret(cluster, *needed)
    for part in _CONFIG_MAPS:
        yield from needs.config_map(cluster, _rendered(repo / folder / part), str(folder / part))
    for url, purpose in _addresses(environment):
        yield from needs.address(cluster, url, purpose, file)
    yield from needs.serving_runtime(cluster, namespace, f"{name}-{COMMON}")
    yield from gateway.gateway(cluster, environment, file)
    for part in (COMMON, PIPELINES):
        yield from application(cluster, f"{name}-{part}")
    for path in sorted((repo / folder).glob(f"*/{RELEASE}")):
        yield from _model(cluster, environment, path)
    yield from _pipelines(repo, cluster, environment)


_CONFIG_MAPS = (
    f"{COMMON}/config-map.yaml",
    *(f"{PIPELINES}/config-map-{part}.yaml" for part in ("environment", "launcher", "schedules")),
)
"""Of an environment's folder."""


def _addresses(environment: EnvironmentSpec) -> Sequence[tuple[str, str]]:
    endpoint = environment.storage.endpoint
    return [
        *([(endpoint, "the storage")] if endpoint else []),
        (environment.tracking, "MLflow"),
        (environment.pipelines.api, "Kubeflow Pipelines' API server"),
    ]


def _model(cluster: ClusterReader, environment: EnvironmentSpec, path: Path) -> Iterator[Finding]:
    model, whole = path.parent.name, f"{environment.name}-{path.parent.name}"
    yield from application(cluster, whole)
    yield from gateway.route(cluster, environment, model)
    serve = serve_of(read_release(path, environment), environment)
    arm: Arm
    for arm in get_args(Arm):
        name = service_name(model, arm)
        yield from models.endpoint(cluster, environment.namespace, name, getattr(serve, arm), whole)


def _pipelines(repo: Path, cluster: ClusterReader, environment: EnvironmentSpec) -> Iterator[Finding]:
    name, where = environment.name, environment.pipelines.namespace
    prefix = "pipeline-version-"
    for path in sorted((repo / ENVIRONMENTS / name / PIPELINES).glob(f"{prefix}*.yaml")):
        version = rendered_version(repo, name, path.stem.removeprefix(prefix))
        yield from pipelines.version(cluster, where, version, f"{name}-{PIPELINES}")
    yield from pipelines.schedules(cluster, where, f"{name}-{PIPELINES}")


def _rendered(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise SpecError(f"{path}: there is no such file; `fairlead render` writes it")
    document: dict[str, Any] = YAML(typ="safe").load(path)
    return document
