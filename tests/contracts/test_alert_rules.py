"""Rules and their cases, as Prometheus' own tool reads and runs them."""

import subprocess

import pytest
import yaml

from tests.alert_rules import REPO, RULES

pytestmark = pytest.mark.prometheus
CASES = sorted((REPO / "monitoring/rules_test").glob("*.yaml"))
OF_CLUSTERS = sorted((REPO / "manifests/envs").rglob("prometheus-rule.yaml"))


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_rules_hold(path):
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", OF_CLUSTERS, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_rules_of_a_cluster_hold(path, tmp_path):
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(yaml.safe_load(path.read_text())["spec"]))
    done = promtool("check", "rules", str(tmp_path / "rules.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_and_are_quiet_as_their_cases_say(path):
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_environment_does_not_hear_of_another_on_the_same_prometheus(tmp_path):
    rules = REPO / "manifests/envs/dev/flight-delay/prometheus-rule.yaml"
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(yaml.safe_load(rules.read_text())["spec"]))
    series = 'fairlead_live_decay{model="flight-delay", version="3", namespace="%s"}'
    quiet = {
        "interval": "1m",
        "input_series": [{"series": series % "fairlead-production", "values": "1x10"}],
        "alert_rule_test": [{"alertname": "ModelDecay", "eval_time": "5m", "exp_alerts": []}],
    }
    expected = {"alertname": "ModelDecay", "alertstate": "firing", "model": "flight-delay", "severity": "warning"}
    expected |= {"environment": "dev", "namespace": "fairlead-dev", "retraining": "decay", "version": "3"}
    labels = ", ".join(f'{name}="{value}"' for name, value in expected.items())
    case = {"expr": 'ALERTS{alertname="ModelDecay"}', "eval_time": "5m"}
    loud = {
        "interval": "1m",
        "input_series": [{"series": series % "fairlead-dev", "values": "1x10"}],
        "promql_expr_test": [{**case, "exp_samples": [{"labels": f"ALERTS{{{labels}}}", "value": 1}]}],
    }
    content = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [quiet, loud]}
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(content))
    done = promtool("test", "rules", str(tmp_path / "case.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
