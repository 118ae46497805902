"""What a cluster does with a release, on one machine: servers for both arms, and a gateway that splits requests."""

import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from fairlead.adapters.endpoint import route_in_background, serve_in_background
from fairlead.errors import EndpointError
from fairlead.metrics import GATEWAY_CONFIG_LOADED
from fairlead.rollout.release import Release
from fairlead.rollout.routes import write_routes
from fairlead.rollout.serve import Arm, service_name

RELOAD_SECONDS = 20
"""Within which the gateway must have read new routes."""
LOADED = re.compile(rf"^{GATEWAY_CONFIG_LOADED.name} (\S+)$", re.MULTILINE)


@dataclass
class Laptop:
    """The two services of a model, and the gateway before them."""

    home: Path
    model: str
    environ: Mapping[str, str]
    services: Mapping[str, str]
    """Name → URL."""
    url: str = ""
    """Of the gateway."""
    metrics_url: str = ""
    _running: dict[Arm, tuple[str, ExitStack]] = field(default_factory=dict)
    """Arm → version that its server has."""

    @classmethod
    @contextmanager
    def run(cls, home: Path, model: str, environ: Mapping[str, str], stable: str) -> Iterator["Laptop"]:
        """Serve a version as stable for as long as the block runs.

        Args:
            home: holds `bundles/<version>`, and gets logs and routes.
            model: its name.
            environ: variables of the servers.
            stable: the version.
        """
        arms: tuple[Arm, ...] = ("stable", "candidate")
        services = {service_name(model, arm): f"http://127.0.0.1:{_free_port()}" for arm in arms}
        found = cls(home, model, environ, services)
        (home / "logs").mkdir(parents=True, exist_ok=True)
        routes = home / "route.yaml"
        write_routes(
            routes, Release.model_validate({"model": model, "stable": stable, "since": "2026-01-01T00:00:00Z"})
        )
        with ExitStack() as stack:
            stack.callback(found._stop_all)
            found.serve("stable", stable)
            found.url, found.metrics_url = stack.enter_context(
                route_in_background(routes, services, home / "logs" / "gateway.log")
            )
            yield found

    def apply(self, release: Release) -> None:
        """Make it so: a candidate answers before requests go there, and a server ends when none do."""
        if release.candidate is not None:
            self.serve("candidate", release.candidate)
        self._route(release)
        if release.candidate is None:
            self._stop("candidate")
        if release.stage == "promoted":
            self.serve("stable", release.stable)  # the candidate answers everything meanwhile

    def _route(self, release: Release) -> None:
        """Return when the gateway goes by the release."""
        began = time.time()
        if not write_routes(self.home / "route.yaml", release):
            return
        while (found := LOADED.search(httpx.get(f"{self.metrics_url}/metrics").text)) and float(found[1]) < began:
            if time.time() > began + RELOAD_SECONDS:
                raise EndpointError(f"the gateway must read new routes within {RELOAD_SECONDS} s, but did not")
            time.sleep(0.05)

    def _version(self, arm: Arm) -> str | None:
        return self._running[arm][0] if arm in self._running else None

    def serve(self, arm: Arm, version: str) -> None:
        """Start the server of an arm, and wait until it answers; one of that version that runs goes on."""
        if self._version(arm) == version:
            return
        self._stop(arm)
        port = int(self.services[service_name(self.model, arm)].rpartition(":")[2])
        stack, log = ExitStack(), self.home / "logs" / f"{arm}-{version}.log"
        bundle = self.home / "bundles" / version
        stack.enter_context(serve_in_background([bundle], log, http_port=port, environ=self.environ))
        self._running[arm] = version, stack

    def _stop(self, arm: Arm) -> None:
        if arm in self._running:
            self._running.pop(arm)[1].close()

    def _stop_all(self) -> None:
        for arm in list(self._running):
            self._stop(arm)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
