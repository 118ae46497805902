"""The collector as a process: on a taken port, over Delta tables."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import socket

import uvicorn

from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.result_files import ResultFiles
from fairlead.adapters.retraining_log import open_log
from fairlead.listening import begin, show
from monitoring.collector.app import CollectorService, Payloads
from monitoring.collector.halves import Halves
from monitoring.collector.limits import Limits
from monitoring.trigger.app import Trigger

GRACE_SECONDS = 25
"""How long requests may take to finish after a signal; less than the grace period of a pod."""


def run(
    tables_uri: str,
    limits: Limits,
    listener: socket,
    *,
    spool: Path | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Receive until SIGTERM or SIGINT, then answer what is under way.

    Args:
        tables_uri: root of the tables.
        limits: what is taken at once.
        listener: where.
        spool: folder for payloads of KServe's logger; None: they are refused.
        columns: model → columns of such payloads that may be recorded.

    Raises:
        HomeError: the tables cannot lie there, or the spool cannot be written.
        EndpointError: the port was taken meanwhile.
    """
    payloads = Payloads(Halves(spool), columns or {}) if spool else None
    trigger = Trigger(open_log(tables_uri))
    service = CollectorService(
        DeltaRecords(tables_uri), ResultFiles(tables_uri), limits, payloads, beside=trigger.routes()
    )
    config = uvicorn.Config(
        service.application(), log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_SECONDS
    )
    begin(listener)
    _AnnouncingServer(config).run(sockets=[listener])


class _AnnouncingServer(uvicorn.Server):
    """Says one line when it answers."""

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stderr.write(f"receiving on http://{show(*(sockets or [])[0].getsockname()[:2])}\n")
        sys.stderr.flush()
