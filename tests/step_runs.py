"""One step of a compiled pipeline, called as its launcher on a cluster calls it."""

import json
from pathlib import Path
from typing import Any

import yaml

COMPILED = Path(__file__).parents[1] / "pipelines" / "compiled"


def load_documents(pipeline: str) -> list[dict[str, Any]]:
    """The compiled pipeline, and what only the platform knows of it."""
    text = (COMPILED / f"{pipeline}.yaml").read_text(encoding="utf-8")
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def load_package(pipeline: str) -> dict[str, Any]:
    """The compiled pipeline, without what only the platform knows."""
    return load_documents(pipeline)[0]


class StepRun:
    """A component of a compiled pipeline, its parameters, and where its artifacts are and go."""

    def __init__(
        self,
        package: dict[str, Any],
        component: str,
        root: str | Path,
        parameters: dict[str, Any],
        inputs: dict[str, str] | None = None,
        local: str | Path | None = None,
    ) -> None:
        """What a step is run with.

        Args:
            package: a compiled pipeline.
            component: of its steps.
            root: a folder, or the part of an address, below which its artifacts go.
            parameters: by name.
            inputs: name of an artifact → its address.
            local: the folder for what is no artifact; `root` if none.
        """
        self.component = package["components"][f"comp-{component}"]
        self.label = self.component["executorLabel"]
        self.container = package["deploymentSpec"]["executors"][self.label]["container"]
        self.root, self.parameters, self.inputs = root, parameters, inputs or {}
        self.local = root if local is None else local

    def outputs(self) -> dict[str, str]:
        """Name of an artifact that the step makes → its address."""
        return {name: f"{self.root}/{name}" for name in self._definitions("outputDefinitions", "artifacts")}

    def executor_input(self) -> dict[str, Any]:
        """What the driver and the launcher work out for a step."""
        made = self._definitions("outputDefinitions", "artifacts")
        taken = self._definitions("inputDefinitions", "artifacts")
        parameters = self._definitions("outputDefinitions", "parameters")
        return {
            "inputs": {
                "parameterValues": self.parameters,
                "artifacts": {name: self._artifact(name, uri, taken[name]) for name, uri in self.inputs.items()},
            },
            "outputs": {
                "parameters": {name: {"outputFile": f"{self.local}/outputs/{name}"} for name in parameters},
                "artifacts": {name: self._artifact(name, uri, made[name]) for name, uri in self.outputs().items()},
                "outputFile": f"{self.local}/executor_output.json",
            },
        }

    def command(self) -> list[str]:
        """Command and arguments of the compiled pipeline, with the executor input in its place."""
        placed = json.dumps(self.executor_input())
        return [word.replace("{{$}}", placed) for word in (*self.container["command"], *self.container["args"])]

    def _definitions(self, side: str, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = self.component.get(side, {}).get(kind, {})
        return found

    @staticmethod
    def _artifact(name: str, uri: str, definition: dict[str, Any]) -> dict[str, Any]:
        return {"artifacts": [{"name": name, "uri": uri, "type": definition["artifactType"], "metadata": {}}]}
