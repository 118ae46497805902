"""Waiting for a run."""

import time
from collections.abc import Callable

from fairlead.errors import BackendDownError
from fairlead.ports import PipelineBackend
from fairlead.runs.request import ENDED, RunStatus

POLL_SECONDS = 3.0
PATIENCE = 20
"""Polls without an answer, one after the other, before the backend counts as gone; it may be restarting."""


def wait(
    backend: PipelineBackend, run_id: str, on_change: Callable[[RunStatus], None], poll_seconds: float = POLL_SECONDS
) -> RunStatus:
    """Look at a run until it has ended; `on_change` is called with each status that differs from the one before.

    Raises:
        BackendDownError: no answer for `PATIENCE` polls. The run goes on.
    """
    last, silent = None, 0
    while True:
        try:
            status = backend.status(run_id)
        except BackendDownError:
            silent += 1
            if silent >= PATIENCE:
                raise
        else:
            silent = 0
            if status != last:
                on_change(status)
            if status.state in ENDED:
                return status
            last = status
        time.sleep(poll_seconds)
