"""A namespace for each module on the cluster of KUBECONFIG, as restricted as ours are, and what runs in it."""

import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.programs import RefusedError, kubectl

if TYPE_CHECKING:
    from tests.cluster.loop import Loop

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
ANY_UID = 1000680000
"""As clusters give it that choose the users of pods themselves."""
DENY_ALL = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny-all"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}


@dataclass(frozen=True)
class Namespace:
    """A namespace of the tests."""

    name: str

    def kubectl(self, *words: str, text: str | None = None, check: bool = True) -> str:
        return kubectl("--namespace", self.name, *words, text=text, check=check)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def wait(self, pod: str, condition: str, seconds: int = 120) -> None:
        """Until a pod fulfils a condition, such as `condition=Ready`; fails with what the pod has said."""
        try:
            self.kubectl("wait", f"pod/{pod}", f"--for={condition}", f"--timeout={seconds}s")
        except RefusedError as error:
            events = self.kubectl("get", "events", "-o", "custom-columns=A:.reason,B:.message", "--no-headers")
            said = self.kubectl("logs", pod, "--all-containers", "--ignore-errors")
            raise AssertionError(f"{error}\n{events}\n{said}") from None

    def run(self, pod: str, image: str, *command: str, **container: Any) -> str:
        """The output of a command in a pod of its own, which must end with 0."""
        self.apply(restricted_pod(pod, image, command=list(command), **container))
        self.wait(pod, "jsonpath={.status.phase}=Succeeded", 300)
        return self.kubectl("logs", pod)

    @contextmanager
    def forwarded(self, pod: str, port: int) -> Iterator[str]:
        """The address of a pod's port on this machine."""
        command = ["kubectl", "--namespace", self.name, "port-forward", f"pod/{pod}", f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                found = re.search(r"127\.0\.0\.1:\d+", process.stdout.readline())
                assert found, f"{' '.join(command)} forwards nothing"
                yield f"http://{found[0]}"
            finally:
                process.terminate()


def restricted_pod(name: str, image: str, volumes: Sequence[dict[str, Any]] = (), **container: Any) -> dict[str, Any]:
    """A pod as a careful cluster runs it: any user, no rights, no token, nothing to write on but /tmp and the spool."""
    mounts = [{"name": "tmp", "mountPath": "/tmp"}, {"name": "data", "mountPath": "/var/lib/fairlead"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": ANY_UID,
                "runAsGroup": 0,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    **container,
                    "volumeMounts": [*mounts, *container.get("volumeMounts", [])],
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "data", "emptyDir": {}}, *volumes],
        },
    }


@pytest.fixture(scope="session", name="kubectl")
def _kubectl() -> Callable[..., str]:
    """kubectl on the cluster of KUBECONFIG."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG must name a cluster for the tests with the marker `cluster`")
    return kubectl


@contextmanager
def a_namespace() -> Iterator[Namespace]:
    """An empty one that enforces the restricted profile and lets nothing in or out."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG must name a cluster for the tests with the marker `cluster`")
    name = f"fairlead-test-{uuid.uuid4().hex[:8]}"
    labels = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
    kubectl("create", "-f", "-", text=json.dumps(labels))
    try:
        found = Namespace(name)
        found.apply(DENY_ALL)
        yield found
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """One of a module's own, as `a_namespace` makes it."""
    with a_namespace() as found:
        yield found


@pytest.fixture(scope="module")
def pipelines_namespace() -> Iterator[Namespace]:
    """Another, for an environment's pipelines."""
    with a_namespace() as found:
        yield found


@pytest.fixture(scope="session")
def image() -> Callable[[str], str]:
    """The image to test by its short name: FAIRLEAD_IMAGE_SERVING, …_PIPELINE and so on, as a pod names it."""

    def named(name: str) -> str:
        variable = f"FAIRLEAD_IMAGE_{name.upper().replace('-', '')}"
        if not os.environ.get(variable):
            pytest.fail(f"{variable} must name an image that the cluster can pull")
        return os.environ[variable]

    return named


@pytest.fixture(scope="session")
def images(image: Callable[[str], str]) -> dict[str, str]:
    """All images that the whole loop needs, by their short names."""
    return {name: image(name) for name in ("pipeline", "serving", "monitoring", "stand-ins")}


@pytest.fixture(scope="session")
def loop(tmp_path_factory: pytest.TempPathFactory, images: dict[str, str]) -> Iterator["Loop"]:
    """The whole loop; the modules that share it are the last ones by name, and follow on each other."""
    from tests.cluster.loop import running

    with running(tmp_path_factory.mktemp("fork"), images) as found:
        yield found
