"""Tracking and registry on MLflow."""

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.adapters.mlflow_sqlite import SCHEME, SqliteReader, StoredVersion
from fairlead.errors import RegistryError
from fairlead.lineage.digest import hash_json
from fairlead.settings import Settings
from fairlead.spec.dataset import nearest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models.model import ModelInfo

    from fairlead.lineage.record import Plan, RunRecord
    from fairlead.training.tuning import TrialRecord

log = logging.getLogger(__name__)

CHAMPION = "champion"
CHALLENGER = "challenger"
RECORD_FILE = "record.json"
HTTP_RETRIES, HTTP_SECONDS = "4", "60"
TAG_DIGEST = "fairlead.bundle_digest"
TAG_PLAN = "fairlead.plan_digest"
TAG_CHAMPION = "fairlead.compared_with"
TAG_STATUS = "fairlead.status"
TAG_REASONS = "fairlead.reasons"
TAG_AS_OF = "fairlead.as_of"


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a model in the registry."""

    model: str
    version: str
    status: str
    """`accepted` or `refused`, by the gates."""
    reasons: list[str]
    aliases: list[str]
    run_id: str
    created_at_ms: int
    as_of: str = ""
    """ISO 8601 instant of its run."""


class MlflowRegistry:
    """The registry of models and of the runs that made them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        uri = settings.tracking_uri
        self._reader = SqliteReader(uri) if uri.startswith(SCHEME) else None

    def register(self, record: "RunRecord", bundle: Path, plots: dict[str, str]) -> RegisteredVersion:
        """Log a run with its trials, and register its model; an accepted one becomes the challenger.

        Repeating it for the same bundle gives the version that is there. A killed registration leaves a run without a
        version; the next one removes it.

        Args:
            record: everything that made the model.
            bundle: the packaged folder.
            plots: file name → SVG.
        """
        name = record.bundle.model
        digest = hash_json(record.bundle.model_dump(mode="json"))
        with self._client() as client:
            found = self._by_tag(client, name, TAG_DIGEST, digest)
            if found is None:
                experiment = self._experiment(client, name)
                self._remove_unfinished(client, experiment, digest)
                run_id = self._log_run(client, experiment, record, digest, plots)
                logged = self._log_model(run_id, record, bundle)
                self._ensure_model(client, name, record.bundle.description)
                found = client.create_model_version(
                    name,
                    logged.model_uri,
                    run_id=run_id,
                    tags=_version_tags(record, digest),
                    description=_headline(record),
                    model_id=logged.model_id,  # a server takes no source without it
                )
                client.set_terminated(run_id)
            # A bundle that was refused before stays so: its version says why, and can never be promoted.
            accepted = record.accepted and found.tags[TAG_STATUS] == "accepted"
            log.info("%s@%s, %s", name, found.version, "challenger" if accepted else "refused by its gates")
            if accepted:
                client.set_registered_model_alias(name, CHALLENGER, found.version)
            return _registered(client.get_model_version(name, found.version))

    def models(self) -> list[str]:
        """Names of all registered models."""
        if self._reader is not None:
            return self._reader.models()
        names, token = [], None
        with self._client() as client:
            while token != "":
                page = client.search_registered_models(page_token=token)
                names += [item.name for item in page]
                token = page.token or ""
        return sorted(names)

    def versions(self, model: str) -> list[RegisteredVersion]:
        """All versions, newest first.

        Raises:
            RegistryError: there is no such model.
        """
        found = self._stored(model)
        if not found:
            raise RegistryError(self._no_version_of(model))
        return [_registered(item) for item in found]

    def resolve(self, model: str, version: str) -> RegisteredVersion:
        """A version by its number or alias.

        Raises:
            RegistryError: there is none; the message lists what there is.
        """
        versions = self.versions(model)
        for item in versions:
            if version == item.version or version in item.aliases:
                return item
        known = [item.version for item in versions] + [alias for item in versions for alias in item.aliases]
        raise RegistryError(f"there is no version {model}@{version}" + nearest(version, known))

    def champion(self, model: str) -> RegisteredVersion | None:
        """The promoted version of a registered model; None before the first promotion."""
        return next((item for item in self.versions(model) if CHAMPION in item.aliases), None)

    def champion_to_beat(self, plan: "Plan") -> str:
        """The version that a run of `plan` is compared with; empty if there is none.

        The champion, unless that is this plan's own product: then what it was compared with, so that a repeated run is
        the same run. A champion from after the plan's time is none: it may have learnt from the rows it is judged on.
        """
        champion = next((item for item in self._stored(plan.model.name) if CHAMPION in item.aliases), None)
        if champion is None:
            return ""
        if champion.tags.get(TAG_PLAN) == plan_digest(plan):
            return str(champion.tags.get(TAG_CHAMPION, ""))
        if datetime.fromisoformat(champion.tags[TAG_AS_OF]) > datetime.fromisoformat(plan.as_of):
            return ""
        return str(champion.version)

    def made_by(self, plan: "Plan") -> RegisteredVersion | None:
        """The newest version that a run of `plan` made; None if none did."""
        digest = plan_digest(plan)
        found = (item for item in self._stored(plan.model.name) if item.tags.get(TAG_PLAN) == digest)
        return next((_registered(item) for item in found), None)

    def newest_as_of(self, model: str, moment: datetime) -> RegisteredVersion | None:
        """The newest version that a run as of an instant made; None if none did."""
        found = (item for item in self._stored(model) if datetime.fromisoformat(item.tags[TAG_AS_OF]) == moment)
        return next((_registered(item) for item in found), None)

    def promote(self, version: RegisteredVersion) -> None:
        """Make a version the champion.

        Raises:
            RegistryError: its gates refused it.
        """
        if version.status != "accepted":
            reasons = "; ".join(version.reasons)
            raise RegistryError(f"{version.model}@{version.version} was refused by its gates and stays so: {reasons}")
        if CHAMPION in self.resolve(version.model, version.version).aliases:
            return
        with self._client() as client:
            client.set_registered_model_alias(version.model, CHAMPION, version.version)

    def record(self, version: RegisteredVersion) -> "RunRecord":
        """Everything that made a version."""
        from fairlead.lineage.record import RunRecord

        local = self._reader.artifacts(version.run_id) if self._reader else None
        if local is not None:
            return RunRecord.model_validate_json((local / RECORD_FILE).read_bytes())
        with self._client() as client, tempfile.TemporaryDirectory() as folder:
            path = client.download_artifacts(version.run_id, RECORD_FILE, folder)
            return RunRecord.model_validate_json(Path(path).read_bytes())

    def _stored(self, model: str) -> Sequence[StoredVersion]:
        """All versions, newest first."""
        if self._reader is not None:
            return self._reader.versions(model)
        with self._client() as client:
            found = client.search_model_versions(f"name='{model}'")
            # The search leaves aliases out; the model has those of all versions, in one request.
            aliases = client.get_registered_model(model).aliases if found else {}
        return [
            StoredVersion(
                name=model,
                version=str(item.version),
                run_id=item.run_id,
                creation_timestamp=item.creation_timestamp,
                tags=item.tags,
                aliases=[alias for alias, version in aliases.items() if str(version) == str(item.version)],
            )
            for item in sorted(found, key=lambda item: int(item.version), reverse=True)
        ]

    def _no_version_of(self, model: str) -> str:
        declared = [file.stem for file in (self._settings.repo / "pipelines" / "models").glob("*.yaml")]
        if model in declared:
            return f"{model} has no version yet; train one: fairlead run {model}"
        return f"there is no model {model!r}" + nearest(model, {*self.models(), *declared})

    @contextmanager
    def _client(self) -> "Iterator[MlflowClient]":
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        # Its own choice is to wait for four minutes where no server is.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", HTTP_RETRIES)
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", HTTP_SECONDS)
        import mlflow
        from botocore.exceptions import BotoCoreError, ClientError
        from mlflow.exceptions import MlflowException

        # After the import, which sets levels of its own: how a database is migrated is no news to a user.
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(self._settings.tracking_uri)
        mlflow.set_registry_uri(self._settings.tracking_uri)
        try:
            yield mlflow.MlflowClient()
        except (MlflowException, BotoCoreError, ClientError) as error:  # its own, or the artifacts' in S3
            if self._reader is not None:
                raise
            raise RegistryError(f"MLflow at {self._settings.tracking_uri}: {' '.join(str(error).split())}") from None

    def _experiment(self, client: "MlflowClient", name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return str(client.create_experiment(name, artifact_location=f"{self._settings.artifacts_uri}/{name}"))

    def _remove_unfinished(self, client: "MlflowClient", experiment: str, digest: str) -> None:
        """Runs of the same bundle that a killed registration left, and their trials."""
        for run in client.search_runs([experiment], filter_string=f"tags.`{TAG_DIGEST}` = '{digest}'"):
            children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
            for item in (*children, run):
                client.delete_run(item.info.run_id)

    def _log_run(
        self, client: "MlflowClient", experiment: str, record: "RunRecord", digest: str, plots: dict[str, str]
    ) -> str:
        from mlflow.entities import Metric, Param

        name = f"{record.bundle.model} {record.plan.as_of[:10]}"
        run = client.create_run(experiment, run_name=name, tags={TAG_DIGEST: digest})
        run_id = str(run.info.run_id)
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, run.info.start_time, 0) for name, value in _metrics(record).items()],
            params=[Param(name, str(value)) for name, value in _params(record).items()],
        )
        self._log_inputs(client, run_id, record)
        client.log_text(run_id, record.model_dump_json(indent=2), RECORD_FILE)
        for file, svg in plots.items():
            client.log_text(run_id, svg, f"plots/{file}")
        for trial in record.training.trials:
            self._log_trial(client, experiment, run_id, record, trial)
        return run_id

    def _log_inputs(self, client: "MlflowClient", run_id: str, record: "RunRecord") -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        sources = [
            DatasetInput(
                Dataset(
                    name=table.name,
                    digest=table.sha256[:32],
                    source_type="uri",
                    source=json.dumps({"uri": table.source, "delta_version": table.version, "rows": table.rows}),
                ),
                tags=[InputTag("mlflow.data.context", "source")],
            )
            for table in record.tables
        ]
        client.log_inputs(run_id, datasets=sources)

    def _log_trial(
        self, client: "MlflowClient", experiment: str, parent: str, record: "RunRecord", trial: "TrialRecord"
    ) -> None:
        from mlflow.entities import Metric, Param

        tags = {"mlflow.parentRunId": parent, "fairlead.trial_state": trial.state}
        run = client.create_run(experiment, run_name=f"trial {trial.number} {trial.candidate}", tags=tags)
        metric = record.spec.tuning.optimise
        values = [Metric(f"fold_{metric}", value, run.info.start_time, step) for step, value in enumerate(trial.folds)]
        if trial.value is not None:
            values.append(Metric(metric, trial.value, run.info.start_time, 0))
        params = {"candidate": trial.candidate, **trial.params}
        client.log_batch(
            run.info.run_id, metrics=values, params=[Param(key, str(item)) for key, item in params.items()]
        )
        client.set_terminated(run.info.run_id, status="FINISHED" if trial.state == "complete" else "KILLED")

    def _log_model(self, run_id: str, record: "RunRecord", bundle: Path) -> "ModelInfo":
        import mlflow
        import numpy as np
        import onnx
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        from fairlead.packaging.bundle import MODEL_FILE

        width = len(record.bundle.signature.inputs)
        signature = ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, width), "features")]),
            outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 2), "probabilities")]),
        )
        with mlflow.start_run(run_id=run_id, log_system_metrics=False):
            # Pinned requirements: to infer them MLflow would run the model in a process of its own, for 8 s.
            logged = mlflow.onnx.log_model(
                onnx.load(bundle / MODEL_FILE), name="model", signature=signature, pip_requirements=["onnxruntime"]
            )
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "bundle.json").write_bytes((bundle / "bundle.json").read_bytes())
                mlflow.log_artifacts(folder)
        return logged

    def _ensure_model(self, client: "MlflowClient", name: str, description: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(name, description=description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _by_tag(self, client: "MlflowClient", name: str, tag: str, value: str) -> "ModelVersion | None":
        found = client.search_model_versions(f"name='{name}'")
        return next((item for item in found if item.tags.get(tag) == value), None)


def plan_digest(plan: "Plan") -> str:
    """Names a plan, whatever it is compared with."""
    return hash_json(plan.model_dump(mode="json", exclude={"champion"}))


def _registered(found: "StoredVersion | ModelVersion") -> RegisteredVersion:
    return RegisteredVersion(
        model=found.name,
        version=str(found.version),
        status=found.tags[TAG_STATUS],
        reasons=json.loads(found.tags[TAG_REASONS]),
        aliases=sorted(found.aliases),
        run_id=found.run_id,
        created_at_ms=found.creation_timestamp,
        as_of=found.tags[TAG_AS_OF],
    )


def _version_tags(record: "RunRecord", digest: str) -> dict[str, str]:
    return {
        TAG_DIGEST: digest,
        TAG_PLAN: plan_digest(record.plan),
        TAG_CHAMPION: record.plan.champion,
        TAG_STATUS: "accepted" if record.accepted else "refused",
        TAG_REASONS: json.dumps(record.refusals),
        "fairlead.git_commit": record.git_commit,
        "fairlead.lock": record.lock,
        "fairlead.code_version": record.plan.code_version,
        TAG_AS_OF: record.plan.as_of,
    }


def _headline(record: "RunRecord") -> str:
    metrics = record.evaluation.metrics["roc_auc"]
    return f"ROC AUC {metrics.value:.3f} [{metrics.low:.3f}, {metrics.high:.3f}] on the test period"


def _metrics(record: "RunRecord") -> dict[str, float]:
    values = {f"test_{name}": item.value for name, item in record.evaluation.metrics.items()}
    values |= {"parity_max_abs": record.parity.max_abs, "latency_p99_ms": record.evaluation.latency_p99_ms}
    return values


def _params(record: "RunRecord") -> dict[str, Any]:
    fixed: dict[str, Any] = {
        "as_of": record.plan.as_of,
        "candidate": record.training.candidate,
        "threshold": record.training.threshold,
        "code_version": record.plan.code_version,
        "git_commit": record.git_commit,
        "lock": record.lock,
        "seed": record.spec.tuning.seed,
        "champion": record.plan.champion or "none",
    }
    return (
        fixed
        | {f"best.{name}": value for name, value in record.training.params.items()}
        | {f"version.{table}": version for table, version in record.versions.items()}
        | {f"rows.{split}": rows for split, rows in record.training.rows.items()}
    )
