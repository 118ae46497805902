"""Argo CD applies what its projects allow, and says which version answers.

Needs a cluster with Argo CD in the namespace `argocd` that reads `file://` repositories of this machine, and KServe.
Argo CD must keep each object's health in the Application (ARGOCD_APPLICATION_CONTROLLER_PERSIST_RESOURCE_HEALTH=true).
FAIRLEAD_IMAGE_SERVING names an image with Python that the cluster can pull.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from fairlead.render.argocd import argocd_files

REPO = Path(__file__).parents[2]
IMAGE = os.environ.get("FAIRLEAD_IMAGE_SERVING", "")
ENVIRONMENT, NAMESPACE = "tryout", "fairlead-tryout"
REFRESH = "argocd.argoproj.io/refresh=normal"

pytestmark = pytest.mark.cluster


def git(folder, *words):
    identity = ["-c", "user.name=Fairlead", "-c", "user.email=fairlead@example.com"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def kustomization(*resources):
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(resources)}


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}


def inference_service(image):
    container = {"name": "kserve-container", "image": image, "command": ["python", "-m", "http.server", "8080"]}
    container["ports"] = [{"containerPort": 8080, "protocol": "TCP"}]
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "echo",
            "namespace": NAMESPACE,
            "labels": {"networking.kserve.io/visibility": "cluster-local"},
            "annotations": {"serving.kserve.io/deploymentMode": "Standard"},
        },
        "spec": {"predictor": {"minReplicas": 1, "maxReplicas": 1, "containers": [container]}},
    }


class Fork:
    """A repository with one environment, whose bare twin Argo CD reads."""

    def __init__(self, folder, kubectl):
        self.work, self.bare, self.kubectl = folder / "work", folder / "repo.git", kubectl
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.bare)], check=True)
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.work)], check=True)
        git(self.work, "remote", "add", "origin", str(self.bare))
        shutil.copytree(REPO / "argocd/config", self.work / "argocd/config")
        for path in ("manifests/platform/versions.yaml", "manifests/envs/dev/environment.yaml"):
            text = (REPO / path).read_text(encoding="utf-8").replace("dev", ENVIRONMENT)
            target = self.work / path.replace("/dev/", f"/{ENVIRONMENT}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        self.settings()
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self.write("common/namespace.yaml", namespace)
        self.write("common/config-map.yaml", config_map("shared"))
        self.write("common/kustomization.yaml", kustomization("namespace.yaml", "config-map.yaml"))
        self.write("model/config-map.yaml", config_map("model", version="1"))
        self.write("model/release.yaml", {"kind": "Release"})
        self.write("model/kustomization.yaml", kustomization("config-map.yaml"))
        self.write("never-released/kustomization.yaml", kustomization("release.yaml"))

    def settings(self, environments=(ENVIRONMENT,)):
        """What the cluster runs, rendered as a fork's owner does it."""
        content = {
            "repository": f"file://{self.bare}",
            "environments": list(environments),
            "platform": ["argocd-settings"],
        }
        (self.work / "argocd/settings.yaml").write_text(json.dumps(content), encoding="utf-8")
        for folder in ("platform", "projects", "applicationsets"):
            shutil.rmtree(self.work / "argocd" / folder, ignore_errors=True)
        for path, text in argocd_files(self.work).items():
            (self.work / path).parent.mkdir(parents=True, exist_ok=True)
            (self.work / path).write_text(text, encoding="utf-8")

    def write(self, path, document):
        target = self.work / "manifests/envs" / ENVIRONMENT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yaml.safe_dump(document), encoding="utf-8")

    def push(self, message, *applications):
        git(self.work, "add", "-A")
        git(self.work, "commit", "-q", "-m", message)
        git(self.work, "push", "-q", "origin", "main")
        for name in applications:
            self.kubectl("annotate", "--overwrite", "-n", "argocd", "application", name, REFRESH)


def status(kubectl, name):
    text = kubectl("get", "application", name, "-n", "argocd", "--ignore-not-found", "-o", "json")
    return json.loads(text).get("status", {}) if text else {}


def wait_for(what, look, seconds=120):
    """The first true answer of `look`."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(1)
    return found


def state(kubectl, name):
    found = status(kubectl, name)
    return found.get("sync", {}).get("status"), found.get("health", {}).get("status")


def wait_healthy(kubectl, name):
    wait_for(f"{name} Synced and Healthy", lambda: state(kubectl, name) == ("Synced", "Healthy"))


def health_of(kubectl, application, kind):
    resources = status(kubectl, application).get("resources", [])
    found = [item.get("health", {}) for item in resources if item["kind"] == kind]
    return found[0] if found else {}


@pytest.fixture(scope="module")
def fork(tmp_path_factory, kubectl):
    before = json.loads(kubectl("get", "cm", "argocd-cm", "-n", "argocd", "-o", "json")).get("data", {})
    fork = Fork(tmp_path_factory.mktemp("fork"), kubectl)
    fork.before = before
    fork.push("one environment, one model")
    kubectl("apply", "-f", str(fork.work / "argocd/root.yaml"))
    yield fork
    kubectl("delete", "application", "fairlead", "-n", "argocd", "--ignore-not-found")
    kubectl("delete", "applicationset", "environments", "models", "pipelines", "-n", "argocd", "--ignore-not-found")
    left = json.loads(kubectl("get", "application", "-n", "argocd", "-o", "json"))["items"]
    ours = [item["metadata"]["name"] for item in left if item["spec"]["project"].startswith("fairlead")]
    kubectl("delete", "application", "-n", "argocd", "--ignore-not-found", "argocd-settings", *ours)
    projects = ["fairlead", "fairlead-settings", f"fairlead-{ENVIRONMENT}", f"fairlead-{ENVIRONMENT}-pipelines"]
    kubectl("delete", "appproject", "-n", "argocd", "--ignore-not-found", *projects)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    kubectl("delete", "cm", "argocd-notifications-cm", "-n", "argocd", "--ignore-not-found")
    patch = json.dumps([{"op": "replace", "path": "/data", "value": before}])
    kubectl("patch", "cm", "argocd-cm", "-n", "argocd", "--type=json", "-p", patch)


def test_the_api_server_takes_all_objects_as_they_are(kubectl):
    objects = kubectl("kustomize", str(REPO / "argocd"))
    assert kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", text=objects)


def test_one_file_brings_up_the_environment_and_its_models(fork, kubectl):
    for name in (f"{ENVIRONMENT}-common", f"{ENVIRONMENT}-model", "fairlead"):
        wait_healthy(kubectl, name)
    assert kubectl("get", "cm", "model", "-n", NAMESPACE, "-o", "jsonpath={.data.version}") == "1"
    assert state(kubectl, f"{ENVIRONMENT}-never-released") == (None, None)


def test_keys_are_added_to_argocds_settings_and_none_is_taken_away(fork, kubectl):
    wait_healthy(kubectl, "argocd-settings")
    found = json.loads(kubectl("get", "cm", "argocd-cm", "-n", "argocd", "-o", "json"))["data"]
    assert "resource.customizations.health.serving.kserve.io_InferenceService" in found
    assert {key: found.get(key) for key in fork.before if "health" not in key} == {
        key: value for key, value in fork.before.items() if "health" not in key
    }


def test_what_is_deleted_by_hand_comes_back(fork, kubectl):
    wait_healthy(kubectl, f"{ENVIRONMENT}-model")
    kubectl("delete", "cm", "model", "-n", NAMESPACE)
    wait_for("the ConfigMap is back", lambda: kubectl("get", "cm", "model", "-n", NAMESPACE, "--ignore-not-found"))


def test_a_kind_that_the_project_does_not_allow_is_refused_and_the_rest_stays(fork, kubectl):
    wait_healthy(kubectl, f"{ENVIRONMENT}-model")
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "tryout"},
        "rules": [],
    }
    fork.write("model/cluster-role.yaml", role)
    fork.write("model/kustomization.yaml", kustomization("config-map.yaml", "cluster-role.yaml"))
    fork.push("too much", f"{ENVIRONMENT}-model")

    def refused():
        return "is not permitted in project" in json.dumps(status(kubectl, f"{ENVIRONMENT}-model"))

    wait_for("a refusal", refused)
    assert "NotFound" in kubectl("get", "clusterrole", "tryout", check=False)
    assert kubectl("get", "cm", "model", "-n", NAMESPACE, "-o", "jsonpath={.data.version}") == "1"
    fork.write("model/kustomization.yaml", kustomization("config-map.yaml"))
    fork.push("revert", f"{ENVIRONMENT}-model")
    wait_healthy(kubectl, f"{ENVIRONMENT}-model")


def test_an_application_beyond_its_project_is_refused(fork, kubectl):
    wait_healthy(kubectl, f"{ENVIRONMENT}-common")
    application = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "beyond", "namespace": "argocd"},
        "spec": {
            "project": f"fairlead-{ENVIRONMENT}",
            "source": {"repoURL": f"file://{fork.bare}", "targetRevision": "main", "path": "argocd/config"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "kube-system"},
        },
    }
    kubectl("apply", "-f", "-", text=json.dumps(application))

    def refused():
        return "do not match any of the allowed destinations" in json.dumps(status(kubectl, "beyond"))

    wait_for("a refusal", refused)
    kubectl("delete", "application", "beyond", "-n", "argocd")  # it would keep its project


def test_health_tells_the_version_that_answers_from_the_one_asked_for(fork, kubectl):
    wait_healthy(kubectl, "argocd-settings")
    application = f"{ENVIRONMENT}-model"
    fork.write("model/echo.yaml", inference_service(IMAGE))
    fork.write("model/kustomization.yaml", kustomization("config-map.yaml", "echo.yaml"))
    fork.push("an endpoint", application)
    wait_for("an endpoint", lambda: health_of(kubectl, application, "InferenceService").get("status") == "Healthy")

    fork.write("model/echo.yaml", inference_service("registry.invalid/no-such-image:1"))
    fork.push("a version that cannot start", application)

    def older_answers():
        return "an older version still answers" in health_of(kubectl, application, "InferenceService").get(
            "message", ""
        )

    wait_for("health of a version that cannot start", older_answers)
    assert state(kubectl, application)[1] == "Progressing"
    ready = kubectl(
        "get", "isvc", "echo", "-n", NAMESPACE, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    )
    assert ready == "True"

    fork.write("model/echo.yaml", inference_service(IMAGE))
    fork.push("revert", application)
    wait_healthy(kubectl, application)


def test_an_environment_that_is_left_out_goes_with_its_project(fork, kubectl):
    wait_healthy(kubectl, f"{ENVIRONMENT}-common")
    wait_healthy(kubectl, f"{ENVIRONMENT}-model")  # an application is not deleted while its sync is tried again
    fork.settings(environments=())
    fork.push("no environment", "fairlead")
    names = ("application", "-n", "argocd", f"{ENVIRONMENT}-common", "--ignore-not-found")
    wait_for("the application is gone", lambda: not kubectl("get", *names))
    project = ("appproject", "-n", "argocd", f"fairlead-{ENVIRONMENT}", "--ignore-not-found")
    wait_for("its project is gone", lambda: not kubectl("get", *project))
