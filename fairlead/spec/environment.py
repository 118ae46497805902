"""What differs between environments: `manifests/envs/<env>/environment.yaml`, and which images run there."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from fairlead.spec._base import KebabName, Spec

_IMAGE = re.compile(
    r"(?P<name>[a-z0-9]+([._-]+[a-z0-9]+)*(:\d+(?=/))?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def _immutable(value: str) -> str:
    match = _IMAGE.fullmatch(value)
    if match is None:
        raise ValueError(f"must be an image such as registry.example.com/fairlead/serving:1.2.0, but is {value!r}")
    if match["digest"] is None and match["tag"] in (None, "latest"):
        raise ValueError(f"must have a digest or a tag other than `latest`, whose image can change, but is {value!r}")
    return value


def split_image(image: str) -> tuple[str, str | None, str | None]:
    """The name, the tag and the digest of an image that was checked."""
    match = _IMAGE.fullmatch(image)
    assert match is not None, "checked by the validator"
    return match["name"], match["tag"], match["digest"]


Image = Annotated[str, AfterValidator(_immutable)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+(/\S*)?$")]
HostName = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
]


class StorageSpec(Spec):
    """Where tables, bundles, artifacts and Feast's registry are kept. The credentials are in the Secret
    `fairlead-storage`."""

    bucket: Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)*$")]
    """With a prefix if the bucket is shared: `s3://company/fairlead-dev`."""
    endpoint: Url | None = None
    """Of an S3 that is not AWS's."""
    region: str = "us-east-1"


class GatewaySpec(Spec):
    """The Gateway that requests come through; it is not ours."""

    name: KebabName
    namespace: KebabName
    hostname: HostName
    """`<model>.<hostname>` answers for a model."""


def _cron(value: str) -> str:
    fields = value.split()
    if len(fields) == 5:
        raise ValueError(
            f"must have six fields, the first for seconds, but {value!r} has five, which Kubeflow Pipelines takes and "
            f"misreads: as if it began with the seconds. Did you mean '0 {value}'?"
        )
    if len(fields) != 6:
        raise ValueError(
            f"must have six fields (second minute hour day month weekday), but {value!r} has {len(fields)}"
        )
    for (unit, low, high), field in zip(_CRON_FIELDS, fields, strict=True):
        for part in field.split(","):
            _check_cron(unit, low, high, part, value)
    return value


def _check_cron(unit: str, low: int, high: int, part: str, value: str) -> None:
    match = _CRON_PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{unit} {part!r} of {value!r} must be *, a number, a range `1-5` or a step `*/15`")
    numbers = [int(number) for number in (match["first"], match["last"]) if number]
    if any(not low <= number <= high for number in numbers) or numbers != sorted(numbers):
        raise ValueError(f"{unit} {part!r} of {value!r} must be within {low} and {high}")
    if match["step"] and not 1 <= int(match["step"]) <= high:
        raise ValueError(f"{unit} {part!r} of {value!r} must have a step within 1 and {high}")


_CRON_FIELDS = (
    ("second", 0, 59),
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day", 1, 31),
    ("month", 1, 12),
    ("weekday", 0, 6),
)
_CRON_PART = re.compile(r"(\*|\?|(?P<first>\d{1,2})(-(?P<last>\d{1,2}))?)(/(?P<step>\d{1,2}))?")

Cron = Annotated[str, AfterValidator(_cron)]


class ScheduleSpec(Spec):
    """A run that starts by the clock."""

    name: KebabName
    pipeline: KebabName = "retrain-model"
    cron: Cron
    """`second minute hour day month weekday`, in UTC: `0 30 2 * * *` is half past two every night."""
    parameters: dict[str, str] = {}
    """The pipeline's parameters."""
    max_concurrency: int = Field(default=1, ge=1, le=10)
    """How many of its runs may go on at once; a run that would be one too many is left out."""


class PipelinesSpec(Spec):
    """Where Kubeflow Pipelines is."""

    namespace: KebabName = "kubeflow"
    """Its API server serves its own namespace only, unless it runs in multi-user mode."""
    api: Url = "http://ml-pipeline.kubeflow.svc:8888"
    schedules: tuple[ScheduleSpec, ...] = ()

    @model_validator(mode="after")
    def _one_of_a_name(self) -> Self:
        names = [schedule.name for schedule in self.schedules]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f"schedules.{index} must have a name of its own, but {name!r} is there twice")
        return self


class ReleasesSpec(Spec):
    """How releases are decided and written, by a controller in the environment's namespace."""

    repository: Annotated[str, StringConstraints(pattern=r"^(https?|ssh|file)://\S+$|^[\w.-]+@[\w.-]+:\S+$")]
    """The Git repository that Argo CD reads; its credentials are in the Secret `fairlead-releases`."""
    branch: str = "main"
    prometheus: Url = "http://kube-prometheus-stack-prometheus.monitoring.svc:9090"
    """That scrapes the environment's servers."""
    github: Annotated[str, StringConstraints(pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    """`owner/name` for pull requests, where the repository's address does not tell."""


class EnvironmentSpec(Spec):
    """One environment, on a cluster of its own or in a namespace of a shared one."""

    name: KebabName
    namespace: KebabName
    """Of endpoints, records and jobs."""
    storage: StorageSpec
    tracking: Url
    """MLflow's address."""
    gateway: GatewaySpec
    pipelines: PipelinesSpec = PipelinesSpec()
    releases: ReleasesSpec | None = None
    """Absent: nothing watches releases here; persons write them."""
    records: bool = False
    """Servers send records of predictions to the environment's collector. They need the Secret `fairlead-records`."""
    external_secrets: bool = False
    """Secrets come from a ClusterSecretStore `fairlead`, by the operator External Secrets; else somebody makes them."""

    @model_validator(mode="after")
    def _two_namespaces(self) -> Self:
        # Both have a ConfigMap `fairlead-environment`, and ours lets nothing in or out that it does not name.
        if self.pipelines.namespace == self.namespace:
            raise ValueError(f"pipelines.namespace must be another than namespace, but both are {self.namespace!r}")
        return self

    @property
    def bundles_uri(self) -> str:
        """Root of the released bundles: `<root>/<model>/<version>/`."""
        return f"{self.storage.bucket}/bundles"


class ImagesSpec(Spec):
    """Which images run in an environment. Written when images are published, and by nobody else."""

    pipeline: Image
    serving: Image
    monitoring: Image
    alibi: Image | None = None
    """Needed by models whose drift is looked for by alibi-detect."""


class ScaleSpec(Spec):
    """How much of a model's endpoint there is in an environment: `manifests/envs/<env>/<model>/scale.yaml`."""

    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=1, ge=1)
    cpu: Annotated[str, StringConstraints(pattern=r"^\d+m$|^\d+(\.\d+)?$")] = "500m"
    """Requested by a replica."""
    memory: Annotated[str, StringConstraints(pattern=r"^\d+(Mi|Gi)$")] = "512Mi"
    """Requested by a replica, and its limit."""
    cpu_percent: int = Field(default=70, ge=1, le=100)
    """Of what is requested; above it replicas are added."""
