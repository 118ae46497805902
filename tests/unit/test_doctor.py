"""What `fairlead doctor` says, by objects of the form that an API server answers with."""

import re
from pathlib import Path

import pytest

from fairlead.doctor import argo_cd, definitions, gateway, kinds, models, needs, pipelines
from fairlead.errors import NotAllowedError
from fairlead.rollout.serve import Service
from fairlead.spec.load import load_environment

REPO = Path(__file__).parents[2]
DEV = load_environment(REPO / "manifests/envs/dev/environment.yaml")
NS, NAME = "fairlead-dev", "flight-delay-stable"
WANTED = Service(version="2", storageUri="s3://bucket/2", stop="false")


class Objects:
    """A cluster that holds some objects."""

    def __init__(self, *objects, served=(), refused=()):
        self.objects, self.served, self.refused = objects, served, refused

    def find(self, kind, namespace, name):
        if kind in self.refused:
            raise NotAllowedError(kind.named(namespace, name), "forbidden")
        found = self.every(kind, namespace, {})
        return next((item for item in found if item["metadata"]["name"] == name), None)

    def every(self, kind, namespace, labels):
        return [
            item
            for item in self.objects
            if (item["kind"], item["metadata"].get("namespace", "")) == (kind.name, namespace)
            and labels.items() <= item["metadata"].get("labels", {}).items()
        ]

    def versions(self, group):
        return [api for api in self.served if api.startswith(group)]

    def kinds(self, api):
        return {"InferenceService"} if api in self.served else set()


def thing(kind, name, namespace=NS, labels=None, annotations=None, **more):
    metadata = {"name": name, "namespace": namespace, "labels": labels or {}, "annotations": annotations or {}}
    return {"kind": kind, "metadata": metadata, **more}


def conditions(**states):
    """`Ready="False: why"` as a status has it."""
    split = {name: text.partition(": ") for name, text in states.items()}
    return [{"type": name, "status": status, "message": said} for name, (status, _, said) in split.items()]


def told(findings, state):
    """What was found by the one check that was made."""
    (finding,) = findings
    assert finding.state == state, finding
    assert (finding.mend == "") == (state == "ok")
    return finding.found


def endpoint(*pods, asked="2", stop="false", model_status=None, wanted=WANTED, **states):
    annotations = {"fairlead.dev/version": asked, "serving.kserve.io/stop": stop}
    status = {"conditions": conditions(**states), "modelStatus": model_status or {}}
    service = thing("InferenceService", NAME, annotations=annotations, status=status)
    label = {models.SERVICE_LABEL: NAME}
    sets = [
        thing("ReplicaSet", name, labels={**label, models.HASH: name}, annotations={models.REVISION: name})
        for name in ("9", "10")
    ]
    return models.endpoint(Objects(service, *sets, *pods), NS, NAME, wanted, "dev-flight-delay")


def pod(version, *, newest=True, ready="False", init=None, main=None, **more):
    """A pod of the newest revision, which is the tenth, or of the one before."""
    labels = {models.SERVICE_LABEL: NAME, models.HASH: "10" if newest else "9"}
    status = {"conditions": conditions(Ready=ready, **more)}
    for key, state in (("initContainerStatuses", init), ("containerStatuses", main)):
        status[key] = [{"name": "main", "image": "registry/serving:2", **state}] if state else []
    loader = {"name": "storage-initializer", "args": [f"s3://bucket/{version}", "/mnt/models"]}
    return thing("Pod", f"pod-{version}", labels=labels, status=status, spec={"initContainers": [loader]})


OLD = pod("1", newest=False, ready="True")


def test_a_version_that_answers_is_well():
    assert told(endpoint(pod("2", ready="True"), Ready="True"), "ok") == "version 2 answers (1 ready)"


def test_a_missing_image_is_named_with_the_version_that_serves_on():
    new = pod("2", init={"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}})
    said = told(endpoint(OLD, new, Ready="True", PredictorReady="True"), "problem")
    assert said == ("a pod of version 2 does not start: ErrImagePull: registry/serving:2: not found; version 1 answers")


def test_what_a_container_said_at_its_end_is_repeated():
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "bundle.json cannot be read"}}
    crash = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, "lastState": ended}
    said = told(endpoint(pod("2", init=crash), Ready="False"), "problem")
    assert said == (
        "a pod of version 2 does not start: main: CrashLoopBackOff: bundle.json cannot be read; nothing answers"
    )
    status = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": {"message": "bundle.json cannot be read"}}
    said = told(endpoint(pod("2"), model_status=status, Ready="False"), "problem")
    assert said == "version 2 does not become ready: bundle.json cannot be read; nothing answers"


def test_a_container_that_crashed_once_and_is_ready_again_is_well():
    again = {"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}, "ready": True}
    assert told(endpoint(pod("2", ready="True", main=again), Ready="True"), "ok")


def test_a_pod_that_fits_no_node_and_one_that_is_refused_are_problems():
    unschedulable = pod("2", PodScheduled="False: 0/3 nodes are available: insufficient memory")
    assert "insufficient memory; version 1 answers" in told(endpoint(OLD, unschedulable, Ready="True"), "problem")
    newest = thing("ReplicaSet", "b", annotations={models.REVISION: "2"})
    newest["status"] = {"conditions": conditions(ReplicaFailure="True: violates PodSecurity")}
    service = thing("InferenceService", NAME, status={"conditions": conditions(Ready="False")})
    assert "violates PodSecurity" in models.judge("it", service, "2", [], [newest]).found


def test_a_version_that_is_starting_cannot_be_told_yet():
    starting = "version 2 is not ready yet; version 1 answers"
    assert told(endpoint(OLD, pod("2"), Ready="True"), "cannot tell") == starting
    not_rolled_out = pod("1", ready="True")  # KServe has not made pods of the version that is asked for
    assert told(endpoint(not_rolled_out, Ready="True"), "cannot tell") == starting


def test_a_service_that_does_not_follow_its_release_or_that_nobody_looked_at_is_a_problem():
    assert "version=2 as its release.yaml, but it is 1" in told(endpoint(OLD, asked="1"), "problem")
    assert "stop=false as its release.yaml, but it is true" in told(endpoint(stop="true"), "problem")
    assert told(endpoint(), "problem") == "KServe has not looked at it"
    assert told(models.endpoint(Objects(), NS, NAME, WANTED, "dev-flight-delay"), "problem") == "is not there"


def test_a_candidate_that_is_idle_must_have_no_pods():
    idle = WANTED.model_copy(update={"stop": "true"})
    assert "stopped" in told(endpoint(stop="true", wanted=idle, Stopped="True"), "ok")
    assert "has 1 pods" in told(endpoint(OLD, stop="true", wanted=idle, Stopped="True"), "cannot tell")


def application(**status):
    return argo_cd.application(Objects(thing("Application", "dev-common", "argocd", status=status)), "dev-common")


def test_an_application_is_well_when_it_is_synced_and_healthy():
    synced, healthy = {"status": "Synced", "revision": "a" * 40}, {"status": "Healthy"}
    assert told(application(sync=synced, health=healthy), "ok") == "Synced and Healthy at aaaaaaaaaaaa"
    broken = [{"type": "ComparisonError", "message": "kustomize build\n failed"}]
    said = told(application(sync={"status": "Unknown"}, health=healthy, conditions=broken), "problem")
    assert said == "Unknown and Healthy: ComparisonError: kustomize build failed"
    failed = {"phase": "Failed", "message": "ClusterRole is not permitted in project"}
    assert "not permitted" in told(
        application(sync={"status": "OutOfSync"}, health=healthy, operationState=failed), "problem"
    )
    assert told(application(sync=synced, health={"status": "Progressing"}), "cannot tell").startswith("still going on")
    assert told(application(), "problem") == "Argo CD has not looked at it"


def test_without_the_first_application_those_that_follow_from_it_are_not_told():
    (finding,) = argo_cd.applications(Objects(), ["kserve", "mlflow"])
    assert finding.mend == "kubectl apply -f argocd/root.yaml"


def test_a_missing_key_is_named_and_the_secret_of_records_is_needed_only_with_records():
    secret = thing("Secret", "fairlead-storage", data={"AWS_ACCESS_KEY_ID": ""})
    (finding,) = needs.secret(Objects(secret), NS, "fairlead-storage", needs.KEYS["fairlead-storage"])
    assert finding.found == "has no key AWS_SECRET_ACCESS_KEY"
    assert finding.mend.endswith('\'{"stringData": {"AWS_SECRET_ACCESS_KEY": "…"}}\'')
    names = [[name for _, name, _ in needs.secrets_of(NS, "kubeflow", records)] for records in (True, False)]
    assert ["fairlead-records" in found for found in names] == [True, False]
    assert told(needs.secret(Objects(), NS, "fairlead-releases", ["a"]), "ok")
    refused = Objects(refused=[kinds.SECRET])
    assert "may not be read" in told(needs.secret(refused, NS, "fairlead-storage", ["a"]), "cannot tell")


def test_the_secrets_are_those_of_the_documented_table():
    text = (REPO / "docs/how-to/run-on-kubernetes.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if re.match(r"\| `[a-z0-9-]+` \| .*`", line)]
    table = {row[1].strip(" `"): row[3] for row in rows if len(row) == 6}
    for _, name, keys in [*needs.secrets_of(NS, "kubeflow", True), *needs.OF_COMPONENTS.values()]:
        assert all(f"`{key}`" in table[name] for key in keys), name


def test_the_namespace_must_enforce_the_restricted_profile():
    space = thing("Namespace", NS, "", labels={needs.ENFORCE: "baseline"})
    assert "it is baseline" in told(needs.namespace(Objects(space), NS, "file"), "problem")


def test_a_service_behind_an_address_must_have_ready_pods():
    service = thing("Service", "s3", spec={})
    ends = [{"conditions": {"ready": False}}]
    slices = thing("EndpointSlice", "s3-x", labels={"kubernetes.io/service-name": "s3"}, endpoints=ends)
    url = f"http://s3.{NS}.svc:8333"
    assert "no pod that is ready" in told(needs.address(Objects(service, slices), url, "S3", "file"), "problem")
    ends[0]["conditions"]["ready"] = True
    assert told(needs.address(Objects(service, slices), url, "S3", "file"), "ok")
    assert needs.address(Objects(), "https://s3.amazonaws.com", "S3", "file") == []


@pytest.mark.parametrize(
    ("rule", "admitted"),
    [
        ({"from": "All"}, True),
        ({"from": "Same"}, False),
        ({}, False),
        ({"from": "Selector", "selector": {"matchLabels": {"part-of": "fairlead"}}}, True),
        ({"from": "Selector", "selector": {"matchLabels": {"part-of": "other"}}}, False),
        ({"from": "Selector", "selector": {"matchExpressions": [{"key": "part-of", "operator": "Exists"}]}}, True),
        (
            {
                "from": "Selector",
                "selector": {"matchExpressions": [{"key": "part-of", "operator": "NotIn", "values": ["fairlead"]}]},
            },
            False,
        ),
    ],
)
def test_a_gateway_must_admit_routes_of_the_namespace(rule, admitted):
    listener = {"name": "http", "allowedRoutes": {"namespaces": rule}}
    status = {"conditions": conditions(Programmed="True")}
    found = thing("Gateway", "fairlead", "gateway", spec={"listeners": [listener]}, status=status)
    space = thing("Namespace", NS, "", labels={"part-of": "fairlead"})
    programmed, routes = gateway.gateway(Objects(found, space), DEV, "file")
    assert (programmed.state, routes.state) == ("ok", "ok" if admitted else "problem")


def test_a_route_that_points_nowhere_or_that_nobody_looked_at_is_a_problem():
    parent = {"parentRef": {"name": "fairlead"}}
    parent["conditions"] = conditions(Accepted="True", ResolvedRefs="False: no Service flight-delay-stable")
    route = thing("HTTPRoute", "flight-delay", status={"parents": [parent]})
    assert "no Service flight-delay-stable" in told(gateway.route(Objects(route), DEV, "flight-delay"), "problem")
    route["status"] = {"parents": []}
    assert "has not looked at it" in told(gateway.route(Objects(route), DEV, "flight-delay"), "problem")


def test_a_kind_that_is_not_defined_or_in_another_version_only_is_a_problem():
    kind = kinds.INFERENCE_SERVICE
    assert told(definitions.definition(Objects(served=[kind.api]), kind), "ok")
    said = told(definitions.definition(Objects(served=["serving.kserve.io/v2"]), kind), "problem")
    assert said.endswith("but the cluster has serving.kserve.io/v2 without it")
    assert told(definitions.definition(Objects(), kind), "problem").startswith("not defined")


@pytest.mark.parametrize(
    ("states", "state"),
    [({"Failed": "True: BackoffLimitExceeded"}, "problem"), ({"Complete": "True"}, "ok"), ({}, "cannot tell")],
)
def test_the_job_that_makes_schedules_must_have_succeeded(states, state):
    job = thing("Job", "pipeline-schedules", "kubeflow", status={"conditions": conditions(**states)})
    assert told(pipelines.schedules(Objects(job), "kubeflow", "dev-pipelines"), state)
    assert told(pipelines.schedules(Objects(), "kubeflow", "dev-pipelines"), "problem")
