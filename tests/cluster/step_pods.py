"""Steps of a compiled pipeline, each in a pod as Kubeflow's launcher runs it: artifacts come from S3 and go there.

The launcher itself, a program of Kubeflow's backend, is played by two containers beside the step's own.
"""

import json
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from tests.cluster.conftest import Namespace, restricted_pod
from tests.step_runs import StepRun, load_documents

LOCAL = "/launcher"
ARTIFACTS = "/s3"
"""Where a step finds `s3://`: a rule of the SDK."""
FETCH = """
import sys
from pathlib import Path
from pyarrow.fs import FileSelector, FileType
from fairlead.adapters.s3_arrow import filesystem, path
taken, made = (words.split() for words in sys.argv[1:])
s3 = filesystem()
for uri in taken:
    [found] = s3.get_file_info([path(uri)])
    files = [found] if found.type == FileType.File else s3.get_file_info(FileSelector(found.path, recursive=True))
    assert files, uri + " must be there"
    for file in files:
        if file.type == FileType.File:
            here = Path("/s3", file.path)
            here.parent.mkdir(parents=True, exist_ok=True)
            here.write_bytes(s3.open_input_file(file.path).read())
for uri in made:
    Path("/s3", path(uri)).parent.mkdir(parents=True, exist_ok=True)
"""
KEEP = """
import sys
from pathlib import Path
from pyarrow.fs import LocalFileSystem, copy_files
from fairlead.adapters.s3_arrow import filesystem, path
for uri in sys.argv[1].split():
    here = Path("/s3", path(uri))
    if here.exists():
        copy_files(str(here), path(uri), LocalFileSystem(), filesystem())
print(Path("/launcher/executor_output.json").read_text())
"""


@dataclass
class Pods:
    """Runs steps in a namespace that holds what they need; `image` is that of all steps."""

    namespace: Namespace
    image: str
    root: str
    """Part of an `s3://` address, below which artifacts go."""
    volumes: list[dict[str, Any]] = field(default_factory=list)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    """Of every step, beside its own."""

    def step(self, pipeline: str, task: str, parameters: dict[str, Any], inputs: dict[str, str]) -> "Made":
        """Run one step to its end; what it made."""
        package, platform = load_documents(pipeline)
        name = f"{pipeline.replace('_', '-')}-{task}"
        run = StepRun(package, task, f"{self.root}/{name}", parameters, inputs, LOCAL)
        self.namespace.apply(self._pod(name, run, platform["platforms"]["kubernetes"]))
        self.namespace.wait(name, "jsonpath={.status.phase}=Succeeded", 600)
        output = json.loads(self.namespace.kubectl("logs", name, "-c", "keep").strip().splitlines()[-1])
        return Made(output.get("parameterValues", {}), run.outputs())

    def pipeline(self, pipeline: str, parameters: dict[str, Any]) -> dict[str, "Made"]:
        """Run all tasks in the order of the graph."""
        tasks = load_documents(pipeline)[0]["root"]["dag"]["tasks"]
        made: dict[str, Made] = {}
        for task in TopologicalSorter(
            {name: it.get("dependentTasks", []) for name, it in tasks.items()}
        ).static_order():
            inputs = tasks[task].get("inputs", {})
            values = {name: _value(source, parameters, made) for name, source in inputs.get("parameters", {}).items()}
            places = {name: _place(source, made) for name, source in inputs.get("artifacts", {}).items()}
            made[task] = self.step(pipeline, task, values, places)
        return made

    def _pod(self, name: str, run: StepRun, platform: dict[str, Any]) -> dict[str, Any]:
        own = platform["deploymentSpec"]["executors"][run.label]
        asked = run.container["resources"]
        shared = [{"name": "artifacts", "mountPath": ARTIFACTS}, {"name": "launcher", "mountPath": LOCAL}]
        env = _env(own)
        pod = restricted_pod(
            name,
            self.image,
            volumes=[{"name": "artifacts", "emptyDir": {}}, {"name": "launcher", "emptyDir": {}}, *self.volumes],
            volumeMounts=[*shared, *self.mounts],
            env=env,
        )
        pod["metadata"]["labels"]["workflows.argoproj.io/workflow"] = "by-hand"
        spec = pod["spec"]
        spec["activeDeadlineSeconds"] = int(own["activeDeadlineSeconds"])
        [base] = spec["containers"]
        resources = {
            "requests": {"cpu": asked["resourceCpuRequest"], "memory": asked["resourceMemoryRequest"]},
            "limits": {"cpu": asked["resourceCpuLimit"], "memory": asked["resourceMemoryLimit"]},
        }
        taken, made = (" ".join(uris.values()) for uris in (run.inputs, run.outputs()))
        spec["initContainers"] = [
            {**base, "name": "fetch", "command": ["python3", "-c", FETCH, taken, made]},
            {**base, "name": "step", "command": run.command(), "resources": resources},
        ]
        spec["containers"] = [{**base, "name": "keep", "command": ["python3", "-c", KEEP, made]}]
        return pod


@dataclass
class Made:
    """What a step leaves."""

    parameters: dict[str, Any]
    artifacts: dict[str, str]


def _env(own: dict[str, Any]) -> list[dict[str, Any]]:
    """The variables that the platform's part of a package asks for."""
    env = []
    for item in own.get("configMapAsEnv", []):
        for key in item["keyToEnv"]:
            source = {"name": item["configMapName"], "key": key["configMapKey"], "optional": item["optional"]}
            env.append({"name": key["envVar"], "valueFrom": {"configMapKeyRef": source}})
    for item in own.get("secretAsEnv", []):
        for key in item["keyToEnv"]:
            source = {"name": item["secretName"], "key": key["secretKey"], "optional": item["optional"]}
            env.append({"name": key["envVar"], "valueFrom": {"secretKeyRef": source}})
    return env


def _value(source: dict[str, Any], parameters: dict[str, Any], made: dict[str, Made]) -> Any:
    if "componentInputParameter" in source:
        return parameters[source["componentInputParameter"]]
    if "taskOutputParameter" in source:
        output = source["taskOutputParameter"]
        return made[output["producerTask"]].parameters[output["outputParameterKey"]]
    return source["runtimeValue"]["constant"]


def _place(source: dict[str, Any], made: dict[str, Made]) -> str:
    output = source["taskOutputArtifact"]
    return made[output["producerTask"]].artifacts[output["outputArtifactKey"]]
