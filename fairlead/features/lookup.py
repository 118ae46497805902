"""How a model's features are read online: the plan that travels in its bundle, and what a read gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.errors import FeatureError
from fairlead.packaging.signature import UNKNOWN_CATEGORY, Input, Matrix
from fairlead.spec.dataset import did_you_mean

KeyKind = Literal["STRING", "INT32", "INT64"]
"""Feast's names of the types that an entity key may have here."""


class JoinKey(BaseModel):
    """A column by which a view is looked up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: KeyKind


class LookupView(BaseModel):
    """A feature view, as far as reading it online goes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    keys: tuple[JoinKey, ...]
    """Sorted by name; none for a view with one row for all."""
    ttl_seconds: float | None
    """A row older than this at the time of asking is missing; None: it never expires."""
    features: tuple[str, ...]


class LookupPlan(BaseModel):
    """All that is needed to read a feature service from Feast's online store, without its registry."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    project: str
    """Feast's name for what one registry holds; part of every key."""
    entity_key_serialization_version: Literal[3]
    views: tuple[LookupView, ...]

    @property
    def entities(self) -> list[str]:
        """Names of the join keys, sorted."""
        return sorted({key.name for view in self.views for key in view.keys})

    def needed_for(self, inputs: Sequence[Input]) -> "LookupPlan":
        """The part that the looked-up inputs use: other views and features are never read.

        Raises:
            FeatureError: an input belongs to no view of the plan.
        """
        names = {item.name for item in inputs}
        known = [f"{view.name}__{feature}" for view in self.views for feature in view.features]
        unknown = next((item.name for item in inputs if item.name not in known), None)
        if unknown is not None:
            raise FeatureError(f"looked-up input {unknown!r}" + did_you_mean(unknown, known))
        views = [
            view.model_copy(update={"features": tuple(f for f in view.features if f"{view.name}__{f}" in names)})
            for view in self.views
        ]
        return self.model_copy(update={"views": tuple(view for view in views if view.features)})


@dataclass(frozen=True)
class Looked:
    """What one read found."""

    values: Matrix
    """Shape [n, f], a column for each looked-up input in their order: NaN is a missing number, -1 an unknown category.
    Without entities n is 1: the row holds for all."""
    missing: dict[str, int]
    """View → for how many of the n rows it had none, or one that had expired; a view with 0 may be absent."""


def blank(inputs: Sequence[Input]) -> Matrix:
    """The values of a row of which nothing is known: shape [f]."""
    return np.array([np.nan if item.kind == "number" else UNKNOWN_CATEGORY for item in inputs], dtype=np.float32)


def count_rows(keys: Mapping[str, Sequence[object]], wanted: Sequence[str]) -> int:
    """How many entity rows are asked for; one where no key is needed.

    Raises:
        FeatureError: a key is missing, or the keys are not equally long.
    """
    missing = [name for name in wanted if name not in keys]
    if missing:
        raise FeatureError(f"entity key {missing[0]!r} is required, but missing; required are {', '.join(wanted)}")
    lengths = {name: len(keys[name]) for name in wanted}
    if len(set(lengths.values())) > 1:
        raise FeatureError(f"entity keys must have one value a row each, but their lengths are {lengths}")
    return next(iter(lengths.values()), 1)
