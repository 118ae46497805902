"""Argo CD's objects from `argocd/settings.yaml` and `manifests/platform/versions.yaml`: what a person applies once."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from fairlead.errors import SpecError
from fairlead.render.documents import text_of
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import load_document
from fairlead.spec.platform import ClusterSettings, ComponentSpec, PlatformSpec

ARGOCD = Path("argocd")
SETTINGS = ARGOCD / "settings.yaml"
PLATFORM = Path("manifests/platform")
VERSIONS = PLATFORM / "versions.yaml"
ENVIRONMENTS = Path("manifests/envs")
COMMON, PIPELINES = "common", "pipelines"
"""Folders of an environment: what its models share, and what goes where Kubeflow Pipelines is. Others are models."""
RELEASE = "release.yaml"
"""Folders of argocd/ that hold nothing but rendered files."""

SERVER = "https://kubernetes.default.svc"
NAMESPACE = "argocd"
ROOT = "fairlead"
SETTINGS_COMPONENT = "argocd-settings"
WAVE = "argocd.argoproj.io/sync-wave"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
PROJECTS_WAVE, WORKLOADS_WAVE, ROOT_WAVE = -30, 10, 20

PLATFORM_CLUSTER_KINDS = [
    ("", "Namespace"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("serving.kserve.io", "ClusterStorageContainer"),
]
"""What the charts and kustomizations of the platform bring that is in no namespace."""

_EVERYWHERE = [
    ("", "ConfigMap"),
    ("", "LimitRange"),
    ("", "ResourceQuota"),
    ("", "ServiceAccount"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("external-secrets.io", "ExternalSecret"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
]
ENVIRONMENT_KINDS = sorted(
    [
        *_EVERYWHERE,
        ("", "PersistentVolumeClaim"),
        ("", "Service"),
        ("apps", "Deployment"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("gateway.envoyproxy.io", "BackendTrafficPolicy"),
        ("gateway.envoyproxy.io", "ClientTrafficPolicy"),
        ("gateway.networking.k8s.io", "HTTPRoute"),
        ("monitoring.coreos.com", "AlertmanagerConfig"),
        ("monitoring.coreos.com", "PodMonitor"),
        ("monitoring.coreos.com", "PrometheusRule"),
        ("monitoring.coreos.com", "ServiceMonitor"),
        ("policy", "PodDisruptionBudget"),
        ("serving.kserve.io", "InferenceService"),
        ("serving.kserve.io", "ServingRuntime"),
        ("sparkoperator.k8s.io", "SparkApplication"),
    ]
)
"""What an environment may have in its namespace. No Secret: none is in Git."""
PIPELINE_KINDS = sorted(
    [*_EVERYWHERE, ("pipelines.kubeflow.org", "Pipeline"), ("pipelines.kubeflow.org", "PipelineVersion")]
)
"""What an environment may have where Kubeflow Pipelines is."""

Document = dict[str, Any]


def argocd_files(repo: Path) -> Mapping[Path, str]:
    """All rendered files of `argocd/`.

    Raises:
        SpecError: settings or versions do not hold, or name what there is not.
    """
    settings, components = _read(repo)
    environments = {name: _environment(repo, name) for name in settings.environments}
    _check_apart(repo, environments)
    files: dict[Path, list[Document]] = {ARGOCD / "root.yaml": [_root_project(settings), _root(settings)]}
    for name, component in components.items():
        files[ARGOCD / "platform" / f"{name}.yaml"] = [_component(repo, settings, name, component)]
    projects = _projects(settings, components, environments)
    files |= {ARGOCD / "projects" / f"{project['metadata']['name']}.yaml": [project] for project in projects}
    sets = _application_sets(settings, environments) if environments else []
    files |= {ARGOCD / "applicationsets" / f"{item['metadata']['name']}.yaml": [item] for item in sets}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(str(path.relative_to(ARGOCD)) for path in files),
    }
    files[ARGOCD / "kustomization.yaml"] = [kustomization]
    source = f"{SETTINGS} and {VERSIONS}"
    return {path: "---\n".join(text_of(item, source) for item in documents) for path, documents in files.items()}


def _read(repo: Path) -> tuple[ClusterSettings, dict[str, ComponentSpec]]:
    settings = load_document(repo / SETTINGS, ClusterSettings)
    known = load_document(repo / VERSIONS, PlatformSpec).components
    unknown = [name for name in settings.platform if name not in known]
    if unknown:
        raise SpecError(
            f"{repo / SETTINGS}: platform: must name components of {VERSIONS} ({', '.join(known)}), but names "
            f"{', '.join(unknown)}"
        )
    return settings, {name: known[name] for name in known if name in settings.platform}


def _environment(repo: Path, name: str) -> EnvironmentSpec:
    path = repo / ENVIRONMENTS / name / "environment.yaml"
    if not path.exists():
        there = sorted(found.parent.name for found in path.parents[1].glob("*/environment.yaml"))
        raise SpecError(
            f"{repo / SETTINGS}: environments: must be folders of {ENVIRONMENTS} ({', '.join(there)}), but names {name}"
        )
    return load_document(path, EnvironmentSpec)


def _check_apart(repo: Path, environments: Mapping[str, EnvironmentSpec]) -> None:
    """No two environments of a cluster write into one namespace: each would undo what the other says."""
    owners: dict[str, str] = {}
    for name, environment in environments.items():
        for namespace in (environment.namespace, environment.pipelines.namespace):
            if namespace in owners:
                raise SpecError(
                    f"{repo / SETTINGS}: environments: must have namespaces of their own on one cluster, but "
                    f"{owners[namespace]} and {name} both have {namespace!r} (namespace, pipelines.namespace)"
                )
            owners[namespace] = name


def _metadata(name: str, wave: int, **annotations: str) -> Document:
    return {"name": name, "namespace": NAMESPACE, "annotations": {WAVE: str(wave), **annotations}}


def _watched() -> dict[str, str]:
    """What every application carries: a diff that the API server computes, and a message when it goes wrong."""
    return {
        # The API server's defaults would show as differences for ever, those of HTTPRoute for one.
        "argocd.argoproj.io/compare-options": "ServerSideDiff=true",
        "notifications.argoproj.io/subscribe.on-sync-failed.fairlead": "",
        "notifications.argoproj.io/subscribe.on-health-degraded.fairlead": "",
    }


def _policy(*options: str) -> Document:
    return {
        "automated": {"prune": True, "selfHeal": True},
        # Server-side, as large definitions do not fit into the annotation of a client-side apply.
        "syncOptions": ["ServerSideApply=true", *options],
        # Of the newest commit, and soon: Argo CD would try the broken one for minutes, and its repair would wait.
        "retry": {"limit": 30, "refresh": True, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "1m"}},
    }


def _git(settings: ClusterSettings, **more: Any) -> Document:
    return {"repoURL": settings.repository, "targetRevision": settings.revision, **more}


def _destination(namespace: str) -> Document:
    return {"server": SERVER, "namespace": namespace}


def _root(settings: ClusterSettings) -> Document:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        # It is among its own objects, and last: what comes after it would wait for its health, which waits for theirs.
        "metadata": _metadata(ROOT, ROOT_WAVE, **_watched()),
        "spec": {
            "project": ROOT,
            "source": _git(settings, path=str(ARGOCD)),
            "destination": _destination(NAMESPACE),
            # Else each commit would wait for all applications, and one that is degraded would hold up its own repair.
            "syncPolicy": _policy("ApplyOutOfSyncOnly=true"),
        },
    }


def _project(
    name: str,
    description: str,
    repositories: Iterable[str],
    namespaces: Iterable[str],
    *,
    cluster_kinds: Iterable[tuple[str, str]] = (),
    kinds: Iterable[tuple[str, str]] | None = None,
) -> Document:
    spec: Document = {
        "description": description,
        "sourceRepos": sorted(set(repositories)),
        "destinations": [_destination(namespace) for namespace in sorted(set(namespaces))],
        "clusterResourceWhitelist": [{"group": group, "kind": kind} for group, kind in cluster_kinds],
    }
    if kinds is not None:
        spec["namespaceResourceWhitelist"] = [{"group": group, "kind": kind} for group, kind in kinds]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        # Its finalizer keeps a project until its last application is gone, which could not be deleted without it.
        "metadata": {**_metadata(name, PROJECTS_WAVE), "finalizers": [FINALIZER]},
        "spec": spec,
    }


def _root_project(settings: ClusterSettings) -> Document:
    kinds = [("argoproj.io", kind) for kind in ("AppProject", "Application", "ApplicationSet")]
    return _project(ROOT, "Argo CD's own objects of this repository.", [settings.repository], [NAMESPACE], kinds=kinds)


def _projects(
    settings: ClusterSettings, components: Mapping[str, ComponentSpec], environments: Mapping[str, EnvironmentSpec]
) -> list[Document]:
    projects = []
    ours = [settings.repository]
    others = {name: component for name, component in components.items() if name != SETTINGS_COMPONENT}
    if SETTINGS_COMPONENT in components:
        text = "Keys of ours in Argo CD's settings."
        projects.append(_project(f"{ROOT}-settings", text, ours, [NAMESPACE], kinds=[("", "ConfigMap")]))
    if others:
        projects.append(
            _project(
                f"{ROOT}-platform",
                "Third-party components. They bring cluster roles: who may change them may do anything.",
                [*ours, *(component.repository for component in others.values() if component.repository)],
                [namespace for component in others.values() for namespace in component.namespaces],
                cluster_kinds=PLATFORM_CLUSTER_KINDS,
            )
        )
    for name, environment in environments.items():
        projects += _environment_projects(ours, name, environment)
    return projects


def _environment_projects(ours: list[str], name: str, environment: EnvironmentSpec) -> list[Document]:
    return [
        _project(
            f"{ROOT}-{name}",
            f"Endpoints, records and jobs of {name}.",
            ours,
            [environment.namespace],
            cluster_kinds=[("", "Namespace")],
            kinds=ENVIRONMENT_KINDS,
        ),
        _project(
            f"{ROOT}-{name}-{PIPELINES}",
            f"Pipelines of {name}, where Kubeflow Pipelines is.",
            ours,
            [environment.pipelines.namespace],
            kinds=PIPELINE_KINDS,
        ),
    ]


def _component(repo: Path, settings: ClusterSettings, name: str, component: ComponentSpec) -> Document:
    own = name == SETTINGS_COMPONENT
    policy = _policy() if own else _policy("CreateNamespace=true")
    if component.privileged:
        policy["managedNamespaceMetadata"] = {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        # No finalizer: a component that is left out of the settings is let go, not deleted with all its data.
        "metadata": _metadata(name, component.wave, **_watched()),
        "spec": {
            "project": f"{ROOT}-settings" if own else f"{ROOT}-platform",
            **_sources(repo, settings, name, component),
            "destination": _destination(component.namespace),
            "syncPolicy": policy,
        },
    }


def _sources(repo: Path, settings: ClusterSettings, name: str, component: ComponentSpec) -> Document:
    folder = PLATFORM / name
    if component.repository is None:
        return {"source": _git(settings, path=component.path)}
    if component.chart:
        return {"sources": _chart_sources(repo, settings, name, component)}
    if (repo / folder / "kustomization.yaml").exists():
        _check_patched(repo / folder / "kustomization.yaml", component)
        return {"source": _git(settings, path=str(folder))}
    return {
        "source": {
            "repoURL": component.repository,
            "path": component.path,
            "targetRevision": component.version,
        }
    }


def _chart_sources(repo: Path, settings: ClusterSettings, name: str, component: ComponentSpec) -> list[Document]:
    folder = PLATFORM / name
    chart: Document = {
        "repoURL": component.repository,
        "chart": component.chart,
        "targetRevision": component.version,
        "helm": {"releaseName": name},
    }
    ours = _git(settings)
    if (repo / folder / "values.yaml").exists():
        chart["helm"]["valueFiles"] = [f"$ours/{folder}/values.yaml"]
        ours["ref"] = "ours"
    if (repo / folder / "objects").is_dir():
        ours["path"] = str(folder / "objects")
    return [chart, ours] if len(ours) > len(_git(settings)) else [chart]


def _check_patched(path: Path, component: ComponentSpec) -> None:
    """Our patches stand on the version that versions.yaml names, and on no other."""
    wanted = f"{component.repository}//{component.path}?ref={component.version}"
    found = YAML(typ="safe").load(path.read_text(encoding="utf-8")).get("resources", [])
    if wanted not in found:
        raise SpecError(
            f"{path}: resources: must have {wanted!r} as {VERSIONS} says, but has {', '.join(found) or 'none'}"
        )


def _application_sets(settings: ClusterSettings, environments: Mapping[str, EnvironmentSpec]) -> list[Document]:
    """One application a folder, in the environments that this cluster runs."""
    elements = [
        {"environment": name, "namespace": item.namespace, "pipelines": item.pipelines.namespace}
        for name, item in environments.items()
    ]
    place = f"{ENVIRONMENTS}/{{{{.environment}}}}"
    project = f"{ROOT}-{{{{.environment}}}}"
    where = {
        "environments": ({"directories": [{"path": f"{place}/{COMMON}"}]}, project, "{{.namespace}}"),
        # By its release, as a model that was never released has nothing to serve.
        "models": ({"files": [{"path": f"{place}/*/{RELEASE}"}]}, project, "{{.namespace}}"),
        PIPELINES: ({"directories": [{"path": f"{place}/{PIPELINES}"}]}, f"{project}-{PIPELINES}", "{{.pipelines}}"),
    }
    sets = []
    for name, (folders, project, namespace) in where.items():
        git = {"repoURL": settings.repository, "revision": settings.revision, **folders}
        generator = {"matrix": {"generators": [{"list": {"elements": elements}}, {"git": git}]}}
        sets.append(_application_set(name, generator, _template(settings, project, namespace)))
    return sets


def _template(settings: ClusterSettings, project: str, namespace: str) -> Document:
    name = "{{.environment}}-{{.path.basename}}"
    return {
        # With its finalizer: a folder that is gone from Git takes what it made with it.
        "metadata": {"name": name, "finalizers": [FINALIZER], "annotations": _watched()},
        "spec": {
            "project": project,
            "source": _git(settings, path="{{.path.path}}"),
            "destination": _destination(namespace),
            "syncPolicy": _policy(),
        },
    }


def _application_set(name: str, generator: Document, template: Document) -> Document:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "metadata": _metadata(name, WORKLOADS_WAVE),
        "spec": {
            "goTemplate": True,
            "goTemplateOptions": ["missingkey=error"],
            "generators": [generator],
            "template": template,
        },
    }
