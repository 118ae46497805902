"""The registry: what of a run is kept, which versions there are, and who becomes challenger and champion."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairlead.adapters.mlflow import TAG_DIGEST, MlflowRegistry, RegisteredVersion
from fairlead.errors import RegistryError
from fairlead.evaluation import GateResult
from fairlead.evaluation.evaluate import evaluate
from fairlead.features.statistics import describe_columns, describe_periods
from fairlead.lineage.digest import hash_json
from fairlead.lineage.record import Plan, RunRecord
from fairlead.packaging.bundle import load_bundle
from fairlead.packaging.session import ScoringSession
from fairlead.settings import Settings, laptop
from fairlead.tables.ingest import IngestedTable
from fairlead.tables.quality import QualityReport
from fairlead.training.splits import Periods
from fairlead.training.tuning import TrialRecord
from tests.mlflow_server import mlflow_server, wait
from tests.unit import training_example as example

REFUSAL = GateResult("roc_auc", False, "roc_auc >= 0.9", 0.8, "0.8 is 0.1 beyond the bound")
PRUNED = TrialRecord(
    number=1, candidate="logistic", params={"C": 0.1}, value=0.6, state="pruned", folds=[0.6], seconds=0.2
)
SOURCE = "ab" * 32
MARCH, APRIL = "2024-03-21T00:00:00+00:00", "2024-04-21T00:00:00+00:00"


@dataclass(frozen=True)
class Made:
    """A run's record and the bundle it made."""

    record: RunRecord
    bundle: Path

    def of(self, name: str, champion: str = "", as_of: str = MARCH) -> "Made":
        """As if another model had been made, or at another time: another bundle."""
        plan = self.record.plan.model_copy(update={"model": example.model(name), "champion": champion, "as_of": as_of})
        bundle = self.record.bundle.model_copy(update={"model": name, "as_of": as_of})
        return replace(self, record=self.record.model_copy(update={"plan": plan, "bundle": bundle}))

    def refused(self) -> "Made":
        evaluation = self.record.evaluation.model_copy(update={"gates": [REFUSAL]})
        return replace(self, record=self.record.model_copy(update={"evaluation": evaluation}))

    @property
    def digest(self) -> str:
        return hash_json(self.record.bundle.model_dump(mode="json"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, data, spec = tmp_path_factory.mktemp("bundle"), example.training_set(), example.model()
    training, parity = example.packaged(folder, data)
    training = training.model_copy(update={"trials": [*training.trials, PRUNED], "params": {"C": 0.5}})
    table = IngestedTable(
        name="trips",
        source="file:///trips.csv",
        sha256=SOURCE,
        rows=480,
        columns=4,
        version=3,
        ingested_at="2024-03-21",
        code_version="src-0",
        reused=False,
    )
    as_of = example.AS_OF.isoformat()
    plan = Plan(
        dataset=example.dataset(), model=spec, sources={"trips": SOURCE}, as_of=as_of, code_version="src-0", champion=""
    )
    record = RunRecord(
        plan=plan,
        git_commit="0" * 40,
        lock="lock-0",
        fairlead_version="0",
        tables=[table],
        quality=QualityReport(dataset="trips", as_of=datetime(2024, 3, 21, tzinfo=UTC), results=()),
        versions={"trips/clean/trips": 3},
        periods=describe_periods(data, Periods.before(example.AS_OF, spec.split, "UTC")),
        columns=describe_columns(data, training.signature),
        training=training,
        parity=parity,
        evaluation=evaluate(spec, folder, training, parity, data, None),
        bundle=load_bundle(folder),
    )
    return Made(record, folder)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("http", marks=pytest.mark.slow)])
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("home")
    here = laptop(home, home)
    if request.param == "sqlite":
        yield here
        return
    with mlflow_server(home / "server", here.artifacts_uri) as url:
        wait(url)
        yield here.model_copy(update={"tracking_uri": url})


@pytest.fixture(scope="module")
def registry(settings: Settings) -> MlflowRegistry:
    return MlflowRegistry(settings)


@pytest.fixture(scope="module")
def first(registry: MlflowRegistry, made: Made) -> RegisteredVersion:
    """The first version of trip-delay."""
    return register(registry, made)


@pytest.fixture
def client(settings: Settings, registry: MlflowRegistry) -> Any:
    """MLflow itself, to look behind the registry."""
    with registry._client():
        pass
    from mlflow import MlflowClient

    return MlflowClient(settings.tracking_uri, registry_uri=settings.tracking_uri)


def register(registry: MlflowRegistry, made: Made) -> RegisteredVersion:
    return registry.register(made.record, made.bundle, {"roc.svg": "<svg/>"})


def runs_of(client: Any, name: str, condition: str = "") -> list[Any]:
    experiment = client.get_experiment_by_name(name)
    return list(client.search_runs([experiment.experiment_id], condition))


def artifact(client: Any, run_id: str, name: str, folder: Path) -> str:
    return Path(client.download_artifacts(run_id, name, str(folder))).read_text()


def test_an_accepted_model_becomes_the_challenger(first: RegisteredVersion) -> None:
    assert (first.model, first.version, first.status, first.reasons) == ("trip-delay", "1", "accepted", [])
    assert first.aliases == ["challenger"]


def test_a_run_keeps_its_parameters_metrics_and_sources(client: Any, first: RegisteredVersion, made: Made) -> None:
    run = client.get_run(first.run_id)
    assert run.info.status == "FINISHED"
    assert {"candidate": "logistic", "best.C": "0.5", "version.trips/clean/trips": "3", "champion": "none"}.items() <= (
        run.data.params.items()
    )
    assert run.data.params["rows.train"] == "288"
    assert run.data.metrics["test_roc_auc"] == pytest.approx(made.record.evaluation.metrics["roc_auc"].value)
    (source,) = run.inputs.dataset_inputs
    assert (source.dataset.name, source.dataset.digest) == ("trips", SOURCE[:32])
    assert json.loads(source.dataset.source) == {"uri": "file:///trips.csv", "delta_version": 3, "rows": 480}


def test_every_trial_is_a_run_below_its_parent(client: Any, first: RegisteredVersion) -> None:
    trials = runs_of(client, "trip-delay", f"tags.`mlflow.parentRunId` = '{first.run_id}'")
    by_name = {run.info.run_name: run for run in trials}
    assert {name: run.info.status for name, run in by_name.items()} == {
        "trial 0 logistic": "FINISHED",
        "trial 1 logistic": "KILLED",
    }
    folds = client.get_metric_history(by_name["trial 0 logistic"].info.run_id, "fold_roc_auc")
    assert [(fold.step, fold.value) for fold in folds] == [(0, 0.7), (1, 0.8)]
    assert by_name["trial 1 logistic"].data.params == {"candidate": "logistic", "C": "0.1"}


def test_the_record_is_kept_whole_with_its_plots(
    client: Any, registry: MlflowRegistry, first: RegisteredVersion, made: Made, tmp_path: Path
) -> None:
    assert registry.record(first).model_dump_json() == made.record.model_dump_json()
    kept = artifact(client, first.run_id, "record.json", tmp_path)
    assert RunRecord.model_validate_json(kept).model_dump_json() == made.record.model_dump_json()
    assert artifact(client, first.run_id, "plots/roc.svg", tmp_path) == "<svg/>"


def test_the_model_is_read_from_the_registry_with_its_signature_and_bundle(
    client: Any, first: RegisteredVersion, made: Made, tmp_path: Path
) -> None:
    import mlflow

    model = mlflow.pyfunc.load_model(f"models:/{first.model}@challenger")
    matrix = np.array([[2, 12, np.nan, 0.7], [-1, 6, 20, 0.1]], dtype=np.float32)
    right = ScoringSession.open(made.bundle).probabilities(matrix)
    np.testing.assert_array_equal(model.predict(matrix)["probabilities"], right)
    described = model.metadata.signature.to_dict()
    assert json.loads(described["inputs"])[0]["tensor-spec"] == {"dtype": "float32", "shape": [-1, 4]}
    assert artifact(client, first.run_id, "bundle.json", tmp_path) == (made.bundle / "bundle.json").read_text()


def test_registering_the_same_bundle_again_gives_the_same_version(
    client: Any, registry: MlflowRegistry, first: RegisteredVersion, made: Made
) -> None:
    before = len(runs_of(client, first.model))
    assert register(registry, made) == first
    assert [item.version for item in registry.versions(first.model)] == ["1"]
    assert len(runs_of(client, first.model)) == before


def test_another_bundle_is_another_version_and_the_new_challenger(registry: MlflowRegistry, made: Made) -> None:
    register(registry, made.of("newer"))
    second = register(registry, made.of("newer", as_of=APRIL))
    assert (second.version, second.aliases) == ("2", ["challenger"])
    assert [(item.version, item.aliases) for item in registry.versions("newer")] == [("2", ["challenger"]), ("1", [])]


def test_what_a_killed_registration_left_is_removed(
    client: Any, settings: Settings, registry: MlflowRegistry, made: Made
) -> None:
    killed = made.of("killed")
    experiment = client.create_experiment("killed", artifact_location=f"{settings.artifacts_uri}/killed")
    left = client.create_run(experiment, tags={TAG_DIGEST: killed.digest})
    trial = client.create_run(experiment, tags={"mlflow.parentRunId": left.info.run_id})
    other = client.create_run(experiment, tags={TAG_DIGEST: "of another bundle"})
    version = register(registry, killed)
    there = {run.info.run_id for run in runs_of(client, "killed")}
    assert {version.run_id, other.info.run_id} <= there
    assert not {left.info.run_id, trial.info.run_id} & there
    assert len(there) == 4


def test_a_refused_model_is_kept_with_the_reasons_and_without_an_alias(registry: MlflowRegistry, made: Made) -> None:
    version = register(registry, made.of("refused").refused())
    assert (version.status, version.aliases) == ("refused", [])
    assert version.reasons == ["roc_auc >= 0.9: 0.8 is 0.1 beyond the bound"]


def test_a_refused_model_does_not_take_the_place_of_the_challenger(registry: MlflowRegistry, made: Made) -> None:
    register(registry, made.of("keeps"))
    register(registry, made.of("keeps", as_of=APRIL).refused())
    assert registry.resolve("keeps", "challenger").version == "1"


def test_a_refused_model_cannot_be_promoted(registry: MlflowRegistry, made: Made) -> None:
    version = register(registry, made.of("unpromoted").refused())
    with pytest.raises(RegistryError, match=r"unpromoted@1 was refused by its gates and stays so: roc_auc >= 0.9: 0.8"):
        registry.promote(version)
    assert registry.resolve("unpromoted", "1").aliases == []


def test_a_version_that_was_refused_stays_so_when_its_bundle_is_registered_again(
    registry: MlflowRegistry, made: Made
) -> None:
    register(registry, made.of("stays").refused())
    again = register(registry, made.of("stays"))
    assert (again.version, again.status, again.aliases) == ("1", "refused", [])


def test_a_promoted_version_is_the_champion_until_another_one_is(registry: MlflowRegistry, made: Made) -> None:
    first = register(registry, made.of("promoted"))
    registry.promote(first)
    second = register(registry, made.of("promoted", champion="1", as_of=APRIL))
    assert registry.resolve("promoted", "champion").version == "1"
    registry.promote(second)
    assert registry.resolve("promoted", "champion").version == "2"
    assert registry.resolve("promoted", "1").aliases == []


def test_without_a_champion_there_is_none_to_beat(registry: MlflowRegistry, made: Made) -> None:
    assert registry.champion_to_beat(made.of("never-made").record.plan) == ""
    register(registry, made.of("unbeaten"))
    assert registry.champion_to_beat(made.of("unbeaten").record.plan) == ""


def test_a_run_has_to_beat_the_champion(registry: MlflowRegistry, made: Made) -> None:
    registry.promote(register(registry, made.of("beaten")))
    later = made.of("beaten", as_of=APRIL)
    assert registry.champion_to_beat(later.record.plan) == "1"


def test_a_run_that_made_the_champion_is_compared_as_it_was_the_first_time(
    registry: MlflowRegistry, made: Made
) -> None:
    registry.promote(register(registry, made.of("again")))
    assert registry.champion_to_beat(made.of("again").record.plan) == ""
    later = made.of("again", champion="1", as_of=APRIL)
    registry.promote(register(registry, later))
    assert registry.champion_to_beat(later.record.plan) == "1"
    assert registry.champion_to_beat(made.of("again", as_of=APRIL).record.plan) == "1"


def test_a_champion_from_after_the_time_of_a_run_is_none(registry: MlflowRegistry, made: Made) -> None:
    registry.promote(register(registry, made.of("later", as_of=APRIL)))
    assert registry.champion_to_beat(made.of("later", as_of=MARCH).record.plan) == ""
    other = made.of("later", as_of=APRIL).record.plan.model_copy(update={"code_version": "src-1"})
    assert registry.champion_to_beat(other) == "1"


def test_a_version_is_found_by_its_number_and_by_its_alias(registry: MlflowRegistry, first: RegisteredVersion) -> None:
    assert registry.resolve("trip-delay", "1") == registry.resolve("trip-delay", "challenger") == first
    assert "trip-delay" in registry.models()


def test_what_is_read_from_the_database_is_what_mlflow_says(
    client: Any, settings: Settings, registry: MlflowRegistry, made: Made
) -> None:
    registry.promote(register(registry, made.of("read")))
    register(registry, made.of("read", as_of=APRIL).refused())
    deleted = register(registry, made.of("read", as_of="2024-05-21T00:00:00+00:00"))
    client.delete_model_version("read", deleted.version)
    asked = MlflowRegistry(settings)
    asked._reader = None
    assert registry.versions("read") == asked.versions("read")
    assert [item.version for item in registry.versions("read")] == ["2", "1"]
    assert registry.models() == asked.models()
    version = registry.resolve("read", "champion")
    assert registry.record(version).model_dump_json() == asked.record(version).model_dump_json()


def test_looking_into_an_empty_home_makes_nothing(tmp_path: Path) -> None:
    empty = MlflowRegistry(laptop(tmp_path / "home", tmp_path))
    assert empty.models() == []
    with pytest.raises(RegistryError, match="there is no model 'trip-delay'; there are none"):
        empty.versions("trip-delay")
    assert not (tmp_path / "home").exists()


def test_a_declared_model_without_a_version_says_how_to_train_one(tmp_path: Path) -> None:
    file = tmp_path / "pipelines" / "models" / "trip-delay.yaml"
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(RegistryError, match="trip-delay has no version yet; train one: fairlead run trip-delay"):
        MlflowRegistry(laptop(tmp_path / "home", tmp_path)).resolve("trip-delay", "1")


def test_an_unknown_model_is_refused_with_the_nearest_name(registry: MlflowRegistry, first: RegisteredVersion) -> None:
    with pytest.raises(RegistryError, match="there is no model 'trip-dealy'; did you mean 'trip-delay'"):
        registry.resolve("trip-dealy", "1")


def test_an_unknown_version_is_refused_with_the_nearest_or_all(
    registry: MlflowRegistry, first: RegisteredVersion
) -> None:
    with pytest.raises(RegistryError, match=r"no version trip-delay@chalenger; did you mean 'challenger'"):
        registry.resolve("trip-delay", "chalenger")
    with pytest.raises(RegistryError, match=r"no version trip-delay@7; there are 1, challenger"):
        registry.resolve("trip-delay", "7")


def test_a_server_that_does_not_answer_is_told_on_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nowhere = laptop(tmp_path, tmp_path).model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    with pytest.raises(RegistryError, match=r"^MLflow at http://127\.0\.0\.1:9: .*$"):
        MlflowRegistry(nowhere).models()
