"""Fairlead: an ML platform for Kubeflow in one Git repository."""

__version__ = "0.1.0"
