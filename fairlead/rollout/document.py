"""The file of a release as a document of Kubernetes: kustomize copies its `serve` into the objects of the model."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from fairlead.rollout.release import Release
from fairlead.rollout.serve import Serve
from fairlead.spec._base import KebabName, Spec

LOCAL = "config.kubernetes.io/local-config"
"""Annotation: kustomize reads the object and does not apply it."""
KIND = {"apiVersion": "fairlead.dev/v1", "kind": "Release"}
EXPECTED = "serve_of"
"""In the context of a validation: gives the `serve` that a document must have."""
MEND = "mend"
"""In the context of a validation: `serve` is not read, as it is to be written anew."""


class Annotations(Spec):
    """Only what makes the document one for kustomize alone."""

    local: Literal["true"] = Field(alias=LOCAL)


class Metadata(Spec):
    """Who the document is."""

    name: KebabName
    """The model's."""
    annotations: Annotations


class ReleaseDocument(Spec):
    """`release.yaml`."""

    model_config = ConfigDict(alias_generator=to_camel)

    api_version: Literal["fairlead.dev/v1"]
    kind: Literal["Release"]
    metadata: Metadata
    spec: Release
    """The state: what a person or a controller writes."""
    serve: Serve | None = None
    """What follows from it; written by whatever writes the file."""

    @field_validator("serve", mode="before")
    @classmethod
    def _not_read(cls, value: Any, info: ValidationInfo) -> Any:
        return None if MEND in (info.context or {}) else value

    @model_validator(mode="after")
    def _of_one_model(self) -> "ReleaseDocument":
        if self.metadata.name != self.spec.model:
            raise ValueError(
                f"metadata.name must be the model {self.spec.model!r} that spec names, but is {self.metadata.name!r}"
            )
        return self

    @model_validator(mode="after")
    def _serve_follows(self, info: ValidationInfo) -> "ReleaseDocument":
        expected = (info.context or {}).get(EXPECTED)
        if expected is not None and self.serve != expected(self.spec):
            shown = "is missing" if self.serve is None else "does not"
            raise ValueError(f"serve must follow from spec, but {shown}: run `fairlead render`, which writes it anew")
        return self
