"""Every query of every panel has data in a real Prometheus that scrapes every metric of the catalogue."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead import metrics as m
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
