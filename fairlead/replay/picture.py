"""The picture of a replay: quality by month under each policy, and what the platform's watch saw."""

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from fairlead.replay.result import Comparison, PolicyResult
from fairlead.report import theme

if TYPE_CHECKING:
    from typing import TypeAlias

    import altair as alt

    AnyChart: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

WIDTH = 640
COLOURS = {"static": theme.QUIET, "monthly": theme.OCHRE, "fixed": theme.PLUM, "platform": theme.MODEL}


def draw(found: Comparison, name: str = "year") -> str:
    """As SVG; `name` is unique in a page."""
    import altair as alt

    chart = alt.vconcat(_quality(found), _gap(found), _novelty(found), spacing=34)
    platform = found.policy("platform")
    kept = "" if platform.share is None else f", {platform.share:.0%} of the gain of monthly retraining"
    told = f"Replay of {found.model} from {found.first} to {found.last}: mean ROC AUC of the periods"
    means = ", ".join(f"{item.name} {item.mean:.3f}" for item in found.policies)
    return theme.to_svg(
        chart, "year", f"{told} {means}; the platform retrained {len(platform.retrainings)} times{kept}."
    )


def _quality(found: Comparison) -> "AnyChart":
    import altair as alt

    values = [
        {"day": _middle(item, begin, found.last), "y": value, "policy": item.name}
        for item in found.policies
        for begin, value in item.periods.items()
        if value is not None
    ]
    names = [item.name for item in found.policies]
    scale = alt.Scale(domain=names, range=[COLOURS[name] for name in names])
    shapes = alt.Scale(domain=names, range=theme.SHAPES[: len(names)])
    legend = alt.Legend(title=None, offset=26)
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=_days(found, labels=False),
        y=alt.Y(
            "y:Q",
            title=f"ROC AUC of the answers, by {'week' if found.weekly else 'month'}",
            scale=alt.Scale(zero=False),
            axis=_fixed(".2f"),
        ),
        color=alt.Color("policy:N", scale=scale, legend=legend),
        shape=alt.Shape("policy:N", scale=shapes, legend=legend),
    )
    return alt.layer(_retrainings(found, labels=False), base.mark_line(strokeWidth=1.5), base.mark_point()).properties(
        width=WIDTH, height=190
    )


def _middle(item: PolicyResult, begin: date, last: date) -> str:
    """Of a period, which ends where the next one begins."""
    end = min((other for other in item.periods if other > begin), default=last + timedelta(days=1))
    return f"{begin + (end - begin) / 2}T00:00:00Z"


def _gap(found: Comparison) -> "AnyChart":
    values = [
        {"day": f"{seen.day}T00:00:00Z", "y": seen.promised - seen.live}
        for seen in found.seen
        if seen.promised is not None and seen.live is not None
    ]
    return _watched(found, values, "Promised minus live ROC AUC, two weeks", found.decay, ".2f", labels=False)


def _novelty(found: Comparison) -> "AnyChart":
    values = [{"day": f"{seen.day}T00:00:00Z", "y": seen.novelty} for seen in found.seen if seen.novelty is not None]
    title = "Rows beyond what the champion was fitted to, a week"
    return _watched(found, values, title, found.novelty, "%", labels=True)


def _watched(
    found: Comparison, values: list[dict[str, Any]], title: str, threshold: float, form: str, *, labels: bool
) -> "AnyChart":
    """A line with its threshold; lines at the retrainings."""
    import altair as alt

    x = _days(found, labels=labels)
    y = alt.Y("y:Q", title=title, axis=_fixed(form, tickCount=4))
    line = alt.Chart(alt.InlineData(values=values)).mark_line(strokeWidth=1.5).encode(x=x, y=y)
    rule = alt.Chart(alt.InlineData(values=[{"y": threshold}])).mark_rule(strokeDash=[4, 3]).encode(y=y)
    return alt.layer(_retrainings(found, labels=labels), rule, line).properties(width=WIDTH, height=100)


def _retrainings(found: Comparison, *, labels: bool) -> "alt.Chart":
    import altair as alt

    values = [{"day": f"{item.version}T00:00:00Z"} for item in found.policy("platform").retrainings if item.version]
    rules = alt.Chart(alt.InlineData(values=values)).mark_rule(color=theme.TEAL, strokeWidth=1.5, opacity=0.7)
    placed: alt.Chart = rules.encode(x=_days(found, labels=labels))
    return placed


def _days(found: Comparison, *, labels: bool) -> "alt.X":
    import altair as alt

    ends = [alt.DateTime(year=day.year, month=day.month, date=day.day, utc=True) for day in (found.first, found.last)]
    form = "%-d %b" if found.weekly else "%b"
    axis = alt.Axis(format=form, title=None, grid=False, labels=labels, tickCount=10)
    return alt.X("day:T", scale=alt.Scale(type="utc", domain=ends), axis=axis)


def _fixed(form: str, **options: Any) -> "alt.Axis":
    import altair as alt

    return alt.Axis(minExtent=40, maxExtent=40, format=form, **options)
