"""The part of a Gateway API HTTPRoute that the local gateway implements; any other key is refused.

Rules and bounds are those of the CustomResourceDefinition `httproutes.gateway.networking.k8s.io` (v1, standard
channel), so what is accepted here is accepted on a cluster.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic import model_validator as model_rule
from pydantic.alias_generators import to_camel

from fairlead.spec._base import Spec
from fairlead.spec.load import load_document
from serving.gateway.headers import HOP_BY_HOP

STICKY = "fairlead.io/sticky"
"""Annotation: `header=<name>` or `cookie=<name>`, whose value decides which backend answers."""
OWN_ANNOTATIONS = "fairlead.io/"
FRAMING = frozenset((*HOP_BY_HOP, "content-length", "host"))
"""Headers that a modifier may not touch: they say how a message is delimited and where it goes."""
NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F", "#")
NOT_AT_END = ("/..", "/.")
# RE2, which clusters match with, has neither lookaround nor backreferences nor atomic groups.
BEYOND_RE2 = re.compile(r"\(\?(=|!|<=|<!|P=|>|\()|\\[1-9]|[*+?}]\+")

HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$", min_length=1, max_length=256)
]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Hostname = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253
    ),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


class Part(Spec):
    """Base of every part of a route: keys in a file are in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel)


def _path(value: str) -> str:
    wrong = next((text for text in NOT_IN_PATHS if text in value), None)
    wrong = wrong or next((text for text in NOT_AT_END if value.endswith(text)), None)
    if wrong is not None:
        raise ValueError(f"must not hold {wrong!r}, but is {value!r}")
    return value


def _unframed(name: str) -> str:
    if name.lower() in FRAMING:
        raise ValueError(f"must not be a header that frames or addresses a message, but is {name!r}")
    return name


PathValue = Annotated[
    str,
    StringConstraints(pattern=r"^/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})*$", max_length=1024),
    AfterValidator(_path),
]
EditedHeader = Annotated[HeaderName, AfterValidator(_unframed)]


class PathMatch(Part):
    """On the path as it was sent, percent-encoding and all."""

    type: Literal["Exact", "PathPrefix"] = "PathPrefix"
    """PathPrefix matches whole elements: `/v2` matches `/v2` and `/v2/models`, not `/v21`."""
    value: PathValue = "/"


class HeaderMatch(Part):
    """On one header; several values of one name are joined by commas."""

    type: Literal["Exact", "RegularExpression"] = "Exact"
    """A RegularExpression must match the whole value, as Envoy's does."""
    name: HeaderName
    value: Annotated[str, StringConstraints(min_length=1, max_length=4096)]

    @model_rule(mode="after")
    def _is_regular(self) -> Self:
        if self.type == "RegularExpression":
            _check_regular(self.value)
        return self


class QueryParamMatch(Part):
    """On one parameter of the query, percent-decoded; of several values the first counts."""

    type: Literal["Exact"] = "Exact"
    name: HeaderName
    value: Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Match(Part):
    """Conditions that must all hold."""

    path: PathMatch = PathMatch()
    headers: Annotated[list[HeaderMatch], Field(max_length=16)] = []
    query_params: Annotated[list[QueryParamMatch], Field(max_length=16)] = []
    method: Method | None = None

    @field_validator("headers")
    @classmethod
    def _once_each(cls, headers: list[HeaderMatch]) -> list[HeaderMatch]:
        _refuse_repeated([item.name.lower() for item in headers])
        return headers

    @field_validator("query_params")
    @classmethod
    def _once_each_parameter(cls, parameters: list[QueryParamMatch]) -> list[QueryParamMatch]:
        _refuse_repeated([item.name for item in parameters])
        return parameters


class HeaderValue(Part):
    """A header to write."""

    name: EditedHeader
    value: Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[^\r\n\x00]*$")]


class HeaderModifier(Part):
    """Edits of headers: `set` replaces, `add` appends a value, `remove` drops all values."""

    set: Annotated[list[HeaderValue], Field(max_length=16)] = []
    add: Annotated[list[HeaderValue], Field(max_length=16)] = []
    remove: Annotated[list[EditedHeader], Field(max_length=16)] = []

    @model_rule(mode="after")
    def _one_edit_a_name(self) -> Self:
        _refuse_repeated([name.lower() for name in (*(item.name for item in (*self.set, *self.add)), *self.remove)])
        return self


class ServiceReference(Part):
    """A port of a Service; which URL that is here, `--backend` says."""

    group: Literal[""] = ""
    kind: Literal["Service"] = "Service"
    name: DnsLabel
    port: Port


class BackendFilter(Part):
    """What is done to requests for one backend."""

    type: Literal["RequestHeaderModifier"]
    request_header_modifier: HeaderModifier


class BackendRef(ServiceReference):
    """A backend and its part of the traffic."""

    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    """Relative to the sum of the rule's weights; 0: never."""
    filters: Annotated[list[BackendFilter], Field(max_length=1)] = []


class Fraction(Part):
    """A part of the requests."""

    numerator: Annotated[int, Field(ge=0)]
    denominator: Annotated[int, Field(ge=1)] = 100

    @model_rule(mode="after")
    def _at_most_all(self) -> Self:
        if self.numerator > self.denominator:
            raise ValueError(f"numerator must be at most the denominator {self.denominator}, but is {self.numerator}")
        return self


class RequestMirror(Part):
    """A backend that gets copies, and the part of the requests that is copied; all unless told."""

    backend_ref: ServiceReference
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    fraction: Fraction | None = None

    @model_rule(mode="after")
    def _one_share(self) -> Self:
        if self.percent is not None and self.fraction is not None:
            raise ValueError("percent must not stand beside fraction: only one of them can hold")
        return self

    @property
    def share(self) -> float:
        """From 0 to 1."""
        if self.fraction is not None:
            return self.fraction.numerator / self.fraction.denominator
        return 1.0 if self.percent is None else self.percent / 100


class Filter(Part):
    """What is done to the requests and responses of a rule."""

    type: Literal["RequestMirror", "RequestHeaderModifier", "ResponseHeaderModifier"]
    request_mirror: RequestMirror | None = None
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None

    @model_rule(mode="after")
    def _is_its_type(self) -> Self:
        expected = self.type[0].lower() + self.type[1:]
        given = {field.alias for name, field in type(self).model_fields.items() if getattr(self, name) is not None}
        given.discard("type")
        if expected not in given:
            raise ValueError(f"type {self.type!r} needs the key {expected!r}, which is missing")
        for other in sorted(str(key) for key in given - {expected}):
            raise ValueError(f"{other} must not stand in a filter whose type is {self.type!r}")
        return self


class Rule(Part):
    """What happens to the requests of which any match holds."""

    name: DnsLabel | None = None
    matches: Annotated[list[Match], Field(max_length=64)] = []
    """None: every request."""
    filters: Annotated[list[Filter], Field(max_length=16)] = []
    backend_refs: Annotated[list[BackendRef], Field(max_length=16)] = []
    """None, or weights of 0 only: the answer is 500."""

    @model_rule(mode="after")
    def _each_modifier_once(self) -> Self:
        seen: set[str] = set()
        for number, item in enumerate(self.filters):
            if item.type in seen and item.type != "RequestMirror":
                raise ValueError(f"filters.{number} repeats {item.type}, which a rule can have once")
            seen.add(item.type)
        return self


class ParentReference(Part):
    """Where the route hangs on a cluster; here it always hangs on this gateway."""

    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    namespace: DnsLabel | None = None
    name: str
    section_name: str | None = None
    port: Port | None = None


class RouteSpec(Part):
    """What is routed, and where to."""

    parent_refs: Annotated[list[ParentReference], Field(max_length=32)] = []
    hostnames: Annotated[list[Hostname], Field(max_length=16)] = []
    """None: every host. `*.example.com` stands for any names before `.example.com`."""
    rules: Annotated[list[Rule], Field(min_length=1, max_length=16)]


class Metadata(Part):
    """Who the route is."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]
    namespace: DnsLabel | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}

    @field_validator("annotations")
    @classmethod
    def _known(cls, annotations: dict[str, str]) -> dict[str, str]:
        for key in annotations:
            if key.startswith(OWN_ANNOTATIONS) and key != STICKY:
                raise ValueError(f"must hold no key of {OWN_ANNOTATIONS} but {STICKY!r}, but holds {key!r}")
        if STICKY in annotations:
            read_sticky(annotations[STICKY])
        return annotations


class HttpRoute(Part):
    """A whole document."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: RouteSpec

    @model_rule(mode="after")
    def _every_backend_is_somewhere(self, info: ValidationInfo) -> Self:
        known: Mapping[str, str] | None = (info.context or {}).get("backends")
        for place, reference in _references(self.spec) if known is not None else ():
            if key_of(reference, known or {}) is None:
                raise ValueError(f"{place}.name has no URL: start the gateway with --backend {reference.name}=URL")
        return self

    @property
    def sticky(self) -> tuple[Literal["header", "cookie"], str] | None:
        """Where a request's key is, and its name there."""
        annotation = self.metadata.annotations.get(STICKY)
        return read_sticky(annotation) if annotation is not None else None


def load_route(path: Path, backends: Mapping[str, str]) -> HttpRoute:
    """Read a routes file.

    Args:
        path: one HTTPRoute in YAML.
        backends: `name` or `name:port` → URL; each backend that can get a request must be there.

    Raises:
        SpecError: one line a problem.
    """
    return load_document(path, HttpRoute, {"backends": backends})


def key_of(reference: ServiceReference, backends: Mapping[str, Any]) -> str | None:
    """How a backend is called in `--backend` and in the counters: `name:port` goes before `name`."""
    keys = (f"{reference.name}:{reference.port}", reference.name)
    return next((key for key in keys if key in backends), None)


def read_sticky(text: str) -> tuple[Literal["header", "cookie"], str]:
    """Read `header=x-user` or `cookie=session`.

    Raises:
        ValueError: it is neither.
    """
    kind, _, name = text.partition("=")
    if kind == "header" and name:
        return "header", name
    if kind == "cookie" and name:
        return "cookie", name
    raise ValueError(f"{STICKY} must be header=<name> or cookie=<name>, but is {text!r}")


def _references(spec: RouteSpec) -> Iterator[tuple[str, ServiceReference]]:
    """All that can get a request, with their places in the file."""
    for i, rule in enumerate(spec.rules):
        for j, backend in enumerate(rule.backend_refs):
            if backend.weight:
                yield f"spec.rules.{i}.backendRefs.{j}", backend
        for j, item in enumerate(rule.filters):
            if item.request_mirror is not None and item.request_mirror.share:
                yield f"spec.rules.{i}.filters.{j}.requestMirror.backendRef", item.request_mirror.backend_ref


def _check_regular(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"value must be a regular expression, but {pattern!r} is not: {error}") from None
    beyond = BEYOND_RE2.search(re.sub(r"\\[^1-9]", "", pattern))
    if beyond:
        raise ValueError(f"value must be a regular expression of RE2, which has no {beyond[0]!r}, but is {pattern!r}")


def _refuse_repeated(names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"must hold each name once, but {twice!r} stands there twice")
