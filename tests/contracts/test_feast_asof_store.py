"""What a point-in-time join answers: the same on Feast's duckdb store and on ours, and what only ours can do."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.schema import Field as DeltaField
from deltalake.schema import PrimitiveType
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    RepoConfig,
    RequestSource,
    ValueType,
)
from feast.data_format import DeltaFormat, ParquetFormat
from feast.data_source import PushSource
from feast.errors import FeastEntityDFMissingColumnsError
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import MaterializationConfig
from feast.types import Float64, Int32, Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.adapters.feast_asof import (
    AsofDuckDBOfflineStore,
    ViewJoin,
    point_in_time_join,
    run,
    scan_arrow,
    scan_source,
)
from fairlead.errors import FeatureError

ASOF = "fairlead.adapters.feast_asof.AsofDuckDBOfflineStore"
MIDNIGHT = datetime(2013, 10, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TIME = pa.timestamp("us", "UTC")


def at(hours: float) -> datetime:
    return MIDNIGHT + hours * HOUR


def times(*hours: float | None) -> pa.Array:
    return pa.array([None if h is None else at(h) for h in hours], TIME)


TABLES: dict[str, pa.Table] = {
    "planes": pa.table(
        {
            "plane": pa.array([1, 1, 1, 1, 2], pa.int64()),
            "known_at": times(0, 2, 2, 2, 1),
            "created_at": times(0, 2, 3, None, 1),
            "delay": [1.0, 2.0, 4.0, 99.0, 3.0],
            "seats": pa.array([100, 100, 120, 120, None], pa.int32()),
            "kind": ["jet", "jet", "prop", "prop", None],
        }
    ),
    "routes": pa.table(
        {
            "origin": ["EWR", "EWR", "JFK"],
            "dest": ["LAX", "SFO", "LAX"],
            "known_at": times(0, 0, 0),
            "late_share": [0.1, 0.2, 0.3],
        }
    ),
    "network": pa.table({"known_at": times(2, 0), "flights": pa.array([20, 10], pa.int64())}),
    "weather": pa.table({"station": ["EWR", "JFK"], "known_at": times(0, 0), "raw": [5.0, 8.0]}),
    "corrections": pa.table(
        {
            "plane": pa.array([1, 1, 1, 1, None], pa.int64()),
            "known_at": times(1, 2, 1.5, 3, 1),
            "created_at": times(1, 10, 12, None, 1),
            "version": pa.array([1, 2, 3, 4, 5], pa.int64()),
        }
    ),
}

PLANE = Entity(name="plane", join_keys=["plane"], value_type=ValueType.INT64)
ORIGIN = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)
DEST = Entity(name="dest", join_keys=["dest"], value_type=ValueType.STRING)
AIRPORT = Entity(name="airport", join_keys=["airport"], value_type=ValueType.STRING)


def definitions(source: Callable[..., FileSource]) -> list[Any]:
    planes = source("planes", created_timestamp_column="created_at")
    fields = [Field(name="delay", dtype=Float64), Field(name="seats", dtype=Int32), Field(name="kind", dtype=String)]
    weather = FeatureView(
        name="weather",
        entities=[AIRPORT],
        schema=[Field(name="wind", dtype=Float64)],
        source=source("weather", field_mapping={"raw": "wind", "station": "airport"}),
    )
    recent = FeatureView(name="planes", entities=[PLANE], ttl=3 * HOUR, schema=fields, source=planes)
    return [
        PLANE,
        ORIGIN,
        DEST,
        AIRPORT,
        recent,
        FeatureView(name="planes_for_ever", entities=[PLANE], ttl=timedelta(0), schema=fields, source=planes),
        FeatureView(
            name="routes",
            entities=[ORIGIN, DEST],
            ttl=24 * HOUR,
            schema=[Field(name="late_share", dtype=Float64)],
            source=source("routes"),
        ),
        FeatureView(name="network", schema=[Field(name="flights", dtype=Int64)], source=source("network")),
        FeatureView(
            name="corrections",
            entities=[PLANE],
            schema=[Field(name="version", dtype=Int64)],
            source=source("corrections", created_timestamp_column="created_at"),
        ),
        weather,
        FeatureService(
            name="both_ends",
            features=[
                weather.with_name("origin_weather").with_join_key_map({"airport": "origin"}),
                weather.with_name("dest_weather").with_join_key_map({"airport": "dest"}),
            ],
        ),
        catching_up(recent),
    ]


def catching_up(planes: FeatureView) -> Any:
    request = RequestSource(name="request", schema=[Field(name="buffer", dtype=Float64)])
    schema = [Field(name="missed_by", dtype=Float64)]

    @on_demand_feature_view(name="catching_up", sources=[planes, request], schema=schema, mode="pandas")
    def missed_by(inputs: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"missed_by": inputs["delay"] - inputs["buffer"]})

    return missed_by


def config(folder: Path, **offline_store: Any) -> RepoConfig:
    return RepoConfig(
        project="contract",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store=offline_store,
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
        repo_path=folder,
    )


def on_parquet(kind: str, folder: Path, tables: dict[str, pa.Table] = TABLES) -> FeatureStore:
    def source(name: str, **options: Any) -> FileSource:
        path = str(folder / f"{name}.parquet")
        return FileSource(name=name, path=path, file_format=ParquetFormat(), timestamp_field="known_at", **options)

    for name, rows in tables.items():
        pq.write_table(rows, folder / f"{name}.parquet")
    return applied(config(folder, type=kind), source)


def feast_on_parquet(folder: Path) -> FeatureStore:
    return on_parquet("duckdb", folder)


def ours_on_parquet(folder: Path) -> FeatureStore:
    return on_parquet(ASOF, folder)


def ours_on_delta(folder: Path) -> FeatureStore:
    for name, rows in TABLES.items():
        write_deltalake(folder / "tables" / "features" / name, rows)
    return applied(config(folder, type=ASOF, tables_uri=str(folder / "tables")), delta_source)


def delta_source(name: str, **options: Any) -> FileSource:
    path = f"features/{name}"
    return FileSource(name=name, path=path, file_format=DeltaFormat(), timestamp_field="known_at", **options)


def applied(settings: RepoConfig, source: Callable[..., FileSource]) -> FeatureStore:
    store = FeatureStore(config=settings)
    store.apply(definitions(source))
    return store


OURS = [ours_on_parquet, ours_on_delta]


@pytest.fixture(scope="module", params=[feast_on_parquet, *OURS], ids=lambda make: make.__name__)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return request.param(tmp_path_factory.mktemp(request.param.__name__))


@pytest.fixture(scope="module", params=OURS, ids=lambda make: make.__name__)
def ours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return request.param(tmp_path_factory.mktemp(request.param.__name__))


def ask(store: FeatureStore, features: Any, questions: Sequence[dict[str, Any]], **options: Any) -> list[Any]:
    """The answers in the order of the questions: values for one feature, tuples for several."""
    asked = pd.DataFrame([{"row": i, **question} for i, question in enumerate(questions)])
    answer = store.get_historical_features(asked, features, **options).to_arrow().sort_by("row")
    rows = [tuple(row.values()) for row in answer.drop_columns(asked.columns.to_list()).to_pylist()]
    return [row[0] if len(row) == 1 else row for row in rows]


def plane(number: int | None, hours: float) -> dict[str, Any]:
    return {"plane": number, "event_timestamp": at(hours)}


# The same on every store


def test_a_row_gets_the_last_value_known_at_its_time(store: FeatureStore) -> None:
    questions = [plane(1, -1), plane(1, 0), plane(1, 1.9), plane(2, 0.9), plane(2, 1)]
    assert ask(store, ["planes:delay"], questions) == [None, 1.0, 1.0, None, 3.0]


def test_a_value_is_used_up_to_the_very_end_of_its_ttl(store: FeatureStore) -> None:
    questions = [plane(1, 5), plane(1, 5 + 1e-6), plane(2, 4), plane(2, 24 * 365)]
    assert ask(store, ["planes:delay"], questions) == [4.0, None, 3.0, None]


def test_without_a_ttl_the_last_value_stays_for_ever(store: FeatureStore) -> None:
    assert ask(store, ["planes_for_ever:delay"], [plane(1, 24 * 365 * 50)]) == [4.0]


def test_of_two_rows_with_one_timestamp_the_last_created_counts(store: FeatureStore) -> None:
    features = ["planes:delay", "planes:seats", "planes:kind"]
    assert ask(store, features, [plane(1, 2)]) == [(4.0, 120, "prop")]


def test_a_missing_value_in_the_latest_row_stays_missing(store: FeatureStore) -> None:
    assert ask(store, ["planes:delay", "planes:seats", "planes:kind"], [plane(2, 1)]) == [(3.0, None, None)]


def test_unknown_and_missing_keys_get_nothing_and_lose_no_row(store: FeatureStore) -> None:
    assert ask(store, ["corrections:version"], [plane(9, 1), plane(None, 1), plane(1, 1)]) == [None, None, 1]


def test_repeated_rows_and_further_columns_are_kept(store: FeatureStore) -> None:
    asked = pd.DataFrame(
        {
            "row": [0, 1, 2],
            "plane": [1, 1, 1],
            "event_timestamp": [at(1), at(1), at(1)],
            "note": ["x", "y", None],
            "weight": pd.Series([1, 2, 3], dtype="float32"),
            "carrier": pd.Categorical(["UA", "UA", "DL"]),
            "label_at": [at(7), at(8), None],
        }
    )
    answer = store.get_historical_features(asked, ["planes:delay"]).to_df().sort_values("row", ignore_index=True)
    assert list(answer.columns) == [*asked.columns, "delay"]
    assert answer["note"].tolist() == ["x", "y", None]
    assert answer["weight"].tolist() == [1, 2, 3]
    assert answer["carrier"].tolist() == ["UA", "UA", "DL"]
    assert answer["label_at"].tolist() == [at(7), at(8), pd.NaT]
    assert answer["delay"].tolist() == [1.0, 1.0, 1.0]


def test_all_columns_of_a_composite_key_must_match(store: FeatureStore) -> None:
    pairs = [("EWR", "LAX"), ("EWR", "SFO"), ("JFK", "LAX"), ("JFK", "SFO"), ("LAX", "EWR")]
    questions = [{"origin": origin, "dest": dest, "event_timestamp": at(1)} for origin, dest in pairs]
    assert ask(store, ["routes:late_share"], questions) == [0.1, 0.2, 0.3, None, None]


def test_a_view_without_entities_answers_every_row(store: FeatureStore) -> None:
    assert ask(store, ["network:flights"], [plane(1, -1), plane(1, 1), plane(9, 2)]) == [None, 10, 20]


def test_views_with_different_entities_answer_together(store: FeatureStore) -> None:
    features = ["planes:delay", "routes:late_share", "network:flights"]
    question = {**plane(1, 1), "origin": "JFK", "dest": "LAX"}
    assert ask(store, features, [question, {**question, "plane": 9}]) == [(1.0, 0.3, 10), (None, 0.3, 10)]


def test_a_field_mapping_renames_features_and_keys(store: FeatureStore) -> None:
    assert ask(store, ["weather:wind"], [{"airport": "JFK", "event_timestamp": at(1)}]) == [8.0]


def test_a_view_answers_twice_under_two_names_and_keys(store: FeatureStore) -> None:
    service = store.get_feature_service("both_ends")
    question = {"origin": "EWR", "dest": "JFK", "event_timestamp": at(1)}
    assert ask(store, service, [question], full_feature_names=True) == [(5.0, 8.0)]


def test_full_names_carry_the_view(store: FeatureStore) -> None:
    asked = pd.DataFrame([{**plane(1, 1), "delay": "mine"}])
    answer = store.get_historical_features(asked, ["planes:delay", "planes:kind"], full_feature_names=True).to_df()
    assert answer[["delay", "planes__delay", "planes__kind"]].values.tolist() == [["mine", 1.0, "jet"]]


@pytest.mark.parametrize("moment", ["ns, UTC", "ms, America/New_York", "us, Asia/Kolkata"])
def test_a_moment_is_the_same_in_every_zone_and_resolution(store: FeatureStore, moment: str) -> None:
    asked = pd.DataFrame({"plane": [1], "event_timestamp": pd.Series([at(2)]).astype(f"datetime64[{moment}]")})
    answer = store.get_historical_features(asked, ["planes:delay"]).to_arrow()
    assert answer.schema.field("event_timestamp").type == TIME
    assert answer.select(["event_timestamp", "delay"]).to_pylist() == [{"event_timestamp": at(2), "delay": 4.0}]


@pytest.mark.parametrize("moments", [["2013-10-01 02:00"], pd.to_datetime(["2013-10-01 02:00"])], ids=["text", "naive"])
def test_a_moment_without_a_zone_is_utc(store: FeatureStore, moments: Any) -> None:
    asked = pd.DataFrame({"plane": [1], "event_timestamp": moments})
    answer = store.get_historical_features(asked, ["planes:delay"]).to_arrow()
    assert answer.select(["event_timestamp", "delay"]).to_pylist() == [{"event_timestamp": at(2), "delay": 4.0}]


def test_the_only_column_of_times_says_when(store: FeatureStore) -> None:
    asked = pd.DataFrame({"plane": [1], "departure": [at(2)]})
    assert store.get_historical_features(asked, ["planes:delay"]).to_df()["delay"].tolist() == [4.0]


def test_nothing_asked_is_nothing_answered(store: FeatureStore) -> None:
    asked = pd.DataFrame([plane(1, 1)]).head(0)
    answer = store.get_historical_features(asked, ["planes:delay", "planes:kind"]).to_arrow()
    assert answer.num_rows == 0
    assert answer.schema.types[-2:] == [pa.float64(), pa.string()]


def test_a_row_counts_before_its_creation_unless_that_is_filtered(store: FeatureStore) -> None:
    questions = [plane(1, hour) for hour in (0.5, 2.5, 3.5, 11, 13)]
    assert ask(store, ["corrections:version"], questions) == [None, 2, 4, 4, 4]
    # 3 is created last but is about an earlier time than 2; 4 was never created
    assert ask(store, ["corrections:version"], questions, filter_by_created_timestamp=True) == [None, 1, 1, 2, 2]


def test_on_demand_features_are_computed_from_the_joined_ones(store: FeatureStore) -> None:
    asked = pd.DataFrame([{**plane(1, 1), "buffer": 0.25}])
    answer = store.get_historical_features(asked, ["planes:kind", "catching_up:missed_by"]).to_df()
    assert answer[["kind", "missed_by"]].values.tolist() == [["jet", 0.75]]


def test_a_saved_dataset_reads_back_as_it_was_joined(store: FeatureStore, tmp_path: Path) -> None:
    job = store.get_historical_features(pd.DataFrame([plane(1, 1), plane(2, 1)]), ["planes:delay"])
    storage = SavedDatasetFileStorage(str(tmp_path / "saved.parquet"))
    saved = store.create_saved_dataset(job, "training", storage, allow_overwrite=True)
    assert sorted(saved.to_df()["delay"]) == [1.0, 3.0]
    assert saved.min_event_timestamp == saved.max_event_timestamp == at(1)


latest_or_all = pytest.mark.parametrize("latest_only", [True, False], ids=["latest pulled", "all pulled"])


def materialising(store: FeatureStore, latest_only: bool) -> FeatureStore:
    materialization = MaterializationConfig(pull_latest_features=latest_only)
    return FeatureStore(config=store.config.model_copy(update={"materialization_config": materialization}))


@latest_or_all
def test_what_is_materialised_is_what_the_join_answers(store: FeatureStore, latest_only: bool) -> None:
    features = ["planes:delay", "planes:seats", "planes:kind", "routes:late_share", "weather:wind"]
    keys = [
        {"plane": 1, "origin": "EWR", "dest": "SFO", "airport": "EWR"},
        {"plane": 2, "origin": "JFK", "dest": "SFO", "airport": "JFK"},
    ]
    store = materialising(store, latest_only)
    store.materialize(at(-1), at(4), feature_views=["planes", "routes", "weather"])
    online = store.get_online_features(features, keys).to_dict()
    offline = ask(store, features, [{**key, "event_timestamp": at(4)} for key in keys])
    assert list(zip(*(online[feature.split(":")[1]] for feature in features), strict=True)) == offline
    assert offline == [(4.0, 120, "prop", 0.2, 5.0), (3.0, None, None, None, 8.0)]


# Ours against Feast's, on random rows


def random_rows(rng: random.Random, count: int) -> pa.Table:
    """Rows of few keys and few timestamps, so that many tie, each created at a moment of its own."""
    created = [None if rng.random() < 0.02 else at(hour / 40) for hour in rng.sample(range(10 * count), count)]
    return pa.table(
        {
            "plane": pa.array([rng.choice([None, *range(12)]) for _ in range(count)], pa.int64()),
            "known_at": pa.array([at(rng.randrange(60)) for _ in range(count)], TIME),
            "created_at": pa.array(created, TIME),
            "delay": [rng.choice([None, rng.random()]) for _ in range(count)],
            "seats": pa.array([rng.choice([None, i]) for i in range(count)], pa.int32()),
            "kind": [rng.choice([None, "jet", "prop"]) for _ in range(count)],
        }
    ).filter(pa.compute.field("created_at").is_valid() | (pa.compute.field("plane") == 0))


@pytest.mark.parametrize("view", ["planes", "planes_for_ever"])
@pytest.mark.parametrize("filtered", [False, True], ids=["all rows", "created rows"])
def test_random_answers_equal_feasts_in_value_type_and_column(
    view: str, filtered: bool, both_on_random_rows: tuple[FeatureStore, FeatureStore]
) -> None:
    rng = random.Random(view)
    asked = pd.DataFrame(
        {
            "row": range(500),
            "plane": [rng.randrange(14) for _ in range(500)],
            "event_timestamp": [at(rng.randrange(-5, 260) / 2) for _ in range(500)],
        }
    )
    features = [f"{view}:{name}" for name in ("kind", "delay", "seats")]
    feast, ours = (
        store.get_historical_features(asked, features, filter_by_created_timestamp=filtered).to_arrow()
        for store in both_on_random_rows
    )
    assert ours.schema.equals(feast.schema)
    assert ours.equals(feast.sort_by("row"))
    assert 0 < ours["kind"].null_count < 500


@pytest.fixture(scope="module")
def both_on_random_rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[FeatureStore, FeatureStore]:
    tables = TABLES | {"planes": random_rows(random.Random(1), 600)}
    feast, ours = (on_parquet(kind, tmp_path_factory.mktemp("random"), tables) for kind in ("duckdb", ASOF))
    return feast, ours


# Only ours


def test_rows_come_back_in_the_order_they_were_asked(ours: FeatureStore) -> None:
    questions = [plane(number, hours) for hours in (3, 0, 9, 1) for number in (2, 1, 9)]
    answer = ours.get_historical_features(pd.DataFrame(questions), ["planes:delay"]).to_arrow()
    assert answer.select(["plane", "event_timestamp"]).to_pylist() == questions


def test_the_question_may_be_a_query(ours: FeatureStore) -> None:
    query = "SELECT i AS plane, TIMESTAMP '2013-10-01 02:00' AS event_timestamp, 'x' AS note FROM range(1, 3) AS r(i)"
    answer = ours.get_historical_features(query, ["planes:delay"]).to_df()
    assert answer[["plane", "note", "delay"]].values.tolist() == [[1, "x", 4.0], [2, "x", 3.0]]
    assert answer["event_timestamp"].tolist() == [at(2), at(2)]


def test_a_row_without_a_moment_gets_nothing(ours: FeatureStore) -> None:
    some = {"plane": [1, 1], "event_timestamp": pd.to_datetime([None, at(1)])}
    none = {"plane": [1, 1], "event_timestamp": pd.to_datetime([None, None], utc=True)}
    for asked, delays in ((some, [None, 1.0]), (none, [None, None])):
        answer = ours.get_historical_features(pd.DataFrame(asked), ["planes:delay"]).to_arrow()
        assert answer["delay"].to_pylist() == delays


def test_keys_that_are_all_missing_get_nothing(ours: FeatureStore) -> None:
    question = {"origin": None, "dest": None, "event_timestamp": at(1)}
    assert ask(ours, ["routes:late_share"], [question, question]) == [None, None]


def test_keys_that_a_join_key_map_leaves_out_keep_their_names(ours: FeatureStore) -> None:
    view = ours.get_feature_view("routes").with_name("outbound").with_join_key_map({"origin": "home"})
    ours.apply(FeatureService(name="outbound", features=[view]))
    questions = [{"home": "EWR", "dest": dest, "event_timestamp": at(1)} for dest in ("LAX", "SFO", "JFK")]
    assert ask(ours, ours.get_feature_service("outbound"), questions) == [0.1, 0.2, None]


@latest_or_all
def test_a_view_without_entities_is_materialised(ours: FeatureStore, latest_only: bool) -> None:
    store = materialising(ours, latest_only)
    store.materialize(at(-1), at(4), feature_views=["network"])
    assert store.get_online_features(["network:flights"], [{"plane": 1}]).to_dict()["flights"] == [20]


def test_rows_without_a_key_are_not_materialised(ours: FeatureStore) -> None:
    store = materialising(ours, latest_only=True)
    store.materialize(at(-1), at(2), feature_views=["corrections"])
    assert store.get_online_features(["corrections:version"], [{"plane": 1}]).to_dict()["version"] == [2]


def test_a_materialised_span_includes_both_its_ends(ours: FeatureStore) -> None:
    source = ours.get_feature_view("planes").batch_source
    columns = (["plane"], ["delay"], "known_at", "created_at")

    def latest(start: float, end: float) -> list[float]:
        job = AsofDuckDBOfflineStore.pull_latest_from_table_or_query(ours.config, source, *columns, at(start), at(end))
        return sorted(job.to_df()["delay"])

    assert latest(1, 2) == [3.0, 4.0]
    assert latest(1 + 1e-6, 2) == [4.0]
    assert latest(1, 2 - 1e-6) == [3.0]


def test_all_rows_of_a_span_are_pulled(ours: FeatureStore) -> None:
    source = ours.get_feature_view("planes").batch_source

    def pulled(start: datetime | None, end: datetime | None) -> list[float]:
        job = AsofDuckDBOfflineStore.pull_all_from_table_or_query(
            ours.config, source, ["plane"], ["delay"], "known_at", "created_at", start, end
        )
        return sorted(job.to_df()["delay"])

    assert pulled(at(1), at(2).replace(tzinfo=None)) == [2.0, 3.0, 4.0, 99.0]
    assert pulled(None, at(0)) == [1.0]
    assert len(pulled(None, None)) == 5


def test_a_question_without_the_views_keys_is_refused(ours: FeatureStore) -> None:
    with pytest.raises(FeastEntityDFMissingColumnsError, match="dest"):
        ask(ours, ["routes:late_share"], [{"origin": "EWR", "event_timestamp": at(1)}])


def test_a_question_with_a_column_named_as_a_feature_is_refused(ours: FeatureStore) -> None:
    with pytest.raises(FeatureError, match=r"entity_df has columns named as features: \['delay'\]"):
        ask(ours, ["planes:delay"], [{**plane(1, 1), "delay": 1.0}])


def test_a_question_about_a_range_of_time_is_refused(ours: FeatureStore) -> None:
    with pytest.raises(FeatureError, match="entity_df must be"):
        ours.get_historical_features(features=["planes:delay"], start_date=at(0), end_date=at(1))


# Delta tables


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return tmp_path / "tables" / "features"


def rows_of(name: str, tables: Path, **options: Any) -> list[dict[str, Any]]:
    options = {"type": ASOF, "tables_uri": str(tables.parent)} | options
    scan = scan_source(delta_source(name), config(tables.parent.parent, **options))
    rows: list[dict[str, Any]] = run(f"SELECT * FROM {scan.sql}", scan).to_pylist()
    return rows


ROWS = pa.table({"plane": [1], "known_at": times(0), "delay": [1.0]})
LATER_ROWS = pa.table({"plane": [1], "known_at": times(1), "delay": [2.0]})


def test_a_table_is_read_at_its_pinned_version_and_else_at_its_latest(ours_pinned: Callable[..., FeatureStore]) -> None:
    question = [plane(1, 3)]
    latest, pinned = ours_pinned(), ours_pinned({"features/planes": 0})
    assert ask(latest, ["planes:delay"], question) == [50.0]
    assert ask(pinned, ["planes:delay"], question) == [4.0]
    for store, delay in ((pinned, 4.0), (latest, 50.0)):
        store.materialize(at(-1), at(3), feature_views=["planes"])
        assert store.get_online_features(["planes:delay"], [{"plane": 1}]).to_dict()["delay"] == [delay]


@pytest.fixture
def ours_pinned(tmp_path: Path) -> Callable[..., FeatureStore]:
    """Stores over one registry, whose table of planes has a second version."""
    ours_on_delta(tmp_path)
    newer = TABLES["planes"].slice(0, 1).set_column(1, "known_at", times(3)).set_column(3, "delay", pa.array([50.0]))
    write_deltalake(tmp_path / "tables" / "features" / "planes", newer, mode="append")

    def store(versions: dict[str, int] | None = None) -> FeatureStore:
        options = {"type": ASOF, "tables_uri": str(tmp_path / "tables"), "versions": versions or {}}
        return FeatureStore(config=config(tmp_path, **options))

    return store


@pytest.mark.parametrize("folder", ["plain", "it's a table", "day=1/zürich", "100%"])
def test_a_table_may_lie_in_a_folder_of_any_name(tmp_path: Path, folder: str) -> None:
    write_deltalake(tmp_path / folder / "features" / "delays", ROWS)
    assert rows_of("delays", tmp_path / folder / "features") == ROWS.to_pylist()


@pytest.mark.parametrize(
    "root", ["tables", "{repository}/tables", "{repository}/tables/", "file://{repository}/tables"]
)
def test_the_root_of_tables_may_be_a_uri_or_relative_to_the_repository(tables: Path, root: str) -> None:
    write_deltalake(tables / "delays", ROWS)
    assert rows_of("delays", tables, tables_uri=root.format(repository=tables.parent.parent)) == ROWS.to_pylist()


def test_a_relative_table_without_a_root_lies_in_the_repository(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "features" / "delays", ROWS)
    scan = scan_source(delta_source("delays"), config(tmp_path, type=ASOF))
    assert run(f"FROM {scan.sql}", scan).equals(ROWS)


def test_a_table_without_a_file_has_its_columns_and_no_row(tables: Path) -> None:
    DeltaTable.create(tables / "delays", ROWS.schema)
    scan = scan_source(delta_source("delays"), config(tables.parent.parent, type=ASOF, tables_uri=str(tables.parent)))
    assert run(f"SELECT * FROM {scan.sql}", scan).equals(ROWS.schema.empty_table())
    view = ViewJoin(scan, "known_at", {"delay": "delay"}, {"plane": "plane"}, ttl=HOUR)
    asked = pa.table({"plane": [1], "event_timestamp": times(1)})
    assert point_in_time_join(asked, "event_timestamp", [view])["delay"].to_pylist() == [None]


def test_a_table_whose_rows_are_all_deleted_is_empty(tables: Path) -> None:
    write_deltalake(tables / "delays", ROWS)
    DeltaTable(tables / "delays").delete()
    assert rows_of("delays", tables) == []


def test_rows_older_than_a_column_lack_its_values(tables: Path) -> None:
    write_deltalake(tables / "delays", ROWS.drop_columns("delay"))
    write_deltalake(tables / "delays", LATER_ROWS, mode="append", schema_mode="merge")
    assert sorted(row["delay"] or 0 for row in rows_of("delays", tables)) == [0, 2.0]
    assert rows_of("delays", tables, versions={"features/delays": 0}) == ROWS.drop_columns("delay").to_pylist()


def test_a_column_that_no_file_has_yet_is_missing_in_every_row(tables: Path) -> None:
    write_deltalake(tables / "delays", ROWS)
    DeltaTable(tables / "delays").alter.add_columns(DeltaField("seats", PrimitiveType("integer")))
    assert rows_of("delays", tables) == [{**ROWS.to_pylist()[0], "seats": None}]


def test_an_older_version_answers_for_the_features_that_it_had(tables: Path) -> None:
    write_deltalake(tables / "planes", TABLES["planes"].drop_columns("kind"))
    write_deltalake(tables / "planes", TABLES["planes"], mode="append", schema_mode="merge")
    options = {"type": ASOF, "tables_uri": str(tables.parent), "versions": {"features/planes": 0}}
    store = applied(config(tables.parent.parent, **options), delta_source)
    assert ask(store, ["planes:delay"], [plane(1, 2)]) == [4.0]


def test_a_partitioned_table_is_refused(tables: Path) -> None:
    write_deltalake(tables / "delays", ROWS, partition_by=["plane"])
    with pytest.raises(FeatureError, match=r"must not be partitioned, but .*delays is, by \['plane'\]"):
        rows_of("delays", tables)


@pytest.mark.parametrize(
    ("feature", "properties"),
    [
        ("deletionVectors", {"delta.enableDeletionVectors": "true"}),
        ("columnMapping", {"delta.columnMapping.mode": "name"}),
    ],
)
def test_a_table_that_its_files_do_not_tell_is_refused(tables: Path, feature: str, properties: dict[str, str]) -> None:
    DeltaTable.create(tables / "delays", ROWS.schema, configuration=properties)
    with pytest.raises(FeatureError, match=rf"uses .*{feature}"):
        rows_of("delays", tables)


def test_a_table_or_version_that_does_not_exist_is_named(tables: Path) -> None:
    with pytest.raises(FeatureError, match=r"can't read the Delta table 'features/delays' in .*tables/features/delays"):
        rows_of("delays", tables)
    write_deltalake(tables / "delays", ROWS)
    with pytest.raises(FeatureError, match="can't read version 7 of the Delta table 'features/delays'"):
        rows_of("delays", tables, versions={"features/delays": 7})


def test_only_file_sources_are_read(tables: Path) -> None:
    source = PushSource(name="pushed", batch_source=delta_source("delays"))
    with pytest.raises(FeatureError, match="reads a FileSource, not a PushSource"):
        scan_source(source, config(tables, type=ASOF))


def test_a_repository_names_the_store_in_its_file_and_infers_a_schema_from_delta(tmp_path: Path) -> None:
    write_deltalake(tmp_path / "tables" / "features" / "delays", ROWS)
    (tmp_path / "feature_store.yaml").write_text(
        f"""
        project: contract
        provider: local
        registry: registry.db
        offline_store: {{type: {ASOF}, tables_uri: tables, versions: {{features/delays: 0}}}}
        online_store: {{type: sqlite, path: online.db}}
        entity_key_serialization_version: 3
        """
    )
    store = FeatureStore(repo_path=str(tmp_path))
    store.apply([PLANE, FeatureView(name="delays", entities=[PLANE], source=delta_source("delays"))])
    assert [(f.name, f.dtype) for f in store.get_feature_view("delays").features] == [("delay", Float64)]
    assert ask(store, ["delays:delay"], [plane(1, 1)]) == [1.0]


def test_an_unknown_option_of_the_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="table_uri"):
        FeatureStore(config=config(tmp_path, type=ASOF, table_uri="tables")).config.offline_store  # noqa: B018


def test_rows_are_not_written_to_a_delta_table_behind_the_pipelines(tmp_path: Path) -> None:
    store = ours_on_delta(tmp_path)
    with pytest.raises(FeatureError, match="'routes' is a Delta table"):
        store.write_to_offline_store("routes", TABLES["routes"].to_pandas())


# The join itself

Row = tuple[int | None, int, int | None]
"""Key, minute known, minute created (or never)."""

minutes = st.integers(0, 12)
feature_rows = st.lists(st.tuples(st.sampled_from([1, 2, None]), minutes, st.none() | minutes), max_size=12)
questions = st.lists(st.tuples(st.sampled_from([1, 2, 3, None]), minutes), min_size=1, max_size=5)
ttls = st.none() | st.integers(0, 6)


def minute(count: int | None) -> datetime | None:
    return None if count is None else MIDNIGHT + timedelta(minutes=count)


def with_future(rows: list[Row], asked: list[tuple[int | None, int]]) -> list[Row]:
    """Plant behind each question what only its future knows: a later row, and an earlier one created later."""
    future = [(key, now + 1, now + 1) for key, now in asked] + [(key, now, now + 1) for key, now in asked]
    return rows + future


def view_of(rows: Sequence[Row], ttl: int | None) -> ViewJoin:
    table = pa.table(
        {
            "plane": pa.array([row[0] for row in rows], pa.int64()),
            "known_at": pa.array([minute(row[1]) for row in rows], TIME),
            "created_at": pa.array([minute(row[2]) for row in rows], TIME),
            "number": pa.array(range(len(rows)), pa.int64()),
        }
    )
    age = None if ttl is None else timedelta(minutes=ttl)
    return ViewJoin(scan_arrow(table), "known_at", {"number": "number"}, {"plane": "plane"}, "created_at", age)


def join(asked: Sequence[tuple[int | None, int]], views: Sequence[ViewJoin], filtered: bool) -> list[tuple[Any, ...]]:
    table = pa.table(
        {
            "plane": pa.array([key for key, _ in asked], pa.int64()),
            "now": pa.array([minute(now) for _, now in asked], TIME),
        }
    )
    views = [replace(view, features={f"number_{i}": "number"}) for i, view in enumerate(views)]
    answer = point_in_time_join(table, "now", views, filter_by_created_timestamp=filtered)
    return list(zip(*(answer[f"number_{i}"].to_pylist() for i in range(len(views))), strict=True))


def right_answers(key: int | None, now: int, rows: Sequence[Row], ttl: int | None, filtered: bool) -> set[int | None]:
    """The rows that may answer, found the slow way: several only where they tie in both timestamps."""

    def usable(row: Row) -> bool:
        created_in_time = not filtered or (row[2] is not None and row[2] <= now)
        return key is not None and row[0] == key and row[1] <= now and created_in_time

    candidates = [row for row in rows if usable(row)]
    if not candidates:
        return {None}
    best = max((row[1], -1 if row[2] is None else row[2]) for row in candidates)
    if ttl and now - best[0] > ttl:
        return {None}
    return {i for i, row in enumerate(rows) if usable(row) and (row[1], -1 if row[2] is None else row[2]) == best}


@settings(max_examples=60, deadline=None)
@given(feature_rows, feature_rows, questions, ttls, ttls, st.booleans())
def test_no_answer_was_known_later_than_asked_and_each_is_the_one_found_slowly(
    first: list[Row],
    second: list[Row],
    asked: list[tuple[int | None, int]],
    first_ttl: int | None,
    second_ttl: int | None,
    filtered: bool,
) -> None:
    views = [(with_future(first, asked), first_ttl), (with_future(second, asked), second_ttl)]
    answers = join(asked, [view_of(rows, ttl) for rows, ttl in views], filtered)
    for (key, now), answer in zip(asked, answers, strict=True):
        for number, (rows, ttl) in zip(answer, views, strict=True):
            if number is not None:
                assert rows[number][1] <= now
                assert not filtered or rows[number][2] <= now
            assert number in right_answers(key, now, rows, ttl, filtered)


def test_the_join_is_a_merge_even_where_duckdb_cannot_tell_how_much_there_is_to_join() -> None:
    asked, rows = scan_arrow(pa.table({"now": times(1)})), scan_arrow(TABLES["network"])
    join_sql = f"SELECT flights FROM {asked.sql} ASOF LEFT JOIN {rows.sql} ON now >= known_at"
    assert "ASOF_JOIN" in run(f"EXPLAIN {join_sql}", asked, rows)["explain_value"][0].as_py()


TIED = pa.table({"known_at": times(*[0] * 8), "created_at": times(*[0] * 8), "a": range(8), "b": range(8)})


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(8)))
def test_rows_that_tie_in_both_timestamps_answer_the_same_in_any_order(order: list[int]) -> None:
    def answer(table: pa.Table, feature: str) -> list[int]:
        view = ViewJoin(scan_arrow(table), "known_at", {feature: feature}, created="created_at", columns=["a", "b"])
        return point_in_time_join(pa.table({"now": times(1)}), "now", [view])[feature].to_pylist()

    assert answer(TIED.take(order), "a") == answer(TIED, "a") == answer(TIED, "b")


def test_rows_that_tie_in_both_timestamps_are_materialised_as_they_are_joined(tables: Path) -> None:
    write_deltalake(tables / "tied", TIED)
    repo, source = config(tables.parent.parent, type=ASOF, tables_uri=str(tables.parent)), delta_source("tied")
    view = ViewJoin(scan_source(source, repo), "known_at", {"a": "a"}, created="created_at", columns=["b", "a"])
    joined = point_in_time_join(pa.table({"now": times(1)}), "now", [view])["a"].to_pylist()
    asked = (repo, source, [], ["a", "b"], "known_at", "created_at", at(0), at(1))
    assert AsofDuckDBOfflineStore.pull_latest_from_table_or_query(*asked).to_df()["a"].tolist() == joined
    assert AsofDuckDBOfflineStore.pull_all_from_table_or_query(*asked).to_df()["a"].tolist()[-1:] == joined
