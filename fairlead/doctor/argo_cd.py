"""Has Argo CD applied what Git says?"""

from collections.abc import Iterator, Sequence
from typing import Any

from fairlead.doctor.finding import Finding, ok, problem, telling, unknown
from fairlead.doctor.kinds import APPLICATION
from fairlead.ports import ClusterReader
from fairlead.render.argocd import NAMESPACE, ROOT


def applications(cluster: ClusterReader, components: Sequence[str]) -> list[Finding]:
    """The one that a person applies; those of the platform follow from it."""
    root = application(cluster, ROOT)
    return root + [finding for name in components if root != _missing(ROOT) for finding in application(cluster, name)]


def _missing(name: str) -> list[Finding]:
    later = f"push what fairlead render made; {ROOT} makes it once the waves before it are healthy"
    mend = "kubectl apply -f argocd/root.yaml" if name == ROOT else later
    return [problem(APPLICATION.named(NAMESPACE, name), "is not there", mend)]


@telling
def application(cluster: ClusterReader, name: str) -> Iterator[Finding]:
    """It is Synced and Healthy, or why not."""
    found = cluster.find(APPLICATION, NAMESPACE, name)
    yield from [judge(APPLICATION.named(NAMESPACE, name), found)] if found else _missing(name)


def judge(what: str, found: dict[str, Any]) -> Finding:
    """What an Application says of itself, in one line."""
    status = found.get("status", {})
    sync, health = status.get("sync", {}).get("status"), status.get("health", {}).get("status")
    mend = f"kubectl -n {NAMESPACE} get application {found['metadata']['name']} -o yaml; see " + (
        'docs/how-to/run-on-kubernetes.md, "When something is wrong"'
    )
    if sync is None:
        return problem(what, "Argo CD has not looked at it", f"kubectl -n {NAMESPACE} get pods: is its controller up?")
    said = f"{sync} and {health}"
    why = "; ".join(reasons(status))
    if sync == "Synced" and health in ("Healthy", "Suspended") and not status.get("conditions"):
        return ok(what, f"{said} at {status['sync'].get('revision', '')[:12]}".removesuffix(" at "))
    line = f"{said}: {why}" if why else said
    running = status.get("operationState", {}).get("phase") == "Running"
    if health == "Progressing" or (running and health != "Degraded"):
        return unknown(what, f"still going on: {line}", mend)
    return problem(what, line, mend)


def reasons(status: dict[str, Any]) -> Iterator[str]:
    """Conditions, the last operation where it did not succeed, and resources that are not healthy."""
    for item in status.get("conditions") or []:
        yield f"{item['type']}: {item['message']}"
    operation = status.get("operationState", {})
    if operation.get("phase") in ("Failed", "Error", "Running"):
        yield operation.get("message") or f"the last operation is {operation['phase']}"
    for item in status.get("resources") or []:
        health = item.get("health", {})
        if health.get("status") in ("Degraded", "Missing", "Progressing"):
            yield f"{item['kind']} {item['name']} is {health['status']} {health.get('message', '')}".strip()
