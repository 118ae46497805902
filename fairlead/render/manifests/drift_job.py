"""The CronJob that watches a model for drift."""

from typing import Any

from fairlead.render.manifests.cron_job import HOME, cron_job
from fairlead.render.manifests.objects import (
    ALIBI_IMAGE,
    ENVIRONMENT_CONFIG,
    PIPELINE_IMAGE,
    RESTRICTED,
    STORAGE_SECRET,
    Object,
)
from fairlead.spec.model import ModelSpec

EXCHANGE = "/exchange"
DEADLINE_SECONDS = 1800
WHY = """What it finds is kept beside the tables, and the collector serves it as metrics. By hand:
kubectl create job --from=cronjob/NAME NAME-1"""


def drift_job(model: ModelSpec, namespace: str) -> Object:
    """`fairlead drift`; with the engine alibi a second container, without any credentials, compares."""
    pod: dict[str, Any] = {
        "securityContext": {"runAsUser": 10001, "fsGroup": 10001},
        "containers": [_container(model)],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "2Gi"}}],
    }
    if model.drift.engine == "alibi":
        pod["initContainers"] = [_worker()]
        pod["volumes"].append({"name": "exchange", "emptyDir": {"sizeLimit": "1Gi"}})
    schedule = model.drift.schedule
    return cron_job(f"{model.name}-drift", namespace, pod, schedule, DEADLINE_SECONDS, startingDeadlineSeconds=600)


def _container(model: ModelSpec) -> Object:
    container: Object = {
        "name": "fairlead",
        "image": PIPELINE_IMAGE,
        "command": ["fairlead", "drift", model.name, "--home", HOME],
        "envFrom": [{"configMapRef": {"name": ENVIRONMENT_CONFIG}}, {"secretRef": {"name": STORAGE_SECRET}}],
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": {**RESTRICTED},
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    if model.drift.engine == "alibi":
        container["env"] = [{"name": "FAIRLEAD_ALIBI_FOLDER", "value": EXCHANGE}]
        container["volumeMounts"].append({"name": "exchange", "mountPath": EXCHANGE})
    return container


def _worker() -> Object:
    """Ends with the job, as containers of this kind do from Kubernetes 1.29 on."""
    return {
        "name": "alibi",
        "image": ALIBI_IMAGE,
        "restartPolicy": "Always",
        "args": [EXCHANGE, "--wait"],
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {**RESTRICTED},
        "volumeMounts": [{"name": "exchange", "mountPath": EXCHANGE}, {"name": "scratch", "mountPath": "/tmp"}],
    }
