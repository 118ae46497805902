"""The Service of an InferenceService that our route points at."""

from fairlead.render.manifests.objects import (
    GRPC_CONTAINER_PORT,
    HTTP_CONTAINER_PORT,
    Object,
    endpoint_labels,
    thing,
)
from fairlead.rollout.serve import GRPC_PORT, HTTP_PORT, Arm, service_name

WHY = """\
Beside KServe's own Service, which goes when the InferenceService is stopped: a route to a Service that is not there
answers 500 and is Degraded. This one stays; without pods it has no endpoints."""


def service(model: str, arm: Arm) -> Object:
    """REST and gRPC of one service of a model."""
    labels = endpoint_labels(model, arm)
    return thing(
        "v1",
        "Service",
        service_name(model, arm),
        labels=labels,
        spec={
            "selector": labels,
            "ports": [
                {"name": "http", "port": HTTP_PORT, "targetPort": HTTP_CONTAINER_PORT, "protocol": "TCP"},
                {
                    "name": "grpc",
                    "port": GRPC_PORT,
                    "targetPort": GRPC_CONTAINER_PORT,
                    "protocol": "TCP",
                    "appProtocol": "kubernetes.io/h2c",
                },
            ],
        },
    )
