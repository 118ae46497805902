"""Which version answers, is it the one that Git asks for, and if not, why?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairlead.doctor.finding import Finding, condition, ok, problem, telling, unknown
from fairlead.doctor.kinds import INFERENCE_SERVICE, POD, REPLICA_SET
from fairlead.ports import ClusterReader
from fairlead.render.manifests.inference_service import INITIALIZER, STOP
from fairlead.render.manifests.objects import VERSION
from fairlead.rollout.serve import Service

Thing = Mapping[str, Any]
SERVICE_LABEL = "serving.kserve.io/inferenceservice"
REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
GUIDE = 'docs/how-to/deploy-a-model.md, "When a version does not come up"'
_STUCK = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CrashLoopBackOff")
_IMAGE = _STUCK[:3]


@telling
def endpoint(cluster: ClusterReader, where: str, name: str, wanted: Service, application: str) -> Iterator[Finding]:
    """One of the two services of a model, against its release."""
    what = INFERENCE_SERVICE.named(where, name)
    found = cluster.find(INFERENCE_SERVICE, where, name)
    if found is None:
        yield problem(what, "is not there", f"Argo CD's application {application} brings it")
        return
    annotations = found["metadata"].get("annotations", {})
    for key, value in ((VERSION, wanted.version), (STOP, wanted.stop)):
        if annotations.get(key) != value:
            told = f"must have {key}={value} as its release.yaml, but it is {annotations.get(key)}"
            yield problem(what, told, f"push the commit; what does Argo CD's application {application} say?")
            return
    label = {SERVICE_LABEL: name}
    pods = [item for item in cluster.every(POD, where, label) if "deletionTimestamp" not in item["metadata"]]
    if wanted.stop == "true":
        yield _stopped(what, found, pods)
    else:
        yield judge(what, found, wanted.version, pods, cluster.every(REPLICA_SET, where, label))


def _stopped(what: str, found: Thing, pods: Sequence[Thing]) -> Finding:
    if pods or condition(found, "Stopped").get("status") != "True":
        return unknown(what, f"must be stopped, as there is no candidate, but has {len(pods)} pods", "look again soon")
    return ok(what, "stopped, as there is no candidate")


def judge(what: str, found: Thing, version: str, pods: Sequence[Thing], replica_sets: Sequence[Thing]) -> Finding:
    """Of a service that is to answer.

    Args:
        what: the service.
        found: the same as it is.
        version: that it is to answer with.
        pods: its pods, old and new, without those that are going.
        replica_sets: those that the pods are of.
    """
    ready = condition(found, "Ready")
    predictor = condition(found, "PredictorReady")
    newest = max(replica_sets, key=lambda item: int(item["metadata"]["annotations"].get(REVISION, 0)), default=None)
    new = [pod for pod in pods if newest and _hash(pod) == _hash(newest)]
    answering = [pod for pod in pods if condition(pod, "Ready").get("status") == "True"]
    all_new = bool(answering) and all(pod in new for pod in answering) and len(answering) == len(pods)
    if all_new and ready.get("status") == "True":
        return ok(what, f"version {version} answers ({len(answering)} ready)")
    served = ", ".join(sorted({version_of(pod) for pod in answering})) or "no version"
    instead = f"; {served} answers meanwhile"
    name, where = found["metadata"]["name"], found["metadata"]["namespace"]
    why = failure(found) if not all_new else ""
    for pod in new:
        if trouble := trouble_of(pod):
            reason, message, mend = trouble
            told = f"version {version} does not start: {reason}: {why or message}{instead}"
            return problem(what, told, mend)
    if newest and (refusal := condition(newest, "ReplicaFailure")):
        return problem(what, f"no pod of version {version} may start: {refusal['message']}{instead}", GUIDE)
    if predictor.get("reason") == "ProgressDeadlineExceeded" or (why and not answering):
        told = f"version {version} does not become ready: {why or predictor.get('message', '')}{instead}"
        return problem(what, told, GUIDE)
    if not ready:
        return problem(what, "KServe has not looked at it", "is its controller up? kubectl -n kserve get pods")
    said = ready.get("message") or ready.get("reason") or "Ready"
    mend = f"look again soon; kubectl -n {where} describe inferenceservice {name}"
    return unknown(what, f"version {version} is not ready yet ({said}){instead}", mend)


def failure(found: Thing) -> str:
    """What the container that loads the bundle said last, which KServe shows."""
    status = found.get("status", {}).get("modelStatus", {})
    info = status.get("lastFailureInfo", {})
    return str(info.get("message") or "") if status.get("transitionStatus") != "UpToDate" else ""


def version_of(pod: Thing) -> str:
    """The last part of the bundle's address; a pod has it from its start on, whatever the service says now."""
    loaders = [item for item in pod["spec"].get("initContainers", []) if item["name"] == INITIALIZER]
    return "version " + str(loaders[0]["args"][0]).rstrip("/").rpartition("/")[2] if loaders else "an unknown version"


def trouble_of(pod: Thing) -> tuple[str, str, str] | None:
    """Why a pod does not start: reason, message, and what mends it."""
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        mend = "give the cluster more nodes, or the model less: scale.yaml of the model"
        return scheduled.get("reason", "Unschedulable"), scheduled.get("message", ""), mend
    status = pod.get("status", {})
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting", {})
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
        if waiting.get("reason") in _IMAGE:
            mend = "publish the image, name another in images.yaml of the environment, or git revert"
            return waiting["reason"], f"{container['image']}: {waiting.get('message', '')}", mend
        if waiting.get("reason") in _STUCK or ended.get("exitCode"):
            message = ended.get("message") or waiting.get("message") or f"exit code {ended.get('exitCode')}"
            logs = f"kubectl -n {pod['metadata']['namespace']} logs {pod['metadata']['name']} -c {container['name']}"
            return waiting.get("reason") or ended["reason"], f"{container['name']}: {message}", f"{logs}; {GUIDE}"
    return None


def _hash(thing: Thing) -> str:
    return str(thing["metadata"].get("labels", {}).get(HASH))
