"""All rendered files below manifests/, from the specs of models and environments."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fairlead.errors import SpecError
from fairlead.render.argocd import SETTINGS
from fairlead.render.documents import text_of
from fairlead.render.manifests import (
    alertmanager_config,
    collector,
    external_secrets,
    kustomization,
    pod_disruption_budget,
    prometheus_rule,
    rollout,
    service,
)
from fairlead.render.manifests.config_map import config_map
from fairlead.render.manifests.cron_job import WHY as WHY_SUSPENDED
from fairlead.render.manifests.cron_job import (
    WHY_PERFORMANCE,
    WHY_RETRAINING,
    performance_job,
    retraining_job,
    train_job,
)
from fairlead.render.manifests.drift_job import WHY as WHY_DRIFT
from fairlead.render.manifests.drift_job import drift_job
from fairlead.render.manifests.http_route import http_route
from fairlead.render.manifests.inference_service import inference_service
from fairlead.render.manifests.namespace import namespace
from fairlead.render.manifests.network_policies import network_policies
from fairlead.render.manifests.objects import SERVING_ACCOUNT, Object
from fairlead.render.manifests.pod_monitor import pod_monitor
from fairlead.render.manifests.service_account import service_account
from fairlead.render.manifests.serving_runtime import serving_runtime
from fairlead.rollout.file import FILE, mend_release
from fairlead.rollout.serve import Arm
from fairlead.spec import ModelSpec, load_model
from fairlead.spec.environment import EnvironmentSpec, ImagesSpec, ScaleSpec
from fairlead.spec.load import load_document, load_environment
from fairlead.spec.platform import ClusterSettings

ROOT = Path("manifests")
KUSTOMIZATION, SCALE, ENVIRONMENT, IMAGES = "kustomization.yaml", "scale.yaml", "environment.yaml", "images.yaml"
RULES = "prometheus-rule.yaml"
COMMON = "common"
"""The folder of an environment that belongs to no model."""

Files = dict[Path, str]
Named = Mapping[str, tuple[Object, str]]
"""File → object and why it is as it is."""


def manifests(repo: Path) -> Files:
    """Path from the root of the repository → content. A release is among them, with the `serve` that follows from it.

    Raises:
        SpecError: a spec breaks a rule, or an environment has a model that there is no spec of.
        RolloutError: a release breaks a rule.
    """
    models = {path.stem: load_model(path) for path in sorted((repo / "pipelines/models").glob("*.yaml"))}
    files = {**_runtime(), **_external_secrets()}
    for model in models:
        files |= _model(model)
    runbooks = load_document(repo / SETTINGS, ClusterSettings).runbooks_url
    for path in sorted((repo / ROOT / "envs").glob(f"*/{ENVIRONMENT}")):
        files |= _environment(path.parent, path.parent.relative_to(repo), models, runbooks)
    return files


def _runtime() -> Files:
    objects: Named = {
        "serving-runtime.yaml": (serving_runtime(), ""),
        "service-account.yaml": (service_account(SERVING_ACCOUNT), ""),
        "pod-monitor.yaml": (pod_monitor(), ""),
    }
    return _base(ROOT / "workloads/serving-runtime", objects, "fairlead/render/manifests")


def _external_secrets() -> Files:
    folder, source = ROOT / "variants/external-secrets", "fairlead/render/manifests"
    objects = {f"{name}.yaml": (external_secrets.external_secret(name), "") for name in external_secrets.KEYS}
    why = "An environment has it with `external_secrets: true` in its environment.yaml."
    whole = text_of(kustomization.component(list(objects)), source, why)
    return {**_written(folder, objects, source), folder / KUSTOMIZATION: whole}


def _model(model: str) -> Files:
    objects: dict[str, tuple[Object, str]] = {"http-route.yaml": (http_route(model), "")}
    arms: tuple[Arm, ...] = ("stable", "candidate")
    for arm in arms:
        objects |= {
            f"inference-service-{arm}.yaml": (inference_service(model, arm), ""),
            f"service-{arm}.yaml": (service.service(model, arm), service.WHY),
            f"pod-disruption-budget-{arm}.yaml": (
                pod_disruption_budget.pod_disruption_budget(model, arm),
                pod_disruption_budget.WHY,
            ),
        }
    return _base(ROOT / "workloads/models" / model, objects, f"pipelines/models/{model}.yaml")


def _environment(here: Path, folder: Path, models: Mapping[str, ModelSpec], runbooks: str) -> Files:
    """
    Args:
        here: the environment's folder.
        folder: the same from the root of the repository.
        models: those that there are specs of, by name.
        runbooks: address of their folder.
    """
    environment = load_environment(here / ENVIRONMENT)
    images = load_document(here / IMAGES, ImagesSpec)
    scales = sorted(here.glob(f"*/{SCALE}"))
    for path in scales:
        if path.parent.name not in models:
            raise SpecError(
                f"{path.parent}: must be named like a model of pipelines/models/, but there is no "
                f"{path.parent.name}.yaml"
            )
    watched = [models[path.parent.name] for path in scales]
    unwatchable = [model.name for model in watched if model.drift.engine == "alibi" and images.alibi is None]
    if unwatchable:
        raise SpecError(f"{here / IMAGES}: must name the image `alibi`, by which {unwatchable[0]} is watched for drift")
    unjudged = [model.name for model in watched if model.rollout.reads_records and not environment.records]
    if environment.releases is not None and unjudged:
        raise SpecError(
            f"{here / ENVIRONMENT}: must say `records: true`, for the releases of {unjudged[0]} are judged by them "
            f"(rollout.quality, rollout.answers)"
        )
    files = _common(folder, environment, images, watched, runbooks)
    for path in scales:
        name = path.parent.name
        scale = load_document(path, ScaleSpec)
        whole = kustomization.of_model(name, environment, images, scale)
        source = f"../{ENVIRONMENT}, ../{IMAGES} and {SCALE}"
        files[folder / name / KUSTOMIZATION] = text_of(whole, source, "It can be built once there is a release.yaml.")
        rule = prometheus_rule.of_model(models[name], environment, runbooks)
        files[folder / name / RULES] = text_of(rule, f"pipelines/models/{name}.yaml and ../{ENVIRONMENT}")
        files |= _release(path.parent / FILE, folder / name / FILE, environment)
    return files


def _common(
    folder: Path, environment: EnvironmentSpec, images: ImagesSpec, models: Sequence[ModelSpec], runbooks: str
) -> Files:
    source = f"../{ENVIRONMENT}"
    objects: dict[str, tuple[Object, str]] = {
        "namespace.yaml": (namespace(environment.namespace), ""),
        "config-map.yaml": (config_map(environment), ""),
        RULES: (prometheus_rule.of_environment(environment, runbooks), ""),
    }
    objects |= {f"network-policy-{name}.yaml": value for name, value in network_policies(environment, models).items()}
    # Here and not in the model's folder: that is applied from its first release on, for which a model is needed.
    objects |= {
        f"cron-job-{model.name}-train.yaml": (train_job(model.name, environment.namespace), WHY_SUSPENDED)
        for model in models
    }
    if environment.releases is not None:
        objects |= {
            "config-map-releases.yaml": (rollout.config_map(environment), ""),
            "deployment-rollout.yaml": (rollout.deployment(environment, models), rollout.WHY),
            "pod-monitor-rollout.yaml": (rollout.pod_monitor(environment), ""),
        }
    if environment.records:
        objects |= _watching(environment.namespace, models)
    whole = kustomization.of_environment(environment, images, list(objects))
    text = text_of(whole, f"{source} and ../{IMAGES}")
    return {**_written(folder / COMMON, objects, source), folder / COMMON / KUSTOMIZATION: text}


def _watching(namespace: str, models: Sequence[ModelSpec]) -> dict[str, tuple[Object, str]]:
    """The collector, and jobs for each model."""
    return {
        "deployment-collector.yaml": (collector.deployment(namespace), collector.WHY),
        "service-collector.yaml": (collector.service(namespace), collector.WHY_SERVICE),
        "pod-monitor-collector.yaml": (collector.pod_monitor(namespace), ""),
        "alertmanager-config.yaml": (alertmanager_config.alertmanager_config(namespace), alertmanager_config.WHY),
        **{f"cron-job-{model.name}-drift.yaml": (drift_job(model, namespace), WHY_DRIFT) for model in models},
        **{
            f"cron-job-{model.name}-performance.yaml": (performance_job(model.name, namespace), WHY_PERFORMANCE)
            for model in models
        },
        **{
            f"cron-job-{model.name}-retraining.yaml": (retraining_job(model.name, namespace), WHY_RETRAINING)
            for model in models
        },
    }


def _release(here: Path, path: Path, environment: EnvironmentSpec) -> Files:
    if not here.exists():
        return {}
    return {path: mend_release(here.read_text(encoding="utf-8"), path, environment)}


def _base(folder: Path, objects: Named, source: str) -> Files:
    whole = text_of(kustomization.base(list(objects)), source)
    return {**_written(folder, objects, source), folder / KUSTOMIZATION: whole}


def _written(folder: Path, objects: Named, source: str) -> Files:
    return dict(_texts(folder, objects, source))


def _texts(folder: Path, objects: Named, source: str) -> Iterator[tuple[Path, str]]:
    for name, (value, why) in objects.items():
        yield folder / name, text_of(value, source, why)
