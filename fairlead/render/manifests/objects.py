"""What all objects share: their form, their labels and their security."""

from typing import Any

Object = dict[str, Any]
"""One object of Kubernetes."""

MODEL, ARM, VERSION = "fairlead.dev/model", "fairlead.dev/arm", "fairlead.dev/version"
"""Labels of an endpoint's objects and pods, and the annotation that says which version was asked for."""
SERVING_ACCOUNT = "fairlead-serving"
JOB = {"app.kubernetes.io/name": "fairlead-job"}
"""Labels of pods that run a command and end."""
ENVIRONMENT_CONFIG = "fairlead-environment"
STORAGE_SECRET, ONLINE_STORE_SECRET, RECORDS_SECRET = "fairlead-storage", "fairlead-online-store", "fairlead-records"
RELEASES_CONFIG, RELEASES_SECRET = "fairlead-releases", "fairlead-releases"
SERVING_IMAGE, PIPELINE_IMAGE = "fairlead/serving", "fairlead/pipeline"
MONITORING_IMAGE, ALIBI_IMAGE = "fairlead/monitoring", "fairlead/alibi"
"""As manifests name them; each environment puts its own image in its place."""
HTTP_CONTAINER_PORT, GRPC_CONTAINER_PORT = 8080, 8081
COLLECTOR, COLLECTOR_PORT = "fairlead-collector", 8090

RESTRICTED: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Of a container: what the restricted Pod Security profile asks for, and a root file system that stays as it is."""


def thing(api: str, kind: str, name: str, **more: Any) -> Object:
    """An object's head and what follows it; `labels` and `annotations` become metadata.

    Args:
        api: group and version.
        kind: its kind.
        name: its name.
        more: the object's other keys.
    """
    metadata: Object = {"name": name}
    for key in ("namespace", "labels", "annotations"):
        if key in more:
            metadata[key] = more.pop(key)
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def endpoint_labels(model: str, arm: str) -> dict[str, str]:
    """Of all that belongs to one service of a model."""
    return {MODEL: model, ARM: arm}
