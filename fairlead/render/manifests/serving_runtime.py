"""The ServingRuntime: how our server runs in a pod, for every model and version."""

from fairlead.records.spool import POD_SPOOL_MIB
from fairlead.render.manifests.objects import (
    ENVIRONMENT_CONFIG,
    GRPC_CONTAINER_PORT,
    HTTP_CONTAINER_PORT,
    ONLINE_STORE_SECRET,
    RECORDS_SECRET,
    RESTRICTED,
    SERVING_IMAGE,
    Object,
    thing,
)

NAME = "fairlead-onnx"
MODELS = "/mnt/models"
"""Where KServe's convention has a model."""
DRAIN_SECONDS = 15
"""How long a pod that was told to leave still takes requests: until every proxy has learnt of it."""
GRACE_SECONDS = 60
"""Until a pod is killed: the drain, the 30 s in which a server answers what it has, 5 s for its records, and some."""


def serving_runtime() -> Object:
    """The namespaced runtime `fairlead-onnx`."""
    return thing(
        "serving.kserve.io/v1alpha1",
        "ServingRuntime",
        NAME,
        spec={
            "supportedModelFormats": [{"name": "onnx", "version": "1", "autoSelect": True, "priority": 10}],
            "protocolVersions": ["v1", "v2", "grpc-v2"],
            "containers": [_container()],
            "volumes": [
                {"name": "models", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
                {"name": "spool", "emptyDir": {"sizeLimit": f"{4 * POD_SPOOL_MIB}Mi"}},
            ],
        },
    )


def _container() -> Object:
    return {
        "name": "kserve-container",
        "image": SERVING_IMAGE,
        "args": [
            f"--bundle={MODELS}",
            "--host=0.0.0.0",
            f"--http-port={HTTP_CONTAINER_PORT}",
            f"--grpc-port={GRPC_CONTAINER_PORT}",
            "--max-body-mb=16",
            "--log-format=json",
            f"--drain-seconds={DRAIN_SECONDS}",
        ],
        "ports": [
            {"name": "http", "containerPort": HTTP_CONTAINER_PORT, "protocol": "TCP"},
            {"name": "grpc", "containerPort": GRPC_CONTAINER_PORT, "protocol": "TCP"},
        ],
        "envFrom": [
            {"configMapRef": {"name": ENVIRONMENT_CONFIG}},
            {"secretRef": {"name": ONLINE_STORE_SECRET}},
            {"secretRef": {"name": RECORDS_SECRET, "optional": True}},
        ],
        "env": [
            {"name": "FAIRLEAD_SPOOL_FOLDER", "value": "/var/lib/fairlead/spool"},
            {"name": "FAIRLEAD_SPOOL_BYTES", "value": str(POD_SPOOL_MIB * 2**20)},
            {"name": "FAIRLEAD_SPOOL_WHEN_FULL", "value": "drop_oldest"},
        ],
        "securityContext": RESTRICTED,
        # A slow start is no reason to be killed; once it has answered, a server that hangs is.
        "startupProbe": _probe(period=1, failures=120),
        "livenessProbe": _probe(period=10, failures=6),
        "volumeMounts": [
            {"name": "models", "mountPath": MODELS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "spool", "mountPath": "/var/lib/fairlead"},
        ],
    }


def _probe(period: int, failures: int) -> Object:
    return {
        "httpGet": {"path": "/v2/health/live", "port": HTTP_CONTAINER_PORT},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
