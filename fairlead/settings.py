"""What the environment supplies: where things are kept. Read once, at an entry point; prefix `FAIRLEAD_`."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fairlead.errors import HomeError

DEFAULT_HOME = ".fairlead"
"""The home of the commands, unless told otherwise."""


SECRETS = {"online_store"}


class Settings(BaseSettings):
    """Where things are kept. No place has a default: a deployment states all of them."""

    model_config = SettingsConfigDict(
        env_prefix="FAIRLEAD_", frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    repo: Path
    """The checkout that holds feature_repo/ and pipelines/."""
    tables_uri: str
    """Root of the Delta tables, a folder or `s3://`: `<root>/<dataset>/{raw,clean,features}/<table>`."""
    feature_store: Path
    """The feature_store.yaml of this environment."""
    feast_uri: str
    """Root of Feast's registry and, on a laptop, of its online store: a folder, or `s3://`."""
    tracking_uri: str
    """MLflow's address, or a database URI."""
    artifacts_uri: str
    """Where MLflow keeps artifacts."""
    bundles_uri: str
    """Root of the released bundles, a folder or `s3://`: `<root>/<model>/<version>/`."""
    online_store: SecretStr | None = None
    """How the online store is reached, as its section of feature_store.yaml wants it; it may hold a password."""

    def environ(self) -> dict[str, str]:
        """The variables that make `from_environment` return these settings, but for `secrets`."""
        return {_variable(name): str(value) for name, value in self.model_dump(exclude=SECRETS).items()}

    def secrets(self) -> dict[str, str]:
        """The variables that must not be shown; a child process inherits them."""
        return {_variable("online_store"): self.online_store.get_secret_value()} if self.online_store else {}


def from_environment() -> Settings:
    """Read the settings of this process.

    Raises:
        HomeError: a variable is missing; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        missing = ", ".join(_variable(str(detail["loc"][0])) for detail in error.errors())
        raise HomeError(f"the environment must set {missing}") from None


def of_command(home: Path, repo: Path) -> Settings:
    """Where a command keeps things: where the environment says, if it names one of the places; else all in `home`.

    Raises:
        HomeError: the environment names some of the places, but not all.
    """
    places = [name for name, field in Settings.model_fields.items() if field.is_required() and name != "repo"]
    named = [name for name in map(_variable, places) if os.environ.get(name)]
    if not named:
        return laptop(home, repo)
    try:
        return from_environment()
    except HomeError as error:
        raise HomeError(f"{error}, for it sets {named[0]}; without any of them everything is kept in --home") from None


class RecordSettings(BaseSettings):
    """Where the records of predictions go. Without a collector nothing is recorded, and nothing else is needed."""

    model_config = SettingsConfigDict(
        env_prefix="FAIRLEAD_", frozen=True, extra="ignore", use_attribute_docstrings=True, env_ignore_empty=True
    )

    collector_url: str | None = Field(default=None, pattern=r"^https?://[^/\s]+")
    """The collector's address; None: no records."""
    spool_folder: Path | None = None
    """Where records wait until they are delivered. It must outlive the process, and for no loss the pod."""
    spool_bytes: int | None = Field(default=None, ge=65_536)
    """Most that one server process may keep there."""
    spool_when_full: Literal["drop_oldest", "refuse"] | None = None
    """Give up the oldest records, or refuse requests with 503."""
    pseudonym_key: SecretStr | None = Field(default=None, min_length=16)
    """Key of the hashes that stand for personal values. Whoever has it can test guesses."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = ("spool_folder", "spool_bytes", "spool_when_full")
        missing = [name for name in needed if getattr(self, name) is None] if self.collector_url else []
        if missing:
            names = ", ".join(_variable(name) for name in missing)
            raise ValueError(f"with FAIRLEAD_COLLECTOR_URL the environment must also set {names}")
        return self


def record_settings() -> RecordSettings:
    """Read where records go.

    Raises:
        HomeError: a variable is missing or makes no sense; the message names it and never shows the key.
    """
    try:
        return RecordSettings()
    except ValidationError as error:
        raise HomeError("; ".join(_explain(detail["loc"], detail["msg"]) for detail in error.errors())) from None


def _variable(name: str) -> str:
    return f"FAIRLEAD_{name.upper()}"


def _explain(place: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    return f"{_variable(str(place[0]))}: {text}" if place else text


def laptop(home: Path, repo: Path) -> Settings:
    """Everything in one folder, no servers."""
    home = home.resolve()
    return Settings(
        repo=repo.resolve(),
        tables_uri=str(home / "tables"),
        feature_store=repo.resolve() / "feature_repo" / "envs" / "laptop" / "feature_store.yaml",
        feast_uri=str(home / "feast"),
        tracking_uri=f"sqlite:///{home / 'mlflow.db'}",
        artifacts_uri=str(home / "mlflow"),
        bundles_uri=str(home / "bundles"),
        online_store=None,
    )


def find_repo(start: Path | None = None) -> Path:
    """The nearest folder, upwards from `start` or the working directory, that holds a feature_repo/.

    Raises:
        HomeError: there is none.
    """
    named = os.environ.get("FAIRLEAD_REPO")
    if named and start is None:
        return Path(named)
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "feature_repo").is_dir() and (folder / "pipelines").is_dir():
            return folder
    raise HomeError(f"no folder from {here} upwards holds feature_repo/ and pipelines/; call this inside a checkout")
