"""Jobs of an environment that need no Kubeflow Pipelines: the same commands as on a laptop, in a pod."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.render.manifests.objects import (
    ENVIRONMENT_CONFIG,
    JOB,
    ONLINE_STORE_SECRET,
    PIPELINE_IMAGE,
    RESTRICTED,
    STORAGE_SECRET,
    Object,
    thing,
)

HOME = "/tmp/home/fairlead"
"""Runs, cache and logs; all that must last is in S3, Redis and MLflow."""
TRAINING_SECONDS = 4 * 3600
PERFORMANCE_SCHEDULE = "40 */6 * * *"
RETRAINING_SCHEDULE = "10 5 * * *"
"""After the night's labels, and within the day that `slo.watched_within` allows."""
WHY_RETRAINING = """Trains in this pod what the brakes let through; it becomes the challenger, and a release is begun by
`fairlead rollout start`. By hand: kubectl create job --from=cronjob/NAME NAME-1"""
WHY_PERFORMANCE = "What it finds is kept beside the tables, and the collector serves it as metrics."
WHY = """Suspended: Kubeflow Pipelines trains, where it is there. Without it, or by hand:
kubectl create job --from=cronjob/NAME NAME-1"""


def train_job(model: str, namespace: str) -> Object:
    """`fairlead run`, nightly if somebody lifts the suspension."""
    return _cron_job(f"{model}-train", namespace, ["fairlead", "run", model], "0 3 * * *", suspend=True)


def retraining_job(model: str, namespace: str) -> Object:
    """`fairlead retraining act`: the brakes answer what alerts have asked for, and what they let through is trained."""
    return _cron_job(f"{model}-retraining", namespace, ["fairlead", "retraining", "act", model], RETRAINING_SCHEDULE)


def performance_job(model: str, namespace: str) -> Object:
    """`fairlead performance`: labels that have arrived are joined to records."""
    return _cron_job(f"{model}-performance", namespace, ["fairlead", "performance", model], PERFORMANCE_SCHEDULE)


def _cron_job(name: str, namespace: str, command: Sequence[str], schedule: str, *, suspend: bool = False) -> Object:
    secrets = [{"secretRef": {"name": name}} for name in (STORAGE_SECRET, ONLINE_STORE_SECRET)]
    container = {
        "name": "fairlead",
        "image": PIPELINE_IMAGE,
        "command": [*command, "--home", HOME],
        "envFrom": [{"configMapRef": {"name": ENVIRONMENT_CONFIG}}, *secrets],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
        "securityContext": {**RESTRICTED},
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "8Gi"}}]}
    more = {"suspend": True} if suspend else {}
    return cron_job(name, namespace, pod, schedule, TRAINING_SECONDS, **more)


def cron_job(
    name: str, namespace: str, pod: Mapping[str, Any], schedule: str, deadline_seconds: int, **more: Any
) -> Object:
    """A job of an environment by the clock, one at a time.

    Args:
        name: of the CronJob.
        namespace: the environment's.
        pod: its containers and volumes, and what of its security context is its own.
        schedule: in UTC.
        deadline_seconds: after which it is ended.
        more: of the CronJob's spec.
    """
    security = {"runAsNonRoot": True, **pod.get("securityContext", {}), "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security,
        **{key: value for key, value in pod.items() if key != "securityContext"},
    }
    template = {"metadata": {"labels": {**JOB}}, "spec": spec}
    job = {"backoffLimit": 1, "activeDeadlineSeconds": deadline_seconds, "template": template}
    whole = {
        "schedule": schedule,
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        **more,
        "jobTemplate": {"spec": job},
    }
    return thing("batch/v1", "CronJob", name, namespace=namespace, spec=whole)
