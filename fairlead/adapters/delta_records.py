"""Records of predictions on Delta Lake: `<root>/records/<model>`, partitioned by day."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fairlead.adapters.delta import UNUSABLE
from fairlead.adapters.s3 import delta_options, in_s3
from fairlead.adapters.s3_arrow import filesystem
from fairlead.adapters.s3_arrow import path as s3_path
from fairlead.errors import HomeError
from fairlead.records.reading import PredictionEvent

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import DeltaTable

FOLDER = "records"
PARTITION = "day"
COMPACT_EVERY = 200
"""Files of a day, one of each commit; then they become one, and again when the next day begins."""
VACUUM_HOURS = 24
"""How long a file that no version needs stays for readers that are under way."""
CONFIGURATION = {"delta.logRetentionDuration": "interval 2 hours"}
"""Several commits a second would else leave a million files a month in the log; nobody travels back in records."""
DAYS_KNOWN = 3
"""Days of a model whose ids stay in memory: today, and what spools deliver late."""
TRIES = 10
"""How often a commit is tried against other writers."""


class DeltaRecords:
    """`RecordStore` in Delta tables.

    An event is kept once: its id is looked up among the ids of its day, which are read from the table when the day is
    first met. A commit goes through only on the version that those ids are of. So a restart, a lost answer or a second
    writer makes no row twice, and rows that a killed commit left behind belong to no version.
    """

    def __init__(self, root: str) -> None:
        """Keep records under a root.

        Raises:
            HomeError: it is a local path that deltalake cannot have.
        """
        unusable = None if "://" in root else UNUSABLE.search(root)
        if unusable:
            raise HomeError(f"the path of a table must not hold {unusable[0]!r}, but is {root}")
        self._root = root.rstrip("/")
        self._tables: dict[str, _ModelTable] = {}
        self._lock = Lock()

    def add(self, model: str, events: Sequence[PredictionEvent]) -> int:
        with self._lock:
            table = self._tables.setdefault(model, _ModelTable(f"{self._root}/{FOLDER}/{model}"))
            return table.add(events)

    def read(self, model: str, first: date, last: date, columns: Sequence[str] | None = None) -> "pa.Table":
        return _ModelTable(f"{self._root}/{FOLDER}/{model}").read(first, last, columns)


class _ModelTable:
    """One table, and the ids of its last days."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._handle: DeltaTable | None = None
        self._version = -1
        self._known: OrderedDict[str, set[str]] = OrderedDict()
        self._commits: dict[str, int] = {}

    def add(self, events: Sequence[PredictionEvent]) -> int:
        from deltalake.exceptions import CommitFailedError, DeltaError
        from pyarrow import ArrowException

        try:
            for _ in range(TRIES):
                try:
                    return self._add(events)
                except CommitFailedError as error:  # another writer was faster: its ids are read first
                    reason = error
            raise HomeError(f"cannot write records to {self._uri}: {reason}")
        except (OSError, DeltaError, ArrowException) as error:
            raise HomeError(f"cannot write records to {self._uri}: {' '.join(str(error).split())}") from None

    def read(self, first: date, last: date, columns: Sequence[str] | None) -> "pa.Table":
        from deltalake.exceptions import DeltaError
        from pyarrow import ArrowException

        try:
            return self._read(first, last, columns)
        except (OSError, DeltaError, ArrowException) as error:
            raise HomeError(f"cannot read records of {self._uri}: {' '.join(str(error).split())}") from None

    def _read(self, first: date, last: date, columns: Sequence[str] | None) -> "pa.Table":
        import pyarrow as pa

        from fairlead.records.rows import SCHEMA

        names = SCHEMA.names if columns is None else list(columns)
        schema = pa.schema([SCHEMA.field(name) for name in names])
        tables = [schema.empty_table()]
        if self._open() is not None:
            for day, path in self._files(None):
                if first <= date.fromisoformat(day) <= last:
                    rows = _parquet(path).read(columns=[name for name in names if name != PARTITION])
                    days = pa.array([date.fromisoformat(day)] * len(rows), pa.date32())
                    tables.append(rows.append_column(PARTITION, days).select(names).cast(schema))
        return pa.concat_tables(tables)

    def _add(self, events: Sequence[PredictionEvent]) -> int:
        from deltalake import CommitProperties, write_deltalake

        from fairlead.records.rows import to_table

        handle = self._refresh()
        new: dict[tuple[str, str], PredictionEvent] = {}
        for event in sorted(events, key=lambda event: event.day):
            if event.id not in self._ids(event.day):
                new.setdefault((event.day, event.id), event)
        if not new:
            return 0
        rows = to_table(list(new.values()), datetime.now(UTC))
        # No retries: deltalake would append after another writer's commit without a look at its ids.
        write_deltalake(handle, rows, mode="append", commit_properties=CommitProperties(max_commit_retries=0))
        self._version = handle.version()
        for day, identifier in new:
            self._ids(day).add(identifier)
        self._tidy(handle, {day for day, _ in new})
        return len(rows)

    def _refresh(self) -> "DeltaTable":
        """The newest version; the ids are forgotten if somebody else made it."""
        handle = self._open() or self._create()
        handle.update_incremental()
        if handle.version() != self._version:
            self._known.clear()
            self._version = handle.version()
        return handle

    def _open(self) -> "DeltaTable | None":
        from deltalake import DeltaTable

        options = delta_options(self._uri)
        if self._handle is None and DeltaTable.is_deltatable(self._uri, options):
            self._handle = DeltaTable(self._uri, storage_options=options)
        return self._handle

    def _create(self) -> "DeltaTable":
        from deltalake import DeltaTable

        from fairlead.records.rows import SCHEMA

        if "://" not in self._uri:
            Path(self._uri).mkdir(parents=True, exist_ok=True)
        self._handle = DeltaTable.create(
            self._uri,
            SCHEMA,
            mode="ignore",
            partition_by=[PARTITION],
            configuration=CONFIGURATION,
            storage_options=delta_options(self._uri),
        )
        return self._handle

    def _ids(self, day: str) -> set[str]:
        """Ids of the events of a day."""
        if day not in self._known:
            ids: set[str] = set()
            for _, path in self._files(day):
                ids.update(_parquet(path).read(columns=["event_id"]).column(0).to_pylist())
            self._known[day] = ids
            while len(self._known) > DAYS_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(day)
        return self._known[day]

    def _files(self, day: str | None) -> list[tuple[str, str]]:
        """Day and path of each Parquet file, of one day or of all."""
        assert self._handle is not None, "opened before"
        wanted = None if day is None else [("day", "=", day)]
        return [(_day_of(uri), uri) for uri in self._handle.file_uris(file_pruning_predicate=wanted)]

    def _days_over(self, days: set[str]) -> set[str]:
        """Days before one that begins with this commit, as far as this process knows them."""
        newest = max(days)
        begins = newest not in self._commits and any(day < newest for day in self._commits)
        return {day for day in self._commits if begins and day < newest}

    def _tidy(self, handle: "DeltaTable", days: set[str]) -> None:
        """Make one file of many: where there are enough, and of a day that is over; another writer puts it off."""
        from deltalake.exceptions import CommitFailedError

        over = self._days_over(days)
        for day in days:
            self._commits[day] = self._commits[day] + 1 if day in self._commits else len(self._files(day))
        due = [day for day, files in self._commits.items() if files >= COMPACT_EVERY or (day in over and files > 1)]
        for day in due:
            self._commits[day] = 1
            try:
                handle.optimize.compact([("day", "=", day)])
            except CommitFailedError:
                return
            self._version = handle.version()
        if due:
            handle.vacuum(retention_hours=VACUUM_HOURS, dry_run=False, enforce_retention_duration=False)
            self._version = handle.version()


def _parquet(uri: str) -> "pq.ParquetFile":
    """Not through deltalake's own filesystem: see `DeltaTables`."""
    import pyarrow.parquet as pq

    if in_s3(uri):
        return pq.ParquetFile(s3_path(uri), filesystem=filesystem())
    return pq.ParquetFile(unquote(uri.removeprefix("file://")))


def _day_of(uri: str) -> str:
    return next(part.removeprefix("day=") for part in uri.split("/") if part.startswith("day="))
