"""What a run would be made from, as things are now."""

from datetime import datetime
from zoneinfo import ZoneInfo

from fairlead.adapters.mlflow import MlflowRegistry
from fairlead.lineage.code import code_version
from fairlead.lineage.record import Plan
from fairlead.settings import Settings
from fairlead.spec import DatasetSpec, ModelSpec
from fairlead.tables.ingest import fingerprints
from fairlead.training.splits import midnight


def make_plan(settings: Settings, dataset: DatasetSpec, model: ModelSpec, as_of: datetime) -> Plan:
    """Look at the sources, the code and the registry.

    Raises:
        SourceError: a source cannot be read.
    """
    draft = Plan(
        dataset=dataset,
        model=model,
        sources=fingerprints(dataset),
        as_of=as_of.isoformat(),
        code_version=code_version(settings.repo),
        champion="",
    )
    return draft.model_copy(update={"champion": MlflowRegistry(settings).champion_to_beat(draft)})


def start_of_day(day: str, dataset: DatasetSpec) -> datetime:
    """The beginning of a day, `2013-04-01`, where the data is from; of today if none is named.

    Raises:
        ValueError: it is no such date.
    """
    zone = ZoneInfo(dataset.timezone)
    date = datetime.strptime(day, "%Y-%m-%d").date() if day else datetime.now(zone).date()
    return midnight(date, dataset.timezone)
