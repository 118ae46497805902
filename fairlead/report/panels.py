"""The dashboards' panels as small plots, and their numbers as text."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fairlead.panels.recording import Source
from fairlead.panels.shown import BoardShown, Line, PanelShown
from fairlead.render.dashboards import Unit
from fairlead.report import theme
from fairlead.report.numbers import NOTHING, duration, percent, size, value

if TYPE_CHECKING:
    import altair as alt

WIDTH, HEIGHT = 262, 120
MOST_LINES = 8
"""Of one plot; more would not be told apart."""
DAY = 86_400
_LEGEND_LETTERS = 38
_GAP = 1.5
"""Usual steps without a point, after which a line is broken."""
_TIMES = ((2 * DAY, DAY, "days"), (7200, 3600, "hours"), (120, 60, "minutes"), (1, 1, "seconds"))
"""From how many seconds on → how many are one of what."""
_WORDS: Mapping[Unit, str] = {"reqps": "a second", "bytes": "bytes"}


def drawings(boards: Iterable[BoardShown]) -> dict[str, str]:
    """Name → SVG of every panel that is more than a number and has lines."""
    boards = list(boards)
    begin = {source: _begin(boards, source) for source in ("canary", "month")}
    return {
        name: draw(panel, name, begin[panel.source])
        for name, panel in named(boards).items()
        if panel.kind == "lines" and panel.source is not None
    }


def named(boards: Iterable[BoardShown]) -> dict[str, PanelShown]:
    """Every panel, by a name of its own in the page."""
    return {
        f"panel-{board.name}-{number}-{place}": panel
        for board in boards
        for number, row in enumerate(board.rows)
        for place, panel in enumerate(row.panels)
    }


def _begin(boards: Iterable[BoardShown], source: str) -> float:
    shown = (panel for panel in named(boards).values() if panel.source == source and panel.kind == "lines")
    return min((line.points[0][0] for panel in shown for line in panel.lines), default=0.0)


def drawn_lines(panel: PanelShown) -> list[Line]:
    """Those that there is room for: those that go on to the end first, then the longest."""
    newest = max(line.points[-1][0] for line in panel.lines)
    order = sorted(panel.lines, key=lambda line: (line.points[-1][0] < newest, -len(line.points)))
    kept = order[:MOST_LINES]
    return [line for line in panel.lines if line in kept]


def left_out(panel: PanelShown) -> int:
    """How many lines a plot does not draw."""
    return max(0, len(panel.lines) - MOST_LINES)


def told(number: float, unit: Unit) -> str:
    """A value of a panel that is a number."""
    if unit == "s":
        return duration(number) if number < 2 * DAY else f"{number / DAY:.1f} days"
    if unit == "percentunit":
        return percent(number)
    return size(round(number)) if unit == "bytes" else value(number)


def draw(panel: PanelShown, name: str, begin: float) -> str:
    """A plot of a panel's lines; its title is in the page."""
    import altair as alt

    lines = drawn_lines(panel)
    factor, words = _unit(panel, lines)
    legends = [_short(line.legend) or panel.title for line in lines]
    x, y = _time_axis(panel.source, lines), _value_axis(panel, lines, factor, words)
    points = [
        {
            "x": _moment(at, panel.source, begin),
            "y": number / factor,
            "line": legend,
            "part": f"{index}-{part}",
            "alone": alone,
        }
        for index, (legend, line) in enumerate(zip(legends, lines, strict=True))
        for part, (segment, alone) in enumerate(_segments(line))
        for at, number in segment
    ]
    base = alt.Chart(alt.InlineData(values=points)).encode(x=x, y=y, detail="part:N", **_told_apart(legends))
    layers: list[alt.Chart] = [
        base.mark_line(strokeWidth=1.5),
        base.transform_filter("datum.alone").mark_point(size=14),
    ]
    if panel.limit is not None:
        limit = alt.Chart(alt.InlineData(values=[{"y": panel.limit / factor}]))
        layers.insert(0, limit.mark_rule(strokeDash=[4, 3]).encode(y=y))
    chart = alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, autosize={"type": "fit-x", "contains": "padding"})
    newest = "; ".join(
        f"{legend} {told(line.points[-1][1], panel.unit)}" for legend, line in zip(legends, lines, strict=True)
    )
    return theme.to_svg(chart, name, f"{panel.title}; at the end {newest or NOTHING}.")


def _segments(line: Line) -> list[tuple[list[tuple[float, float]], bool]]:
    """Points without a gap between them, and whether there is only one."""
    steps = [after - before for (before, _), (after, _) in pairwise(line.points)]
    longest = _GAP * min(steps, default=0.0)
    parts = [[line.points[0]]]
    for step, point in zip(steps, line.points[1:], strict=True):
        if step > longest:
            parts.append([])
        parts[-1].append(point)
    return [(part, len(part) == 1) for part in parts]


def _moment(at: float, source: Source | None, begin: float) -> float:
    """Seconds since the canary's first, or Vega's milliseconds since 1970."""
    return round(at - begin, 3) if source == "canary" else at * 1000


def _unit(panel: PanelShown, lines: Sequence[Line]) -> tuple[float, str]:
    """What values are divided by, and what they are then of."""
    if panel.unit != "s":
        return 1.0, _WORDS.get(panel.unit, "")
    highest = max(abs(number) for line in lines for _, number in line.points)
    for least, factor, words in _TIMES:
        if highest >= least:
            return factor, words
    return (0.001, "milliseconds") if highest else (1.0, "seconds")


def _time_axis(source: Source | None, lines: Sequence[Line]) -> "alt.X":
    import altair as alt

    if source == "canary":
        axis = alt.Axis(grid=False, tickCount=4, labelExpr="datum.value + ' s'")
        return alt.X("x:Q", title=None, axis=axis, scale=alt.Scale(nice=False, zero=False))
    axis = alt.Axis(grid=False, tickCount=4, format="%-d %b", labelOverlap=True)
    return alt.X("x:T", title=None, axis=axis, scale=alt.Scale(type="utc"))


def _value_axis(panel: PanelShown, lines: Sequence[Line], factor: float, words: str) -> "alt.Y":
    import altair as alt

    values = [number / factor for line in lines for _, number in line.points]
    low, high = min(values), max(values)
    form = "~%" if panel.unit == "percentunit" else "~s" if panel.unit == "bytes" or high >= 1e5 else ",~g"
    if 0 < high < 1e-3 and panel.unit == "short":
        form = ".0e"
    # An axis from 0 to 0 would have one label, and its line in the middle.
    scale = (
        alt.Scale(domain=[0, 1])
        if low == high == 0 and panel.limit is None
        else alt.Scale(zero=panel.unit != "short" or low >= 0)
    )
    axis = alt.Axis(format=form, tickCount=3, minExtent=36, maxExtent=36)
    return alt.Y("y:Q", title=words or None, axis=axis, scale=scale)


def _told_apart(legends: Sequence[str]) -> dict[str, Any]:
    """Colours, and dashes where there are more lines than colours."""
    import altair as alt

    names = list(dict.fromkeys(legends))
    kinds = len(theme.CATEGORIES)
    colours = [theme.CATEGORIES[place % kinds] for place in range(len(names))]
    dashes = [[1, 0] if place < kinds else [4, 2] for place in range(len(names))]
    legend = alt.Legend(
        title=None, orient="bottom", direction="vertical", columns=1, labelLimit=WIDTH - 20, rowPadding=1
    )
    return {
        "color": alt.Color("line:N", scale=alt.Scale(domain=names, range=colours), legend=legend),
        "strokeDash": alt.StrokeDash("line:N", scale=alt.Scale(domain=names, range=dashes), legend=legend),
    }


def _short(legend: str) -> str:
    """Cut in the middle: names of features begin alike, and end in what tells them apart."""
    legend = " ".join(legend.split())
    half = _LEGEND_LETTERS // 2
    return legend if len(legend) <= _LEGEND_LETTERS else f"{legend[: half - 1]}…{legend[-half:]}"
