"""The month after the demo's model was trained, lived through again: does the platform notice that it ages?"""

from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from fairlead.files import write_whole
from fairlead.lineage.code import code_version
from fairlead.panels.shown import Boards
from fairlead.replay.result import Comparison
from fairlead.spec import DatasetSpec, ModelSpec

if TYPE_CHECKING:
    from datetime import datetime

DAYS = 30
RESULT_FILE = "month.json"


class Month(BaseModel):
    """A month that was lived through."""

    comparison: Comparison
    boards: Boards
    """The dashboards, as they looked meanwhile."""


def live_through(
    repo: Path,
    home: Path,
    model: ModelSpec,
    dataset: DatasetSpec,
    champion: tuple[str, "datetime", Path],
) -> Month:
    """Replay the days after a version's run, once with the watch and once with the version left alone.

    What is retrained stays in the replay's folder: the registry is for models of today.

    Args:
        repo: the checkout.
        home: for all that the replay keeps, tables of its own included; repeated, it is read from there.
        model: the champion's spec.
        dataset: its rows'.
        champion: version, the instant of its run, and its bundle.
    """
    from zoneinfo import ZoneInfo

    from fairlead.adapters.delta_records import DeltaRecords
    from fairlead.adapters.retraining_log import MemoryLog
    from fairlead.demo.evenings import Evenings, folders_of
    from fairlead.panels.fill import fill
    from fairlead.render.dashboards import boards
    from fairlead.replay.compare import result, what_was_seen
    from fairlead.replay.learn import Trained, Trainer, without_search
    from fairlead.replay.walk import Platform, Scheduled, Walk
    from fairlead.replay.year import open_year
    from fairlead.retraining.desk import Desk
    from fairlead.settings import laptop

    version, as_of, bundle = champion
    first = as_of.astimezone(ZoneInfo(dataset.timezone)).date()
    last, spec = first + timedelta(days=DAYS - 1), without_search(model)
    split = spec.split
    before = timedelta(days=split.train_days + split.validation_days + split.test_days)
    year = open_year(laptop(home, repo), home, spec, dataset, first - before, last)
    folder = _folder(repo, home, version, first)
    trainer = Trainer(year, spec, dataset, folder, folder.name)
    served = Trained(version=version, as_of=as_of, folder=bundle, accepted=True, reasons=(), test_roc_auc=0.0)
    log, records = MemoryLog(), DeltaRecords(str(folder))
    watched = Platform(trainer, records, Desk(spec.name, spec.retraining, log))
    lived = Walk(trainer, watched, folder / "platform.jsonl", log, records).days(first, last, served)
    alone = Walk(trainer, Scheduled(trainer, frozenset()), folder / "static.jsonl", MemoryLog())
    policies = (
        result("static", alone.days(first, last, served), year, "week"),
        result("platform", lived, year, "week"),
    )
    found = Comparison(
        model=spec.name,
        first=first,
        last=last,
        rows=sum(len(day.scores) for day in lived),
        where="all rows",
        policies=policies,
        seen=what_was_seen(lived),
        decay=spec.performance.decay,
        novelty=spec.retraining.novelty,
    )
    folders = {version: bundle, **folders_of(lived)}
    recording = Evenings(year, spec, dataset, records, folders).recording(lived)
    month = Month(comparison=found, boards=fill(boards(spec), recording))
    write_whole(folder / RESULT_FILE, month.model_dump_json())
    return month


def lived_through(repo: Path, home: Path, version: str, first: date) -> Month | None:
    """What `live_through` found, if it has."""
    file = _folder(repo, home, version, first) / RESULT_FILE
    return Month.model_validate_json(file.read_bytes()) if file.exists() else None


def _folder(repo: Path, home: Path, version: str, first: date) -> Path:
    return home / "month" / f"{version}-{first}-{code_version(repo)}"


def told(month: Month) -> str:
    """What became of it, in a line."""
    found = month.comparison
    platform, static = found.policy("platform"), found.policy("static")
    if not platform.retrainings:
        return f"{found.rows:,} rows, nothing that asks for a retraining"
    first = platform.retrainings[0]
    day = date.fromisoformat(first.version).strftime("%-d %B") if first.version else "a day"
    return (
        f"{first.trigger} found, retrained {len(platform.retrainings)}× from {day}; "
        f"ROC AUC {platform.mean:.3f}, left alone {static.mean:.3f}"
    )
