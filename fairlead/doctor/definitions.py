"""Are the kinds that our manifests use defined, in their versions?"""

from collections.abc import Iterator

from fairlead.doctor import kinds
from fairlead.doctor.finding import Finding, ok, problem, telling
from fairlead.doctor.kinds import Kind
from fairlead.ports import ClusterReader

BROUGHT_BY: dict[Kind, str] = {
    kinds.APPLICATION: "",
    kinds.APPLICATION_SET: "",
    kinds.GATEWAY: "gateway-api",
    kinds.HTTP_ROUTE: "gateway-api",
    kinds.INFERENCE_SERVICE: "kserve-crds",
    kinds.SERVING_RUNTIME: "kserve-crds",
    kinds.PIPELINE: "kubeflow-pipelines",
    kinds.PIPELINE_VERSION: "kubeflow-pipelines",
    kinds.POD_MONITOR: "kube-prometheus-stack",
}
"""The component of the platform that brings it; none brings Argo CD."""


def definitions(cluster: ClusterReader) -> list[Finding]:
    """One finding a kind."""
    return [finding for kind in BROUGHT_BY for finding in definition(cluster, kind)]


@telling
def definition(cluster: ClusterReader, kind: Kind) -> Iterator[Finding]:
    """Asked by discovery, which everybody may: definitions themselves only admins may read."""
    what = f"kind {kind.name}"
    component = BROUGHT_BY[kind]
    mend = f"add {component} to `platform` in argocd/settings.yaml and run fairlead render, or install it"
    if kind.name in cluster.kinds(kind.api):
        yield ok(what, f"defined as {kind.api}")
    elif served := cluster.versions(kind.api.partition("/")[0]):
        found = f"must be served as {kind.api}, but the cluster has {', '.join(served)} without it"
        yield problem(what, found, mend if component else "install Argo CD 3.2 or newer")
    else:
        yield problem(what, f"not defined ({kind.api})", mend if component else "install Argo CD 3.2 or newer")
