"""The plots of the report, each a function from a section of the summary to SVG."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from fairlead.report import theme
from fairlead.report.numbers import count, figure, metric_words, percent
from fairlead.report.summary import (
    CalibrationBin,
    CanaryTrial,
    Evaluation,
    FeatureRecord,
    Features,
    Replay,
    ReplayDay,
    RocPoint,
    SliceRecord,
    Tuning,
)
from fairlead.report.theme import WIDTH
from fairlead.rollout.evidence import LOG_PROMOTE
from fairlead.spec.model import LOWER_IS_BETTER

if TYPE_CHECKING:
    import altair as alt

    AnyChart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

TOP_FEATURES = 20
TOP_SLICES = 20
"""Of one column: those with the most rows."""
_PANEL_WIDTH = 340
"""Inside of a plot of several panels, where the axis has a fixed width so that panels stand in line."""
_LABEL_LETTERS = 32
_LABEL_WIDTH = 215
"""Room for so many letters, in pixels."""
_FIT: Any = {"type": "fit", "contains": "padding"}
_MOST_POINTS = 500
_FEW_DAYS = 7
"""Up to here every day has its label."""
_ROW = 20
"""Height of a line of a plot with one name a line."""


def roc(evaluation: Evaluation) -> str:
    """True against false positive rate, with the diagonal of chance and the point of the threshold."""
    import altair as alt

    x = alt.X("x:Q", title="False positive rate", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("y:Q", title="True positive rate", scale=alt.Scale(domain=[0, 1]))
    points = [(point.false_positive_rate, point.true_positive_rate) for point in _thinned(evaluation.roc)]
    curve = alt.Chart(_points(points)).mark_line().encode(x=x, y=y, order="order:Q")
    area = alt.Chart(_points(points)).mark_area(color=theme.MODEL, opacity=0.07).encode(x=x, y=y)
    chance = alt.Chart(_points([(0, 0), (1, 1)])).mark_line(color=theme.QUIET, strokeWidth=1)
    label = alt.Chart(_points([(0.72, 0.66)])).mark_text(text="chance", color=theme.MUTED, align="left")
    layers = [area, chance.encode(x=x, y=y), label.encode(x=x, y=y), curve]
    if evaluation.confusion and evaluation.threshold is not None:
        layers += _threshold_mark(evaluation, x, y)
    chart = alt.layer(*layers).properties(width=WIDTH, height=404, autosize=_FIT)
    auc = evaluation.metric("roc_auc")
    alt_text = "ROC curve on the test rows" + (f"; the area under it is {figure(auc.value)}." if auc else ".")
    return theme.to_svg(chart, "roc", alt_text)


def _thinned(points: Sequence[RocPoint]) -> list[RocPoint]:
    """Few enough to draw, the last one included."""
    stride = -(-len(points) // _MOST_POINTS)
    return [*points[:-1:stride], points[-1]]


def _threshold_mark(evaluation: Evaluation, x: "alt.X", y: "alt.Y") -> "list[alt.Chart]":
    import altair as alt

    seen = evaluation.confusion
    assert seen is not None, "asked by the caller"
    positives, negatives = seen.true_positives + seen.false_negatives, seen.false_positives + seen.true_negatives
    if not positives or not negatives:
        return []
    place = _points([(seen.false_positives / negatives, seen.true_positives / positives)])
    text = f"threshold {figure(evaluation.threshold)}"
    return [
        alt.Chart(place).mark_point(fill=theme.PAPER, stroke=theme.MODEL, strokeWidth=2, size=70).encode(x=x, y=y),
        alt.Chart(place).mark_text(text=text, align="left", dx=9, dy=9).encode(x=x, y=y),
    ]


def calibration(evaluation: Evaluation) -> str:
    """What was predicted against what happened, over a histogram of the scores."""
    import altair as alt

    bins = evaluation.calibration
    ends = [b.high for b in evaluation.scores if b.rows] or [b.mean_predicted for b in bins]
    end = max(_round_up(max(ends)), _round_up(max(_upper(b) for b in bins)))
    scale = alt.Scale(domain=[0, end])  # of both axes: what is above the diagonal looks as far off as what is below
    values = [
        {"x": b.mean_predicted, "y": b.observed, "low": b.observed if b.low is None else b.low, "high": _upper(b)}
        for b in bins
    ]
    x = alt.X("x:Q", title=None, scale=scale, axis=alt.Axis(labels=False))
    y = alt.Y("y:Q", title="Observed share", scale=scale, axis=_fixed(format="%"))
    diagonal = alt.Chart(_points([(0, 0), (1, 1)])).mark_line(color=theme.QUIET, strokeWidth=1, clip=True)
    base = alt.Chart(_data(values)).encode(x=x)
    layers = [
        diagonal.encode(x=x, y=y),
        base.mark_rule(color=theme.MODEL, strokeWidth=1.5).encode(
            y=alt.Y("low:Q", title="Observed share"), y2="high:Q"
        ),
        base.mark_point().encode(y=y),
    ]
    main = alt.layer(*layers).properties(width=_PANEL_WIDTH, height=_PANEL_WIDTH)
    chart = alt.vconcat(main, _histogram(evaluation, scale), spacing=26)
    worst = max(bins, key=lambda b: abs(b.observed - b.mean_predicted))
    alt_text = (
        f"Calibration in {len(bins)} bins; furthest from the diagonal: predicted {percent(worst.mean_predicted)}, "
        f"observed {percent(worst.observed)}."
    )
    return theme.to_svg(chart, "calibration", alt_text)


def evidence(trial: CanaryTrial, name: str) -> str:
    """E-values of a trial window by window, each as a share of the logarithm at which it decides."""
    import altair as alt

    values = [
        {"window": number, "share": value / _decides(curve.threshold), "of": f"{curve.of} by {curve.signal}"}
        for curve in trial.curves
        for number, value in enumerate(curve.values, start=1)
    ]
    y = alt.Y("share:Q", title=None, scale=alt.Scale(domain=[-1, 2], clamp=True))
    lines = (
        alt.Chart(_data(values))
        .mark_line(point=True, clip=True)
        .encode(x=alt.X("window:Q", title="Window"), y=y, color=alt.Color("of:N", title=None))
    )
    level = alt.Chart(_data([{"share": 1.0}])).mark_rule(strokeDash=[4, 3]).encode(y=y)
    chart = alt.layer(lines, level).properties(width=WIDTH, height=220, autosize=_FIT)
    text = f"Evidence on version {trial.version}, which was {trial.outcome}, by window."
    return theme.to_svg(chart, name, text)


def _decides(threshold: float) -> float:
    """Where nothing is asked of a value, as in the shadow, that of a promotion."""
    return threshold if threshold > 0 else LOG_PROMOTE


def _histogram(evaluation: Evaluation, scale: "alt.Scale") -> "alt.Chart":
    import altair as alt

    x = alt.X("low:Q", title="Predicted probability", scale=scale, axis=alt.Axis(format="%", grid=False))
    y = alt.Y("rows:Q", title="Rows", axis=_fixed(format=",d", tickCount=2))
    if evaluation.scores:
        bars = [{"low": b.low, "high": b.high, "rows": b.rows, "none": 0} for b in evaluation.scores if b.rows]
        chart = alt.Chart(_data(bars)).mark_bar(binSpacing=1).encode(x=x, x2="high:Q", y=y, y2="none:Q")
    else:
        thin = [{"low": b.mean_predicted, "rows": b.rows} for b in evaluation.calibration]
        chart = alt.Chart(_data(thin)).mark_bar(width=8).encode(x=x, y=y)
    sized: alt.Chart = chart.properties(width=_PANEL_WIDTH, height=46)
    return sized


def tuning(tuning: Tuning) -> str:
    """The objective by trial, coloured by candidate, and the best so far as a line."""
    import altair as alt

    tried = sorted(tuning.trials, key=lambda trial: trial.number)
    values = [
        {"x": t.number, "y": t.value, "candidate": t.candidate, "complete": t.state == "complete"}
        for t in tried
        if t.value is not None
    ]
    best = _best_so_far(tuning)
    name = metric_words(tuning.objective)
    axis = alt.Axis(format="d", tickMinStep=1, grid=False)
    x = alt.X("x:Q", title="Trial", axis=axis, scale=alt.Scale(zero=False, nice=False, padding=12))
    whole = [t.value for t in tried if t.state == "complete" and t.value is not None]
    scale = alt.Scale(domain=_with_room(whole), nice=True) if whole else alt.Scale(zero=False)
    y = alt.Y("y:Q", title=f"{name}, mean over the folds", scale=scale)
    base = alt.Chart(_data(values)).encode(x=x, y=y, **_by_name("candidate", sorted({t.candidate for t in tried})))
    line = alt.Chart(_points(best)).mark_line(interpolate="step-after", color=theme.QUIET, strokeWidth=1.5)
    chart = alt.layer(
        line.encode(x=x, y=y),
        base.transform_filter("datum.complete").mark_point(),
        # At the foot, without their value: they saw the first folds only, and must not stretch the axis of the others.
        base.transform_filter("!datum.complete").mark_point(filled=False).encode(y=alt.value("height")),
    ).properties(width=WIDTH, height=300, autosize=_FIT)
    reached = f"; the best reaches {figure(best[-1][1])}" if best else ""
    stopped = len(values) - len(whole)
    early = f"; {stopped} were stopped early: mean of the folds so far" if stopped else ""
    return theme.to_svg(chart, "tuning", f"{name} of {len(values)} trials{reached}{early}.")


def _with_room(values: Sequence[float]) -> list[float]:
    """Ends of an axis, a tenth beyond the values."""
    room = 0.1 * (max(values) - min(values)) or 0.01
    return [min(values) - room, max(values) + room]


def _best_so_far(tuning: Tuning) -> list[tuple[int, float]]:
    """A step a complete trial, and a last one so that the line reaches the last trial."""
    better = min if tuning.objective in LOWER_IS_BETTER else max
    tried = sorted(tuning.trials, key=lambda trial: trial.number)
    complete = [(t.number, t.value) for t in tried if t.state == "complete" and t.value is not None]
    best = list(accumulate((value for _, value in complete), better))
    steps = [(number, value) for (number, _), value in zip(complete, best, strict=True)]
    return [*steps, (tried[-1].number, best[-1])] if steps else []


def importance(features: Features) -> str:
    """The most important features, by where they come from."""
    import altair as alt

    known = [record for record in features.records if record.importance is not None]
    top = sorted(known, key=lambda record: (-(record.importance or 0), record.name))[:TOP_FEATURES]
    values = [{"name": _label(r), "x": r.importance, "source": _SOURCES[r.source]} for r in top]
    scale = alt.Scale(domain=list(_SOURCES.values()), range=[theme.MODEL, theme.OCHRE])
    legend = alt.Legend(title=None, offset=8, columns=1)
    colour = alt.Color("source:N", scale=scale, legend=legend)
    x = alt.X("x:Q", title=_lines(features.importance_measure or "importance"), axis=alt.Axis(tickCount=4))
    chart = alt.Chart(_data(values)).mark_bar(height=11).encode(x=x, y=_names_in_order(top), color=colour)
    chart = chart.properties(width=WIDTH, height=_ROW * len(top) + 110, autosize=_FIT)
    first = ", ".join(record.name for record in top[:3])
    return theme.to_svg(chart, "importance", f"Importance of {len(top)} features; first come {first}.")


_SOURCES = {"request": "sent by the caller", "feature": "looked up"}


def missing(features: Features) -> str:
    """The share of training rows without a value, for the features that miss any."""
    import altair as alt

    some = [record for record in features.records if record.missing_share > 0]
    top = sorted(some, key=lambda record: (-record.missing_share, record.name))[:TOP_FEATURES]
    values = [{"name": _label(r), "x": r.missing_share, "label": percent(r.missing_share)} for r in top]
    limit = max(0.01, top[0].missing_share)
    x = alt.X("x:Q", title=None, scale=alt.Scale(domain=[0, limit * 1.25]), axis=None)
    base = alt.Chart(_data(values)).encode(x=x, y=_names_in_order(top))
    bars = base.mark_bar(height=11, color=theme.QUIET)
    chart = bars + base.mark_text(align="left", dx=5, color=theme.MUTED).encode(text="label:N")
    chart = chart.properties(width=WIDTH, height=_ROW * len(top) + 12, autosize=_FIT)
    alt_text = f"Missing values in {len(some)} features; most in {top[0].name}, {percent(top[0].missing_share)}."
    return theme.to_svg(chart, "missing", alt_text)


def slices(evaluation: Evaluation) -> str:
    """AUC of each slice, one panel a column, beside a line at the AUC of all rows.

    A slice with few rows may lie far off by chance. It is left out where it would squeeze the others.
    """
    import altair as alt

    auc = evaluation.metric("roc_auc")
    overall = [auc.value] if auc else []
    telling = _telling(evaluation)
    groups, ends = _drawn_slices(evaluation)
    scale = alt.Scale(domain=ends)
    panels = [_slice_panel(group, scale, overall, group is groups[-1]) for group in groups]
    worst = min(telling, key=_auc)
    alt_text = f"ROC AUC of slices; lowest: {worst.column} {worst.value}, {figure(worst.roc_auc)}."
    return theme.to_svg(alt.vconcat(*panels, spacing=14), "slices", alt_text)


def slices_left_out(evaluation: Evaluation) -> int:
    """How many slices with a ROC AUC `slices` does not draw."""
    known = [record for record in evaluation.slices if record.roc_auc is not None]
    return len(known) - sum(len(group) for group in _drawn_slices(evaluation)[0]) if known else 0


def _telling(evaluation: Evaluation) -> list[SliceRecord]:
    known = [record for record in evaluation.slices if record.roc_auc is not None]
    return [record for record in known if record.enough_rows] or known


def _drawn_slices(evaluation: Evaluation) -> tuple[list[list[SliceRecord]], list[float]]:
    """By column the largest slices that are within the ends of the axis; these ends."""
    auc = evaluation.metric("roc_auc")
    span = [_auc(record) for record in _telling(evaluation)] + ([auc.value] if auc else [])
    low, high = _round_down(min(span) - 0.02), _round_up(max(span) + 0.02)
    known = [record for record in evaluation.slices if record.roc_auc is not None]
    shown = [record for record in known if low <= _auc(record) <= high]
    columns = list(dict.fromkeys(record.column for record in shown))
    groups = [[record for record in shown if record.column == name] for name in columns]
    return [sorted(group, key=lambda record: (-record.rows, record.value))[:TOP_SLICES] for group in groups], [
        low,
        high,
    ]


def _slice_panel(records: list[SliceRecord], scale: "alt.Scale", overall: list[float], last: bool) -> "AnyChart":
    import altair as alt

    ordered = sorted(records, key=lambda record: (-_auc(record), record.value))
    values = [{"name": r.value, "x": r.roc_auc, "enough": r.enough_rows} for r in ordered]
    x = alt.X("x:Q", title="ROC AUC" if last else None, scale=scale, axis=alt.Axis(labels=last, tickCount=4))
    names = alt.Axis(minExtent=70, maxExtent=70, labelLimit=64, grid=True, titleX=-70, titleY=-9)
    y = alt.Y("name:N", title=records[0].column, sort=[r.value for r in ordered], axis=names)
    base = alt.Chart(_data(values)).encode(x=x, y=y)
    hollow: dict[str, Any] = {"fill": theme.PAPER, "stroke": theme.QUIET, "strokeWidth": 1.5}
    return alt.layer(
        alt.Chart(_data([{"x": value} for value in overall])).mark_rule().encode(x=x),
        base.transform_filter("datum.enough").mark_point(size=60),
        base.transform_filter("!datum.enough").mark_point(size=50, **hollow),
    ).properties(width=WIDTH - 90, height=_ROW * len(ordered))


def _auc(record: SliceRecord | ReplayDay) -> float:
    """Of a record that has one."""
    assert record.roc_auc is not None, "left out by the caller"
    return record.roc_auc


def replay(replay: Replay) -> str:
    """Day by day: AUC of what was answered, share of positive labels, requests."""
    import altair as alt

    panels = [
        _day_panel(replay, "roc_auc", "ROC AUC of the answers", 120),
        _day_panel(replay, "base_rate", "Share of positive labels", 80),
        _day_panel(replay, "requests", "Requests", 60),
    ]
    alt_text = f"{count(replay.requests)} requests over {len(replay.by_day)} days"
    days = [day for day in replay.by_day if day.roc_auc is not None]
    if days:
        low, high = min(days, key=_auc), max(days, key=_auc)
        alt_text += f"; ROC AUC from {figure(low.roc_auc)} on {low.date} to {figure(high.roc_auc)} on {high.date}"
    return theme.to_svg(alt.vconcat(*panels, spacing=30), "replay", f"{alt_text}.")


def _day_panel(
    replay: Replay, field: Literal["roc_auc", "base_rate", "requests"], title: str, height: int
) -> "AnyChart":
    import altair as alt

    days = [(day.date, getattr(day, field)) for day in sorted(replay.by_day, key=lambda day: day.date)]
    values = [{"day": f"{day.isoformat()}T00:00:00Z", "y": value} for day, value in days if value is not None]
    marks = [alt.DateTime(year=day.year, month=day.month, date=day.day, utc=True) for day, _ in days]
    every: dict[str, Any] = {"values": marks, "tickCount": len(marks), "labelOverlap": False}
    some = every if len(marks) <= _FEW_DAYS else {"labelOverlap": True}
    axis = alt.Axis(format="%-d %b", title=None, grid=False, labels=field == "requests", **some)
    x = alt.X("day:T", scale=alt.Scale(type="utc", domain=[marks[0], marks[-1]], padding=16), axis=axis)
    number = {"roc_auc": ".2f", "base_rate": "%", "requests": ",d"}[field]
    scale = alt.Scale(zero=field != "roc_auc")
    y = alt.Y("y:Q", title=title, scale=scale, axis=_fixed(format=number, tickCount=3))
    base = alt.Chart(_data(values)).encode(x=x, y=y)
    if field == "requests":
        bars: alt.Chart = base.mark_bar(color=theme.QUIET, width=min(16, 240 / max(1, len(values))))
        sized: alt.Chart = bars.properties(width=_PANEL_WIDTH, height=height)
        return sized
    overall = [{"y": replay.roc_auc}] if field == "roc_auc" and replay.roc_auc is not None else []
    return alt.layer(
        alt.Chart(_data(overall)).mark_rule().encode(y=y),
        base.mark_line(strokeWidth=1.5),
        base.mark_point(size=36 if len(values) <= 4 * _FEW_DAYS else 8),
    ).properties(width=_PANEL_WIDTH, height=height)


def _by_name(field: str, names: list[str]) -> dict[str, Any]:
    import altair as alt

    colours = [theme.CATEGORIES[i % len(theme.CATEGORIES)] for i in range(len(names))]
    shapes = [theme.SHAPES[i % len(theme.SHAPES)] for i in range(len(names))]
    return {
        "color": alt.Color(f"{field}:N", scale=alt.Scale(domain=names, range=colours), legend=_legend(30)),
        "shape": alt.Shape(f"{field}:N", scale=alt.Scale(domain=names, range=shapes), legend=_legend(30)),
    }


def _names_in_order(records: Sequence[FeatureRecord]) -> "alt.Y":
    import altair as alt

    axis = alt.Axis(grid=False, labelLimit=_LABEL_WIDTH)
    return alt.Y("name:N", title=None, sort=[_label(record) for record in records], axis=axis)


def _lines(title: str) -> list[str]:
    """A title that fits below a narrow plot."""
    return wrap(title[0].upper() + title[1:], 36)


def _label(record: FeatureRecord) -> str:
    """The name, cut in the middle: views begin alike, and the windows that tell features apart are at the end."""
    name = record.name
    return name if len(name) <= _LABEL_LETTERS else f"{name[:11]}…{name[12 - _LABEL_LETTERS :]}"


def _legend(offset: int) -> "alt.Legend":
    """Above the plot; `offset` leaves room for the title of the axis."""
    import altair as alt

    return alt.Legend(title=None, offset=offset)


def _fixed(**options: Any) -> "alt.Axis":
    """An axis as wide as that of the other panels."""
    import altair as alt

    return alt.Axis(minExtent=40, maxExtent=40, **options)


def _data(values: list[dict[str, Any]]) -> "alt.InlineData":
    import altair as alt

    return alt.InlineData(values=values)


def _points(points: Iterable[tuple[float, float]]) -> "alt.InlineData":
    return _data([{"x": x, "y": y, "order": i} for i, (x, y) in enumerate(points)])


def _upper(bin_: CalibrationBin) -> float:
    return bin_.observed if bin_.high is None else bin_.high


def _round_up(value: float) -> float:
    """The end of an axis of shares: the next multiple of 0.05."""
    return min(1.0, max(1.0, -(-value * 20 // 1)) / 20)


def _round_down(value: float) -> float:
    return max(0.0, value * 20 // 1 / 20)
