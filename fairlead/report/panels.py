"""The dashboards' panels as small plots, and their numbers as text."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

from fairlead.panels.recording import Source
from fairlead.panels.shown import BoardShown, Line, PanelShown
from fairlead.render.dashboards import Kind, Unit
from fairlead.report import theme
from fairlead.report.numbers import duration, percent, size, value

WIDTH, HEIGHT = 262, 120
MOST_LINES = 10
"""Of one plot; more would not be told apart."""
DAY = 86_400
Spec: TypeAlias = dict[str, Any]
"""A part of a Vega-Lite document."""
Span: TypeAlias = tuple[float, float]
_LEGEND_LETTERS = 34
_SMALL, _LARGE = 1e-3, 1e5
"""Values that are written with a power of ten, or with a letter for one."""
_GAP = 1.5
"""Usual steps without a point, after which a line is broken."""
_TIMES = ((2 * DAY, DAY, "days"), (7200, 3600, "hours"), (120, 60, "minutes"), (1, 1, "seconds"))
"""From how many seconds on → how many are one of what."""
_WORDS: Mapping[Unit, str] = {"reqps": "a second", "bytes": "bytes"}


def drawings(boards: Iterable[BoardShown]) -> dict[str, str]:
    """Name → SVG of every panel that is more than a number and has lines."""
    shown = {name: panel for name, panel in named(boards).items() if panel.kind == "lines" and panel.lines}
    spans = {
        source: _span(panel for panel in shown.values() if panel.source == source) for source in ("canary", "month")
    }
    return {name: draw(panel, name, spans[panel.source or "canary"]) for name, panel in shown.items()}


def named(boards: Iterable[BoardShown]) -> dict[str, PanelShown]:
    """Every panel, by a name of its own in the page."""
    return {
        f"panel-{board.name}-{number}-{place}": panel
        for board in boards
        for number, row in enumerate(board.rows)
        for place, panel in enumerate(row.panels)
    }


def _span(panels: Iterable[PanelShown]) -> Span:
    """First and last instant of all panels: they share one axis."""
    moments = [at for panel in panels for line in panel.lines for at in (line.points[0][0], line.points[-1][0])]
    return min(moments, default=0.0), max(moments, default=0.0)


def drawn_lines(panel: PanelShown) -> list[Line]:
    """Those that there is room for: those that go on to the end first, then the longest."""
    newest = max(line.points[-1][0] for line in panel.lines)
    order = sorted(panel.lines, key=lambda line: (line.points[-1][0] < newest, -len(line.points)))
    kept = order[:MOST_LINES]
    return [line for line in panel.lines if line in kept]


def caption(panel: PanelShown) -> str:
    """What a reader should know, and when it was."""
    where = _WHEN[panel.source or "canary", panel.kind]
    left_out = len(panel.lines) - MOST_LINES
    more = f" {left_out} more in summary.json." if panel.kind == "lines" and left_out > 0 else ""
    said = panel.said and (panel.said if panel.said.endswith(".") else f"{panel.said}.") + " "
    return f"{said}{where}{more}"


_WHEN: Mapping[tuple[Source, Kind], str] = {
    ("canary", "lines"): "During the canary.",
    ("canary", "number"): "At the canary’s end.",
    ("month", "lines"): "In the month after.",
    ("month", "number"): "At the end of the month after.",
}


def told(number: float, unit: Unit) -> str:
    """A value of a panel that is a number."""
    if unit == "s":
        return duration(number) if number < 2 * DAY else f"{number / DAY:.1f} days"
    if unit == "percentunit":
        return percent(number)
    return size(round(number)) if unit == "bytes" else value(number)


def draw(panel: PanelShown, name: str, span: Span) -> str:
    """A plot of a panel's lines; its title is in the page.

    Written as Vega-Lite has it: there are dozens of these, and Altair takes as long to check each as it takes to draw.
    """
    lines = drawn_lines(panel)
    factor, words = _unit(panel, lines)
    legends = [_short(line.legend) or panel.title for line in lines]
    y = _value_axis(panel, lines, factor, words)
    points = [
        {
            "x": _moment(at, panel.source, span),
            "y": number / factor,
            "line": legend,
            "part": f"{index}-{part}",
            "alone": len(segment) == 1,
        }
        for index, (legend, line) in enumerate(zip(legends, lines, strict=True))
        for part, segment in enumerate(_segments(line))
        for at, number in segment
    ]
    encoding = {"x": _time_axis(panel.source, span), "y": y, "detail": {"field": "part", "type": "nominal"}}
    layers: list[Spec] = [
        {"mark": {"type": "line", "strokeWidth": 1.5}},
        {"transform": [{"filter": "datum.alone"}], "mark": {"type": "point", "size": 14}},
    ]
    drawn = [layer | {"encoding": encoding | _told_apart(legends), "data": {"values": points}} for layer in layers]
    if panel.limit is not None:
        rule = {"mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": {"y": y}}
        drawn.insert(0, rule | {"data": {"values": [{"y": panel.limit / factor}]}})
    spec = {"layer": drawn, "width": WIDTH, "height": HEIGHT, "autosize": {"type": "fit-x", "contains": "padding"}}
    ends = zip(legends, lines, strict=True)
    newest = "; ".join(f"{legend} {told(line.points[-1][1], panel.unit)}" for legend, line in ends)
    return theme.spec_to_svg(spec, name, f"{panel.title}; at the end {newest}.")


def _segments(line: Line) -> list[list[tuple[float, float]]]:
    """Points without a gap between them."""
    steps = [after - before for (before, _), (after, _) in pairwise(line.points)]
    longest = _GAP * min(steps, default=0.0)
    parts = [[line.points[0]]]
    for step, point in zip(steps, line.points[1:], strict=True):
        if step > longest:
            parts.append([])
        parts[-1].append(point)
    return parts


def _moment(at: float, source: Source | None, span: Span) -> float:
    """Seconds since the canary's first, or Vega's milliseconds since 1970."""
    return round(at - span[0], 3) if source == "canary" else at * 1000


def _unit(panel: PanelShown, lines: Sequence[Line]) -> tuple[float, str]:
    """What values are divided by, and what they are then of."""
    if panel.unit != "s":
        return 1.0, _WORDS.get(panel.unit, "")
    highest = max(abs(number) for line in lines for _, number in line.points)
    for least, factor, words in _TIMES:
        if highest >= least:
            return factor, words
    return (0.001, "milliseconds") if highest else (1.0, "seconds")


def _time_axis(source: Source | None, span: Span) -> Spec:
    axis: Spec = {"grid": False, "tickCount": 4}
    scale: Spec = {"domain": [_moment(at, source, span) for at in span]}
    if source == "canary":
        axis["labelExpr"] = "datum.value + ' s'"
        return {"field": "x", "type": "quantitative", "title": None, "axis": axis, "scale": {**scale, "nice": False}}
    axis |= {"format": "%-d %b", "labelOverlap": True}
    return {"field": "x", "type": "temporal", "title": None, "axis": axis, "scale": {**scale, "type": "utc"}}


def _value_axis(panel: PanelShown, lines: Sequence[Line], factor: float, words: str) -> Spec:
    values = [number / factor for line in lines for _, number in line.points]
    low, high = min(values), max(values)
    form = "~%" if panel.unit == "percentunit" else "~s" if high >= _LARGE else ".0e" if 0 < high < _SMALL else ",~f"
    # An axis from 0 to 0 would have one label, and its line in the middle.
    flat = low == high == 0 and panel.limit is None
    scale: Spec = {"domain": [0, 1]} if flat else {"zero": low < high / 2 or low == high}
    axis = {"format": form, "tickCount": 3, "minExtent": 36, "maxExtent": 36}
    return {"field": "y", "type": "quantitative", "title": words or None, "axis": axis, "scale": scale}


def _told_apart(legends: Sequence[str]) -> Spec:
    """Colours, and dashes where there are more lines than colours."""
    names = list(dict.fromkeys(legends))
    kinds = len(theme.CATEGORIES)
    ranges: Mapping[str, list[Any]] = {
        "color": [theme.CATEGORIES[place % kinds] for place in range(len(names))],
        "strokeDash": [[1, 0] if place < kinds else [4, 2] for place in range(len(names))],
    }
    legend = {"title": None, "orient": "bottom", "direction": "vertical", "columns": 1, "rowPadding": 1}
    legend |= {"symbolType": "stroke", "labelLimit": WIDTH - 24}
    return {
        channel: {"field": "line", "type": "nominal", "scale": {"domain": names, "range": own}, "legend": legend}
        for channel, own in ranges.items()
    }


def _short(legend: str) -> str:
    """Cut in the middle: names of features begin alike, and end in what tells them apart."""
    legend = " ".join(legend.split())
    half = _LEGEND_LETTERS // 2
    return legend if len(legend) <= _LEGEND_LETTERS else f"{legend[: half - 1]}…{legend[-half:]}"
