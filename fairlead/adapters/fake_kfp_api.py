"""The API server of Kubeflow Pipelines, as far as runs and recurring runs go, without a cluster: for tests and trials.

Requests and answers are those of the official client's models. Where the server of version 2.17 is lenient, so is this
one: a five-field cron is taken, a run without a version id gets the newest version, the same recurring run can be made
twice. `python -m fairlead.adapters.fake_kfp_api PORT FILE...` serves the manifests in some files.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import kfp_server_api as server
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_API = "/apis/v2beta1"
_CLIENT = server.ApiClient()
_NOT_FOUND, _INVALID = (404, 5), (400, 3)
"""HTTP status and code of gRPC."""
_KINDS = {"STRING": str, "STRUCT": dict, "LIST": list, "BOOLEAN": bool}
_NUMBERS = {"NUMBER_INTEGER", "NUMBER_DOUBLE"}


class RefusedError(Exception):
    """What the server does not do."""

    def __init__(self, code: tuple[int, int], message: str) -> None:
        super().__init__(message)
        self.status, self.code = code


@dataclass
class FakeKfpApi:
    """One namespace of a single-user server."""

    failing: set[str] = field(default_factory=set)
    """Tasks that fail in every run."""
    _pipelines: dict[str, server.V2beta1Pipeline] = field(default_factory=dict)
    _versions: dict[str, server.V2beta1PipelineVersion] = field(default_factory=dict)
    _experiments: dict[str, server.V2beta1Experiment] = field(default_factory=dict)
    _runs: dict[str, "_Run"] = field(default_factory=dict)
    _recurring: dict[str, server.V2beta1RecurringRun] = field(default_factory=dict)
    _clock: datetime = field(default_factory=lambda: datetime.now(UTC))

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Take a `Pipeline` or `PipelineVersion`, as the server's webhook does.

        Raises:
            RefusedError: it does.
        """
        if manifest["kind"] == "Pipeline":
            name = manifest["metadata"]["name"]
            self._pipelines.setdefault(
                name, server.V2beta1Pipeline(pipeline_id=str(uuid4()), name=name, created_at=self._now())
            )
        elif manifest["kind"] == "PipelineVersion":
            self._apply_version(manifest["metadata"]["name"], manifest["spec"])
        else:
            raise RefusedError(_INVALID, f"no matches for kind {manifest['kind']!r}")

    def delete_version(self, name: str) -> None:
        """As `kubectl delete pipelineversion` does; a version of that name that comes later has another id."""
        self._versions = {key: item for key, item in self._versions.items() if item.name != name}

    def _apply_version(self, name: str, spec: Mapping[str, Any]) -> None:
        pipeline = self._pipelines.get(spec.get("pipelineName", ""))
        if pipeline is None:
            raise RefusedError(_INVALID, f'spec.pipelineName: Invalid value: "{spec.get("pipelineName")}"')
        content = spec.get("pipelineSpec")
        if not isinstance(content, dict) or not isinstance(content.get("root"), dict):
            raise RefusedError(_INVALID, "no pipeline spec is provided")
        if content.get("pipelineInfo", {}).get("name") != pipeline.name:
            raise RefusedError(_INVALID, f"pipelineInfo.name must be {pipeline.name}")
        whole = {"pipeline_spec": content, "platform_spec": spec.get("platformSpec")}
        for known in self._versions.values():
            if known.name == name and known.pipeline_spec != whole:
                message = "Pipeline spec is immutable; only mutable fields (display_name, tags) can be updated"
                raise RefusedError(_INVALID, message)
            if known.name == name:
                return
        version = server.V2beta1PipelineVersion(
            pipeline_id=pipeline.pipeline_id,
            pipeline_version_id=str(uuid4()),
            name=name,
            display_name=spec.get("displayName") or name,
            created_at=self._now(),
            pipeline_spec=whole,
        )
        self._versions[version.pipeline_version_id] = version

    @property
    def app(self) -> Starlette:
        """The routes."""
        calls: list[tuple[str, str, Callable[[Request, Any], Any], str]] = [
            ("GET", "/healthz", self._health, ""),
            ("GET", "/pipelines/names/{name}", self._pipeline_by_name, ""),
            ("GET", "/pipelines/{pipeline_id}/versions", self._list_versions, ""),
            ("GET", "/experiments", self._list_experiments, ""),
            ("POST", "/experiments", self._create_experiment, "V2beta1Experiment"),
            ("POST", "/runs", self._create_run, "V2beta1Run"),
            ("GET", "/runs/{run_id}", self._get_run, ""),
            ("GET", "/recurringruns", self._list_recurring, ""),
            ("POST", "/recurringruns", self._create_recurring, "V2beta1RecurringRun"),
            ("DELETE", "/recurringruns/{recurring_run_id}", self._delete_recurring, ""),
        ]
        return Starlette(
            routes=[Route(_API + path, _endpoint(call, body), methods=[m]) for m, path, call, body in calls]
        )

    def _health(self, request: Request, body: Any) -> Any:
        return server.V2beta1GetHealthzResponse(multi_user=False)

    def _pipeline_by_name(self, request: Request, body: Any) -> Any:
        name = request.path_params["name"]
        if name not in self._pipelines:
            raise RefusedError(_NOT_FOUND, f"Namespace/Pipeline {name} not found.")
        return self._pipelines[name]

    def _list_versions(self, request: Request, body: Any) -> Any:
        wanted = request.path_params["pipeline_id"]
        found = [item for item in self._versions.values() if item.pipeline_id == wanted]
        return _page(request, found, server.V2beta1ListPipelineVersionsResponse, "pipeline_versions")

    def _list_experiments(self, request: Request, body: Any) -> Any:
        found = list(self._experiments.values())
        return _page(request, found, server.V2beta1ListExperimentsResponse, "experiments")

    def _create_experiment(self, request: Request, body: Any) -> Any:
        if any(item.display_name == body.display_name for item in self._experiments.values()):
            raise RefusedError((409, 6), f"Already exist error: experiment {body.display_name}")
        body.experiment_id, body.created_at = str(uuid4()), self._now()
        self._experiments[body.experiment_id] = body
        return body

    def _create_run(self, request: Request, body: Any) -> Any:
        if not body.display_name:
            raise RefusedError(_INVALID, "The run name is empty. Please specify a valid name")
        version = self._pinned(body)
        body.run_id, body.created_at = str(uuid4()), self._now()
        self._runs[body.run_id] = _Run(body, list(_tasks(version.pipeline_spec["pipeline_spec"])), self.failing)
        return body

    def _get_run(self, request: Request, body: Any) -> Any:
        run = self._runs.get(request.path_params["run_id"])
        if run is None:
            raise RefusedError(_NOT_FOUND, f"Run {request.path_params['run_id']} not found")
        return run.look()

    def _list_recurring(self, request: Request, body: Any) -> Any:
        found = list(self._recurring.values())
        return _page(request, found, server.V2beta1ListRecurringRunsResponse, "recurring_runs")

    def _create_recurring(self, request: Request, body: Any) -> Any:
        if not body.display_name:
            raise RefusedError(_INVALID, "Recurring run name is empty. Please specify a valid name")
        self._pinned(body)
        cron = body.trigger.cron_schedule.cron if body.trigger and body.trigger.cron_schedule else ""
        if len(cron.split()) not in (5, 6):
            raise RefusedError(_INVALID, f"Schedule cron {cron!r} is not supported")
        body.recurring_run_id, body.created_at = str(uuid4()), self._now()
        body.status = server.V2beta1RecurringRunStatus.ENABLED
        self._recurring[body.recurring_run_id] = body
        return body

    def _delete_recurring(self, request: Request, body: Any) -> Any:
        if self._recurring.pop(request.path_params["recurring_run_id"], None) is None:
            raise RefusedError(_NOT_FOUND, f"Recurring run {request.path_params['recurring_run_id']} not found")
        return {}

    def _pinned(self, body: Any) -> Any:
        """The version that a run or recurring run gets, its parameters checked."""
        if body.experiment_id and body.experiment_id not in self._experiments:
            raise RefusedError(_NOT_FOUND, f"Experiment {body.experiment_id} not found")
        reference = body.pipeline_version_reference
        if reference is None or not (reference.pipeline_id or reference.pipeline_version_id):
            raise RefusedError(_INVALID, "Cannot create a run with an empty pipeline ID")
        if reference.pipeline_version_id:
            version = self._versions.get(reference.pipeline_version_id)
        else:
            mine = [item for item in self._versions.values() if item.pipeline_id == reference.pipeline_id]
            version = max(mine, key=lambda item: item.created_at, default=None)
        if version is None:
            raise RefusedError(_NOT_FOUND, f"PipelineVersion {reference.pipeline_version_id} not found")
        parameters = (body.runtime_config.parameters if body.runtime_config else None) or {}
        _check_parameters(version.pipeline_spec["pipeline_spec"], parameters)
        return version

    def _now(self) -> datetime:
        self._clock += timedelta(seconds=1)
        return self._clock


class _Run:
    """Goes on by one task each time somebody looks."""

    def __init__(self, run: Any, tasks: list[str], failing: Iterable[str]) -> None:
        self._run, self._tasks, self._failing, self._looks = run, tasks, set(failing), -1

    def look(self) -> Any:
        self._looks += 1
        states = server.V2beta1RuntimeState
        self._run.state = states.PENDING if self._looks == 0 else states.RUNNING
        done = self._tasks[: max(self._looks - 1, 0)]
        details = [_detail("root-driver", states.SUCCEEDED)] if self._looks else []
        for task in done:
            failed = task in self._failing
            details += [
                _detail(f"{task}-driver", states.SUCCEEDED),
                _detail(task, states.FAILED if failed else states.SUCCEEDED),
            ]
            if failed:
                self._run.state = states.FAILED
                break
        else:
            if len(done) == len(self._tasks):
                self._run.state = states.SUCCEEDED
            elif self._looks:
                details.append(_detail(self._tasks[len(done)], states.RUNNING))
        self._run.run_details = server.V2beta1RunDetails(task_details=details)
        return self._run


def _detail(name: str, state: str) -> Any:
    return server.V2beta1PipelineTaskDetail(display_name=name, state=state)


def _tasks(spec: Mapping[str, Any]) -> Iterable[str]:
    """The steps in an order in which they can run."""
    waiting = dict(spec["root"].get("dag", {}).get("tasks", {}))
    while waiting:
        ready = sorted(name for name, task in waiting.items() if not set(task.get("dependentTasks", ())) & set(waiting))
        for name in ready or sorted(waiting):
            waiting.pop(name)
            yield name


def _check_parameters(spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, parameter in declared.items():
        if name not in given:
            if not parameter.get("isOptional") and "defaultValue" not in parameter:
                message = f"parameter {name} is not optional, yet has neither default value nor user provided value"
                raise RefusedError(_INVALID, message)
            continue
        kind = parameter["parameterType"]
        fits = isinstance(given[name], int | float) if kind in _NUMBERS else isinstance(given[name], _KINDS[kind])
        if not fits:
            raise RefusedError(_INVALID, f"input parameter {name} requires type {kind.lower()}")
    extra = sorted(set(given) - set(declared))
    if extra:
        raise RefusedError(_INVALID, f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


def _endpoint(call: Callable[[Request, Any], Any], body: str) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            result = call(request, _parse(await request.body(), body) if body else None)
        except RefusedError as error:
            content = {"error": str(error), "code": error.code, "message": str(error), "details": []}
            return JSONResponse(content, status_code=error.status)
        return JSONResponse(_CLIENT.sanitize_for_serialization(result))

    return answer


def _parse(data: bytes, kind: str) -> Any:
    """As a model of the official client; a key that it does not have is a mistake of ours."""
    try:
        tree = json.loads(data)
        allowed = set(getattr(server, kind).attribute_map.values())
        if unknown := sorted(set(tree) - allowed):
            raise RefusedError(_INVALID, f"unknown field(s): {', '.join(unknown)}")
        return _CLIENT.deserialize(SimpleNamespace(data=data), kind)
    except (ValueError, TypeError, AttributeError, server.ApiException) as error:
        raise RefusedError(_INVALID, str(error)) from None


def _page(request: Request, found: list[Any], kind: Any, field_name: str) -> Any:
    """Of the size that was asked for; the token is where the next one begins."""
    if "namespace" in request.query_params:
        raise RefusedError(_INVALID, "In single-user mode, it cannot filter by namespace.")
    size = int(request.query_params.get("page_size") or 20)
    start = int(request.query_params.get("page_token") or 0)
    token = str(start + size) if start + size < len(found) else ""
    return kind(**{field_name: found[start : start + size], "total_size": len(found), "next_page_token": token})


def main(words: Sequence[str]) -> None:
    """Serve the pipelines of some manifests, on this machine only unless told otherwise."""
    import uvicorn

    parser = ArgumentParser("python -m fairlead.adapters.fake_kfp_api")
    parser.add_argument("port", type=int)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args(words)
    fake = FakeKfpApi()
    documents = [
        document for path in options.files for document in yaml.safe_load_all(Path(path).read_text(encoding="utf-8"))
    ]
    for kind in ("Pipeline", "PipelineVersion"):
        for document in documents:
            if document["kind"] == kind:
                fake.apply(document)
    uvicorn.run(fake.app, host=options.host, port=options.port, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1:])
