"""Dashboards as files, and the ConfigMaps in which Grafana's sidecar finds them."""

from collections.abc import Mapping
from pathlib import Path

from fairlead.render.dashboards import release, service, watch
from fairlead.render.dashboards._base import Board
from fairlead.render.dashboards.grafana import json_of
from fairlead.render.documents import text_of
from fairlead.spec import ModelSpec

DASHBOARDS = Path("manifests/platform/kube-prometheus-stack/objects")
"""One Grafana shows all environments of a cluster, so dashboards are applied once, beside it."""
NAMESPACE = "monitoring"


def boards(model: ModelSpec) -> list[Board]:
    """All dashboards of a model."""
    return [
        service.board(model),
        watch.drift(model),
        watch.performance(model),
        release.rollout(model),
        release.retraining(model),
    ]


def dashboard_files(models: Mapping[str, ModelSpec]) -> dict[Path, str]:
    """Path from the root of the repository → content.

    Raises:
        PipelineError: the library that writes them is not installed.
    """
    files = {
        DASHBOARDS / f"{name}-{board.name}.json": json_of(name, board)
        for name, model in models.items()
        for board in boards(model)
    }
    maps = [{"name": f"dashboard-{path.stem}", "files": [path.name]} for path in files]
    whole = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        # The label is what the sidecar of kube-prometheus-stack's Grafana looks for.
        "generatorOptions": {"disableNameSuffixHash": True, "labels": {"grafana_dashboard": "1"}},
        "configMapGenerator": maps,
    }
    files[DASHBOARDS / "kustomization.yaml"] = text_of(whole, "pipelines/models")
    return files
