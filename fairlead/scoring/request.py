"""From what a person asks for to a plan with all versions pinned, and from a plan to what it is scored with."""

import logging
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from fairlead.adapters.bundles import open_bundles
from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.feast import FeastFeatures
from fairlead.adapters.mlflow import RegisteredVersion
from fairlead.errors import FeatureError, RegistryError, ScoringError, SourceError
from fairlead.lineage.code import code_version
from fairlead.lineage.record import Plan
from fairlead.packaging.bundle import Bundle, load_bundle
from fairlead.scoring.plan import TABLE_NAME, BatchPlan
from fairlead.scoring.score import OnProgress, Place, Predictions, Surroundings, bundle_digest, score_batch
from fairlead.scoring.source import DELTA_LOG, REMOTE, digest_of
from fairlead.settings import Settings
from fairlead.training.splits import midnight

log = logging.getLogger(__name__)

_PINNED = re.compile(r"(?P<table>.+)@(?P<version>\d+)")


@dataclass(frozen=True)
class Request:
    """What a person asks for."""

    source: str | None = None
    """`<dataset>/<layer>/<table>`, the folder of a Delta table, both with `@version` or not; or Parquet."""
    start: date | None = None
    end: date | None = None
    """Instead of a source: days in the dataset's time zone, the last one not included."""
    asked_at: str | None = None
    output: str | None = None
    """A table's name or a folder; None: `<dataset>/predictions/<model>`."""
    keep: Sequence[str] = ()
    pins: Sequence[str] = ()
    """`<table>@<version>` to read instead of the newest: feature tables, and the rows' table of a range."""
    refused: bool = False
    """Score with a version that its gates refused."""


def plan_batch(request: Request, version: RegisteredVersion, trained: Plan, settings: Settings) -> BatchPlan:
    """Pin every version that the predictions depend on.

    Raises:
        RegistryError: the version was refused by its gates, and that is not asked for.
        ScoringError: the request contradicts itself.
        SourceError: there is no such input.
        FeatureError: a feature table is not there.
    """
    if version.status != "accepted" and not request.refused:
        reasons = "; ".join(version.reasons)
        name = f"{version.model}@{version.version}"
        raise RegistryError(f"{name} was refused by its gates, and only --refused scores with it: {reasons}")
    bundle = load_bundle(open_bundles(settings.bundles_uri).folder(version.model, version.version))
    pins = _read_pins(request.pins)
    source, number, digest = _find_source(request, trained, settings, pins)
    features = _find_features(bundle, settings, pins)
    if pins:
        raise ScoringError(f"--pin names the table {min(pins)!r}, of which nothing is read")
    zone = trained.dataset.timezone
    return BatchPlan(
        dataset=trained.dataset,
        model=trained.model,
        version=version.version,
        bundle=bundle_digest(bundle),
        source=source,
        source_version=number,
        source_digest=digest,
        start=midnight(request.start, zone).isoformat() if request.start else "",
        end=midnight(request.end, zone).isoformat() if request.end else "",
        asked_at=_read_moment(request.asked_at) if request.asked_at else "",
        features=features,
        output=_canonical(request.output or f"{bundle.dataset}/predictions/{bundle.model}"),
        keep=tuple(request.keep),
        code_version=code_version(settings.repo),
    )


def run_plan(plan: BatchPlan, settings: Settings, on_progress: OnProgress) -> Predictions:
    """Score what was planned; see `score_batch`."""
    return score_batch(plan, surroundings(plan, settings), on_progress)


def surroundings(plan: BatchPlan, settings: Settings) -> Surroundings:
    """What a plan is scored with, in this environment."""
    tables, features = DeltaTables(settings.tables_uri), None
    if plan.features:
        features = FeastFeatures(settings, plan.dataset.name)
        features.apply()
    return Surroundings(
        tables=tables,
        source=None if plan.source_version is None else _place(plan.source, tables),
        output=_place(plan.output, tables),
        features=features,
        bundle=open_bundles(settings.bundles_uri).folder(plan.model.name, plan.version),
        work=_work_folder(settings),
    )


def _work_folder(settings: Settings) -> Path:
    """Beside the tables, on the same disk; where those are not on a disk, this machine's own."""
    if "://" in settings.tables_uri:
        return Path(tempfile.gettempdir(), "fairlead-scoring")
    return Path(settings.tables_uri).parent / "scoring"


def _find_source(
    request: Request, trained: Plan, settings: Settings, pins: dict[str, int]
) -> tuple[str, int | None, str]:
    """What is read, as a name or path, its Delta version, and its digest."""
    _check_source(request)
    if request.source is None:
        name = f"{trained.dataset.name}/clean/{trained.model.rows.table}"
        return _pinned(name, pins.pop(name, None), DeltaTables(settings.tables_uri))
    match = None if Path(request.source).exists() else _PINNED.fullmatch(request.source)
    text, number = (match["table"], int(match["version"])) if match else (request.source, None)
    tables = DeltaTables(settings.tables_uri)
    if TABLE_NAME.fullmatch(text) and tables.newest(text) is not None:
        return _pinned(text, number, tables)
    path = _absolute(text)
    if _is_table(path, number, tables):
        return _pinned(path, number, tables)
    if number is not None or (TABLE_NAME.fullmatch(text) and not Path(path).exists()):
        raise SourceError(f"there is no table {text}, neither in {settings.tables_uri} nor at {path}")
    return path, None, digest_of(path)


def _is_table(path: str, number: int | None, tables: DeltaTables) -> bool:
    """Whether a path or URI is that of a Delta table; else it is one of Parquet files."""
    if REMOTE not in path:
        return Path(path, DELTA_LOG).is_dir()
    return number is not None or _place(path, tables).newest is not None


def _check_source(request: Request) -> None:
    if (request.start is None) != (request.end is None):
        raise ScoringError("a range of time needs both --from and --to")
    if (request.source is None) == (request.start is None):
        found = "both" if request.source else "neither"
        raise ScoringError(f"name either an input or a range of time with --from and --to, but there is {found}")
    if request.start and request.end and request.start >= request.end:
        raise ScoringError(f"--from must be before --to, but is {request.start}, and --to is {request.end}")


def _pinned(source: str, version: int | None, tables: DeltaTables) -> tuple[str, int, str]:
    place = _place(source, tables)
    number = place.newest if version is None else version
    if number is None:
        raise SourceError(f"there is no table {source}")
    return source, number, place.store.identity(place.name, number)


def _find_features(bundle: Bundle, settings: Settings, pins: dict[str, int]) -> dict[str, int]:
    """Feature table → version: pinned, else the newest."""
    if all(item.source == "request" for item in bundle.signature.inputs):
        return {}
    tables, versions = DeltaTables(settings.tables_uri), {}
    for name in FeastFeatures(settings, bundle.dataset).describe(bundle.feature_service).tables:
        newest = tables.newest(name)
        if newest is None:
            where = f"there is no table {name} in {settings.tables_uri}"
            raise FeatureError(f"{bundle.model} looks up {bundle.feature_service}, but {where}")
        versions[name] = pins.pop(name, newest)
        tables.notes(name, versions[name])  # raises where there is no such version
    return versions


def _read_pins(pins: Sequence[str]) -> dict[str, int]:
    found = {pin: _PINNED.fullmatch(pin) for pin in pins}
    for pin, match in found.items():
        if match is None:
            raise ScoringError(f"--pin must read <table>@<version>, but is {pin!r}")
    return {match["table"]: int(match["version"]) for match in found.values() if match}


def _read_moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise ScoringError(f"--asked-at must be an ISO 8601 instant with an offset, but is {text!r}")
    return moment.isoformat()


def _canonical(output: str) -> str:
    return output if TABLE_NAME.fullmatch(output) else _absolute(output)


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).expanduser().resolve())


def _place(text: str, tables: DeltaTables) -> Place:
    """A table by its name in the home, or by its path."""
    if TABLE_NAME.fullmatch(text):
        return Place(tables, text)
    root, _, name = text.rstrip("/").rpartition("/")
    return Place(DeltaTables(root), name)


def log_progress(done: int, total: int, rate: float) -> None:
    """Tell the log how far a batch is."""
    log.info("%s of %s rows, %s rows/s", f"{done:,}", f"{total:,}", f"{rate:,.0f}")
