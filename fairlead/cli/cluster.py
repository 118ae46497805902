"""Commands that ask Kubeflow Pipelines."""

import os
import sys
import time
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter
from rich.console import Console

from fairlead.cli.progress import ConsoleProgress
from fairlead.errors import BackendDownError, PipelineError, RegistryError
from fairlead.ports import PipelineBackend, TrainingRuns
from fairlead.report.summary import Step
from fairlead.runs.request import RunRequest, RunStatus
from fairlead.settings import Settings, find_repo
from fairlead.spec.environment import EnvironmentSpec
from fairlead.spec.load import load_document, load_specs

PIPELINE = "train-and-release"
RETRAINING = "retrain-model"


def run_training(
    name: str, day: date, environment_name: str, api: str | None, watch: bool, console: Console
) -> dict[str, Any]:
    """Start a run of the version that this checkout has, and watch it; returns what scripts want to know.

    Raises:
        PipelineError: the run failed, or Kubeflow Pipelines refuses it.
    """
    from fairlead.adapters.kfp_api import KfpApi
    from fairlead.adapters.mlflow import MlflowRegistry
    from fairlead.cli.runs import print_refusals, step_titles
    from fairlead.lineage.plan import make_plan
    from fairlead.render.pipelines import find_environment, rendered_version
    from fairlead.training.splits import midnight

    repo = find_repo()
    environment = find_environment(repo, environment_name)
    version_name = rendered_version(repo, environment_name, PIPELINE)
    model, dataset = load_specs(repo, name)
    backend = KfpApi(api or environment.pipelines.api, environment.pipelines.namespace)
    version = backend.resolve(PIPELINE, version_name)
    settings = _settings(environment, repo)
    plan = make_plan(settings, dataset, model, midnight(day, dataset.timezone))
    request = RunRequest(version=version, name=f"{name} as of {day}", experiment=name, parameters=plan.arguments())
    run_id = backend.start(request)
    console.print(f"run {run_id} of {version_name} in {environment.pipelines.namespace}", highlight=False)
    found = {"run_id": run_id, "pipeline": PIPELINE, "version": version_name, "environment": environment.name}
    if not watch:
        return found | {"state": backend.status(run_id).state}
    status = _watch(backend, run_id, step_titles(repo), console)
    if status.state != "succeeded":
        raise PipelineError(_failure(status, environment))
    made = MlflowRegistry(settings).made_by(plan)
    if made is None:
        raise PipelineError(f"the run {run_id} succeeded, but {settings.tracking_uri} has no version that it made")
    console.print(f"{made.model}@{made.version} was {made.status}", highlight=False)
    print_refusals(made.reasons, console)
    return found | {
        "state": status.state,
        "steps": dict(status.steps),
        "model": f"{made.model}@{made.version}",
        "status": made.status,
        "reasons": made.reasons,
    }


def training_runs(name: str, environment_name: str, api: str | None = None) -> TrainingRuns:
    """Trainings by the pipeline that plans and trains, in the version that this checkout has.

    Raises:
        PipelineError: Kubeflow Pipelines has no such version.
    """
    from fairlead.adapters.kfp_api import KfpApi
    from fairlead.adapters.mlflow import MlflowRegistry, RegisteredVersion
    from fairlead.adapters.training_runs import PipelineTrainingRuns
    from fairlead.lineage.plan import start_of_day
    from fairlead.render.pipelines import find_environment, rendered_version
    from fairlead.spec.load import load_specs

    repo = find_repo()
    environment = find_environment(repo, environment_name)
    _, dataset = load_specs(repo, name)
    backend = KfpApi(api or environment.pipelines.api, environment.pipelines.namespace)
    settings = _settings(environment, repo)
    version = backend.resolve(RETRAINING, rendered_version(repo, environment_name, RETRAINING))

    def parameters(as_of: datetime) -> dict[str, str]:
        return {"model": name, "as_of": as_of.astimezone(ZoneInfo(dataset.timezone)).date().isoformat()}

    def made(found: Mapping[str, Any]) -> RegisteredVersion | None:
        try:
            return MlflowRegistry(settings).newest_as_of(name, start_of_day(found["as_of"], dataset))
        except RegistryError as error:
            raise BackendDownError(f"how the run ended cannot be told: {error}") from None

    return PipelineTrainingRuns(backend, version, parameters, made)


def sync_schedules(file: Path, api: str | None, console: Console, json_output: bool) -> None:
    """Make the schedules those of the file."""
    from fairlead.adapters.kfp_api import KfpApi
    from fairlead.runs.schedules import Change, DeclaredSchedules
    from fairlead.runs.schedules import sync_schedules as sync

    declared = load_document(file, DeclaredSchedules)
    changes = sync(declared, KfpApi(api or declared.api, declared.namespace))
    if json_output:
        sys.stdout.write(TypeAdapter(list[Change]).dump_json(changes, indent=2).decode() + "\n")
        return
    for change in changes:
        console.print(f"{change.action:<10} {change.name}  {change.version}", highlight=False)
    if not changes:
        console.print("no schedules")


def _settings(environment: EnvironmentSpec, repo: Path) -> Settings:
    """The environment's own, but for what this shell sets: an address is another one from outside the cluster."""
    from fairlead.render.manifests.config_map import environment_variables

    values = {**environment_variables(environment), **os.environ, "FAIRLEAD_REPO": str(repo)}
    given = {name: values.get(f"FAIRLEAD_{name.upper()}") for name in Settings.model_fields}
    return Settings.model_validate({name: value for name, value in given.items() if value})


def _watch(backend: PipelineBackend, run_id: str, titles: dict[str, str], console: Console) -> RunStatus:
    from fairlead.runs.watch import wait

    progress, began, told = ConsoleProgress(console), time.monotonic(), set[str]()

    def tell(status: RunStatus) -> None:
        for task, state in status.steps.items():
            title = titles.get(task, task)
            if state == "succeeded" and task not in told:
                told.add(task)
                progress.end(Step(name=task, title=title, seconds=time.monotonic() - began))
            elif state == "running":
                progress.begin(task, title)

    with progress.running():
        try:
            return wait(backend, run_id, tell)
        except KeyboardInterrupt:
            raise PipelineError(f"watching was interrupted; the run {run_id} goes on") from None


def _failure(status: RunStatus, environment: EnvironmentSpec) -> str:
    """Kubeflow Pipelines does not say why a run failed; the log of its step does."""
    select = f"-n {environment.pipelines.namespace} -l pipeline/runid={status.run_id}"
    if status.state == "cancelled":
        return f"the run {status.run_id} was cancelled"
    if not status.failed:
        return f"the run {status.run_id} failed in no step; its workflow says why: kubectl describe workflow {select}"
    logs = f"{environment.storage.bucket}/pipelines/{PIPELINE}/{status.run_id}/"
    return (
        f"step {', '.join(status.failed)} failed\n"
        f"(its log: kubectl logs {select} -c main --prefix --tail=100; kept in {logs}<step>/ as executor-logs)"
    )
