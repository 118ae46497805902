"""A Feast offline store that plans point-in-time joins as DuckDB ASOF joins.

Feast's own `duckdb` store pairs every entity row with every earlier row of its key and then numbers the pairs: without
a TTL that grows with the square of the history. An ASOF join finds the one row that was valid. The values are Feast's;
on top, rows come back in the order in which they were asked, `entity_df` may be a SQL query, Delta tables are read at
a pinned version without a DuckDB extension, views without entities can be materialised, and keys that a join_key_map
leaves out are still joined on.

    offline_store:
      type: fairlead.adapters.feast_asof.AsofDuckDBOfflineStore
      tables_uri: /data/tables
      versions: {features/carrier_delays: 12}
    materialization:
      pull_latest_features: true  # else Feast loads every row of the span, and settles ties in its own way
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from feast import FeatureView, FileSource, OnDemandFeatureView, RepoConfig
from feast.data_format import DeltaFormat
from feast.data_source import DataSource
from feast.errors import FeastEntityDFMissingColumnsError
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig, _write_data_source
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.saved_dataset import SavedDatasetStorage
from pydantic import Field, NonNegativeInt, StrictStr

from fairlead.adapters import s3
from fairlead.errors import FeatureError

READABLE_DELTA_FEATURES = {"timestampNtz"}
"""Delta reader features that leave the Parquet files whole. With deletion vectors or mapped columns they aren't."""

YEAR_ONE = -62_135_596_800_000_000
"""The start of year 1 in microseconds from 1970: before it, DuckDB, Arrow and Python disagree about time."""


class AsofDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc]
    """The `offline_store` section of feature_store.yaml."""

    type: StrictStr = "fairlead.adapters.feast_asof.AsofDuckDBOfflineStore"

    tables_uri: StrictStr | None = None
    """Folder, or `s3://` prefix, in which a Delta FileSource with a relative path lies. None: the repository."""

    versions: dict[str, NonNegativeInt] = Field(default_factory=dict)
    """Delta version to read, by the path that the FileSource states. One not listed is read at its latest."""


# Where the rows come from


@dataclass(frozen=True)
class Scan:
    """What stands after FROM, and the Arrow objects that it calls by name."""

    sql: str
    arrow: Mapping[str, Any] = field(default_factory=dict)


def scan_arrow(rows: pa.Table | ds.Dataset) -> Scan:
    """Scan an Arrow table or dataset."""
    name = f"arrow_{id(rows):x}"
    return Scan(name, {name: rows})


def scan_source(source: DataSource | None, config: RepoConfig) -> Scan:
    """Scan a FileSource. A relative path lies in `tables_uri` (Delta) or in the feature repository (Parquet)."""
    if not isinstance(source, FileSource):
        raise FeatureError(f"AsofDuckDBOfflineStore reads a FileSource, not a {type(source).__name__}: {source}")
    if isinstance(source.file_format, DeltaFormat):
        return _scan_delta(open_delta(source, config), source)
    uri = _locate(source.path, config.repo_path)
    return _scan_remote(uri, source) if _is_remote(uri) else Scan(f"read_parquet({_literal(uri)})")


def open_delta(source: FileSource, config: RepoConfig) -> DeltaTable:
    """Open the Delta table of `source` at its pinned version, or at its latest.

    Raises:
        FeatureError: it does not exist, has no such version, is partitioned, or needs a full Delta reader.
    """
    store: AsofDuckDBOfflineStoreConfig = config.offline_store
    uri = _locate(source.path, _locate(store.tables_uri or ".", config.repo_path))
    version = store.versions.get(source.path)
    try:
        table = DeltaTable(uri, version=version, storage_options=_storage_options(uri, source))
    except DeltaError as error:
        wanted = "the Delta table" if version is None else f"version {version} of the Delta table"
        raise FeatureError(f"can't read {wanted} {source.path!r} in {uri}: {error}") from error
    _refuse_what_files_leave_out(table, uri)
    return table


def _refuse_what_files_leave_out(table: DeltaTable, uri: str) -> None:
    metadata = table.metadata()
    if metadata.partition_columns:
        raise FeatureError(
            f"a feature table must not be partitioned, but {uri} is, by {metadata.partition_columns}: "
            "its files leave those columns out. Write it without partition_by."
        )
    features = set(table.protocol().reader_features or []) - READABLE_DELTA_FEATURES
    if metadata.configuration.get("delta.columnMapping.mode", "none") != "none":
        features.add("columnMapping")
    if features:
        raise FeatureError(
            f"a feature table must be readable from its Parquet files alone, but {uri} uses {sorted(features)}. "
            "Rewrite it without them."
        )


def _scan_delta(table: DeltaTable, source: FileSource) -> Scan:
    schema = _arrow_schema(table)
    files = table.file_uris()
    if files and _is_remote(files[0]):
        return _scan_remote(files, source, schema)
    empty = scan_arrow(schema.empty_table())
    if not files:
        return empty
    # The empty relation adds the columns that older files lack, and the table's types. A folder "a=b" is no partition.
    paths = ", ".join(_literal(unquote(file)) for file in files)
    rows = f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"
    return Scan(f"(SELECT * FROM {empty.sql} UNION ALL BY NAME SELECT * FROM {rows})", empty.arrow)


def _scan_remote(uris: str | list[str], source: FileSource, schema: pa.Schema | None = None) -> Scan:
    """Read through Arrow's file systems: DuckDB's own need an extension, which it downloads at run time."""
    first = uris if isinstance(uris, str) else uris[0]
    if first.startswith("s3://"):
        endpoint = source.s3_endpoint_override or s3.endpoint() or ""
        filesystem, _ = FileSource.create_filesystem_and_path(first, endpoint, source.resolve_credentials())
    else:
        filesystem, _ = pafs.FileSystem.from_uri(first)
    paths = _inside(uris) if isinstance(uris, str) else [unquote(_inside(uri)) for uri in uris]
    parquet = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(coerce_int96_timestamp_unit="us"))
    return scan_arrow(ds.dataset(paths, schema=schema, format=parquet, filesystem=filesystem))


def _storage_options(uri: str, source: FileSource) -> dict[str, str]:
    options = s3.delta_options(uri) or {}
    options |= {key: value for key, value in (source.resolve_credentials() or {}).items() if value}
    if source.s3_endpoint_override:
        options["endpoint_url"] = source.s3_endpoint_override
        options["allow_http"] = str(source.s3_endpoint_override.startswith("http://")).lower()
    return options


def _arrow_schema(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _locate(path: str, root: str | Path | None) -> str:
    if path.startswith("file://"):
        return unquote(path.removeprefix("file://"))
    if _is_remote(path) or Path(path).is_absolute():
        return path
    return f"{str(root or '.').rstrip('/')}/{path}"


def _is_remote(uri: str) -> bool:
    return "://" in uri


def _inside(uri: str) -> str:
    return uri.split("://", 1)[1]


# The join


@dataclass(frozen=True)
class ViewJoin:
    """One feature view to join: what to read, in its source's column names, and how long a row is an answer."""

    scan: Scan
    timestamp: str
    features: Mapping[str, str]
    """Name in the answer → column."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Column → column of the asked rows. Empty: each row answers for every entity."""
    created: str | None = None
    ttl: timedelta | None = None
    """Age up to which, and including which, a row is an answer. None or zero: for ever."""
    columns: Sequence[str] = ()
    """The columns whose hash orders rows that tie even on `created`: all of the view's, so that every query agrees."""


def point_in_time_join(
    asked: pa.Table, timestamp: str, views: Sequence[ViewJoin], *, filter_by_created_timestamp: bool = False
) -> pa.Table:
    """Append the features that were valid at each row of `asked`; the rows keep their order.

    A row of a view is valid from its timestamp (with `filter_by_created_timestamp`: and from its creation) until one
    with a later timestamp is, or until its TTL is over. Among equal timestamps the last created row counts.

    Args:
        timestamp: the column of `asked` that says when. Without a time zone it is UTC.
    """
    views = [view for view in views if view.features]
    if not views:
        return asked
    moments = _to_utc(asked[timestamp]).cast(pa.int64())
    names = dict.fromkeys(name for view in views for name in view.keys.values())
    keys = {name: f"key_{i}" for i, name in enumerate(names)}
    questions = pa.table(
        {"position": pa.array(range(asked.num_rows), pa.int64()), "moment": moments}
        | {column: asked[name] for name, column in keys.items()}
    )
    sql = _join_sql(views, keys, pc.min_max(moments).as_py(), filter_by_created_timestamp)
    answers = run(sql, Scan("asked", {"asked": questions}), *(view.scan for view in views))
    for name, values in zip((name for view in views for name in view.features), answers.columns, strict=True):
        asked = asked.append_column(name, values)
    return asked


def run(sql: str, *scans: Scan) -> pa.Table:
    """Run one query over `scans` on a connection of its own. DuckDB may not download anything for it."""
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")  # it would be drawn on standard output
        # An Arrow scan doesn't tell its size. DuckDB takes it for tiny and would plan nested loops instead of a merge.
        connection.execute("SET asof_loop_join_threshold = 0")
        for scan in scans:
            for name, rows in scan.arrow.items():
                connection.register(name, rows)
        return connection.execute(sql).to_arrow_table()


def _join_sql(
    views: Sequence[ViewJoin], keys: Mapping[str, str], asked: Mapping[str, int | None], by_created: bool
) -> str:
    answers, joins = [], []
    for i, view in enumerate(views):
        on = [f"asked.{keys[name]} = v{i}.key_{j}" for j, name in enumerate(view.keys.values())]
        on.append(f"asked.moment >= v{i}.valid_from")
        joins.append(f"ASOF LEFT JOIN ({_validity_sql(view, asked, by_created)}) AS v{i} ON {' AND '.join(on)}")
        for j in range(len(view.features)):
            answer = f"v{i}.feature_{j}"
            if view.ttl:
                answer = f"CASE WHEN asked.moment - v{i}.moment <= {_in_microseconds(view.ttl)} THEN {answer} END"
            answers.append(f"{answer} AS answer_{i}_{j}")
    return f"SELECT {', '.join(answers)} FROM asked {' '.join(joins)} ORDER BY asked.position"


def _validity_sql(view: ViewJoin, asked: Mapping[str, int | None], by_created: bool) -> str:
    """The view's rows that are ever an answer to `asked`, once each, with the moment from which they are.

    Ordered by that moment, a row counts unless the next one begins at the same moment, or an earlier one is newer:
    what was backfilled behind a newer row never becomes the latest.
    """
    columns = [f"{_quoted(column)} AS key_{i}" for i, column in enumerate(view.keys)]
    columns += [f"{_quoted(column)} AS feature_{i}" for i, column in enumerate(view.features.values())]
    columns.append(f"{_moment(view.timestamp)} AS moment")
    columns.append(f"{_moment(view.created) if view.created else 'NULL'} AS created")
    columns.append(f"{_tie_break(view.columns or view.features.values())} AS tie_break")
    rows = f"(SELECT {', '.join(columns)} FROM {view.scan.sql} WHERE {_asked_for(view, asked)})"

    wait = by_created and view.created
    valid_from = "greatest(moment, created)" if wait else "moment"
    order = f"ORDER BY {valid_from}, moment, created NULLS FIRST, tie_break"
    history = f"{_partition([f'key_{i}' for i in range(len(view.keys))])} {order}"
    return (
        f"SELECT *, {valid_from} AS valid_from FROM {rows} {'WHERE created IS NOT NULL' if wait else ''} "
        f"QUALIFY lead({valid_from}) OVER ({history}) IS DISTINCT FROM {valid_from} "
        + (f"AND moment = max(moment) OVER ({history} ROWS UNBOUNDED PRECEDING)" if wait else "")
    )


def _asked_for(view: ViewJoin, asked: Mapping[str, int | None]) -> str:
    """The condition that spares reading what is too new or too old for every asked row."""
    oldest, newest = asked["min"], asked["max"]
    if oldest is None or newest is None:
        return "false"
    until = f"{_zoned(view.timestamp)} <= make_timestamptz({newest})"
    if not view.ttl:
        return until
    since = max(oldest - _in_microseconds(view.ttl), YEAR_ONE)
    return f"{until} AND {_zoned(view.timestamp)} >= make_timestamptz({since})"


def _tie_break(columns: Iterable[str]) -> str:
    """A hash of those of `columns` that there are: a table's older version may lack what its view has by now."""
    names = ", ".join(_literal(column.lower()) for column in columns)
    return f"hash(*COLUMNS(lambda name: lower(name) IN ({names})))" if names else "NULL"


def _partition(columns: Sequence[str]) -> str:
    return f"PARTITION BY {', '.join(columns)}" if columns else ""


def _moment(column: str) -> str:
    return f"epoch_us({_zoned(column)})"


def _zoned(column: str) -> str:
    return f"{_quoted(column)}::TIMESTAMPTZ"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _in_microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)


# What Feast calls


class AsofRetrievalJob(RetrievalJob):  # type: ignore[misc]
    """Reads when asked to; Feast's base class adds the on-demand feature views."""

    def __init__(
        self,
        read: Callable[[], pa.Table],
        config: RepoConfig,
        on_demand_feature_views: Sequence[OnDemandFeatureView] = (),
        full_feature_names: bool = False,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._read = read
        self._config = config
        self._on_demand_feature_views = list(on_demand_feature_views)
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._read()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._read().to_pandas()
        return frame

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the rows, on-demand features included, where `storage` says."""
        rows = ibis.memtable(self.to_arrow())
        _write_data_source(rows, storage.to_data_source(), str(self._config.repo_path), "overwrite", allow_overwrite)


class AsofDuckDBOfflineStore(DuckDBOfflineStore):  # type: ignore[misc]
    """Feast's duckdb store with its reads replaced; see the module."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> AsofRetrievalJob:
        """Join the features as they stood at each row of `entity_df`: a frame, or a SQL query that DuckDB runs."""
        if entity_df is None:
            raise FeatureError("entity_df must be a DataFrame or a SQL query, not None: a range of time is no question")
        asked, timestamp = _asked_rows(entity_df)
        views = [_plan_view(view, feature_refs, full_feature_names, config) for view in feature_views]
        _refuse_unanswerable(asked, views)
        moments = pc.min_max(asked[timestamp]).as_py()
        return AsofRetrievalJob(
            lambda: point_in_time_join(
                asked, timestamp, views, filter_by_created_timestamp=filter_by_created_timestamp
            ),
            config,
            OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_feature_names,
            RetrievalMetadata(
                features=feature_refs,
                keys=[name for name in asked.column_names if name != timestamp],
                min_event_timestamp=moments["min"],
                max_event_timestamp=moments["max"],
            ),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> AsofRetrievalJob:
        """Read the last row of each key between two moments, both included. Ties and missing keys go as in the join."""
        newest_first = f"ORDER BY {_by_age(timestamp_field, created_timestamp_column, 'DESC NULLS LAST')}"
        keys = [_quoted(column) for column in join_key_columns]
        wanted = [_between(timestamp_field, start_date, end_date), *(f"{key} IS NOT NULL" for key in keys)]
        condition = f"{' AND '.join(wanted)} QUALIFY row_number() OVER ({_partition(keys)} {newest_first}) = 1"
        times = [timestamp_field, *filter(None, [created_timestamp_column])]
        return _pull(config, data_source, join_key_columns, feature_name_columns, times, condition)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> AsofRetrievalJob:
        """Read all rows between two moments, both included.

        Without keys they are in the order of time: Feast writes them all online, under one key, and the last one stays.
        """
        condition = _between(timestamp_field, start_date, end_date)
        if not join_key_columns:
            condition += f" ORDER BY {_by_age(timestamp_field, created_timestamp_column, 'ASC NULLS FIRST')}"
        times = [timestamp_field, *filter(None, [created_timestamp_column])]
        return _pull(config, data_source, join_key_columns, feature_name_columns, times, condition)

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """Name and type each column; `feast apply` infers a view's schema from them."""
        if not _is_delta(data_source):
            return list(super().get_table_column_names_and_types_from_data_source(config, data_source))
        return [(column.name, str(column.type)) for column in _arrow_schema(open_delta(data_source, config))]

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Append to a Parquet source. Delta tables are written by the pipelines, which record their versions."""
        if _is_delta(feature_view.batch_source):
            raise FeatureError(f"feature view {feature_view.name!r} is a Delta table: write it in a pipeline")
        DuckDBOfflineStore.offline_write_batch(config, feature_view, table, progress)

    @staticmethod
    def compute_monitoring_metrics(config: RepoConfig, data_source: DataSource, *args: Any, **kwargs: Any) -> Any:
        """Leave Delta to Feast's Python fallback: the base class would load DuckDB's extension."""
        if _is_delta(data_source):
            raise NotImplementedError
        return DuckDBOfflineStore.compute_monitoring_metrics(config, data_source, *args, **kwargs)

    @staticmethod
    def get_monitoring_max_timestamp(
        config: RepoConfig, data_source: DataSource, timestamp_field: str
    ) -> datetime | None:
        """Leave Delta to Feast's Python fallback: the base class would load DuckDB's extension."""
        if _is_delta(data_source):
            raise NotImplementedError
        latest: datetime | None = DuckDBOfflineStore.get_monitoring_max_timestamp(config, data_source, timestamp_field)
        return latest


def _plan_view(view: FeatureView, feature_refs: Sequence[str], full_names: bool, config: RepoConfig) -> ViewJoin:
    source, projection = view.batch_source, view.projection
    if source is None:
        raise FeatureError(f"feature view {view.name!r} has no batch_source, so there is nothing to join")
    mapped = {feature: column for column, feature in source.field_mapping.items()}
    timestamp = mapped.get(source.timestamp_field, source.timestamp_field)
    created = mapped.get(source.created_timestamp_column, source.created_timestamp_column)
    keys = {
        mapped.get(key.name, key.name): projection.join_key_map.get(key.name, key.name)
        for key in view.entity_columns
        if key.name != DUMMY_ENTITY_ID
    }
    start = f"{projection.name_to_use()}:"
    names = [ref.removeprefix(start) for ref in feature_refs if ref.startswith(start)]
    prefix = f"{projection.name_alias or view.name}__" if full_names else ""
    columns = {mapped.get(feature.name, feature.name) for feature in view.features}
    return ViewJoin(
        scan=scan_source(source, config),
        timestamp=timestamp,
        features={prefix + name: mapped.get(name, name) for name in names},
        keys=keys,
        created=created or None,
        ttl=view.ttl,
        columns=tuple(columns - {timestamp, created, *keys}),
    )


def _asked_rows(entity_df: pd.DataFrame | str) -> tuple[pa.Table, str]:
    """Turn `entity_df` into the Arrow types that Feast's duckdb store returns, and name its event timestamp."""
    if isinstance(entity_df, str):
        asked = run(entity_df)
        timestamp = infer_event_timestamp_from_entity_df(dict(asked.schema.empty_table().to_pandas().dtypes))
    else:
        timestamp = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        times = entity_df[timestamp]
        if not pd.api.types.is_datetime64_any_dtype(times):
            entity_df = entity_df.assign(**{timestamp: pd.to_datetime(times, utc=True)})
        asked = pa.Table.from_pandas(entity_df, preserve_index=False).replace_schema_metadata(None)
    for i, column in enumerate(asked.schema):
        asked = asked.set_column(i, column.name, _as_duckdb_has_it(asked[column.name]))
    moments = _to_utc(asked[timestamp])
    return asked.set_column(asked.column_names.index(timestamp), timestamp, moments), timestamp


def _as_duckdb_has_it(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        return values.cast(values.type.value_type)
    if pa.types.is_timestamp(values.type):
        return values.cast(pa.timestamp("us", values.type.tz), safe=False)
    return values


def _to_utc(times: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_timestamp(times.type):
        times = pa.chunked_array([pa.array(pd.to_datetime(times.to_pandas(), utc=True))])
    return times.cast(pa.timestamp("us", "UTC"), safe=False)


def _refuse_unanswerable(asked: pa.Table, views: Sequence[ViewJoin]) -> None:
    there = set(asked.column_names)
    needed = {name for view in views for name in view.keys.values()}
    if needed - there:
        raise FeastEntityDFMissingColumnsError(needed, needed - there)
    clashes = sorted(there.intersection(name for view in views for name in view.features))
    if clashes:
        raise FeatureError(f"entity_df has columns named as features: {clashes}. Rename them or use full_feature_names")


def _pull(
    config: RepoConfig,
    source: DataSource,
    keys: Sequence[str],
    features: Sequence[str],
    times: Sequence[str],
    condition: str,
) -> AsofRetrievalJob:
    columns = [_quoted(column) for column in (*keys, *features, *times)]
    if not keys:  # the online store files such a row under a dummy entity
        columns.append(f"{_literal(DUMMY_ENTITY_VAL)} AS {DUMMY_ENTITY_ID}")
    scan = scan_source(source, config)
    rows = f"(SELECT *, {_tie_break(features)} AS __tie_break FROM {scan.sql})"
    return AsofRetrievalJob(lambda: run(f"SELECT {', '.join(columns)} FROM {rows} WHERE {condition}", scan), config)


def _by_age(timestamp: str, created: str | None, direction: str) -> str:
    terms = [_moment(timestamp), *([_moment(created)] if created else []), "__tie_break"]
    return ", ".join(f"{term} {direction}" for term in terms)


def _between(timestamp: str, start: datetime | None, end: datetime | None) -> str:
    bounds = [
        f"{_zoned(timestamp)} {comparison} TIMESTAMPTZ {_literal(_utc(moment).isoformat())}"
        for comparison, moment in ((">=", start), ("<=", end))
        if moment
    ]
    return " AND ".join(bounds) or "true"


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_delta(source: DataSource | None) -> bool:
    return isinstance(source, FileSource) and isinstance(source.file_format, DeltaFormat)
