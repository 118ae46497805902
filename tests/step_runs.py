"""One step of a compiled pipeline, called as its launcher on a cluster calls it."""

import json
from pathlib import Path

import yaml

COMPILED = Path(__file__).parents[1] / "pipelines" / "compiled"


def load_package(pipeline):
    """The compiled pipeline, without what only the platform knows."""
    text = (COMPILED / f"{pipeline}.yaml").read_text(encoding="utf-8")
    return next(iter(yaml.load_all(text, Loader=yaml.CSafeLoader)))


class StepRun:
    """A component of a compiled pipeline, its parameters, and where its artifacts are and go."""

    def __init__(self, package, component, root, parameters, inputs=()):
        """Outputs go below `root`, a folder or the part of an address; `inputs` maps names to addresses."""
        self.component = package["components"][f"comp-{component}"]
        self.container = package["deploymentSpec"]["executors"][self.component["executorLabel"]]["container"]
        self.root, self.parameters, self.inputs = root, parameters, dict(inputs)

    def outputs(self):
        """Name of an artifact that the step makes → its address."""
        return {name: f"{self.root}/{name}" for name in self.component["outputDefinitions"].get("artifacts", {})}

    def executor_input(self):
        """What the driver and the launcher work out for a step."""
        definitions = self.component["outputDefinitions"]
        parameters = definitions.get("parameters", {})
        return {
            "inputs": {
                "parameterValues": self.parameters,
                "artifacts": {
                    name: self._artifact(name, uri, self.component["inputDefinitions"]["artifacts"][name])
                    for name, uri in self.inputs.items()
                },
            },
            "outputs": {
                "parameters": {name: {"outputFile": f"{self.root}/outputs/{name}"} for name in parameters},
                "artifacts": {
                    name: self._artifact(name, uri, definitions["artifacts"][name])
                    for name, uri in self.outputs().items()
                },
                "outputFile": f"{self.root}/executor_output.json",
            },
        }

    def command(self):
        """Command and arguments of the compiled pipeline, with the executor input in its place."""
        placed = json.dumps(self.executor_input())
        return [word.replace("{{$}}", placed) for word in (*self.container["command"], *self.container["args"])]

    @staticmethod
    def _artifact(name, uri, definition):
        return {"artifacts": [{"name": name, "uri": uri, "type": definition["artifactType"], "metadata": {}}]}
