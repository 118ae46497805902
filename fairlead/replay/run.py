"""A replay from its arguments to its result: policies in processes of their own, what is done is kept."""

import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.retraining_log import MemoryLog
from fairlead.errors import ScoringError
from fairlead.lineage.code import code_version
from fairlead.lineage.digest import hash_json
from fairlead.lineage.steps import RUNNER_PID, end_with_runner
from fairlead.replay.compare import evenly, month_starts, result, what_was_seen, with_shares
from fairlead.replay.learn import Trainer, without_search
from fairlead.replay.result import Comparison
from fairlead.replay.walk import Day, Platform, Scheduled, Walk
from fairlead.replay.year import Year, open_year
from fairlead.retraining.desk import Desk
from fairlead.settings import laptop
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.tables.ingest import fingerprints
from fairlead.training.splits import midnight

PolicyName = Literal["static", "monthly", "fixed", "platform"]
WORKERS = 2
POLL_SECONDS = 0.5
ALL_DAYS = 330
"""Of training: all that there is of a year."""


@dataclass(frozen=True)
class ReplayPlan:
    """What is replayed; sent to the processes that do it."""

    home: Path
    repo: Path
    model: ModelSpec
    dataset: DatasetSpec
    first: date
    last: date
    where: tuple[str, tuple[str, ...]] | None
    made_from: str

    @property
    def folder(self) -> Path:
        """For all that this replay keeps."""
        return self.home / "walks" / self.made_from

    @property
    def label(self) -> str:
        """Which rows, for people."""
        return f"{self.where[0]} {', '.join(self.where[1])}" if self.where else "all rows"

    def year(self) -> Year:
        """The rows, with the days before the first that a training needs."""
        split = self.model.split
        before = timedelta(days=split.train_days + split.validation_days + split.test_days)
        settings = laptop(self.home, self.repo)
        year = open_year(settings, self.home, self.model, self.dataset, self.first - before, self.last)
        return year.where(*self.where) if self.where else year


def make_plan(
    home: Path,
    repo: Path,
    model: ModelSpec,
    dataset: DatasetSpec,
    first: date,
    last: date,
    where: tuple[str, tuple[str, ...]] | None,
) -> ReplayPlan:
    """Pin what is replayed.

    Raises:
        ScoringError: the last day is before the first.
    """
    if last <= first:
        raise ScoringError(f"--to must be after --from, but they are {last} and {first}")
    spec = without_search(model)
    spec = spec.model_copy(update={"split": spec.split.model_copy(update={"train_days": ALL_DAYS})})
    named = {
        "model": spec.model_dump(mode="json"),
        "dataset": dataset.model_dump(mode="json"),
        "code": code_version(repo),
        "days": [first, last],
        "where": where,
    }
    return ReplayPlan(home, repo, spec, dataset, first, last, where, hash_json(named)[:16])


def run_replay(plan: ReplayPlan, tell: Callable[[str], None]) -> Comparison:
    """Walk all policies; what an earlier call has done is not done again.

    Args:
        plan: what is replayed.
        tell: is told how far it is.
    """
    began = time.monotonic()
    tell("rows and features of the year, and the first model")
    with _workers(1) as pool:  # one that ends: what the join took is free again
        pool.submit(_first_model, plan).result()
    with _workers(WORKERS) as pool:
        jobs = {name: pool.submit(walk, plan, name, 0) for name in ("platform", "monthly", "static")}
        _all(jobs.values(), plan, tell)
        lived = {name: job.result() for name, job in jobs.items()}
        times = sum(day.retraining is not None for day in lived["platform"])
        fixed = pool.submit(walk, plan, "fixed", times)
        _all([fixed], plan, tell)
        lived["fixed"] = fixed.result()
    return _compare(plan, plan.year(), lived, time.monotonic() - began)


def _workers(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _prepare, (os.getpid(),))


def walk(plan: ReplayPlan, name: PolicyName, times: int) -> list[Day]:
    """One policy; `times` is for `fixed` alone."""
    trainer = _trainer(plan)
    file = plan.folder / f"{name}{times or ''}.jsonl"
    if name == "platform":
        log, records = MemoryLog(), DeltaRecords(str(plan.folder))
        desk = Desk(plan.model.name, plan.model.retraining, log)
        return Walk(trainer, Platform(trainer, records, desk), file, log, records).days(plan.first, plan.last)
    days: Mapping[PolicyName, frozenset[date]] = {
        "static": frozenset(),
        "monthly": month_starts(plan.first, plan.last),
        "fixed": evenly(plan.first, plan.last, times),
    }
    return Walk(trainer, Scheduled(trainer, days[name]), file, MemoryLog()).days(plan.first, plan.last)


def _first_model(plan: ReplayPlan) -> None:
    """Everybody's: made once, before they begin."""
    # Feast, when it is imported, puts a filter of its own before all others.
    with warnings.catch_warnings(record=True):
        _trainer(plan).train(midnight(plan.first, plan.dataset.timezone), None)


def _trainer(plan: ReplayPlan) -> Trainer:
    """Models are kept for all replays: one with other constants of the watch trains only what is new."""
    rows = hash_json({"code": code_version(plan.repo), "where": plan.where, "sources": fingerprints(plan.dataset)})
    return Trainer(plan.year(), plan.model, plan.dataset, plan.home / "models", rows)


def _prepare(parent: int) -> None:
    """A worker has one core, and ends with its parent: two that write one walk would garble it."""
    os.environ.update({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", RUNNER_PID: str(parent)})
    warnings.simplefilter("ignore")
    end_with_runner()


def _all(jobs: Iterable[Future[Any]], plan: ReplayPlan, tell: Callable[[str], None]) -> None:
    waiting = set(jobs)
    while waiting:
        done, waiting = wait_for(waiting, POLL_SECONDS)
        for job in done:
            job.result()
        tell(", ".join(f"{file.stem} {_count(file)} days" for file in sorted(plan.folder.glob("*.jsonl"))))


def _count(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _compare(plan: ReplayPlan, year: Year, lived: Mapping[str, list[Day]], seconds: float) -> Comparison:
    order: tuple[PolicyName, ...] = ("static", "monthly", "fixed", "platform")
    found = with_shares({name: result(name, lived[name], year) for name in order})
    return Comparison(
        model=plan.model.name,
        first=plan.first,
        last=plan.last,
        rows=sum(len(day.scores) for day in lived["static"]),
        where=plan.label,
        policies=found,
        seen=what_was_seen(lived["platform"]),
        decay=plan.model.performance.decay,
        novelty=plan.model.retraining.novelty,
        seconds=seconds,
    )
