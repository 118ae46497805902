"""An InferenceService: one of the two services of a model."""

from fairlead.render.manifests.objects import (
    ENVIRONMENT_CONFIG,
    HTTP_CONTAINER_PORT,
    RESTRICTED,
    SERVING_ACCOUNT,
    SERVING_IMAGE,
    STORAGE_SECRET,
    VERSION,
    Object,
    endpoint_labels,
    thing,
)
from fairlead.render.manifests.serving_runtime import GRACE_SECONDS, MODELS, NAME
from fairlead.rollout.serve import Arm, service_name

STOP = "serving.kserve.io/stop"
INITIALIZER = "storage-initializer"
"""KServe injects no container of its own where there is one of this name, and shows why it failed in the status."""
NAMED_BY_RELEASE = "s3://bucket/named-by-release.yaml"
"""Stands where each environment's release puts its bundle."""


def inference_service(model: str, arm: Arm) -> Object:
    """What all environments share; version, bundle and `stop` come from the release, replicas from the scale."""
    return thing(
        "serving.kserve.io/v1beta1",
        "InferenceService",
        service_name(model, arm),
        # Cluster-local: KServe makes no route of its own, which would share our route's host.
        labels={**endpoint_labels(model, arm), "networking.kserve.io/visibility": "cluster-local"},
        annotations={
            "serving.kserve.io/deploymentMode": "Standard",
            "serving.kserve.io/autoscalerClass": "hpa",
            STOP: "true",
            VERSION: "none",
        },
        spec={"predictor": _predictor(model)},
    )


def _predictor(model: str) -> Object:
    return {
        "serviceAccountName": SERVING_ACCOUNT,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        # A pod goes only when another one is ready in its place.
        "deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "scaleMetric": "cpu",
        "initContainers": [_initializer()],
        "model": {
            "modelFormat": {"name": "onnx", "version": "1"},
            "runtime": NAME,
            "protocolVersion": "v2",
            "storageUri": NAMED_BY_RELEASE,
            "readinessProbe": {
                "httpGet": {"path": f"/v2/models/{model}/ready", "port": HTTP_CONTAINER_PORT},
                "periodSeconds": 2,
                "timeoutSeconds": 2,
                "failureThreshold": 3,
            },
        },
    }


def _initializer() -> Object:
    return {
        "name": INITIALIZER,
        "image": SERVING_IMAGE,
        "command": ["python", "-P", "-m", "serving.fetch"],
        "args": [NAMED_BY_RELEASE, MODELS],
        "envFrom": [{"configMapRef": {"name": ENVIRONMENT_CONFIG}}, {"secretRef": {"name": STORAGE_SECRET}}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": RESTRICTED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "models", "mountPath": MODELS}, {"name": "tmp", "mountPath": "/tmp"}],
    }
