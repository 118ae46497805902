"""What the logic needs from outside, as small Protocols; `fairlead/adapters/` has one file for each outside system."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from fairlead.doctor.kinds import Kind
    from fairlead.features.lookup import Looked, LookupPlan
    from fairlead.monitors.results import Result
    from fairlead.packaging.bundle import Bundle
    from fairlead.records.reading import PredictionEvent
    from fairlead.retraining.entries import Entry
    from fairlead.retraining.runs import Outcome
    from fairlead.rollout.commits import Change, PullRequest
    from fairlead.rollout.counters import Snapshot
    from fairlead.rollout.release import Release
    from fairlead.runs.request import KnownRepetition, PinnedVersion, Repetition, RunRequest, RunStatus


class TableStore(Protocol):
    """Versioned tables, named `<dataset>/<layer>/<table>`."""

    def write(self, name: str, rows: "pa.Table", *, key: str, notes: Mapping[str, str]) -> int:
        """Make `rows` the newest version, unless one was written under the same `key`; return that version.

        `key` names everything that the rows were made from. `notes` are kept with the version.
        All or nothing: a killed write leaves the table as it was.
        """
        ...

    def append(self, name: str, rows: "pa.RecordBatchReader", *, key: str, notes: Mapping[str, str]) -> int:
        """Add `rows` in one new version, unless it was done under the same `key`; return that version.

        Columns that either side lacks are null there. Rows are taken one batch after the other. All or nothing.

        Raises:
            HomeError: it cannot be written, or a column is there with another type.
        """
        ...

    def find(self, name: str, key: str) -> int | None:
        """The version written under `key`, if any."""
        ...

    def newest(self, name: str) -> int | None:
        """The last version; None where there is no such table."""
        ...

    def identity(self, name: str, version: int) -> str:
        """A name for the table that another one made in its place does not have."""
        ...

    def schema(self, name: str, version: int) -> "pa.Schema":
        """The columns of a version.

        Raises:
            SourceError: there is no such version, or its Parquet files are not the whole of it.
        """
        ...

    def files(self, name: str, version: int) -> list[str]:
        """The Parquet files that make up a version.

        Raises:
            SourceError: there is no such table or version.
        """
        ...

    def notes(self, name: str, version: int) -> dict[str, str]:
        """What was kept with a version."""
        ...


class BundleStore(Protocol):
    """Released bundles, by model and version."""

    def uri(self, model: str, version: str) -> str:
        """Where a bundle lies, as a server takes it."""
        ...

    def folder(self, model: str, version: str) -> Path:
        """A folder of this machine that holds a bundle, for as long as this process runs.

        Raises:
            BundleError: it cannot be brought here.
        """
        ...

    def release(self, packaged: Path, model: str, version: str) -> "Bundle":
        """Copy a packaged bundle to its place under a version; repeating it changes nothing. Nobody sees half of one.

        Raises:
            BundleError: another bundle already lies there.
            HomeError: the place cannot be written.
        """
        ...


class FeatureStore(Protocol):
    """Feature views and services of one dataset: joined offline, published online."""

    def describe(self, service: str) -> "ServiceDescription":
        """The views, features and entities of a service.

        Raises:
            FeatureError: there is no such service; the message names the nearest.
        """
        ...

    def historical(self, service: str, rows: "pd.DataFrame", versions: Mapping[str, int]) -> "pd.DataFrame":
        """`rows` with the features that were known at each row's `event_timestamp`, in the order of `rows`.

        Args:
            service: name of a feature service.
            rows: entity keys, `event_timestamp`, and any columns to keep.
            versions: feature table → Delta version.
        """
        ...

    def publish(self, service: str, versions: Mapping[str, int], start: datetime | None, end: datetime) -> int:
        """Bring a service's views online up to `end`, with rows known in (start, end]; return how many were written.

        Without `start` everything that was online is forgotten first, also what was known later than `end`.
        """
        ...

    def plan(self, service: str) -> "LookupPlan":
        """What a reader needs to know of a service; it must have been registered.

        Raises:
            FeatureError: no such service, or it cannot be read without Feast.
        """
        ...


class OnlineReader(Protocol):
    """Reads the looked-up inputs of one model; several threads call it at once."""

    def read(self, keys: Mapping[str, Sequence[Any]], asked_at: datetime, deadline_seconds: float) -> "Looked":
        """The looked-up inputs of some rows, in their order.

        Args:
            keys: join key → one value a row; those that no view needs are ignored. A value that is None or of another
                type than the key's belongs to no entity.
            asked_at: decides which rows have expired: those older than `asked_at` minus their view's TTL.
            deadline_seconds: how long the read may take.

        Raises:
            StoreDownError: the store cannot be read.
            DeadlineError: it did not answer in time.
            FeatureError: a key is missing, or the store holds something that an input cannot take.
        """
        ...


class ServiceDescription(Protocol):
    """A feature service, as the rest of the platform sees it."""

    @property
    def entities(self) -> list[str]:
        """Join keys, sorted."""
        ...

    @property
    def features(self) -> list[str]:
        """`<view>__<feature>`, in the order of the service."""
        ...

    @property
    def tables(self) -> list[str]:
        """The feature tables behind the views."""
        ...


class RecordStore(Protocol):
    """Records of predictions, a table for each model; each event is kept once, however often it comes."""

    def add(self, model: str, events: Sequence["PredictionEvent"]) -> int:
        """Keep the events that are not kept yet; return how many rows are new.

        All or nothing: after an error or a kill either all of them are kept or none, and adding them again is right.

        Raises:
            HomeError: the store cannot be written.
        """
        ...

    def read(self, model: str, first: date, last: date, columns: Sequence[str] | None = None) -> "pa.Table":
        """The rows of some days, both included, in the columns of `fairlead.records.rows.SCHEMA`, or in some of them.

        Raises:
            HomeError: the store cannot be read.
        """
        ...


class ResultStore(Protocol):
    """The newest result of each job that watches a model."""

    def write(self, result: "Result") -> None:
        """Put a result in the place of the one before. All or nothing.

        Raises:
            HomeError: the store cannot be written.
        """
        ...

    def read(self, model: str, detector: str) -> "Result | None":
        """The newest result; None: there was none yet.

        Raises:
            HomeError: the store cannot be read.
            MonitorError: what is there is no result, such as one of a newer Fairlead.
        """
        ...

    def names(self) -> list[tuple[str, str]]:
        """Model and detector of all results there are, in order; also of those that cannot be read.

        Raises:
            HomeError: the store cannot be read.
        """
        ...


class PipelineBackend(Protocol):
    """Runs pipelines on a cluster. Every method raises BackendDownError where it cannot be reached."""

    def resolve(self, pipeline: str, version: str) -> "PinnedVersion":
        """The version of that name.

        Raises:
            PipelineError: there is no such pipeline, or it has no such version.
        """
        ...

    def start(self, request: "RunRequest") -> str:
        """Start a run; returns its id. Called twice it starts two.

        Raises:
            PipelineError: the backend refuses it.
        """
        ...

    def status(self, run_id: str) -> "RunStatus":
        """How far a run is.

        Raises:
            PipelineError: there is no such run.
        """
        ...

    def repetitions(self) -> "list[KnownRepetition]":
        """All runs that are repeated by the clock."""
        ...

    def add_repetition(self, repetition: "Repetition", note: str) -> str:
        """Repeat a run by the clock; returns its id. Called twice it repeats it twice.

        Raises:
            PipelineError: the backend refuses it.
        """
        ...

    def remove_repetition(self, repetition_id: str) -> None:
        """Stop repeating; one that is gone is no error."""
        ...


class RetrainingLog(Protocol):
    """The logs of retraining, one a model: entries are appended and never changed."""

    def read(self, model: str) -> "list[Entry]":
        """All entries in their order; none where nothing was written yet.

        Raises:
            RetrainingError: it cannot be read, or holds what is no entry.
        """
        ...

    def append(self, model: str, entry: "Entry", after: int) -> bool:
        """Append behind the first `after` entries; False, and nothing is written, if there are others by now.

        Raises:
            RetrainingError: it cannot be written.
        """
        ...


class TrainingRuns(Protocol):
    """Runs of the training pipeline, wherever they run."""

    def start(self, model: str, name: str, as_of: datetime) -> str:
        """Train a model as of an instant; returns the run's id. It may come back when the run is over.

        Raises:
            FairleadError: it cannot be started.
        """
        ...

    def outcome(self, model: str, run_id: str) -> "Outcome | None":
        """How a run ended; None while it is under way.

        Raises:
            BackendDownError: that cannot be told now.
        """
        ...


class ClusterReader(Protocol):
    """Reads objects of a cluster of Kubernetes, as the dictionaries that its API server answers with; changes none.

    Every method raises ClusterDownError where the cluster does not answer, and NotAllowedError where it refuses.
    """

    def find(self, kind: "Kind", namespace: str, name: str) -> dict[str, Any] | None:
        """The object; None if it is not there, or its kind is not. A Secret has its keys, and no values."""
        ...

    def every(self, kind: "Kind", namespace: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The objects with these labels; none if their kind is not there. Not for Secrets."""
        ...

    def versions(self, group: str) -> Sequence[str]:
        """The versions that a group is served in: `serving.kserve.io/v1beta1`; none if nothing defines it."""
        ...

    def kinds(self, api: str) -> set[str]:
        """The names of the kinds of one group and version."""
        ...


class ReleaseCounters(Protocol):
    """The running counters of a model's servers, by arm; every method raises CountsError where they cannot be read."""

    @property
    def bounds(self) -> Sequence[float]:
        """Of the latency histogram in seconds, rising, without infinity."""
        ...

    def require(self, model: str) -> None:
        """Return if the metrics are there under the names that are read.

        Raises:
            CountsMissingError: one is not; the message names it and says where it was looked for.
        """
        ...

    def snapshots(self, release: "Release", start: datetime, end: datetime, seconds: float) -> "list[Snapshot]":
        """The counters from `start` to `end`, both included if they can be had, about every so many seconds, in order.

        In the shadow the candidate's are of copies, else of requests.
        """
        ...

    def answering(self, release: "Release") -> Mapping[str, str]:
        """Each server of the arm `stable` that answers → the version it answers with."""
        ...


class ReleaseRepository(Protocol):
    """One branch of a Git repository; every method raises RolloutError where it cannot be read or written."""

    def head(self) -> str:
        """The newest commit, as it is now."""
        ...

    def files(self, commit: str, folder: str) -> list[str]:
        """The paths of all files of a commit below a folder."""
        ...

    def read(self, commit: str, path: str) -> str | None:
        """A file of a commit; None if it has none of that name."""
        ...

    def changes(self, commit: str, path: str, most: int) -> "list[Change]":
        """The newest commits up to `commit` that touched a file, newest first, at most so many."""
        ...

    def commit(self, path: str, text: str, message: str, *, seen: str) -> str:
        """Replace one file on the branch; returns the commit. A file that says the same is left as it is.

        Raises:
            ReleaseConflictError: the file is another one than in `seen`.
        """
        ...

    def propose(self, branch: str, path: str, text: str, message: str, *, seen: str) -> str:
        """As `commit`, but on a branch of its own."""
        ...


class PullRequests(Protocol):
    """Proposals to a person; every method raises RolloutError where they cannot be read or made."""

    def open(self, branch: str, base: str, title: str, body: str) -> "PullRequest":
        """Open one from a branch; if it has an open one, that gets the title and body."""
        ...

    def find(self, branch: str) -> "PullRequest | None":
        """The newest one from a branch, in whatever state."""
        ...

    def close(self, pull: "PullRequest") -> "PullRequest":
        """Withdraw it."""
        ...
