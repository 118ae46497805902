"""The PodMonitor of all endpoints in a namespace."""

from fairlead.render.manifests.objects import ARM, MODEL, Object, thing


def pod_monitor() -> Object:
    """Prometheus asks the pods themselves: a Service would name one of them at random."""
    return thing(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        "fairlead-serving",
        spec={
            "selector": {"matchExpressions": [{"key": MODEL, "operator": "Exists"}]},
            "podTargetLabels": [MODEL, ARM],
            "podMetricsEndpoints": [{"port": "http", "path": "/metrics", "interval": "15s"}],
        },
    )
