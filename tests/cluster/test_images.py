"""The images in pods of a careful cluster: any user, a root that nobody can write to, no network, no rights."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from fairlead.adapters.endpoint import Endpoint
from tests.cluster.conftest import ANY_UID, Namespace, restricted_pod
from tests.local.test_serving import COLUMNS, SCORES, write
from tests.repo.test_image_locks import locked, normal

pytestmark = pytest.mark.cluster

REPO = Path(__file__).resolve().parents[2]
GOAL_MEMORY_MB = 180
NAMES = ("pipeline", "serving", "monitoring", "alibi")
NOT_HERE = 2
"""What `.ci/images` ends with where the image is not in this machine's storage."""
Named = Callable[[str], str]

LOOK_AROUND = """
import importlib.util, json, os, shutil, sys
json.dump({
    "user": os.getuid(),
    "root": os.access("/", os.W_OK) or os.access("/app", os.W_OK),
    "data": os.access("/var/lib/fairlead", os.W_OK),
    "tools": [name for name in ("cc", "gcc", "g++", "make", "pip", "pip3", "uv", "git") if shutil.which(name)],
    "packages": [name for name in ("pip", "ensurepip", "uv", "pytest") if importlib.util.find_spec(name)],
    "uncompiled": [
        os.path.join(folder, name)
        for top in (os.path.dirname(os.__file__) + "/asyncio", "/app", "/venv/lib")
        for folder, _, names in os.walk(top)
        for name in names
        if name.endswith(".py") and not os.path.exists(importlib.util.cache_from_source(os.path.join(folder, name)))
    ],
    "sbom": json.load(open("/sbom.cdx.json")),
}, sys.stdout)
"""
IMPORT_ALL = """
import components, fairlead, importlib, pipelines, pkgutil
import feast, great_expectations, kfp, lightgbm, mlflow.onnx, onnxruntime, optuna, sklearn  # which steps import
found = [m.name for p in (components, fairlead, pipelines) for m in pkgutil.walk_packages(p.__path__, p.__name__ + ".")]
for name in found:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(found))
"""


STARTED = """
import os, time
ticks = int(open("/proc/1/stat").read().rpartition(")")[2].split()[19])
print(time.time() - float(open("/proc/uptime").read().split()[0]) + ticks / os.sysconf("SC_CLK_TCK"))
"""


def seconds_to_serve(namespace: Namespace, pod: str) -> float:
    """From the start of the pod's process to the line that says what is served."""
    started = float(namespace.kubectl("exec", pod, "--", "python", "-c", STARTED))
    lines = namespace.kubectl("logs", "--timestamps", pod).splitlines()
    time, _, _ = next(line for line in lines if " serving " in line).partition(" ")
    return datetime.fromisoformat(time).timestamp() - started


def megabytes(namespace: Namespace, pod: str) -> float:
    """What the pod's process holds of the memory, its libraries included."""
    script = "import os; print(int(open('/proc/1/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6)"
    return float(namespace.kubectl("exec", pod, "--", "python", "-c", script))


def readiness(path: str, port: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "failureThreshold": 120}


@pytest.mark.parametrize("name", NAMES)
def test_an_image_says_what_it_is_and_is_no_larger_than_its_goal(image: Named, name: str) -> None:
    command = [sys.executable, str(REPO / ".ci" / "images"), "inspect", image(name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == NOT_HERE:
        pytest.skip(f"only where it was built: {done.stderr}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    sys.stdout.write(f"{image(name)}: {found['megabytes']} MB\n")
    assert found["megabytes"] <= found["goal_megabytes"]
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in found["labels"].items()}
    assert labels["title"] == f"fairlead/{name}"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["version"] == "0.1.0"
    assert len(labels["revision"].removesuffix("+changes")) == 40
    assert "source" in labels


@pytest.mark.parametrize("name", NAMES)
def test_an_image_holds_what_it_runs_and_nothing_that_makes_more(namespace: Namespace, image: Named, name: str) -> None:
    found = json.loads(namespace.run(f"look-{name}", image(name), "python", "-c", LOOK_AROUND))
    assert found["user"] == ANY_UID
    assert found["data"]
    assert not found["root"]
    assert found["tools"] == (["git"] if name == "pipeline" else [])  # by which releases are committed
    assert found["packages"] == []
    assert found["uncompiled"] == []
    assert found["sbom"]["bomFormat"] == "CycloneDX"
    parts = found["sbom"]["components"]
    listed = {f"{normal(part['name'])}=={part['version'].removeprefix('v')}" for part in parts}  # a v is no difference
    assert "numpy" in {pin.partition("==")[0] for pin in listed}
    assert listed <= locked("runtime" if name == "pipeline" else name)


def test_the_server_answers_from_a_folder_of_files(namespace: Namespace, image: Named, tmp_path: Path) -> None:
    bundle = write(tmp_path / "bundle")
    files = sorted(path.name for path in bundle.iterdir())
    content = {name: base64.b64encode((bundle / name).read_bytes()).decode() for name in files}
    pod = restricted_pod(
        "serving",
        image("serving"),
        volumes=[{"name": "bundle", "configMap": {"name": "bundle"}}],
        volumeMounts=[{"name": "bundle", "mountPath": f"/mnt/models/{name}", "subPath": name} for name in files],
        readinessProbe=readiness("/v2/models/flight-delay/ready", 8080),
    )
    namespace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bundle"}, "binaryData": content}, pod
    )
    namespace.wait("serving", "condition=Ready")
    sys.stdout.write(f"the server took {seconds_to_serve(namespace, 'serving'):.1f} s\n")
    with namespace.forwarded("serving", 8080) as address:
        assert Endpoint(address).score("flight-delay", COLUMNS).scores == pytest.approx(SCORES)
    used = megabytes(namespace, "serving")
    sys.stdout.write(f"and {used:.0f} MB of memory\n")
    assert used <= GOAL_MEMORY_MB


def test_the_collector_becomes_ready(namespace: Namespace, image: Named) -> None:
    arguments = ["--host", "0.0.0.0", "--tables-uri", "/var/lib/fairlead/tables"]
    namespace.apply(
        restricted_pod("monitoring", image("monitoring"), args=arguments, readinessProbe=readiness("/healthz", 8090))
    )
    namespace.wait("monitoring", "condition=Ready")


def test_the_pipelines_image_has_the_commands_and_every_module(namespace: Namespace, image: Named) -> None:
    assert "1 model(s) are fine" in namespace.run("check", image("pipeline"), "fairlead", "check")
    assert int(namespace.run("import", image("pipeline"), "python3", "-c", IMPORT_ALL)) > 80
