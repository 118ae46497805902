"""The collector of records in an environment: one pod, its Service, and who scrapes it."""

from fairlead.render.manifests.objects import (
    COLLECTOR,
    COLLECTOR_PORT,
    ENVIRONMENT_CONFIG,
    MONITORING_IMAGE,
    RESTRICTED,
    STORAGE_SECRET,
    Object,
    thing,
)

LABELS = {"app.kubernetes.io/name": COLLECTOR}
SPOOL, SPOOL_MIB = "/var/lib/fairlead", 512
GRACE_SECONDS = 40
"""More than the 25 s in which requests are finished."""
WHY = """\
One: a second one would keep nothing twice, but each would read again what the other wrote. While it is away, servers
keep their records in spools of their own."""
WHY_SERVICE = "Its name is in FAIRLEAD_COLLECTOR_URL of the ConfigMap fairlead-environment."


def collector_url() -> str:
    """Where servers of the same namespace find it."""
    return f"http://{COLLECTOR}:{COLLECTOR_PORT}"


def deployment(namespace: str) -> Object:
    """`python -m monitoring.collector` over the tables in S3."""
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container()],
        "volumes": [
            # What it acknowledged is in S3; here wait payloads of KServe's logger, if any are sent.
            {"name": "spool", "emptyDir": {"sizeLimit": f"{SPOOL_MIB}Mi"}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": {**LABELS}}, "spec": pod},
    }
    return thing("apps/v1", "Deployment", COLLECTOR, namespace=namespace, labels={**LABELS}, spec=spec)


def service(namespace: str) -> Object:
    """Inside the namespace only."""
    ports = [{"name": "http", "port": COLLECTOR_PORT, "targetPort": "http", "protocol": "TCP"}]
    spec = {"selector": {**LABELS}, "ports": ports}
    return thing("v1", "Service", COLLECTOR, namespace=namespace, labels={**LABELS}, spec=spec)


def pod_monitor(namespace: str) -> Object:
    """What it counts, and what jobs that watch have found."""
    spec = {
        "selector": {"matchLabels": {**LABELS}},
        "podMetricsEndpoints": [{"port": "http", "path": "/metrics", "interval": "30s", "honorLabels": True}],
    }
    return thing("monitoring.coreos.com/v1", "PodMonitor", COLLECTOR, namespace=namespace, spec=spec)


def _container() -> Object:
    return {
        "name": "collector",
        "image": MONITORING_IMAGE,
        "args": [
            "--host=0.0.0.0",
            f"--port={COLLECTOR_PORT}",
            "--tables-uri=$(FAIRLEAD_TABLES_URI)",
            f"--spool-folder={SPOOL}/spool",
            f"--payload-bytes={SPOOL_MIB // 2 * 2**20}",
        ],
        "ports": [{"name": "http", "containerPort": COLLECTOR_PORT, "protocol": "TCP"}],
        "envFrom": [{"configMapRef": {"name": ENVIRONMENT_CONFIG}}, {"secretRef": {"name": STORAGE_SECRET}}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {**RESTRICTED},
        "startupProbe": _probe(period=1, failures=60),
        "readinessProbe": _probe(period=5, failures=3),
        "livenessProbe": _probe(period=10, failures=6),
        "volumeMounts": [{"name": "spool", "mountPath": SPOOL}, {"name": "tmp", "mountPath": "/tmp"}],
    }


def _probe(period: int, failures: int) -> Object:
    return {
        "httpGet": {"path": "/healthz", "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
