"""Where a command lets a pipeline run."""

from enum import StrEnum


class Place(StrEnum):
    """Where a pipeline runs."""

    laptop = "laptop"
    cluster = "cluster"
