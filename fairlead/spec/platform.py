"""What a cluster runs: `argocd/settings.yaml`; what third-party parts there are: `manifests/platform/versions.yaml`."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fairlead.spec._base import KebabName, Spec
from fairlead.spec.environment import Url

_EXACT = re.compile(r"v?\d+(\.\d+)+([-+][0-9A-Za-z.+-]+)?")
_GIT = re.compile(r"(https?://|ssh://|file:///)\S+|[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:\S+")


def _git(value: str) -> str:
    if not _GIT.fullmatch(value):
        raise ValueError(f"must be a Git repository, such as https://git.example.com/fairlead.git, but is {value!r}")
    return value


def _exact(value: str) -> str:
    if not _EXACT.fullmatch(value):
        raise ValueError(f"must be one version, such as 1.2.3, and no range, branch or `latest`, but is {value!r}")
    return value


GitUrl = Annotated[str, AfterValidator(_git)]
Version = Annotated[str, AfterValidator(_exact)]
Folder = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")]


def _distinct(values: list[str]) -> list[str]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"must name each once, but names {', '.join(twice)} more often")
    return values


Names = Annotated[list[KebabName], AfterValidator(_distinct)]


class ClusterSettings(Spec):
    """The one file of Argo CD's that a fork edits."""

    repository: GitUrl
    """Of this fork, as Argo CD reaches it."""
    revision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")] = "main"
    """The branch whose commits are applied."""
    environments: Names
    """Which folders of manifests/envs this cluster runs."""
    platform: Names
    """Which components of manifests/platform/versions.yaml Argo CD brings. Leave out what the cluster has."""
    runbooks: Url | None = None
    """Where people read docs/runbooks, to which alerts link. Absent: in `repository`, as GitHub shows it."""

    @property
    def runbooks_url(self) -> str:
        """The folder of runbooks, without a slash at its end."""
        if self.runbooks is not None:
            return self.runbooks.rstrip("/")
        page = re.sub(r"^(ssh://)?git@([^:/]+)[:/]", r"https://\2/", self.repository).removesuffix(".git")
        return f"{page}/blob/{self.revision}/docs/runbooks"


class ComponentSpec(Spec):
    """One third-party part of the platform, or one of ours that is applied like them."""

    purpose: str
    """What is missing without it."""
    repository: str | None = None
    """Of charts (`https://…`, or a registry without `oci://`) or of Git. None is this repository."""
    chart: KebabName | None = None
    path: Folder | None = None
    """Of a kustomization in the repository."""
    version: Version | None = None
    """The chart's, or the Git tag. Ours have the revision of the settings."""
    namespace: KebabName
    other_namespaces: Names = Field(default_factory=list)
    """Where its objects are besides."""
    wave: int
    """Lower ones are healthy before higher ones begin."""
    privileged: bool = False
    """Whether its pods need what the baseline of Pod Security forbids."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.chart is None) == (self.path is None):
            raise ValueError("must have either a chart or the path of a kustomization")
        if (self.repository is None) != (self.version is None):
            raise ValueError("must have both a repository and a version, or neither if it is of this repository")
        if self.repository is None and self.chart:
            raise ValueError("must have a path, as it is of this repository")
        return self

    @property
    def namespaces(self) -> list[str]:
        """Its own first."""
        return [self.namespace, *self.other_namespaces]


class PlatformSpec(Spec):
    """Everything third-party, in one place."""

    components: dict[KebabName, ComponentSpec]
