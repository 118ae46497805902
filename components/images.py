"""The images that steps run in."""

PIPELINE_IMAGE = "fairlead/pipeline:0.1.0"
"""Python with Fairlead and this repository's folders; the local runner uses the interpreter at hand instead."""
