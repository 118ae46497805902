"""The controller of releases: one process an environment, which talks to Git, Prometheus and MLflow alone."""

from collections.abc import Sequence

from fairlead.render.manifests.objects import (
    ENVIRONMENT_CONFIG,
    PIPELINE_IMAGE,
    RELEASES_CONFIG,
    RELEASES_SECRET,
    RESTRICTED,
    STORAGE_SECRET,
    Object,
    thing,
)
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.model import ModelSpec

NAME = "rollout"
LABELS = {"app.kubernetes.io/name": "fairlead-rollout"}
METRICS_PORT = 9091
HOME = "/tmp/home/fairlead"
"""A clone, which can be lost."""
WHY = """One replica is enough, and two do no harm: of two that decide at once one wins. It has no rights on the
cluster: what it decides is a commit, which Argo CD applies."""


def reads_records(models: Sequence[ModelSpec]) -> bool:
    """Whether some of an environment's models are judged by what was recorded of their answers, too."""
    return any(model.rollout.reads_records for model in models)


def deployment(environment: EnvironmentSpec, models: Sequence[ModelSpec] = ()) -> Object:
    """`fairlead rollout watch`; none where no repository is declared.

    Records and labels are in S3, and joining them takes room: it gets both where a model asks for that.
    """
    joins = reads_records(models)
    storage: list[Object] = [{"secretRef": {"name": STORAGE_SECRET}}] if joins else []
    container = {
        "name": NAME,
        "image": PIPELINE_IMAGE,
        "command": ["fairlead", "rollout", "watch", "--home", HOME, "--environment", environment.name],
        "args": ["--metrics-host", "0.0.0.0", "--metrics-port", str(METRICS_PORT)],
        "env": [{"name": "FAIRLEAD_RUN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "envFrom": [
            {"configMapRef": {"name": ENVIRONMENT_CONFIG}},
            {"configMapRef": {"name": RELEASES_CONFIG}},
            {"secretRef": {"name": RELEASES_SECRET, "optional": True}},
            *storage,
        ],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "readinessProbe": {"httpGet": {"path": "/metrics", "port": METRICS_PORT}, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "3Gi" if joins else "1Gi"}},
        "securityContext": {**RESTRICTED},
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    pod = {
        "metadata": {"labels": LABELS},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 150,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}}],
        },
    }
    spec = {"replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": LABELS}, "template": pod}
    return thing("apps/v1", "Deployment", NAME, namespace=environment.namespace, labels=LABELS, spec=spec)


def config_map(environment: EnvironmentSpec) -> Object:
    """Where releases are, and what they are judged by."""
    releases = environment.releases
    assert releases is not None, "asked by the caller"
    data = {
        "FAIRLEAD_RELEASES": releases.repository,
        "FAIRLEAD_RELEASES_BRANCH": releases.branch,
        "FAIRLEAD_PROMETHEUS": releases.prometheus,
        "FAIRLEAD_PROMETHEUS_SELECTOR": f'namespace="{environment.namespace}"',
        **({"FAIRLEAD_GITHUB": releases.github} if releases.github else {}),
    }
    return thing("v1", "ConfigMap", RELEASES_CONFIG, namespace=environment.namespace, data=data)


def pod_monitor(environment: EnvironmentSpec) -> Object:
    """Its own metrics."""
    spec = {
        "selector": {"matchLabels": LABELS},
        "podMetricsEndpoints": [{"port": "metrics", "path": "/metrics", "interval": "15s"}],
    }
    return thing(
        "monitoring.coreos.com/v1", "PodMonitor", "fairlead-rollout", namespace=environment.namespace, spec=spec
    )
