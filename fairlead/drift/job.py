"""The job that watches a model for drift: records of its last windows, a report, and figures to be scraped."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict

from fairlead import metrics
from fairlead.drift.engine import Engine
from fairlead.drift.reference import read_reference
from fairlead.drift.upstream import Upstream, look_upstream
from fairlead.drift.watch import KINDS, Judge, KindReport, Look, VersionReport, WindowVerdict
from fairlead.drift.windows import Window, days_of, entity_columns, of_window, to_sample, windows_before
from fairlead.errors import BundleError, DriftError, EngineError, FairleadError
from fairlead.monitors.results import QUALITY, Figures, Result, keep_failure, of_dataset, succeeded
from fairlead.packaging.bundle import Bundle, load_bundle
from fairlead.ports import BundleStore, RecordStore, ResultStore, TableStore
from fairlead.spec import DatasetSpec, ModelSpec

if TYPE_CHECKING:
    import pyarrow as pa

DETECTOR = "drift"
NO_VERSION = "none"
"""Where there are no records at all, and so no version to speak of."""
CAUSES = ("quality", "freshness", "missing", "clock")


class Stores(Protocol):
    """Where a job reads and writes."""

    @property
    def records(self) -> RecordStore:
        """Of predictions."""
        ...

    @property
    def bundles(self) -> BundleStore:
        """Of released versions."""
        ...

    @property
    def tables(self) -> TableStore:
        """Of features."""
        ...

    @property
    def results(self) -> ResultStore:
        """Of jobs that watch."""
        ...


@dataclass(frozen=True)
class Judged:
    """What the records of some windows show."""

    versions: list[VersionReport]
    """The one with the most records in the newest window first."""
    not_judged: dict[str, str]
    bundles: dict[str, Bundle]
    """Of the versions that were judged."""
    newest: "pa.Table"
    """Records of the newest window."""


class DriftReport(BaseModel):
    """What a run found."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="strings")

    model: str
    as_of: datetime
    engine: str
    library: str
    versions: list[VersionReport]
    """The one with the most records in the newest window first."""
    not_judged: dict[str, str]
    """Version → why its records could not be compared with anything."""
    upstream: Upstream

    @property
    def alarms(self) -> list[str]:
        """What somebody should look at: `input of version 3`, `upstream freshness`."""
        found = [f"{kind} of version {item.version}" for item in self.versions for kind in item.alarms]
        return found + [f"upstream {cause}" for cause in self.upstream.causes]


def run_drift(model: ModelSpec, dataset: DatasetSpec, stores: Stores, engine: Engine, as_of: datetime) -> DriftReport:
    """Look for drift, and keep what was found, or why nothing could be.

    Raises:
        FairleadError: it could not be looked for; the result says so, with the figures of the run before.
    """
    try:
        report = find_drift(model, dataset, stores, engine, as_of)
    except FairleadError as error:
        keep_failure(stores.results, model.name, DETECTOR, error)
        raise
    stores.results.write(to_result(report))
    return report


def find_drift(model: ModelSpec, dataset: DatasetSpec, stores: Stores, engine: Engine, as_of: datetime) -> DriftReport:
    """Compare the records of the last windows, version by version, and look upstream.

    Raises:
        FairleadError: records or bundles cannot be read, no version can be judged, or the engine failed.
    """
    library = engine.library()  # first: a missing library is an error also where there are no records
    windows = windows_before(as_of, model.drift, dataset.timezone)
    judged = Judges(model, dataset, partial(stores.bundles.folder, model.name), engine).judge(stores.records, windows)
    if judged.not_judged and not judged.versions:
        raise DriftError("; ".join(judged.not_judged.values()))
    newest = next(iter(judged.bundles.values()), None)
    upstream = look_upstream(
        dataset=dataset.name,
        plan=newest.lookup if newest else None,
        tables=stores.tables,
        gate=stores.results.read(of_dataset(dataset.name), QUALITY),
        reports=judged.versions,
        newest=judged.newest,
        max_age=model.drift.max_age,
        margin=model.drift.missing_margin,
        as_of=as_of,
    )
    return DriftReport(
        model=model.name,
        as_of=as_of,
        engine=engine.name,
        library=library,
        versions=judged.versions or [_nothing(windows)],
        not_judged=judged.not_judged,
        upstream=upstream,
    )


@dataclass
class Judges:
    """Those of all versions of a model. Windows are over: what was found of one is kept for the next look."""

    model: ModelSpec
    dataset: DatasetSpec
    folder_of: Callable[[str], Path]
    """Version → folder of its bundle, or BundleError."""
    engine: Engine
    _judges: dict[str, tuple[Bundle, Judge]] = field(default_factory=dict)
    _looks: dict[tuple[str, Window], Look] = field(default_factory=dict)

    def judge(self, records: RecordStore, windows: Sequence[Window]) -> Judged:
        """Compare the records of windows, oldest first, version by version.

        Raises:
            FairleadError: records cannot be read, or the engine failed.
        """
        first, last = days_of(windows)
        rows = records.read(self.model.name, first.date(), last.date())
        parts = [(window, of_window(rows, window)) for window in windows]
        found = Judged([], {}, {}, parts[-1][1])
        for version in _versions(parts):
            try:
                bundle, judge = self._of(version)
                looks = [self._look(version, window, part) for window, part in parts]
                found.versions.append(judge.report(version, windows, looks))
                found.bundles[version] = bundle
            except EngineError:
                raise
            except (BundleError, DriftError) as error:
                found.not_judged[version] = str(error)
        return found

    def _of(self, version: str) -> tuple[Bundle, Judge]:
        if version not in self._judges:
            folder = self.folder_of(version)
            bundle = load_bundle(folder)
            reference, zone = read_reference(folder, bundle), self.dataset.timezone
            self._judges[version] = bundle, Judge(reference, bundle.signature, self.model.drift, zone, self.engine)
        return self._judges[version]

    def _look(self, version: str, window: Window, rows: "pa.Table") -> Look:
        import pyarrow.compute as pc

        if (version, window) not in self._looks:
            bundle, judge = self._of(version)
            entity = entity_columns(self.model.drift, bundle.signature)
            sample = to_sample(rows.filter(pc.field("version") == version), bundle.signature, entity)
            self._looks[version, window] = sample, judge.look(sample)
        return self._looks[version, window]


def to_result(report: DriftReport) -> Result:
    """As figures under the names of the catalogue."""
    figures = Figures(model=report.model)
    figures.set(metrics.DRIFT_ENGINE, 1, engine=report.engine, library=report.library)
    add_versions(figures, report.versions)
    for cause in CAUSES:
        figures.set(metrics.UPSTREAM_ALARM, float(cause in report.upstream.causes), cause=cause)
    for view, age in report.upstream.ages.items():
        figures.set(metrics.UPSTREAM_FRESHNESS, -1.0 if age is None else age, view=view)
    return succeeded(report.model, DETECTOR, figures, report.versions[0].version)


def add_versions(figures: Figures, reports: Iterable[VersionReport]) -> None:
    """What was found of each version."""
    for report in reports:
        _add_version(figures, report)


def _add_version(figures: Figures, report: VersionReport) -> None:
    version = report.version
    for kind in report.kinds:
        labels = {"version": version, "kind": kind.kind}
        verdicts = [window.verdict for window in kind.windows]
        figures.set(metrics.DRIFT_ALARM, float(kind.alarm), **labels)
        figures.set(metrics.DRIFT_NOT_ENOUGH_DATA, float(verdicts[-1] == "not enough data"), **labels)
        for verdict in ("drift", "no drift", "not enough data"):
            named = verdict.replace(" ", "_")
            figures.set(metrics.DRIFT_WINDOWS, verdicts.count(verdict), **labels, verdict=named)
        for found in kind.findings:
            about = {**labels, "feature": found.column, "test": found.test}
            figures.set(metrics.DRIFT_FEATURE, float(found.drifted), **about)
            figures.set(metrics.DRIFT_EFFECT, found.effect, **about)
            figures.set(metrics.DRIFT_P_VALUE, found.p_value, **about)
    newest = [kind.windows[-1] for kind in report.kinds]
    figures.set(metrics.DRIFT_WINDOW_ROWS, max(window.rows for window in newest), version=version)
    figures.set(metrics.DRIFT_REFERENCE_ROWS, max(window.reference_rows for window in newest), version=version)
    figures.set(metrics.DRIFT_WINDOW_END, newest[0].end.timestamp(), version=version)
    for feature, share in report.missing.items():
        figures.set(metrics.UPSTREAM_MISSING, share, version=version, feature=feature)


def _versions(parts: "Sequence[tuple[Window, pa.Table]]") -> list[str]:
    """Those that answered, the one with the most rows in the newest window first."""
    counts: dict[str, int] = {}
    for weight, (_, rows) in enumerate(parts):
        for item in rows.column("version").value_counts().to_pylist():
            name = item["values"] or NO_VERSION
            counts[name] = counts.get(name, 0) + item["counts"] * (1 + 1_000_000 * (weight == len(parts) - 1))
    return sorted(counts, key=lambda name: -counts[name])


def _nothing(windows: Sequence[Window]) -> VersionReport:
    verdicts = [
        WindowVerdict(
            start=window.start, end=window.end, rows=0, reference_rows=0, verdict="not enough data", reason="no records"
        )
        for window in windows
    ]
    kinds = [KindReport(kind=kind, alarm=False, windows=verdicts, findings=[]) for kind in KINDS]
    return VersionReport(version=NO_VERSION, kinds=kinds, missing={}, missing_before={})


def describe(report: DriftReport) -> list[str]:
    """For a person, a line each."""
    lines = [f"{report.model} as of {report.as_of.isoformat()}, compared by {report.library}"]
    for version in report.versions:
        for kind in version.kinds:
            told = " ".join(_LETTERS[window.verdict] for window in kind.windows)
            newest = kind.windows[-1]
            state = "ALARM" if kind.alarm else newest.verdict
            lines.append(f"  version {version.version}  {kind.kind:<10}  {told}  {state}: {newest.reason}")
            strongest: Mapping[str, float] = {
                f"{item.column} ({item.test})": item.effect for item in kind.findings if item.drifted
            }
            lines += [f"      {name}: effect {effect:.3f}" for name, effect in list(strongest.items())[:5]]
    lines += [f"  version {version} is not judged: {reason}" for version, reason in report.not_judged.items()]
    lines += [f"  upstream {cause}: {what}" for cause, what in report.upstream.causes.items()]
    return lines


_LETTERS: Mapping[str, str] = {"drift": "!", "no drift": "·", "not enough data": "?"}
