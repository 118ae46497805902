"""Runs on Kubeflow Pipelines, through its REST API and its own client."""

import json
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import kfp_server_api as server
import urllib3

from fairlead.errors import BackendDownError, PipelineError
from fairlead.runs.request import (
    KnownRepetition,
    PinnedVersion,
    Repetition,
    RunRequest,
    RunState,
    RunStatus,
    StepState,
    check_parameters,
)

CALL_SECONDS = 30
PAGE = 100

_RUN_STATES: dict[str, RunState] = {
    "SUCCEEDED": "succeeded",
    "SKIPPED": "succeeded",
    "FAILED": "failed",
    "CANCELED": "cancelled",
    "RUNNING": "running",
    "CANCELING": "running",
    "PAUSED": "running",
}
_STEP_STATES: dict[str, StepState] = {
    "SUCCEEDED": "succeeded",
    "SKIPPED": "skipped",
    "FAILED": "failed",
    "CANCELED": "failed",
    "RUNNING": "running",
}
_DOWN = {429, 502, 503, 504}


class KfpApi:
    """`PipelineBackend` on an API server of version 2.17."""

    def __init__(self, address: str, namespace: str) -> None:
        """Nothing is asked yet.

        Args:
            address: `http://ml-pipeline.kubeflow.svc:8888`.
            namespace: where it keeps pipelines; a single-user server knows only its own, and is not told.
        """
        self._address = address
        self._namespace = namespace
        client = server.ApiClient(server.Configuration(host=address.rstrip("/")))
        self._pipelines = server.PipelineServiceApi(client)
        self._runs = server.RunServiceApi(client)
        self._recurring = server.RecurringRunServiceApi(client)
        self._experiments = server.ExperimentServiceApi(client)
        self._health = server.HealthzServiceApi(client)

    def resolve(self, pipeline: str, version: str) -> PinnedVersion:
        found = self._call(self._pipelines.pipeline_service_get_pipeline_by_name, pipeline, **self._scope)
        versions = self._pages(
            self._pipelines.pipeline_service_list_pipeline_versions, "pipeline_versions", found.pipeline_id
        )
        by_name = {item.name: item.pipeline_version_id for item in versions}
        if version not in by_name:
            known = ", ".join(sorted(by_name)) or "none"
            raise PipelineError(
                f"{self._address} has no version {version!r} of the pipeline {pipeline!r}, but these: {known}; "
                "has this commit been synced?"
            )
        return PinnedVersion(pipeline, version, found.pipeline_id, by_name[version])

    def start(self, request: RunRequest) -> str:
        check_parameters(request.parameters)
        run = server.V2beta1Run(
            display_name=request.name,
            experiment_id=self._experiment(request.experiment),
            pipeline_version_reference=_reference(request.version),
            runtime_config=server.V2beta1RuntimeConfig(parameters=dict(request.parameters)),
        )
        return str(self._call(self._runs.run_service_create_run, run).run_id)

    def status(self, run_id: str) -> RunStatus:
        run = self._call(self._runs.run_service_get_run, run_id)
        details = run.run_details.task_details if run.run_details else None
        steps = {
            task.display_name: _STEP_STATES.get(task.state, "waiting")
            for task in details or []
            if not _is_internal(task.display_name)
        }
        parameters = (run.runtime_config.parameters if run.runtime_config else None) or {}
        return RunStatus(run_id, _RUN_STATES.get(run.state, "waiting"), steps, parameters)

    def repetitions(self) -> list[KnownRepetition]:
        listing = self._recurring.recurring_run_service_list_recurring_runs
        return [
            KnownRepetition(
                id=item.recurring_run_id,
                name=item.display_name,
                version_id=item.pipeline_version_reference.pipeline_version_id or ""
                if item.pipeline_version_reference
                else "",
                note=item.description or "",
            )
            for item in self._pages(listing, "recurring_runs", **self._scope)
        ]

    def add_repetition(self, repetition: Repetition, note: str) -> str:
        check_parameters(repetition.parameters)
        run = server.V2beta1RecurringRun(
            display_name=repetition.name,
            description=note,
            experiment_id=self._experiment(repetition.experiment),
            pipeline_version_reference=_reference(repetition.version),
            runtime_config=server.V2beta1RuntimeConfig(parameters=dict(repetition.parameters)),
            trigger=server.V2beta1Trigger(cron_schedule=server.V2beta1CronSchedule(cron=repetition.cron)),
            max_concurrency=str(repetition.max_concurrency),
            no_catchup=True,
            mode=server.RecurringRunMode.ENABLE,
        )
        created = self._call(self._recurring.recurring_run_service_create_recurring_run, run)
        return str(created.recurring_run_id)

    def remove_repetition(self, repetition_id: str) -> None:
        try:
            self._call(self._recurring.recurring_run_service_delete_recurring_run, repetition_id)
        except _NotFoundError:
            return

    @cached_property
    def _scope(self) -> dict[str, str]:
        """A single-user server refuses to look by namespace."""
        health = self._call(self._health.healthz_service_get_healthz)
        return {"namespace": self._namespace} if health.multi_user else {}

    def _experiment(self, name: str) -> str:
        listing = self._experiments.experiment_service_list_experiments
        for item in self._pages(listing, "experiments", **self._scope):
            if item.display_name == name:
                return str(item.experiment_id)
        experiment = server.V2beta1Experiment(display_name=name, **self._scope)
        return str(self._call(self._experiments.experiment_service_create_experiment, experiment).experiment_id)

    def _pages(self, listing: Callable[..., Any], field: str, *words: str, **scope: str) -> Iterator[Any]:
        token = ""
        while True:
            page = self._call(listing, *words, page_size=PAGE, page_token=token, **scope)
            yield from getattr(page, field) or []
            token = page.next_page_token
            if not token:
                return

    def _call(self, method: Callable[..., Any], *words: Any, **options: Any) -> Any:
        try:
            return method(*words, _request_timeout=CALL_SECONDS, **options)
        except server.ApiException as error:
            raise _explained(self._address, error) from None
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise BackendDownError(f"Kubeflow Pipelines does not answer at {self._address}: {reason}") from None


class _NotFoundError(PipelineError):
    """There is no such thing."""


def _is_internal(task: str) -> bool:
    """What the backend puts around the tasks of a pipeline."""
    return task in ("root", "executor") or task.endswith("-driver")


def _explained(address: str, error: server.ApiException) -> PipelineError:
    kind = _NotFoundError if error.status == 404 else BackendDownError if error.status in _DOWN else PipelineError
    try:
        message = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        message = error.body or error.reason
    return kind(f"{address} refuses this ({error.status}): {message}")


def _reference(version: PinnedVersion) -> server.V2beta1PipelineVersionReference:
    return server.V2beta1PipelineVersionReference(
        pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
    )
