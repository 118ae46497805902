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
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName")
_STUCK = ("CreateContainerConfigError", "CreateContainerError", "CrashLoopBackOff")


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
    pods = [item for item in cluster.every(POD, where, label) if _is_alive(item)]
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
    ready, predictor = condition(found, "Ready"), condition(found, "PredictorReady")
    newest = max(replica_sets, key=lambda item: int(item["metadata"]["annotations"].get(REVISION, 0)), default={})
    new = [pod for pod in pods if newest and _hash(pod) == _hash(newest)]
    answering = [pod for pod in pods if condition(pod, "Ready").get("status") == "True"]
    answers = ", ".join(sorted({f"version {version_of(pod)}" for pod in answering})) or "nothing"
    troubles = [trouble for pod in new if (trouble := trouble_of(pod))]
    refusal, why = condition(newest, "ReplicaFailure"), failure(found)
    as_asked = all(pod in new and version_of(pod) == version for pod in pods)
    if troubles:
        return problem(
            what, f"a pod of version {version} does not start: {troubles[0][0]}; {answers} answers", troubles[0][1]
        )
    if refusal:
        return problem(what, f"no pod of version {version} may start: {refusal['message']}; {answers} answers", GUIDE)
    if predictor.get("reason") == "ProgressDeadlineExceeded" or (why and not answering):
        told = why or predictor.get("message", "")
        return problem(what, f"version {version} does not become ready: {told}; {answers} answers", GUIDE)
    if answering and as_asked and ready.get("status") == "True":
        return ok(what, f"{answers} answers ({len(answering)} ready)")
    if not ready:
        return problem(what, "KServe has not looked at it", "is its controller up? kubectl -n kserve get pods")
    name, where = found["metadata"]["name"], found["metadata"]["namespace"]
    mend = f"look again soon; kubectl -n {where} describe inferenceservice {name}"
    return unknown(what, f"version {version} is not ready yet; {answers} answers", mend)


def failure(found: Thing) -> str:
    """What the container that loads the bundle said last, which KServe shows."""
    status = found.get("status", {}).get("modelStatus", {})
    info = status.get("lastFailureInfo", {})
    return str(info.get("message") or "") if status.get("transitionStatus") != "UpToDate" else ""


def version_of(pod: Thing) -> str:
    """The last part of the bundle's address; a pod has it from its start on, whatever its service asks for by now."""
    loaders = [item for item in pod["spec"].get("initContainers", []) if item["name"] == INITIALIZER]
    return str(loaders[0]["args"][0]).rstrip("/").rpartition("/")[2] if loaders else "unknown"


def trouble_of(pod: Thing) -> tuple[str, str] | None:
    """Why a pod does not start, and what mends it."""
    scheduled, status = condition(pod, "PodScheduled"), pod.get("status", {})
    if scheduled.get("status") == "False":
        mend = "give the cluster more nodes, or the model less: scale.yaml of the model"
        return f"no node takes it: {scheduled.get('message', '')}", mend
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        state = container.get("state", {})
        reason, waiting = state.get("waiting", {}).get("reason", ""), state.get("waiting", {}).get("message", "")
        ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
        if reason in _IMAGE:
            mend = "publish the image, name another in images.yaml of the environment, or git revert"
            return f"{reason}: {container['image']}: {waiting}", mend
        if reason in _STUCK or (ended.get("exitCode") and not container.get("ready")):
            said = ended.get("message") or waiting or f"exit code {ended.get('exitCode')}"
            logs = f"kubectl -n {pod['metadata']['namespace']} logs {pod['metadata']['name']} -c {container['name']}"
            return f"{container['name']}: {reason or ended['reason']}: {said}", f"{logs}; {GUIDE}"
    return None


def _is_alive(pod: Thing) -> bool:
    """Neither going nor evicted."""
    return "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") != "Failed"


def _hash(thing: Thing) -> str:
    return str(thing["metadata"].get("labels", {}).get(HASH))
