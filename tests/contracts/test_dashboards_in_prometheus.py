"""Every query of every panel has data in a real Prometheus that scrapes every metric of the catalogue."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead import metrics as m
from fairlead.panels.evaluate import evaluate
from fairlead.panels.query import parse
from fairlead.panels.recording import Recording
from fairlead.render.dashboards import DASHBOARDS
from tests.planted_metrics import GROUPS, Planted, emitting, healthy
from tests.prometheus_server import Prometheus, Target, prometheus_server

pytestmark = pytest.mark.prometheus
REPO = Path(__file__).parents[2]
FILES = sorted((REPO / DASHBOARDS).glob("*.json"))


def queries(path: Path) -> Iterator[tuple[str, str, str]]:
    """Title, query and legend of each line of each panel, with Grafana's variables filled in."""
    for panel in json.loads(path.read_text())["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"].replace("$namespace", ".*").replace("$environment", ".*")
            yield panel["title"], expr.replace("$__rate_interval", "4s"), target["legendFormat"]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that scrapes a model in trouble: some panels show only what is wrong."""
    planted = Planted()
    healthy(planted)
    planted.gauge(m.DRIFT_FEATURE, 1, kind="input")
    for detector in ("drift", "performance"):
        planted.remove(m.MONITOR_FAILED, detector=detector)
        planted.gauge(m.MONITOR_FAILED, 1, detector=detector, error="EngineMissingError")
    with (
        emitting(planted) as address,
        prometheus_server(tmp_path_factory.mktemp("prometheus"), [Target(address)], scrape_seconds=0.5) as server,
    ):
        yield server


def test_every_metric_of_the_catalogue_is_there(prometheus):
    for metric in (metric for group in GROUPS for metric in group):
        prometheus.wait_for(metric.name + ("_count" if metric.kind == "histogram" else ""))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_query_has_data_with_the_labels_of_its_legend(path, prometheus):
    asked = list(queries(path))
    assert len(asked) > 5
    for title, expr, legend in asked:
        found = prometheus.wait_for(expr)
        for labels, _ in found:
            missing = set(re.findall(r"{{(\w+)}}", legend)) - labels.keys()
            assert not missing, f"{title}: {expr} has no label {missing}"


def recorded(prometheus: Prometheus, at: float) -> Recording:
    """The raw samples of the last minute, as Prometheus has them."""
    found = Recording("canary", 2.0, 2.0)
    answer = prometheus.ask("query", query='{__name__=~"fairlead_.*"}[1m]', time=f"{at:.3f}")
    for series in answer["result"]:
        labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
        for moment, value in series["values"]:
            found.add(float(moment), series["metric"]["__name__"], labels, float(value))
    return found


def test_the_reports_own_evaluation_finds_what_prometheus_finds(prometheus):
    """Every query of every panel, at one instant that is no sample's, on the same samples."""
    for path in FILES:
        for _, expr, _ in queries(path):
            prometheus.wait_for(expr)
    at = time.time() - 0.5
    samples, compared = recorded(prometheus, at), 0
    for path in FILES:
        for title, expr, _ in queries(path):
            answer = prometheus.ask("query", query=expr, time=f"{at:.3f}")["result"]
            theirs = {
                frozenset((name, text) for name, text in one["metric"].items()): float(one["value"][1])
                for one in answer
            }
            ours = evaluate(parse(expr), samples, float(f"{at:.3f}"))
            theirs = {labels: value for labels, value in theirs.items() if value == value}
            assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9), f"{title}: {expr}"
            compared += len(theirs)
    assert compared > 60, "nothing by nothing is no value"
