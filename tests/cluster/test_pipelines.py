"""Pipelines and the namespace they run in, on a real API server.

Kubeflow Pipelines itself need not be there, only its resource definitions: they take whatever has a `pipelineSpec`, so
what a PipelineVersion holds is checked in tests/unit/test_render_pipelines.py, with the SDK.
"""

import json
import os
import subprocess
import uuid
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).parents[2]
FOLDER = REPO / "manifests/envs/dev/pipelines"

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def cluster():
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG must name a cluster for the tests with the marker `cluster`")


def kubectl(*words, text=None, check=True):
    return subprocess.run(["kubectl", *words], input=text, capture_output=True, text=True, check=check)


def objects(text):
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def sources(namespace):
    """The environment's folder as kustomize builds it, in a namespace of the test's own, without the Job."""
    built = objects(kubectl("kustomize", str(FOLDER)).stdout)
    assert {item["metadata"]["namespace"] for item in built} == {"kubeflow"}
    found = [item for item in built if item["kind"] != "Job"]
    for item in found:
        item["metadata"]["namespace"] = namespace
        for subject in item.get("subjects", []):
            subject["namespace"] = namespace
    return found


@pytest.fixture(scope="module")
def namespace(cluster):
    """A namespace that enforces the restricted profile and holds all that an environment's folder does but its Job."""
    name = f"kf-{uuid.uuid4().hex[:8]}"
    profile = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl(
        "apply",
        "-f",
        "-",
        text=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": profile}}),
    )
    try:
        apply(name, *sources(name))
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def apply(namespace, *found, check=True):
    return kubectl(
        "apply",
        "--server-side",
        "--validate=strict",
        "-n",
        namespace,
        "-f",
        "-",
        text=yaml.safe_dump_all(found),
        check=check,
    )


def allowed(namespace, verb, resource, account="pipeline-runner"):
    """Whether an account may; `resource` is `group/resource`, `resource` or either with `=name` behind it."""
    kind, _, name = resource.partition("=")
    group, _, plural = kind.rpartition("/")
    plural, _, part = plural.partition(":")
    attributes = {
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": part,
        "name": name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": f"system:serviceaccount:{namespace}:{account}", "resourceAttributes": attributes},
    }
    answer = json.loads(kubectl("create", "-o", "json", "-f", "-", text=json.dumps(review)).stdout)
    return answer["status"]["allowed"]


def pod(namespace, name, **security):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "fairlead/pipeline:0.1.0", "securityContext": security}]},
    }


def test_every_environment_builds_with_kustomize():
    for folder in sorted((REPO / "manifests/envs").glob("*/pipelines")):
        kinds = [item["kind"] for item in objects(kubectl("kustomize", str(folder)).stdout)]
        assert kinds.count("Pipeline") == kinds.count("PipelineVersion") == 4
        assert {"Role", "RoleBinding", "ServiceAccount", "LimitRange", "NetworkPolicy", "Job"} <= set(kinds)


def test_what_is_stored_is_what_was_rendered(namespace):
    for path in sorted(FOLDER.glob("pipeline-version-*.yaml")):
        [rendered] = objects(path.read_text(encoding="utf-8"))
        name = rendered["metadata"]["name"]
        stored = json.loads(kubectl("get", "pipelineversions", name, "-n", namespace, "-o", "json").stdout)
        assert stored["spec"] == rendered["spec"]


def test_applying_again_changes_nothing(namespace):
    before = kubectl(
        "get", "pipelineversions", "-n", namespace, "-o", "jsonpath={.items[*].metadata.resourceVersion}"
    ).stdout
    apply(namespace, *sources(namespace))
    after = kubectl(
        "get", "pipelineversions", "-n", namespace, "-o", "jsonpath={.items[*].metadata.resourceVersion}"
    ).stdout
    assert before == after != ""


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("create", "argoproj.io/workflowtaskresults"),
        ("patch", "argoproj.io/workflowtaskresults"),
        ("get", "configmaps=kfp-launcher"),
        ("get", "secrets=fairlead-storage"),
    ],
)
def test_a_run_may_do_what_it_needs(namespace, verb, resource):
    assert allowed(namespace, verb, resource)


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "secrets"),
        ("get", "secrets=fairlead-records"),
        ("list", "secrets"),
        ("get", "configmaps"),
        ("create", "pods"),
        ("create", "pods:exec"),
        ("delete", "pods"),
        ("get", "pods:log"),
        ("patch", "argoproj.io/workflows"),
        ("create", "pipelines.kubeflow.org/pipelineversions"),
        ("create", "batch/jobs"),
        ("create", "rbac.authorization.k8s.io/rolebindings"),
    ],
)
def test_a_run_may_do_no_more(namespace, verb, resource):
    assert not allowed(namespace, verb, resource)


def test_the_job_of_the_schedules_is_admitted_and_its_account_may_do_nothing(namespace):
    [job] = [item for item in objects(kubectl("kustomize", str(FOLDER)).stdout) if item["kind"] == "Job"]
    job["metadata"]["namespace"] = namespace
    template = {"apiVersion": "v1", "kind": "Pod", **job["spec"]["template"]}
    template["metadata"] = {"name": "as-the-job", "namespace": namespace}
    done = kubectl("apply", "--dry-run=server", "-f", "-", text=json.dumps(template))
    assert "as-the-job" in done.stdout
    assert "Warning" not in kubectl("apply", "--dry-run=server", "-f", "-", text=json.dumps(job)).stderr
    assert not allowed(namespace, "get", "configmaps=pipeline-schedules", account="pipeline-schedules")


def test_a_step_that_does_not_say_it_is_not_root_is_refused(namespace):
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    refused = apply(namespace, pod(namespace, "a-step", **restricted), check=False)
    assert refused.returncode != 0
    assert "runAsNonRoot != true" in refused.stderr
    kubectl(
        "apply",
        "--dry-run=server",
        "-f",
        "-",
        text=json.dumps(pod(namespace, "a-step", runAsNonRoot=True, **restricted)),
    )


def test_what_a_driver_does_not_declare_is_declared_for_it(namespace):
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        "runAsNonRoot": True,
    }
    text = json.dumps(pod(namespace, "a-driver", **restricted))
    made = json.loads(kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", text=text).stdout)
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "50m", "memory": "64Mi"},
        "limits": {"cpu": "1", "memory": "512Mi"},
    }
