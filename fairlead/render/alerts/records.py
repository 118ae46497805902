"""Alerts on the way of records: from servers through their spools to the collector's tables."""

from datetime import timedelta

from fairlead.metrics import (
    COLLECTOR_COMMIT_ERRORS,
    COLLECTOR_LAST_COMMIT,
    COLLECTOR_WAITING,
    MONITOR_UNREADABLE,
    PREDICTIONS,
    RECORDS,
    RECORDS_WAITING,
    RECORDS_WAITING_BYTES,
)
from fairlead.records.spool import POD_SPOOL_MIB
from fairlead.render.alerts._base import AT_ONCE, Alert, Context, is_model, rises
from fairlead.spec import ModelSpec

SPOOL_SHARE = 0.5
HOUR = timedelta(hours=1)


def of_model(context: Context, model: ModelSpec) -> list[Alert]:
    """Answers that nobody keeps: drift and performance of this model go blind."""
    window = context.pace.window("1h")
    match = is_model(model)
    rows = context.of(PREDICTIONS, match, 'traffic="live"')
    kept = context.of(COLLECTOR_LAST_COMMIT, match)
    return [
        Alert(
            "RecordsNotKept",
            f"sum by (model) (increase({rows}[{window}])) > 0 "
            f"unless on (model) time() - max by (model) ({kept}) < {context.pace.seconds(HOUR)}",
            "warning",
            "15m",
            f"{model.name}: {{{{ $value | humanize }}}} rows were scored in the last hour, and no record was kept.",
            "Drift and live performance are computed from records: they will not see these rows.",
            {"model": model.name},
        )
    ]


def of_environment(context: Context) -> list[Alert]:
    """Spools that fill or lose events, and a collector that is gone or cannot write."""
    return [*_spools(context), *_collector(context)]


def _spools(context: Context) -> list[Alert]:
    quarter = context.pace.window("15m")
    delivered = context.of(RECORDS, 'result="delivered"')
    return [
        Alert(
            "SpoolFills",
            f"{context.of(RECORDS_WAITING_BYTES)} > {SPOOL_SHARE} * {POD_SPOOL_MIB * 2**20}",
            "warning",
            "10m",
            "{{ $labels.instance }}: {{ $value | humanize1024 }}B of records wait in the spool of a server.",
            f"A spool holds {POD_SPOOL_MIB} MiB. When it is full the oldest records are dropped.",
        ),
        Alert(
            "RecordsStuck",
            f"{context.of(RECORDS_WAITING)} > 0 "
            f"unless on (instance) sum by (instance) (increase({delivered}[{quarter}])) > 0",
            "warning",
            "15m",
            "{{ $labels.instance }}: {{ $value | humanize }} records wait; none was delivered in 15 minutes.",
            "The collector refuses them or cannot be reached from this server.",
        ),
        Alert(
            "RecordsLost",
            rises(context.of(RECORDS, 'result!="delivered"'), "result", context.pace.window("30m")),
            "warning",
            AT_ONCE,
            "{{ $value | humanize }} records were {{ $labels.result }} in half an hour.",
            "dropped, refused: the spool was full; rejected: the collector will never take them; torn: a server was "
            "killed while it wrote. None of them will be in the tables.",
        ),
    ]


def _collector(context: Context) -> list[Alert]:
    failed = f"sum by (model) (increase({context.of(COLLECTOR_COMMIT_ERRORS)}[{context.pace.window('10m')}]))"
    return [
        Alert(
            "CollectorAbsent",
            f"absent({context.of(COLLECTOR_WAITING)})",
            "critical",
            "10m",
            "No collector of records can be seen.",
            "Records pile up in the spools of servers. What drift and performance jobs find is told by the collector "
            "too: while it is gone, no model is watched.",
        ),
        Alert(
            "CollectorCommitsFail",
            f"{failed} > 0",
            "warning",
            "20m",
            "{{ $labels.model }}: {{ $value | humanize }} commits of records failed in ten minutes.",
            "The servers keep the records and try again, as long as their spools have room.",
        ),
        Alert(
            "MonitorResultsUnreadable",
            f"{context.of(MONITOR_UNREADABLE)} != 0",
            "warning",
            "15m",
            "{{ $value }} results of jobs that watch cannot be read (-1: none can be listed).",
            "What they say of drift, performance or retraining is missing among the metrics.",
        ),
    ]
