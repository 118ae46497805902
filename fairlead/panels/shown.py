"""Dashboards with what was found: what the report shows of them."""

from pydantic import BaseModel, ConfigDict, FiniteFloat

from fairlead.panels.recording import Source
from fairlead.render.dashboards import Kind, Unit


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Line(_Shown):
    """One series of a panel."""

    legend: str
    points: tuple[tuple[FiniteFloat, FiniteFloat], ...]
    """Seconds since 1970, and the value; of a panel that is a number only the newest."""


class PanelShown(_Shown):
    """One panel."""

    title: str
    unit: Unit
    kind: Kind
    said: str
    """What a reader should know to read it."""
    limit: float | None
    """Drawn as a line: above it something is wrong."""
    lines: tuple[Line, ...] = ()
    source: Source | None = None
    """Of the lines; None: there are none."""
    missing: str = ""
    """Why there are none."""
    asked: bool = False
    """Its metrics were recorded, whatever its queries found among them."""


class RowShown(_Shown):
    """Panels side by side, under a title."""

    title: str
    panels: tuple[PanelShown, ...]


class BoardShown(_Shown):
    """One dashboard."""

    name: str
    title: str
    rows: tuple[RowShown, ...]


class Boards(_Shown):
    """All dashboards of a model."""

    boards: tuple[BoardShown, ...]
