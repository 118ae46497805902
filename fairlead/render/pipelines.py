"""Compiled pipelines as resources of an environment: `manifests/envs/<env>/pipelines/`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from fairlead.errors import SpecError
from fairlead.lineage.digest import hash_json
from fairlead.render.documents import text_of
from fairlead.render.manifests.config_map import environment_variables
from fairlead.render.manifests.objects import ENVIRONMENT_CONFIG, PIPELINE_IMAGE, STORAGE_SECRET
from fairlead.spec.dataset import nearest
from fairlead.spec.environment import EnvironmentSpec, ImagesSpec
from fairlead.spec.load import load_document, load_environment

ENVIRONMENTS = Path("manifests/envs")
FOLDER = "pipelines"
"""Of an environment; a model cannot have this name."""
NAMESPACE_NEEDS = "../../../workloads/kubeflow-namespace"
SCHEDULES_CONFIG = "pipeline-schedules"
SCHEDULES_FILE = "schedules.yaml"

SOURCES = "pipelines/, ../environment.yaml and ../images.yaml"
"""What the files of an environment are made from."""
_FIRST, _SECOND = {"argocd.argoproj.io/sync-wave": "-1"}, {"argocd.argoproj.io/sync-wave": "0"}
_LABELS = {"app.kubernetes.io/part-of": "fairlead"}


def environments(repo: Path) -> dict[Path, tuple[EnvironmentSpec, ImagesSpec]]:
    """Folder, relative to the repository → the environment and its images.

    Raises:
        SpecError: a file does not hold, or its environment has another name than its folder.
    """
    found = {}
    for path in sorted((repo / ENVIRONMENTS).glob("*/environment.yaml")):
        found[path.parent.relative_to(repo)] = (
            load_environment(path),
            load_document(path.with_name("images.yaml"), ImagesSpec),
        )
    return found


def find_environment(repo: Path, name: str) -> EnvironmentSpec:
    """The environment of that name.

    Raises:
        SpecError: there is none, or it does not hold.
    """
    path = repo / ENVIRONMENTS / name / "environment.yaml"
    if not path.exists():
        known = [found.parent.name for found in (repo / ENVIRONMENTS).glob("*/environment.yaml")]
        raise SpecError(f"there is no environment {name!r}" + nearest(name, known))
    return load_environment(path)


def rendered_version(repo: Path, environment: str, pipeline: str) -> str:
    """The name of a pipeline's version in this checkout.

    Raises:
        SpecError: it has not been rendered.
    """
    path = repo / ENVIRONMENTS / environment / FOLDER / f"pipeline-version-{pipeline}.yaml"
    if not path.exists():
        raise SpecError(f"{path}: there is no such file; `fairlead render` writes it")
    return str(yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)["metadata"]["name"])


def pipeline_manifests(repo: Path, compiled: Iterable[str]) -> Mapping[Path, str]:
    """All files of all environments.

    Args:
        repo: the checkout.
        compiled: the pipelines, as the compiler wrote them.

    Raises:
        SpecError: an environment does not hold, or names a pipeline that there is not.
    """
    packages = [list(yaml.load_all(text, Loader=_Loader)) for text in compiled]
    files = {}
    for folder, (environment, images) in environments(repo).items():
        documents = _documents(packages, environment, images, folder)
        for name, document in documents.items():
            files[folder / FOLDER / name] = text_of(document, SOURCES)
    return files


def _documents(
    packages: list[list[Any]], environment: EnvironmentSpec, images: ImagesSpec, folder: Path
) -> dict[str, dict[str, Any]]:
    """File → object."""
    namespace = environment.pipelines.namespace
    documents: dict[str, dict[str, Any]] = {
        "config-map-environment.yaml": _config_map(ENVIRONMENT_CONFIG, namespace, environment_variables(environment)),
        "config-map-launcher.yaml": _config_map("kfp-launcher", namespace, _launcher(environment)),
        "network-policy-storage.yaml": _storage_policy(environment),
    }
    versions = {}
    for package in packages:
        name = package[0]["pipelineInfo"]["name"]
        version = pipeline_version(package, images.pipeline, namespace)
        versions[name] = version["metadata"]["name"]
        documents[f"pipeline-{name}.yaml"] = _pipeline(package[0], namespace)
        documents[f"pipeline-version-{name}.yaml"] = version
    schedules = {SCHEDULES_FILE: yaml.safe_dump(_schedules(environment, versions, folder), sort_keys=False)}
    documents["config-map-schedules.yaml"] = _config_map(SCHEDULES_CONFIG, namespace, schedules)
    documents["job-schedules.yaml"] = _schedules_job(namespace, images.pipeline)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": namespace,
        "resources": [NAMESPACE_NEEDS, *sorted(documents)],
    }
    return {**documents, "kustomization.yaml": kustomization}


def pipeline_version(package: list[Any], image: str, namespace: str) -> dict[str, Any]:
    """A `PipelineVersion`, named by its content: the API server accepts no change of one that is there.

    Args:
        package: the compiled pipeline, and what only the platform knows if it has that.
        image: what the steps run in.
        namespace: where Kubeflow Pipelines serves it.
    """
    spec, platform = package[0], package[1] if len(package) > 1 else None
    executors = {
        name: {**executor, "container": _with_image(name, executor["container"], image)}
        for name, executor in spec["deploymentSpec"]["executors"].items()
    }
    content: dict[str, Any] = {"pipelineSpec": {**spec, "deploymentSpec": {"executors": executors}}}
    if platform:
        content["platformSpec"] = platform
    pipeline = spec["pipelineInfo"]["name"]
    name = f"{pipeline}-{hash_json(content)[:12]}"
    return {
        "apiVersion": "pipelines.kubeflow.org/v2beta1",
        "kind": "PipelineVersion",
        "metadata": {"name": name, "namespace": namespace, "labels": _LABELS, "annotations": _SECOND},
        "spec": {"pipelineName": pipeline, "displayName": name, **_description(spec), **content},
    }


def _with_image(executor: str, container: dict[str, Any], image: str) -> dict[str, Any]:
    if container["image"] != PIPELINE_IMAGE:
        raise SpecError(f"{executor} must run in {PIPELINE_IMAGE!r}, but names the image {container['image']!r}")
    return {**container, "image": image}


def _pipeline(spec: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    name = spec["pipelineInfo"]["name"]
    return {
        "apiVersion": "pipelines.kubeflow.org/v2beta1",
        "kind": "Pipeline",
        "metadata": {"name": name, "namespace": namespace, "labels": _LABELS, "annotations": _FIRST},
        "spec": {"displayName": name, **_description(spec)},
    }


def _description(spec: Mapping[str, Any]) -> dict[str, str]:
    text = spec["pipelineInfo"].get("description")
    return {"description": text} if text else {}


def _launcher(environment: EnvironmentSpec) -> dict[str, str]:
    """Where the launcher of a step puts artifacts."""
    address = urlsplit(environment.storage.endpoint or f"https://s3.{environment.storage.region}.amazonaws.com")
    secret = {
        "secretName": STORAGE_SECRET,
        "accessKeyKey": "AWS_ACCESS_KEY_ID",
        "secretKeyKey": "AWS_SECRET_ACCESS_KEY",
    }
    default = {
        "endpoint": address.netloc,
        "region": environment.storage.region,
        "disableSSL": address.scheme == "http",
        "forcePathStyle": environment.storage.endpoint is not None,
        "credentials": {"fromEnv": False, "secretRef": secret},
    }
    return {
        "defaultPipelineRoot": f"{environment.storage.bucket}/pipelines",
        "providers": yaml.safe_dump({"s3": {"default": default}}, sort_keys=False),
    }


def _config_map(name: str, namespace: str, data: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": _LABELS, "annotations": _FIRST},
        "data": dict(data),
    }


def _schedules(environment: EnvironmentSpec, versions: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """What `fairlead schedules sync` reads: all that is declared, with the versions that this commit has."""
    schedules = []
    for index, schedule in enumerate(environment.pipelines.schedules):
        if schedule.pipeline not in versions:
            where = f"{folder / 'environment.yaml'}: pipelines.schedules.{index}.pipeline"
            raise SpecError(f"{where}: there is no {schedule.pipeline!r}" + nearest(schedule.pipeline, versions))
        schedules.append({**schedule.model_dump(), "version": versions[schedule.pipeline]})
    return {
        "api": environment.pipelines.api,
        "namespace": environment.pipelines.namespace,
        "environment": environment.name,
        "schedules": schedules,
    }


def _schedules_job(namespace: str, image: str) -> dict[str, Any]:
    """Schedules are no resources of Kubernetes: after each sync this Job tells the API server what is declared."""
    hook = {"argocd.argoproj.io/hook": "PostSync", "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"}
    labels = {**_LABELS, "app.kubernetes.io/name": SCHEDULES_CONFIG}
    mounts: dict[str, dict[str, Any]] = {
        "/etc/fairlead": {"name": "schedules", "readOnly": True},
        "/tmp": {"name": "scratch"},
    }
    container = {
        "name": "sync",
        "image": image,
        "command": ["fairlead", "schedules", "sync", f"/etc/fairlead/{SCHEDULES_FILE}"],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{**mount, "mountPath": path} for path, mount in mounts.items()],
    }
    pod = {
        "serviceAccountName": SCHEDULES_CONFIG,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "schedules", "configMap": {"name": SCHEDULES_CONFIG}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": SCHEDULES_CONFIG, "namespace": namespace, "labels": labels, "annotations": hook},
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": 300,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _storage_policy(environment: EnvironmentSpec) -> dict[str, Any]:
    """Steps, and the drivers and launchers beside them, may talk to this environment's storage and tracking server."""
    addresses = [environment.storage.endpoint or "https://s3.amazonaws.com", environment.tracking]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "steps-storage", "namespace": environment.pipelines.namespace, "labels": _LABELS},
        "spec": {
            "podSelector": {"matchExpressions": [{"key": "workflows.argoproj.io/workflow", "operator": "Exists"}]},
            "policyTypes": ["Egress"],
            "egress": [_edge(address) for address in dict.fromkeys(addresses)],
        },
    }


def _edge(address: str) -> dict[str, Any]:
    """To the pods of a service's namespace if the address is one of this cluster, else to its port anywhere.

    A policy compares the port of the pod, which must therefore be that of its service.
    """
    parts = urlsplit(address)
    host = (parts.hostname or "").split(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    inside = len(host) >= 3 and host[2] == "svc"
    peer = (
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": host[1]}}}
        if inside
        else {"ipBlock": {"cidr": "0.0.0.0/0"}}
    )
    return {"to": [peer], "ports": [{"protocol": "TCP", "port": port}]}


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
