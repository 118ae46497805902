"""Does the Gateway take requests, and does it take our routes?"""

from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.doctor.finding import Finding, condition, ok, problem, telling
from fairlead.doctor.kinds import GATEWAY, HTTP_ROUTE, NAMESPACE
from fairlead.ports import ClusterReader
from fairlead.spec.environment import EnvironmentSpec


@telling
def gateway(cluster: ClusterReader, environment: EnvironmentSpec, file: str) -> Iterator[Finding]:
    """It is there, its controller has set it up, and it takes routes of the environment's namespace."""
    where, name = environment.gateway.namespace, environment.gateway.name
    what = GATEWAY.named(where, name)
    found = cluster.find(GATEWAY, where, name)
    if found is None:
        yield problem(what, "is not there", f"name another in {file}, or add envoy-gateway to argocd/settings.yaml")
        return
    programmed = condition(found, "Programmed")
    if programmed.get("status") == "True":
        yield ok(what, "takes requests")
    else:
        told = programmed.get("message") or "no controller has looked at it"
        yield problem(what, f"is not programmed: {told}", f"kubectl -n {where} describe gateway {name}")
    listeners = found["spec"]["listeners"]
    namespace = cluster.find(NAMESPACE, "", environment.namespace)
    labels = (namespace or {}).get("metadata", {}).get("labels", {})
    if any(admits(listener, where, environment.namespace, labels) for listener in listeners):
        yield ok(what, f"admits routes of {environment.namespace}")
    else:
        rules = "; ".join(f"{item['name']}: {item.get('allowedRoutes', {}).get('namespaces')}" for item in listeners)
        mend = f"set allowedRoutes.namespaces of the Gateway, or the label it asks for on {environment.namespace}"
        yield problem(what, f"must admit routes of {environment.namespace}, but no listener does ({rules})", mend)


def admits(listener: Mapping[str, Any], own: str, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a listener of a Gateway in the namespace `own` takes routes of another."""
    rule = listener.get("allowedRoutes", {}).get("namespaces", {})
    if rule.get("from", "Same") == "Selector":
        return selects(rule.get("selector", {}), labels)
    return rule.get("from", "Same") == "All" or (rule.get("from", "Same") == "Same" and own == namespace)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector of Kubernetes fits."""
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        _holds(item["key"], item["operator"], item.get("values", []), labels)
        for item in selector.get("matchExpressions", [])
    )


def _holds(key: str, operator: str, values: list[str], labels: Mapping[str, str]) -> bool:
    fits = key in labels if operator in ("Exists", "DoesNotExist") else labels.get(key) in values
    return fits == (operator in ("Exists", "In"))


@telling
def route(cluster: ClusterReader, environment: EnvironmentSpec, model: str) -> Iterator[Finding]:
    """The Gateway has accepted the model's route, and found the services it points at."""
    where, name = environment.namespace, environment.gateway.name
    what = HTTP_ROUTE.named(where, model)
    describe = f"kubectl -n {where} describe httproute {model}"
    found = cluster.find(HTTP_ROUTE, where, model)
    if found is None:
        yield problem(what, "is not there", f"Argo CD's application {environment.name}-{model} brings it")
        return
    parents = [item for item in found.get("status", {}).get("parents", []) if item["parentRef"]["name"] == name]
    if not parents:
        yield problem(what, f"the Gateway {name} has not looked at it", describe)
    for parent in parents:
        wrong = [item for item in parent["conditions"] if _is_wrong(item)]
        for item in wrong:
            yield problem(what, f"{item['type']} is {item['status']}: {item['message']}", describe)
        if not wrong:
            yield ok(what, f"accepted by the Gateway {name}")


def _is_wrong(item: Mapping[str, str]) -> bool:
    return item["type"] in ("Accepted", "ResolvedRefs") and item["status"] != "True"
