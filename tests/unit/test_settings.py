"""Where things are kept: in one folder, or where the environment says."""

from pathlib import Path

import pytest

from fairlead.adapters.feature_store_yaml import read_feature_store
from fairlead.adapters.online import _redis_options
from fairlead.errors import FeatureError, HomeError
from fairlead.settings import Settings, from_environment, laptop, of_command

REPO = Path(__file__).parents[2]
PASSWORD = "p: #'\"{[}$x"
ENVIRONMENT = {
    "FAIRLEAD_REPO": str(REPO),
    "FAIRLEAD_TABLES_URI": "s3://bucket/tables",
    "FAIRLEAD_FEATURE_STORE": str(REPO / "feature_repo" / "envs" / "cluster" / "feature_store.yaml"),
    "FAIRLEAD_FEAST_URI": "s3://bucket/feast",
    "FAIRLEAD_TRACKING_URI": "http://mlflow:5000",
    "FAIRLEAD_ARTIFACTS_URI": "s3://bucket/mlflow",
    "FAIRLEAD_BUNDLES_URI": "s3://bucket/bundles",
    "FAIRLEAD_ONLINE_STORE": f"redis:6379,password={PASSWORD}",
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_command_keeps_all_in_its_home_unless_the_environment_names_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIRLEAD_REPO", str(REPO))
    monkeypatch.setenv("FAIRLEAD_ONLINE_STORE", "redis:6379")
    assert of_command(tmp_path, REPO) == laptop(tmp_path, REPO)


def test_a_command_takes_all_places_from_an_environment_that_names_them(
    tmp_path: Path, cluster: pytest.MonkeyPatch
) -> None:
    found = of_command(tmp_path, REPO)
    assert found == from_environment()
    assert (found.tables_uri, found.tracking_uri) == ("s3://bucket/tables", "http://mlflow:5000")


def test_an_environment_that_names_some_places_is_refused_and_no_home_is_taken_instead(
    tmp_path: Path, cluster: pytest.MonkeyPatch
) -> None:
    for name in ("FAIRLEAD_TABLES_URI", "FAIRLEAD_BUNDLES_URI"):
        cluster.delenv(name)
    told = "must set FAIRLEAD_TABLES_URI, FAIRLEAD_BUNDLES_URI, for it sets FAIRLEAD_FEATURE_STORE; without any of them"
    with pytest.raises(HomeError, match=told):
        of_command(tmp_path, REPO)


def test_what_is_secret_is_neither_shown_nor_among_the_variables_of_the_places(cluster: pytest.MonkeyPatch) -> None:
    settings = from_environment()
    assert PASSWORD not in repr(settings) + str(settings) + settings.model_dump_json() + str(settings.environ())
    assert settings.environ() == {name: value for name, value in ENVIRONMENT.items() if "ONLINE" not in name}
    assert settings.secrets() == {"FAIRLEAD_ONLINE_STORE": ENVIRONMENT["FAIRLEAD_ONLINE_STORE"]}


def test_the_places_are_found_again_from_their_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = laptop(tmp_path, REPO)
    for name, value in settings.environ().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings  # type: ignore[call-arg]


def test_a_feature_store_takes_any_password_as_it_is(cluster: pytest.MonkeyPatch) -> None:
    settings = from_environment()
    config = read_feature_store(settings)
    assert config["registry"] == "s3://bucket/feast/registry.db"
    assert config["online_store"]["connection_string"] == ENVIRONMENT["FAIRLEAD_ONLINE_STORE"]
    found = _redis_options(config["online_store"], settings.feature_store)
    assert found == {"host": "redis", "port": 6379, "password": PASSWORD}


def test_a_feature_store_without_the_secret_that_it_needs_says_which(cluster: pytest.MonkeyPatch) -> None:
    cluster.delenv("FAIRLEAD_ONLINE_STORE")
    with pytest.raises(FeatureError, match="the environment must set FAIRLEAD_ONLINE_STORE"):
        read_feature_store(from_environment())
