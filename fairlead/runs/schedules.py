"""Schedules as they are declared, brought to the backend: doing it twice changes nothing."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from fairlead.lineage.digest import hash_json
from fairlead.ports import PipelineBackend
from fairlead.runs.request import KnownRepetition, Repetition
from fairlead.spec._base import Spec
from fairlead.spec.environment import ScheduleSpec, Url

MARK = "Declared in Git by "
"""Begins the note of a repetition that is ours; what a person made by hand is left alone."""


class VersionedSchedule(ScheduleSpec):
    """A schedule, and the version of its pipeline that the commit has."""

    version: str


class DeclaredSchedules(Spec):
    """Everything that an environment declares: the file that its Job reads."""

    api: Url
    namespace: str
    environment: str
    schedules: tuple[VersionedSchedule, ...]


class Change(BaseModel):
    """What was done about one schedule."""

    model_config = ConfigDict(frozen=True)

    name: str
    action: Literal["created", "replaced", "unchanged", "removed"]
    version: str = ""


def sync_schedules(declared: DeclaredSchedules, backend: PipelineBackend) -> list[Change]:
    """Make the backend's repetitions those that are declared.

    The backend cannot change one: it is removed and made anew. A repetition of the same name is made before the old one
    is removed, so that a killed sync leaves one too many rather than none, and the next one mends that.

    Raises:
        PipelineError: a version is not there, or the backend refuses.
    """
    known = backend.repetitions()
    changes = [_sync(schedule, declared.environment, known, backend) for schedule in declared.schedules]
    names = {schedule.name for schedule in declared.schedules}
    for item in known:
        if item.name not in names and item.note.startswith(MARK):
            backend.remove_repetition(item.id)
            changes.append(Change(name=item.name, action="removed"))
    return changes


def _sync(
    schedule: VersionedSchedule, environment: str, known: list[KnownRepetition], backend: PipelineBackend
) -> Change:
    wanted = Repetition(
        name=schedule.name,
        version=backend.resolve(schedule.pipeline, schedule.version),
        cron=schedule.cron,
        parameters=schedule.parameters,
        max_concurrency=schedule.max_concurrency,
        experiment="schedules",
    )
    note = f"{MARK}manifests/envs/{environment}/environment.yaml; {hash_json(schedule.model_dump())[:16]}"
    same_name = [item for item in known if item.name == schedule.name and item.note.startswith(MARK)]
    kept = [item for item in same_name if item.note == note and item.version_id == wanted.version.version_id][:1]
    if not kept:
        backend.add_repetition(wanted, note)
    for item in same_name:
        if item not in kept:
            backend.remove_repetition(item.id)
    action: Literal["created", "replaced", "unchanged"] = (
        "created" if not same_name else "unchanged" if same_name == kept else "replaced"
    )
    return Change(name=schedule.name, action=action, version=schedule.version)
