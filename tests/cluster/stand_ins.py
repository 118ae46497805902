"""What a cluster brings along that the tests' cluster may lack: S3, Redis, MLflow, and Kubeflow's API server.

Each listens where `manifests/envs/dev` expects it. They keep nothing beyond their pods.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cluster.programs import kubectl

STORAGE, TRACKING, STORE, PIPELINES = "fairlead-storage", "mlflow", "fairlead-redis", "kubeflow"
MONITORING = "monitoring"
ACCESS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "a-secret"}
SECRETS = {
    "fairlead-storage": ACCESS,
    "fairlead-records": {"FAIRLEAD_PSEUDONYM_KEY": "a key of the tests"},
    "fairlead-online-store": {"FAIRLEAD_ONLINE_STORE": f"redis.{STORE}.svc:6379"},
}
"""What `docs/how-to/run-on-kubernetes.md` asks of whoever sets a cluster up."""
MLFLOW = (
    "mlflow server --host 0.0.0.0 --port 5000 --workers 1 --allowed-hosts * --no-serve-artifacts "
    "--backend-store-uri sqlite:////tmp/mlflow.db --default-artifact-root s3://fairlead-dev/mlflow"
)


def stand_ins(images: dict[str, str], pipelines: Path) -> list[dict[str, Any]]:
    """All objects.

    Args:
        images: by their short names.
        pipelines: a folder with rendered manifests of pipelines, which the API server knows.
    """
    manifests = {path.name: path.read_text(encoding="utf-8") for path in sorted(pipelines.glob("pipeline-*.yaml"))}
    api = ["python", "-m", "fairlead.adapters.fake_kfp_api", "--host", "0.0.0.0", "8888"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    by_path = {"S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true"}  # else `s3.fairlead-storage.svc` asks for a bucket `s3`
    return [
        *(_thing("v1", "Namespace", name) for name in (STORAGE, TRACKING, STORE, PIPELINES, "fairlead-dev")),
        *_server(STORAGE, "s3", images["stand-ins"], ["moto_server", "-H", "0.0.0.0", "-p", "8333"], 8333, by_path),
        *_server(STORE, "redis", images["stand-ins"], ["redis-server", "--protected-mode", "no", "--save", ""], 6379),
        *_server(TRACKING, "mlflow", images["pipeline"], MLFLOW.split(), 5000, quiet),
        _thing("v1", "ConfigMap", "known-pipelines", PIPELINES, data=manifests),
        *_server(
            PIPELINES, "ml-pipeline", images["pipeline"], [*api, *(f"/known/{name}" for name in manifests)], 8888,
            volume={"name": "known", "configMap": {"name": "known-pipelines"}},
        ),
        *(
            _thing("v1", "Secret", name, namespace, stringData=data)
            for namespace in (PIPELINES, "fairlead-dev")
            for name, data in SECRETS.items()
        ),
    ]  # fmt: skip


def prometheus_stand_in(image: str, namespace: str, model: str) -> list[dict[str, Any]]:
    """Prometheus where an environment expects it, which scrapes the servers of a model with the labels that the
    operator would give them. It finds pods by headless Services, for which it needs no rights."""
    arms = {arm: f"{model}-{arm}-metrics" for arm in ("stable", "candidate")}
    jobs = [
        {
            "job_name": arm,
            "dns_sd_configs": [
                {"names": [f"{name}.{namespace}.svc"], "type": "A", "port": 8080, "refresh_interval": "2s"}
            ],
            "relabel_configs": [
                {"target_label": "namespace", "replacement": namespace},
                {"target_label": "fairlead_dev_arm", "replacement": arm},
            ],
        }
        for arm, name in arms.items()
    ]
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
    labels = {arm: {"fairlead.dev/model": model, "fairlead.dev/arm": arm} for arm in arms}
    command = ["prometheus", "--config.file=/config/prometheus.yml", "--storage.tsdb.path=/tmp/data"]
    volume = {"name": "config", "configMap": {"name": "prometheus"}}
    return [
        _thing("v1", "Namespace", MONITORING),
        _thing("v1", "ConfigMap", "prometheus", MONITORING, data={"prometheus.yml": json.dumps(config)}),
        *_server(MONITORING, "prometheus", image, command, 9090, volume=volume),
        *(
            _thing("v1", "Service", name, namespace, spec={"clusterIP": "None", "selector": labels[arm]})
            for arm, name in arms.items()
        ),
    ]


def wait_for_all() -> None:
    """Until each has a pod that answers."""
    for namespace, name in ((STORAGE, "s3"), (STORE, "redis"), (TRACKING, "mlflow"), (PIPELINES, "ml-pipeline")):
        kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, "--timeout=300s")


def _thing(api: str, kind: str, name: str, namespace: str | None = None, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def _server(
    namespace: str,
    name: str,
    image: str,
    command: Sequence[str],
    port: int,
    environ: dict[str, str] | None = None,
    volume: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """A Deployment of one pod, and its Service."""
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]
    mounts += [{"name": volume["name"], "mountPath": f"/{volume['name']}"}] if volume else []
    container = {
        "name": name,
        "image": image,
        "command": list(command),
        "env": [{"name": key, "value": value} for key, value in (environ or {}).items()],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 300},
        "volumeMounts": mounts,
    }
    volumes = [{"name": "tmp", "emptyDir": {}}, *([volume] if volume else [])]
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": volumes}}
    deployment = {"selector": {"matchLabels": labels}, "template": pod}
    return [
        _thing("apps/v1", "Deployment", name, namespace, spec=deployment),
        _thing("v1", "Service", name, namespace, spec={"selector": labels, "ports": [{"port": port}]}),
    ]
