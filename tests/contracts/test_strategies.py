"""What each strategy does to requests: the rules of one release file, on the local gateway and on a cluster's."""

import json
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from fairlead.adapters.endpoint import route_in_background
from fairlead.rollout.quality import Quality
from fairlead.rollout.release import Release
from fairlead.rollout.routes import write_routes
from fairlead.rollout.serve import ARM_HEADER, rules_of
from fairlead.rollout.stages import Abort, Observe, Settle, Start, step
from fairlead.spec.model import QualityRule, RolloutSpec

MODEL = "flight-delay"
PATH = f"/v1/models/{MODEL}:predict"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
IDLE = Release(model=MODEL, stable="3", since=NOW)
GOOD = Quality("not_worse", 2000, 0.1, 0.1, 0.02, 0.0, 5.0)
START = (Start, {"version": "4", "run": "r"})
ADVANCE = (Observe, {"verdict": "advance", "reason": "good", "quality": GOOD})
ABORT = (Abort, {"by": "ana", "reason": "no"})
SETTLE = (Settle, {})
AB = {"strategy": "ab", "quality": QualityRule(), "shadow_minutes": 0, "steps": [50]}


def after(*events: Any, **spec: Any) -> Release:
    release = IDLE
    for kind, fields in events:
        at = release.since + timedelta(minutes=20)
        release = step(release, kind(at=at, revision=release.revision, **fields), RolloutSpec(**spec))
    return release


class DataPlane(Protocol):
    """A gateway with two services behind it, each of which says its name."""

    name: str

    def apply(self, release: Release) -> None:
        """Return when the gateway goes by the release."""
        ...

    def ask(self, times: int = 1, **headers: str) -> Counter[str]:
        """Who answered."""
        ...

    def seen(self) -> Counter[str]:
        """Requests and copies that each service has had."""
        ...


ECHO = """
import http.server, os
seen = [0]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/seen":
            body = str(seen[0]).encode()
        else:
            seen[0] += 1
            body = os.environ["NAME"].encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


class Echo(ThreadingHTTPServer):
    """A service of this process."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        outer, self.seen = self, 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                outer.seen += 1
                self.send_response(200)
                self.send_header("content-length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Local:
    """The gateway of this repository."""

    name = "local"

    def __init__(self, url: str, metrics: str, routes: Path, services: Mapping[str, Echo]) -> None:
        self._metrics, self._routes, self._services = metrics, routes, services
        self._http = httpx.Client(base_url=url, trust_env=False)

    def apply(self, release: Release) -> None:
        before = self._loads()
        if not write_routes(self._routes, release):
            return
        while self._loads() == before:
            time.sleep(0.05)

    def ask(self, times: int = 1, **headers: str) -> Counter[str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return Counter(self._http.post(PATH, content=b"{}", headers=sent).text for _ in range(times))

    def seen(self) -> Counter[str]:
        time.sleep(0.3)  # copies come behind
        return Counter({name: one.seen for name, one in self._services.items()})

    def _loads(self) -> str:
        lines = httpx.get(f"{self._metrics}/metrics", trust_env=False).text.splitlines()
        return next(line for line in lines if line.startswith("fairlead_gateway_config_loaded_timestamp_seconds "))


class OnCluster:
    """The gateway of FAIRLEAD_TEST_GATEWAY."""

    name = "cluster"

    def __init__(self, namespace: Any, image: str) -> None:
        self._namespace, self._host = namespace, f"{uuid.uuid4().hex[:8]}.models.example.com"
        self._marker = 0
        self._http = httpx.Client(base_url=os.environ["FAIRLEAD_TEST_GATEWAY_URL"], trust_env=False, timeout=10)
        from tests.cluster.conftest import restricted_pod

        for arm in ("stable", "candidate"):
            name = f"{MODEL}-{arm}"
            environ = [{"name": "NAME", "value": arm}]
            pod = restricted_pod(name, image, command=["python", "-c", ECHO], env=environ)
            ports = [
                {"name": "http", "port": 80, "targetPort": 8080},
                {"name": "grpc", "port": 8081, "targetPort": 8080},
            ]
            service = {
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": {"selector": {"app": name}, "ports": ports},
            }  # fmt: skip
            namespace.apply(pod, service)
        namespace.apply(
            {
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "all-in"},
                "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
            }
        )  # fmt: skip
        for arm in ("stable", "candidate"):
            namespace.wait(f"{MODEL}-{arm}", "condition=Ready")

    def apply(self, release: Release) -> None:
        gateway, _, name = os.environ["FAIRLEAD_TEST_GATEWAY"].partition("/")
        self._marker += 1
        marker = {
            "matches": [{"path": {"type": "Exact", "value": f"/applied-{self._marker}"}}],
            "backendRefs": [{"name": f"{MODEL}-stable", "port": 80}],
        }
        spec = {
            "parentRefs": [{"name": name, "namespace": gateway}],
            "hostnames": [self._host],
            "rules": [*rules_of(release), marker],
        }
        route = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": MODEL},
            "spec": spec,
        }
        self._namespace.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=json.dumps(route))
        end = time.monotonic() + 60
        while self._http.get(f"/applied-{self._marker}", headers={"host": self._host}).status_code != 200:
            assert time.monotonic() < end, "the route must be taken within 60 s"
            time.sleep(0.2)

    def ask(self, times: int = 1, **headers: str) -> Counter[str]:
        sent = {"host": self._host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return Counter(self._http.post(PATH, content=b"{}", headers=sent).text for _ in range(times))

    def seen(self) -> Counter[str]:
        time.sleep(1)
        found: Counter[str] = Counter()
        for arm in ("stable", "candidate"):
            with self._namespace.forwarded(f"{MODEL}-{arm}", 8080) as url:
                found[arm] = int(httpx.get(f"{url}/seen", trust_env=False).text)
        return found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    folder = tmp_path_factory.mktemp("gateway")
    services = {arm: Echo(arm) for arm in ("stable", "candidate")}
    write_routes(folder / "route.yaml", IDLE)
    backends = {f"{MODEL}-{arm}": f"http://127.0.0.1:{one.server_address[1]}" for arm, one in services.items()}
    with route_in_background(folder / "route.yaml", backends, folder / "log") as (url, metrics):
        yield Local(url, metrics, folder / "route.yaml", services)
    for one in services.values():
        one.shutdown()
        one.server_close()


@pytest.fixture(params=["local", pytest.param("cluster", marks=pytest.mark.cluster)])
def plane(request: pytest.FixtureRequest) -> DataPlane:
    found: DataPlane = request.getfixturevalue("local" if request.param == "local" else "cluster_plane")
    return found


def test_without_a_candidate_stable_answers_everything(plane):
    plane.apply(IDLE)
    assert plane.ask(50) == {"stable": 50}


def test_a_shadow_copies_each_request_and_shows_no_answer_of_the_candidate(plane):
    plane.apply(after(START, strategy="shadow"))
    before = plane.seen()
    assert plane.ask(50) == {"stable": 50}
    assert plane.seen() - before == {"stable": 50, "candidate": 50}


def test_a_canary_gets_its_share(plane):
    plane.apply(after(START, shadow_minutes=0, steps=[25]))
    found = plane.ask(400)
    assert 60 <= found["candidate"] <= 145  # 100 ± 5 standard deviations
    assert found["stable"] == 400 - found["candidate"]


def test_blue_green_goes_from_copies_to_everything_and_back_at_once(plane):
    spec = {"strategy": "blue-green"}
    plane.apply(after(START, **spec))
    assert plane.ask(30) == {"stable": 30}
    plane.apply(after(START, ADVANCE, **spec))
    assert plane.ask(30) == {"candidate": 30}
    plane.apply(after(START, ADVANCE, ABORT, **spec))
    assert plane.ask(30) == {"stable": 30}


def test_in_an_ab_test_the_header_names_the_arm_and_the_weights_decide_for_the_rest(plane):
    plane.apply(after(START, **AB))
    header = ARM_HEADER.replace("-", "_")
    assert plane.ask(20, **{header: "candidate"}) == {"candidate": 20}
    assert plane.ask(20, **{header: "stable"}) == {"stable": 20}
    assert set(plane.ask(60)) == {"stable", "candidate"}


def test_in_an_ab_test_the_local_gateway_keeps_a_user_with_one_arm(local):
    local.apply(after(START, **AB))
    arms = [local.ask(5, x_fairlead_user=f"user-{number}") for number in range(20)]
    assert all(len(arm) == 1 for arm in arms)
    assert {next(iter(arm)) for arm in arms} == {"stable", "candidate"}


def test_while_a_promotion_settles_the_candidate_answers_and_then_stable(plane):
    promoted = after(START, ADVANCE, shadow_minutes=0, steps=[50])
    assert promoted.stage == "promoted"
    plane.apply(promoted)
    assert plane.ask(20) == {"candidate": 20}
    plane.apply(after(START, ADVANCE, SETTLE, shadow_minutes=0, steps=[50]))
    assert plane.ask(20) == {"stable": 20}
