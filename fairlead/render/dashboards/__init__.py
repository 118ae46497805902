"""Dashboards of a model, as Grafana reads them."""

from fairlead.render.dashboards.files import DASHBOARDS, dashboard_files

__all__ = ["DASHBOARDS", "dashboard_files"]
