"""Running compiled pipelines with KFP's local runner, in processes of their own, with its cache."""

import contextlib
import io
import logging
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from fairlead.errors import PipelineError
from fairlead.lineage.digest import hash_json
from fairlead.lineage.steps import PROGRESS_MARK, RUNNER_PID
from fairlead.settings import Settings, laptop

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '(?P<task>[\w-]+)'")
_CACHED = re.compile(r"Task '?(?P<task>[\w-]+)'? cache hit")
_ENDED = re.compile(r"Task '(?P<task>[\w-]+)' finished with status (?P<status>\w+)")
_PIPELINE_ENDED = re.compile(r"Pipeline '[\w-]+' finished with status")
_OWN_ERROR = re.compile(r"fairlead\.errors\.\w+: (?P<message>.*)")
_ANY_ERROR = re.compile(r"(?P<message>[\w.]+(Error|Exception|Interrupt): .*)")


@dataclass(frozen=True)
class StepEvent:
    """Something that happened to a task of a running pipeline."""

    task: str
    kind: Literal["started", "progress", "cached", "succeeded", "failed"]
    seconds: float
    """Since the task began."""
    text: str = ""
    """The line it printed, for `progress`."""


class LocalPipelines:
    """Runs a compiled pipeline on this machine: the very file that a cluster gets."""

    def __init__(self, settings: Settings, root: Path, python: str = sys.executable) -> None:
        """Outputs go to `root`/runs, cache entries to `root`/cache, logs to `root`/logs; `python` runs the steps."""
        self._settings = settings
        self._python = python
        self._root = root
        # A cached step's result names versions of tables, which other places do not have.
        elsewhere = settings != laptop(root, settings.repo)
        self._cache = root / (f"cache-{hash_json(settings.environ())[:16]}" if elsewhere else "cache")

    def run(self, package: Path, arguments: Mapping[str, Any], on_event: Callable[[StepEvent], None]) -> Any:
        """Run to the end; returns the pipeline's output.

        A task whose code, inputs and parameters are those of an earlier one is not run again.

        Raises:
            PipelineError: a task failed; the message is its own, and names the log.
        """
        from kfp import components, local

        logs = self._root / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        path = logs / f"{package.stem}-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
        with path.open("w", encoding="utf-8") as file, _environment(self._settings, self._python):
            watch = _Watch(file, on_event)
            with contextlib.redirect_stdout(watch), _logging_to(watch), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about images and display names, which mean nothing here
                local.init(
                    runner=local.SubprocessRunner(use_venv=False),
                    pipeline_root=str(self._root / "runs"),
                    workspace_root=str(self._root / "workspace"),  # removed after every run
                    enable_caching=True,
                    cache_root=str(self._cache),
                )
                pipeline = components.load_component_from_file(str(package))
                graph = pipeline.component_spec.implementation.graph
                if graph is not None:  # a pipeline of one step is read as that step, without retries
                    _forget_retries(graph)
                task = _call(pipeline, arguments, watch, path)
                watch.tell_done()
        return task.output if len(task.outputs) == 1 else dict(task.outputs)


def _forget_retries(graph: Any) -> None:
    """Retries are for lost nodes, which a laptop has none of: here what failed fails again, only later."""
    for dag in (graph.root.dag, *(component.dag for component in graph.components.values())):
        for task in dag.tasks.values():
            task.ClearField("retry_policy")


def _call(pipeline: Any, arguments: Mapping[str, Any], watch: "_Watch", log: Path) -> Any:
    try:
        return pipeline(**arguments)
    except RuntimeError as error:
        message = "\n".join(watch.error) or str(error)
        raise PipelineError(f"{message}\n(step {watch.task or '?'}; its whole log: {log})") from None


@contextlib.contextmanager
def _environment(settings: Settings, python: str) -> Any:
    """What the steps' processes inherit."""
    before, interpreter = dict(os.environ), sys.executable
    os.environ.update(settings.environ())
    os.environ.update({RUNNER_PID: str(os.getpid()), "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"})
    scratch = tempfile.TemporaryDirectory(prefix="fairlead-")  # the command of every step leaves a folder there
    os.environ["TMPDIR"] = scratch.name
    # KFP has steps run by the interpreter that it is run by itself.
    sys.executable = python
    try:
        yield
    finally:
        sys.executable = interpreter
        os.environ.clear()
        os.environ.update(before)
        scratch.cleanup()


@contextlib.contextmanager
def _logging_to(watch: TextIO) -> Iterator[None]:
    """KFP tells of a cache hit by a plain logging.info, outside the handlers that it sets up for running tasks."""
    root, handler = logging.getLogger(), logging.StreamHandler(watch)
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


class _Watch(io.StringIO):
    """Takes what the runner prints: all of it to the log, and what it means to a callback."""

    def __init__(self, log: TextIO, on_event: Callable[[StepEvent], None]) -> None:
        super().__init__()
        self._log = log
        self._on_event = on_event
        self._rest = ""
        self._began = time.monotonic()
        self._done: StepEvent | None = None
        """A task that succeeded, whose result KFP puts into its cache before it goes on to the next."""
        self.task = ""
        self.error: list[str] = []
        """The error of the task that failed: its first line, and those that follow it."""

    def write(self, text: str) -> int:
        self._log.write(text)
        self._log.flush()
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(_COLOUR.sub("", line).strip())
        return len(text)

    def _line(self, line: str) -> None:
        if any(pattern.search(line) for pattern in (_STARTED, _CACHED, _ENDED, _PIPELINE_ENDED)):
            self.tell_done()
        if match := _STARTED.search(line):
            self.task, self._began, self.error = match["task"], time.monotonic(), []
            self._emit(self.task, "started")
        elif match := _CACHED.search(line):
            self._began = time.monotonic()
            self._emit(match["task"], "cached")
        elif match := _ENDED.search(line):
            if match["status"] == "SUCCESS":
                self._done = self._event(match["task"], "succeeded")
            else:
                self._emit(match["task"], "failed")
        elif line.startswith(PROGRESS_MARK):
            self._emit(self.task, "progress", line.removeprefix(PROGRESS_MARK))
        elif match := _OWN_ERROR.match(line) or _ANY_ERROR.match(line):
            self.error = [match["message"]]
        elif self.error and line and not line.startswith(("Traceback", "File ", "-----")):
            self.error.append(line)

    def tell_done(self) -> None:
        """Tell of the task that succeeded last, now that its result is kept."""
        if self._done:
            self._on_event(self._done)
            self._done = None

    def _emit(self, task: str, kind: Any, text: str = "") -> None:
        self._on_event(self._event(task, kind, text))

    def _event(self, task: str, kind: Any, text: str = "") -> StepEvent:
        return StepEvent(task, kind, time.monotonic() - self._began, text)
