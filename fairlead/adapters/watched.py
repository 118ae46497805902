"""What a job that watches reads and writes, opened from the settings."""

from dataclasses import dataclass

from fairlead.adapters.bundles import open_bundles
from fairlead.adapters.delta import DeltaTables
from fairlead.adapters.delta_records import DeltaRecords
from fairlead.adapters.result_files import ResultFiles
from fairlead.ports import BundleStore, RecordStore, ResultStore, TableStore
from fairlead.settings import Settings


@dataclass(frozen=True)
class WatchedStores:
    """Records, bundles, tables and results of one environment."""

    records: RecordStore
    bundles: BundleStore
    tables: TableStore
    results: ResultStore


def open_stores(settings: Settings) -> WatchedStores:
    """All of them, where the settings say."""
    root = settings.tables_uri
    return WatchedStores(DeltaRecords(root), open_bundles(settings.bundles_uri), DeltaTables(root), ResultFiles(root))
