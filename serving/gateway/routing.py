"""Which rule of a route a request falls under, by the Gateway API's order of precedence. Pure: no input, no output."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl

from multidict import CIMultiDict, CIMultiDictProxy

from serving.gateway.route import BackendRef, HeaderMatch, HeaderModifier, HttpRoute, Match, PathMatch, Rule, key_of

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What routing looks at in a request."""

    method: str
    host: str
    """Without a port, in lower case."""
    target: str
    """Path and query, as sent."""
    headers: Headers

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Backend:
    """A weighted backend of a rule, and where it is."""

    identity: str
    """Its name and port on a cluster."""
    label: str
    """Its name in the counters."""
    url: str
    weight: int
    request_edit: HeaderModifier | None = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """Who gets copies, and of which part of the requests."""

    label: str
    url: str
    share: float


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule says of the requests that fall under it."""

    backends: tuple[Backend, ...]
    mirrors: tuple[Mirror, ...]
    request_edit: HeaderModifier | None
    response_edit: HeaderModifier | None


class Condition:
    """One match of a rule, ready to be asked."""

    def __init__(self, match: Match) -> None:
        self._exact = match.path.type == "Exact"
        self._path = match.path.value
        self._prefix = _stripped(match.path)
        self._method = match.method
        self._headers = [(item.name, _pattern(item)) for item in match.headers]
        self._parameters = [(item.name, item.value) for item in match.query_params]
        self.precedence = (
            not self._exact,
            0 if self._exact else -len(self._prefix),
            self._method is None,
            -len(self._headers),
            -len(self._parameters),
        )
        """Lower goes first: exact path, longest prefix, method, most headers, most query parameters."""

    def holds(self, asked: Asked) -> bool:
        return (
            (self._method is None or self._method == asked.method)
            and self._path_holds(asked.path)
            and all(_header_holds(asked.headers, name, pattern) for name, pattern in self._headers)
            and self._query_holds(asked.target)
        )

    def _path_holds(self, path: str) -> bool:
        if self._exact:
            return path == self._path
        return path.startswith(self._prefix) and path[len(self._prefix) : len(self._prefix) + 1] in ("", "/")

    def _query_holds(self, target: str) -> bool:
        if not self._parameters:
            return True
        given: dict[str, str] = {}
        for name, value in parse_qsl(target.partition("?")[2], keep_blank_values=True):
            given.setdefault(name, value)
        return all(given.get(name) == value for name, value in self._parameters)


class RouteTable:
    """A route, ready to be asked; it never changes."""

    def __init__(self, route: HttpRoute, backends: Mapping[str, str]) -> None:
        """Compile a route.

        Args:
            route: as `load_route` gives it.
            backends: `name` or `name:port` → URL, as the route was checked against.
        """
        self.name = route.metadata.name
        self._sticky = route.sticky
        self._hostnames = route.spec.hostnames
        self._entries = [
            (Condition(match), target)
            for rule in route.spec.rules
            for target in [_target(rule, backends)]
            for match in rule.matches or [Match()]
        ]
        self._entries.sort(key=lambda entry: entry[0].precedence)  # stable: the order of rules decides ties

    def find(self, asked: Asked) -> Target | None:
        """The most specific rule's target; None: no rule matches."""
        if not self._host_holds(asked.host):
            return None
        return next((target for condition, target in self._entries if condition.holds(asked)), None)

    def key(self, headers: Headers, cookies: Mapping[str, str]) -> str | None:
        """What keeps a caller with one backend; None: the route is not sticky, or the request has no key."""
        if self._sticky is None:
            return None
        kind, name = self._sticky
        return (headers.get(name) if kind == "header" else cookies.get(name)) or None

    @property
    def reads_cookies(self) -> bool:
        """Whether `key` looks at cookies."""
        where: Literal["header", "cookie"] | None = self._sticky[0] if self._sticky else None
        return where == "cookie"

    def _host_holds(self, host: str) -> bool:
        return not self._hostnames or any(_is_host(host, name) for name in self._hostnames)


def edit(headers: CIMultiDict[str], modifier: HeaderModifier | None) -> None:
    """Apply a modifier in place."""
    if modifier is None:
        return
    for item in modifier.set:
        headers[item.name] = item.value
    for item in modifier.add:
        headers.add(item.name, item.value)
    for name in modifier.remove:
        headers.popall(name, None)


def _target(rule: Rule, backends: Mapping[str, str]) -> Target:
    edits = {item.type: item.request_header_modifier or item.response_header_modifier for item in rule.filters}
    mirrors = [item.request_mirror for item in rule.filters if item.request_mirror is not None]
    return Target(
        backends=tuple(_backend(reference, backends) for reference in rule.backend_refs if reference.weight),
        mirrors=tuple(
            Mirror(key, backends[key], mirror.share)
            for mirror in mirrors
            if mirror.share and (key := key_of(mirror.backend_ref, backends)) is not None
        ),
        request_edit=edits.get("RequestHeaderModifier"),
        response_edit=edits.get("ResponseHeaderModifier"),
    )


def _backend(reference: BackendRef, backends: Mapping[str, str]) -> Backend:
    key = key_of(reference, backends)
    assert key is not None, "load_route has refused a backend without a URL"
    return Backend(
        identity=f"{reference.name}:{reference.port}",
        label=key,
        url=backends[key],
        weight=reference.weight,
        request_edit=reference.filters[0].request_header_modifier if reference.filters else None,
    )


def _stripped(path: PathMatch) -> str:
    """A prefix without the slash at its end, which has no meaning."""
    return path.value.rstrip("/")


def _pattern(item: HeaderMatch) -> re.Pattern[str]:
    return re.compile(item.value if item.type == "RegularExpression" else re.escape(item.value))


def _header_holds(headers: Headers, name: str, pattern: re.Pattern[str]) -> bool:
    values = headers.getall(name, ())
    return bool(values) and pattern.fullmatch(",".join(values)) is not None


def _is_host(host: str, name: str) -> bool:
    return host.endswith(name[1:]) and host != name[1:] if name.startswith("*.") else host == name
