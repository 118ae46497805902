"""The names that a bundle answers under, and that loads and unloads use."""

VECTOR = "-vector"
"""Behind a model's name: the one that takes the finished matrix."""


def model_and_version(name: str) -> tuple[str, str]:
    """The bundle's model behind any of its names, and its version; empty: none is named."""
    model, _, version = name.partition("@")
    return model.removesuffix(VECTOR), version
