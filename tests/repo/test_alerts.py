"""Alerts and dashboards as they are committed: named by the catalogue, each with its cases and its runbook."""

import json
import re
from pathlib import Path

import pytest
import yaml

from fairlead import metrics as catalogue
from fairlead.render.alerts._base import kebab
from fairlead.render.alerts.platform import OF_OTHERS
from fairlead.render.dashboards import DASHBOARDS
from fairlead.render.files import compare, rules
from tests.alert_rules import REPO, RULES, alerts, rules_of
from tests.planted_metrics import GROUPS

ALERTS = alerts()
RUNBOOKS = REPO / "docs/runbooks"
CASES = sorted((REPO / "monitoring/rules_test").glob("*.yaml"))
BOARDS = sorted((REPO / DASHBOARDS).glob("*.json"))
OF_CLUSTERS = sorted((REPO / "manifests/envs").rglob("prometheus-rule.yaml"))
CONFIG_MAP_BYTES = 2**20
CATALOGUE = {metric.name: metric for group in GROUPS for metric in group}
SUFFIXES = ("_bucket", "_count", "_sum")
WORDS = {
    "absent", "and", "bottomk", "by", "histogram_quantile", "increase", "inf", "max", "min", "offset", "on", "or",
    "rate", "sum", "time", "topk", "unless", "vector",
}  # fmt: skip
"""Of PromQL, as far as it is used."""


def names(expr: str) -> set[str]:
    """Names of series in PromQL: words that are no function, no label and in no string."""
    bare = re.sub(r"\b(by|on)\s*\([^)]*\)", "", re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|'[^']*'", "", expr))
    found = re.findall(r"(?<![\w:$.])[A-Za-z_][\w:]*", re.sub(r"offset\s+\w+", "", bare))
    return {name for name in found if name.lower() not in WORDS}


def known(name: str, recorded: set[str]) -> bool:
    if name in recorded | OF_OTHERS:
        return True
    for suffix in SUFFIXES:
        if name.endswith(suffix) and CATALOGUE.get(name.removesuffix(suffix), catalogue.IN_FLIGHT).kind == "histogram":
            return True
    return name in CATALOGUE and CATALOGUE[name].kind != "histogram"


def panels(path: Path) -> list[str]:
    document = json.loads(path.read_text())
    return [target["expr"] for panel in document["panels"] for target in panel.get("targets", [])]


def test_rules_are_fresh():
    assert compare(REPO, rules(REPO)) == ([], []), "run `make render`"


def test_names_are_found_in_promql():
    expr = 'max by (model) (a_total{b="c or d"}) * Inf or e:f:rate5m > 4 unless g_total offset 30m'
    assert names(expr) == {"a_total", "e:f:rate5m", "g_total"}
    assert not known("fairlead_request_seconds", set()), "a histogram has no series of its own name"
    assert not known("fairlead_requests", set())


@pytest.mark.parametrize("path", [*RULES, *OF_CLUSTERS], ids=lambda path: "-".join(path.parts[-3:]))
def test_a_rule_uses_only_names_of_the_catalogue(path):
    rules = rules_of(path)
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        assert names(rule["expr"]), rule
        for text in [rule["expr"], *re.findall(r'query "([^"]*)"', str(rule.get("annotations", "")))]:
            for name in names(text):
                assert known(name, recorded), f"{name} of {rule}"


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_panel_uses_only_names_of_the_catalogue(path):
    for expr in panels(path):
        assert names(expr), expr
        assert all(known(name, set()) for name in names(expr)), expr


def test_every_metric_of_a_model_is_in_some_panel():
    shown = " ".join(expr for path in BOARDS for expr in panels(path))
    local = {metric.name for metric in catalogue.GATEWAY}
    assert [name for name in CATALOGUE if name not in shown and name not in local] == []


@pytest.mark.parametrize("path", OF_CLUSTERS, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_a_rule_of_a_cluster_looks_at_its_own_environment_alone(path):
    environment = path.parts[-3]
    for rule in rules_of(path):
        assert rule["labels"]["environment"] == environment
        for name, matchers in re.findall(r"\b(fairlead[\w:]*|up)(\{[^}]*\})?", rule["expr"]):
            assert f'namespace="fairlead-{environment}"' in matchers or f'environment="{environment}"' in matchers, name


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_how_bad_and_what_to_do(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{kebab(name)}.md")


def test_few_alerts_wake_a_person():
    critical = {name for name, rule in ALERTS.items() if rule["labels"]["severity"] == "critical"}
    assert critical == {
        "ErrorBudgetBurnsFast", "LatencyBudgetBurnsFast", "ModelServerAbsent", "RequestsRefused", "CollectorAbsent"
    }  # fmt: skip


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {kebab(name) for name in ALERTS}


@pytest.mark.parametrize("name", ALERTS)
def test_a_runbook_has_its_four_parts_and_commands(name):
    text = (RUNBOOKS / f"{kebab(name)}.md").read_text(encoding="utf-8")
    assert re.findall(r"^#+ .*$", text, re.MULTILINE) == [
        f"# {name}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"
    ]  # fmt: skip
    assert all(part.strip() for part in re.split(r"^#+ .*$", text, flags=re.MULTILINE)[1:][1:])
    diagnosis = text.partition("## Diagnosis")[2].partition("## Mitigation")[0]
    assert "```" in diagnosis
    for query in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
        assert all(known(found, set()) for line in query.splitlines() for found in names(line)), query
    for link in re.findall(r"\]\(([^)#:]+\.md)\)", text):
        assert (RUNBOOKS / link).is_file(), link


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet():
    firing, quiet = set(), set()
    for path in CASES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            quiet |= {item["alertname"] for item in case.get("alert_rule_test", []) if not item["exp_alerts"]}
            for item in case.get("promql_expr_test", []):
                found = re.search(r'alertname="(\w+)"', item["expr"])
                if found and item["exp_samples"]:
                    firing.add(found[1])
    assert firing == set(ALERTS)
    assert quiet == set(ALERTS)


def test_dashboards_fit_into_config_maps_which_grafana_looks_for():
    whole = yaml.safe_load((REPO / DASHBOARDS / "kustomization.yaml").read_text())
    assert whole["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}
    named = [name for item in whole["configMapGenerator"] for name in item["files"]]
    assert sorted(named) == [path.name for path in BOARDS]
    assert all(path.stat().st_size < CONFIG_MAP_BYTES / 2 for path in BOARDS)
    identifiers = [json.loads(path.read_text())["uid"] for path in BOARDS]
    assert len(set(identifiers)) == len(BOARDS)
    assert all(len(uid) <= 40 for uid in identifiers), "Grafana takes no longer ones"
