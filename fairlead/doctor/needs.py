"""Is there what the pods of an environment need: namespace, Secrets, settings, and somebody who answers?"""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from fairlead.doctor.finding import Finding, ok, problem, telling
from fairlead.doctor.kinds import CONFIG_MAP, ENDPOINT_SLICE, NAMESPACE, SECRET, SERVICE, SERVING_RUNTIME
from fairlead.ports import ClusterReader
from fairlead.render.manifests.external_secrets import KEYS
from fairlead.render.manifests.objects import (
    ONLINE_STORE_SECRET,
    RECORDS_SECRET,
    RELEASES_SECRET,
    STORAGE_SECRET,
    Object,
)
from fairlead.render.manifests.serving_runtime import NAME as RUNTIME

Needed = tuple[str, str, Sequence[str]]
"""Namespace, Secret, its keys."""
OPTIONAL: Mapping[str, str] = {
    RELEASES_SECRET: "no controller writes releases",
}
"""Secret → what there is not without it."""
ENFORCE = "pod-security.kubernetes.io/enforce"
OF_COMPONENTS: Mapping[str, Needed] = {
    "mlflow": ("mlflow", STORAGE_SECRET, KEYS[STORAGE_SECRET]),
    "seaweedfs": ("fairlead-storage", "seaweedfs-s3", ("seaweedfs_s3_config",)),
    "valkey": ("fairlead-online-store", "valkey-users", ("default",)),
    "kube-prometheus-stack": ("monitoring", "grafana-admin", ("admin-user", "admin-password")),
}
"""Secrets that components of the platform need."""
_IN_CLUSTER = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc(\.cluster\.local)?")


def secrets_of(namespace: str, pipelines: str, records: bool) -> list[Needed]:
    """Those of an environment, in its own namespace and where its pipelines run; `records` need one more."""
    return [
        *((namespace, name, keys) for name, keys in KEYS.items() if records or name != RECORDS_SECRET),
        *((pipelines, name, KEYS[name]) for name in (STORAGE_SECRET, ONLINE_STORE_SECRET)),
        (pipelines, "mlpipeline-minio-artifact", ("accesskey", "secretkey")),
    ]


@telling
def namespace(cluster: ClusterReader, name: str, file: str) -> Iterator[Finding]:
    """It is there, and admits no pod that may do more than ours need."""
    what, mend = NAMESPACE.named("", name), f"kubectl apply --server-side -f {file}"
    found = cluster.find(NAMESPACE, "", name)
    if found is None:
        yield problem(what, "is not there", mend)
    elif (profile := found["metadata"].get("labels", {}).get(ENFORCE)) != "restricted":
        yield problem(what, f"must have the label {ENFORCE}=restricted, but it is {profile or 'missing'}", mend)
    else:
        yield ok(what, "enforces the restricted profile")


@telling
def secret(cluster: ClusterReader, where: str, name: str, keys: Sequence[str]) -> Iterator[Finding]:
    """It has its keys. What they hold is not looked at."""
    what = SECRET.named(where, name)
    found = cluster.find(SECRET, where, name)
    literals = " ".join(f"--from-literal={key}=…" for key in keys)
    if found is None and name in OPTIONAL:
        yield ok(what, f"is not there, so {OPTIONAL[name]}")
    elif found is None:
        yield problem(what, "is not there", f"kubectl -n {where} create secret generic {name} {literals}")
    elif missing := [key for key in keys if key not in (found.get("data") or {})]:
        values = ", ".join(f'"{key}": "…"' for key in missing)
        mend = f"kubectl -n {where} patch secret {name} -p '{{\"stringData\": {{{values}}}}}'"
        yield problem(what, f"has no key {', '.join(missing)}", mend)
    else:
        yield ok(what, f"has {', '.join(keys)}")


@telling
def config_map(cluster: ClusterReader, rendered: Object, file: str) -> Iterator[Finding]:
    """It says what is rendered."""
    where, name = rendered["metadata"]["namespace"], rendered["metadata"]["name"]
    what, mend = CONFIG_MAP.named(where, name), f"kubectl apply --server-side --force-conflicts -f {file}"
    found = cluster.find(CONFIG_MAP, where, name)
    if found is None:
        yield problem(what, "is not there", mend)
        return
    data, wanted = found.get("data") or {}, rendered["data"]
    different = [key for key in sorted({*data, *wanted}) if data.get(key) != wanted.get(key)]
    for key in different:
        told = f"must have {key} = {wanted.get(key)!r}, but it is {data.get(key)!r}: edited by hand, or not synced yet"
        yield problem(what, told, mend)
    if not different:
        yield ok(what, "is as rendered")


@telling
def serving_runtime(cluster: ClusterReader, where: str, application: str) -> Iterator[Finding]:
    what = SERVING_RUNTIME.named(where, RUNTIME)
    if cluster.find(SERVING_RUNTIME, where, RUNTIME) is None:
        yield problem(what, "is not there", f"Argo CD's application {application} brings it")
    else:
        yield ok(what, "is there")


@telling
def address(cluster: ClusterReader, url: str, purpose: str, file: str) -> Iterator[Finding]:
    """Somebody stands behind an address in the cluster; nothing is said of others."""
    match = _IN_CLUSTER.fullmatch(urlsplit(url).hostname or "")
    if match is None:
        return
    where, name = match["namespace"], match["service"]
    what = SERVICE.named(where, name)
    found = cluster.find(SERVICE, where, name)
    if found is None:
        yield problem(what, f"is not there: {purpose} is {url}", f"start it, or name another in {file}")
    elif found["spec"].get("type") != "ExternalName":
        slices = cluster.every(ENDPOINT_SLICE, where, {"kubernetes.io/service-name": name})
        ready = [end for item in slices for end in item.get("endpoints") or [] if end["conditions"].get("ready", True)]
        if ready:
            yield ok(what, f"{purpose}: {len(ready)} ready")
        else:
            yield problem(what, f"{purpose} has no pod that is ready", f"kubectl -n {where} get pods,events")
