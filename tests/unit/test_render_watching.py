"""What is rendered of a model's watch: collector, its edges, and a job for drift."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from fairlead.errors import SpecError
from fairlead.render.manifests import manifests
from fairlead.render.manifests.collector import collector_url, deployment, pod_monitor, service
from fairlead.render.manifests.config_map import config_map
from fairlead.render.manifests.drift_job import drift_job
from fairlead.render.manifests.network_policies import network_policies
from fairlead.spec import load_model
from fairlead.spec.load import load_environment

REPO = Path(__file__).parents[2]
ENVIRONMENT = load_environment(REPO / "manifests/envs/dev/environment.yaml")
MODEL = load_model(REPO / "pipelines/models/flight-delay.yaml")
BY_ALIBI = MODEL.model_copy(update={"drift": MODEL.drift.model_copy(update={"engine": "alibi"})})
POD = deployment("ns")["spec"]["template"]
JOB = drift_job(MODEL, "ns")["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_servers_are_told_where_the_collectors_service_is():
    made = service("ns")
    assert config_map(ENVIRONMENT)["data"]["FAIRLEAD_COLLECTOR_URL"] == collector_url()
    assert collector_url() == f"http://{made['metadata']['name']}:{made['spec']['ports'][0]['port']}"
    silent = ENVIRONMENT.model_copy(update={"records": False})
    assert "FAIRLEAD_COLLECTOR_URL" not in config_map(silent)["data"]


def test_service_monitor_and_policies_find_the_collectors_pod():
    labels, ports = POD["metadata"]["labels"], {port["name"] for port in POD["spec"]["containers"][0]["ports"]}
    assert service("ns")["spec"]["selector"].items() <= labels.items()
    assert pod_monitor("ns")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert {item["port"] for item in pod_monitor("ns")["spec"]["podMetricsEndpoints"]} <= ports
    policies = network_policies(ENVIRONMENT)
    for name in ("collector-from-serving", "collector-to-storage", "prometheus-to-collector"):
        assert policies[name][0]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_every_alert_that_asks_for_a_retraining_reaches_the_collector():
    files = manifests(REPO)
    folder = Path("manifests/envs/dev")
    rules, config = (
        YAML(typ="safe").load(files[folder / name])
        for name in ("flight-delay/prometheus-rule.yaml", "common/alertmanager-config.yaml")
    )
    asking = [rule["labels"] for group in rules["spec"]["groups"] for rule in group["rules"]]
    asking = [labels for labels in asking if "retraining" in labels]
    [match] = config["spec"]["route"]["matchers"]
    assert asking
    assert all(re.fullmatch(match["value"], labels[match["name"]]) for labels in asking)
    # By it the operator tells the alerts of one namespace from another's.
    assert {labels["namespace"] for labels in asking} == {config["metadata"]["namespace"]}
    [webhook] = config["spec"]["receivers"][0]["webhookConfigs"]
    made = service("fairlead-dev")
    host = f"{made['metadata']['name']}.fairlead-dev.svc:{made['spec']['ports'][0]['port']}"
    assert webhook == {"url": f"http://{host}/alertmanager", "sendResolved": True}


@pytest.mark.parametrize("pod", [POD["spec"], JOB], ids=["collector", "drift"])
def test_pods_may_do_nothing_more_than_they_need_and_write_to_volumes_only(pod):
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_the_spool_is_on_a_volume_that_outlives_the_container():
    container = POD["spec"]["containers"][0]
    [folder] = [word.partition("=")[2] for word in container["args"] if word.startswith("--spool-folder=")]
    mount = next(mount for mount in container["volumeMounts"] if mount["name"] == "spool")
    assert folder.startswith(f"{mount['mountPath']}/")


def test_the_job_runs_when_the_model_file_says():
    job = drift_job(MODEL, "ns")["spec"]
    assert (job["schedule"], job["concurrencyPolicy"]) == (MODEL.drift.schedule, "Forbid")
    assert JOB["containers"][0]["command"][:3] == ["fairlead", "drift", "flight-delay"]
    assert "initContainers" not in JOB


def test_alibi_compares_beside_the_job_and_has_no_credentials():
    pod = drift_job(BY_ALIBI, "ns")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [worker] = pod["initContainers"]
    assert worker["restartPolicy"] == "Always"
    assert "envFrom" not in worker
    assert {"name": "FAIRLEAD_ALIBI_FOLDER", "value": worker["args"][0]} in pod["containers"][0]["env"]
    for container in (worker, pod["containers"][0]):
        assert {"name": "exchange", "mountPath": worker["args"][0]} in container["volumeMounts"]


def one_model(folder: Path, old: str, new: str) -> None:
    """An environment with one model, of which something is changed."""
    for name in ("argocd/settings.yaml", "manifests/envs/dev/environment.yaml", "manifests/envs/dev/images.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text((REPO / name).read_text())
    scale = folder / "manifests/envs/dev/flight-delay/scale.yaml"
    scale.parent.mkdir()
    scale.write_text((REPO / "manifests/envs/dev/flight-delay/scale.yaml").read_text())
    model = folder / "pipelines/models/flight-delay.yaml"
    model.parent.mkdir(parents=True)
    model.write_text((REPO / "pipelines/models/flight-delay.yaml").read_text().replace(old, new))


def test_a_model_watched_by_alibi_needs_its_image(tmp_path: Path):
    one_model(tmp_path, "drift:\n", "drift:\n  engine: alibi\n")
    with pytest.raises(SpecError, match="must name the image `alibi`, by which flight-delay is watched"):
        manifests(tmp_path)
    images = tmp_path / "manifests/envs/dev/images.yaml"
    images.write_text(images.read_text() + "alibi: fairlead/alibi:0.1.0\n")
    files = manifests(tmp_path)
    whole = YAML(typ="safe").load(files[Path("manifests/envs/dev/common/kustomization.yaml")])
    assert {"name": "fairlead/alibi", "newName": "fairlead/alibi", "newTag": "0.1.0"} in whole["images"]
    assert "cron-job-flight-delay-drift.yaml" in whole["resources"]


POLICY = Path("manifests/envs/dev/common/network-policy-rollout-to-storage.yaml")
CONTROLLER = Path("manifests/envs/dev/common/deployment-rollout.yaml")


@pytest.mark.parametrize("rule", ["quality: {}", "answers: {}"])
def test_the_controller_reaches_storage_where_a_model_is_judged_by_its_answers(tmp_path: Path, rule: str):
    one_model(tmp_path, "rollout:\n", f"rollout:\n  {rule}\n")
    files = manifests(tmp_path)
    pod = YAML(typ="safe").load(files[CONTROLLER])["spec"]["template"]
    [container] = pod["spec"]["containers"]
    assert {"secretRef": {"name": "fairlead-storage"}} in container["envFrom"]
    assert container["resources"]["limits"]["memory"] == "3Gi"
    policy = YAML(typ="safe").load(files[POLICY])["spec"]
    assert policy["podSelector"]["matchLabels"] == pod["metadata"]["labels"]
    assert POLICY.name in files[POLICY.with_name("kustomization.yaml")]


def test_and_has_no_credentials_of_it_where_none_is(tmp_path: Path):
    one_model(tmp_path, "", "")
    files = manifests(tmp_path)
    assert POLICY not in files
    assert "fairlead-storage" not in files[CONTROLLER]


def test_answers_that_nobody_records_cannot_be_judged(tmp_path: Path):
    one_model(tmp_path, "rollout:\n", "rollout:\n  quality: {}\n")
    environment = tmp_path / "manifests/envs/dev/environment.yaml"
    environment.write_text(environment.read_text().replace("records: true", "records: false"))
    with pytest.raises(SpecError, match="must say `records: true`, for the releases of flight-delay"):
        manifests(tmp_path)
