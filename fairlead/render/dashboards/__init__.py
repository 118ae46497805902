"""Dashboards of a model: what they show, and as Grafana reads them."""

from fairlead.render.dashboards._base import RATE, Board, Kind, Panel, Query, Row, Unit
from fairlead.render.dashboards.files import DASHBOARDS, boards, dashboard_files

__all__ = ["DASHBOARDS", "RATE", "Board", "Kind", "Panel", "Query", "Row", "Unit", "boards", "dashboard_files"]
