"""From dashboards and a recording to what the report shows."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from fairlead import metrics as m
from fairlead.panels.evaluate import evaluate
from fairlead.panels.query import names, parse
from fairlead.panels.recording import Recording
from fairlead.panels.shown import Boards, BoardShown, Line, PanelShown, RowShown
from fairlead.render.dashboards import RATE, Board, Panel, Query

SCRAPES = 4
"""So many are in the window that Grafana takes for `$__rate_interval`."""
DIGITS = 6
"""Significant ones that are kept of a value."""
NOT_RUN: Mapping[str, Sequence[m.Metric]] = {
    "a demo runs no collector, its month writes the table of records itself": m.COLLECTOR,
    "a demo's servers keep no records of what the canary asks": (m.RECORDS_WAITING, m.RECORDS_WAITING_BYTES, m.RECORDS),
    "the model reads the online store anew for each request, without a cache": (m.CACHED_FEATURES,),
    "a replay reads one joined table of features, which has no age": (m.UPSTREAM_FRESHNESS, m.UPSTREAM_ALARM),
    "a demo runs no collector that would read results": (m.MONITOR_UNREADABLE,),
}
"""What a demo has not → whose series are therefore missing."""
PARTS: Mapping[str, Sequence[m.Metric]] = {
    "no canary was recorded": (*m.SERVER, *m.GATEWAY, *m.ROLLOUT),
    "no month was lived through": (*m.DRIFT, *m.PERFORMANCE, *m.RETRAINING, *m.MONITOR),
}
"""What a run may be without → whose series then are."""
NONE_HAPPENED = "nothing that it counts has happened"
NOTHING_FOUND = "its metrics are there, and its query finds nothing among them"


def fill(boards: Iterable[Board], recording: Recording) -> Boards:
    """Every panel of the dashboards, with what its queries find in a recording.

    Raises:
        QueryError: a query is of a shape that is not known.
    """
    instants = recording.instants()
    return Boards(
        boards=tuple(
            BoardShown(
                name=board.name,
                title=board.title,
                rows=tuple(
                    RowShown(title=row.title, panels=tuple(_panel(panel, recording, instants) for panel in row.panels))
                    for row in board.rows
                ),
            )
            for board in boards
        )
    )


def together(first: Boards, second: Boards) -> Boards:
    """Of the same dashboards: each panel from where it has something."""
    return Boards(
        boards=tuple(
            board.model_copy(
                update={
                    "rows": tuple(
                        row.model_copy(update={"panels": tuple(map(_better, row.panels, other.panels))})
                        for row, other in zip(board.rows, beside.rows, strict=True)
                    )
                }
            )
            for board, beside in zip(first.boards, second.boards, strict=True)
        )
    )


def _better(one: PanelShown, other: PanelShown) -> PanelShown:
    return max(one, other, key=lambda panel: (bool(panel.lines), panel.asked))


def _panel(panel: Panel, recording: Recording, instants: Sequence[float]) -> PanelShown:
    lines = [line for query in panel.queries for line in _lines(query, recording, instants)]
    if panel.kind == "number" and lines:
        newest = max(line.points[-1][0] for line in lines)
        lines = [line.model_copy(update={"points": line.points[-1:]}) for line in lines if line.points[-1][0] == newest]
    shown = PanelShown(title=panel.title, unit=panel.unit, kind=panel.kind, said=panel.said, limit=panel.limit)
    if lines:
        return shown.model_copy(update={"lines": tuple(lines), "source": recording.source, "asked": True})
    wanted = frozenset[str]().union(*(names(parse(_filled_in(query.expr, recording))) for query in panel.queries))
    missing, asked = _why(wanted, recording)
    return shown.model_copy(update={"missing": missing, "asked": asked})


def _why(wanted: Iterable[str], recording: Recording) -> tuple[str, bool]:
    """Why series are missing, and whether this recording is where they would have been."""
    absent = {_metric(name) for name in wanted if name not in recording.series}
    recorded = {_metric(name) for name in recording.series}
    for reason, metrics in NOT_RUN.items():
        if absent & {metric.name for metric in metrics}:
            return reason, False
    for reason, metrics in PARTS.items():
        known = {metric.name for metric in metrics}
        if absent & known and not recorded & known:
            return reason, False
    return (NONE_HAPPENED if absent else NOTHING_FOUND), True


def _metric(name: str) -> str:
    return name.removesuffix("_bucket").removesuffix("_sum")


def _lines(query: Query, recording: Recording, instants: Sequence[float]) -> list[Line]:
    node = parse(_filled_in(query.expr, recording))
    points: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = {}
    for at in instants:
        for labels, value in evaluate(node, recording, at).items():
            if math.isinf(value):
                continue  # a threshold that nothing reaches, in the shadow; Grafana draws none either
            points.setdefault(labels, []).append((round(at, 3), float(f"{value:.{DIGITS}g}")))
    lines = [Line(legend=_named(query.legend, dict(labels)), points=tuple(found)) for labels, found in points.items()]
    return sorted(lines, key=lambda line: line.legend)


def _filled_in(expr: str, recording: Recording) -> str:
    """With all that a reader of Grafana would have chosen: every namespace and environment, and those without one."""
    chosen = expr.replace("$namespace", ".*").replace("$environment", ".*")
    return chosen.replace(RATE, f"{SCRAPES * recording.interval:g}s")


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)
