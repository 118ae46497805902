"""Jobs of an environment that need no Kubeflow Pipelines: the same commands as on a laptop, in a pod."""

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
WHY = """Suspended: Kubeflow Pipelines trains, where it is there. Without it, or by hand:
kubectl create job --from=cronjob/NAME NAME-1"""


def train_job(model: str, namespace: str) -> Object:
    """`fairlead run`, nightly if somebody lifts the suspension."""
    pod = {
        "metadata": {"labels": {**JOB}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "fairlead",
                    "image": PIPELINE_IMAGE,
                    "command": ["fairlead", "run", model, "--home", HOME],
                    "envFrom": [
                        {"configMapRef": {"name": ENVIRONMENT_CONFIG}},
                        {"secretRef": {"name": STORAGE_SECRET}},
                        {"secretRef": {"name": ONLINE_STORE_SECRET}},
                    ],
                    "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
                    "securityContext": {**RESTRICTED},
                    "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
                }
            ],
            "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "8Gi"}}],
        },
    }
    job = {"backoffLimit": 1, "activeDeadlineSeconds": 4 * 3600, "template": pod}
    spec = {
        "schedule": "0 3 * * *",
        "timeZone": "Etc/UTC",
        "suspend": True,
        "concurrencyPolicy": "Forbid",
        "jobTemplate": {"spec": job},
    }
    return thing("batch/v1", "CronJob", f"{model}-train", namespace=namespace, spec=spec)
