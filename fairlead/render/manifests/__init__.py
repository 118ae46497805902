"""The objects of Kubernetes that follow from specs: one object a file, one kind a module."""

from fairlead.render.manifests.tree import manifests

__all__ = ["manifests"]
