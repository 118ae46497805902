"""The image that steps run in."""

PIPELINE_IMAGE = "fairlead/pipeline"
"""A name that stands for it: `fairlead render` writes each environment's image in its place, and the local runner uses
the interpreter at hand."""
