"""Alerts on metrics of the catalogue, from a model's spec: one source for a laptop, a cluster and the tests."""

from fairlead.render.alerts._base import Alert, Context, Pace, Record, Scope
from fairlead.render.alerts.groups import environment_groups, model_groups

__all__ = ["Alert", "Context", "Pace", "Record", "Scope", "environment_groups", "model_groups"]
