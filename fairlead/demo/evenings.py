"""What the jobs that watch would have told, evening by evening, of days that were lived through again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead import metrics
from fairlead.drift.engine import OwnEngine
from fairlead.drift.job import DETECTOR, Judges, add_versions
from fairlead.drift.windows import windows_before
from fairlead.errors import BundleError, FairleadError
from fairlead.monitors.results import Figures, Result, failed, scraped, succeeded
from fairlead.panels.recording import Recording
from fairlead.performance.watch import figures as performance_figures
from fairlead.performance.watch import look
from fairlead.ports import RecordStore
from fairlead.replay.walk import Day
from fairlead.replay.watch import evening
from fairlead.replay.year import Year
from fairlead.retraining.brakes import read_state
from fairlead.retraining.entries import Entry
from fairlead.retraining.figures import figures as retraining_figures
from fairlead.spec import DatasetSpec, ModelSpec

if TYPE_CHECKING:
    import pyarrow as pa

INTERVAL = timedelta(hours=1)
STEP = timedelta(hours=6)


@dataclass(frozen=True)
class Evenings:
    """Days that are over, looked at again; on each evening nothing of later is seen."""

    year: Year
    model: ModelSpec
    dataset: DatasetSpec
    records: RecordStore
    folders: Mapping[str, Path]
    """Version → its bundle."""

    def recording(self, lived: Sequence[Day]) -> Recording:
        """All results, scraped once an hour: what a job has found stands until its next run."""
        found = Recording("month", INTERVAL.total_seconds(), STEP.total_seconds())
        judges = Judges(self.model, self.dataset, self._folder, OwnEngine())
        entries: list[Entry] = []
        before: dict[str, Result] = {}
        for day in lived[:-1]:  # nobody looks on the last evening
            now = evening(day.day, self.year)
            entries += day.log
            scrapes = [now + number * INTERVAL for number in range(int((self._next(day) - now) / INTERVAL))]
            for result in self._results(now, judges, entries, before):
                before[result.detector] = result
                found.add_figures([at.timestamp() for at in scrapes], scraped(result))
        return found

    def _next(self, day: Day) -> datetime:
        return evening(day.day + timedelta(days=1), self.year)

    def _results(
        self, now: datetime, judges: Judges, entries: Sequence[Entry], before: Mapping[str, Result]
    ) -> Iterator[Result]:
        name, spec = self.model.name, self.model.retraining
        yield self._drift(now, judges, before.get(DETECTOR))
        yield succeeded(name, "performance", self._performance(now), at=now)
        found = retraining_figures(name, spec, read_state(entries), entries, now)
        yield succeeded(name, "retraining", found, at=now)

    def _drift(self, now: datetime, judges: Judges, before: Result | None) -> Result:
        """Windows end with the evening at the latest, so what is recorded later is in none."""
        figures = Figures(model=self.model.name)
        windows = windows_before(now, self.model.drift, self.dataset.timezone)
        try:
            judged = judges.judge(self.records, windows)
        except FairleadError as error:
            return failed(self.model.name, DETECTOR, error, before).model_copy(update={"at": now})
        figures.set(metrics.DRIFT_ENGINE, 1, engine=judges.engine.name, library=judges.engine.library())
        add_versions(figures, judged.versions)
        return succeeded(self.model.name, DETECTOR, figures, at=now)

    def _performance(self, now: datetime) -> Figures:
        spec = self.model.performance
        rows = self.records.read(self.model.name, (now - spec.window - spec.longest_delay).date(), now.date())
        found = look(_asked_by(rows, now), self.year.labels_by(now), self.model, self.year.timezone, now)
        return performance_figures(self.model.name, found)

    def _folder(self, version: str) -> Path:
        if version not in self.folders:
            raise BundleError(f"the replay has no version {version} of {self.model.name}")
        return self.folders[version]


def folders_of(lived: Sequence[Day]) -> dict[str, Path]:
    """Version → bundle, of all that answered or were to answer next."""
    return {day.champion.version: day.champion.folder for day in lived}


def _asked_by(rows: "pa.Table", now: datetime) -> "pa.Table":
    import pyarrow.compute as pc

    return rows.filter(pc.field("asked_at") < now)
