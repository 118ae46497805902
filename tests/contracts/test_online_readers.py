"""What every `OnlineReader` does; and that it finds what Feast itself would."""

import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from fairlead.adapters import online_rows
from fairlead.adapters.online_cache import CachedRows
from fairlead.adapters.online_memory import MemoryReader
from fairlead.adapters.online_rows import Deadline, Row, group_views
from fairlead.adapters.redis_server import HOST, port_of, redis_server
from fairlead.errors import DeadlineError, FeatureError, StoreDownError
from fairlead.packaging.bundle import read_bundle
from fairlead.packaging.signature import Input, Signature, encode
from fairlead.settings import laptop
from fairlead.spec.model import FeatureReadSpec, ServingSpec
from serving.lookup import open_reader as open_server_reader
from tests.contracts import online_example as example
from tests.contracts.online_example import HOUR, INPUTS, NOON, Place
from tests.unit.serving_example import write

SECONDS = 30.0
"""More than any read takes, also where others use the machine."""
SOON = 0.2
PLACES = ["memory", "sqlite", "fakeredis", pytest.param("redis", marks=pytest.mark.redis)]


@pytest.fixture(scope="module", params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with example.place(request.param, tmp_path_factory.mktemp("place") / "p") as made:
        yield made


def read(place: Place, keys: dict[str, Any], asked_at: Any = NOON, **options: Any) -> Any:
    return place.reader(**options).read(keys, asked_at, SECONDS)


def column(name: str) -> int:
    return [item.name for item in INPUTS].index(name)


def row_of(place: Place, view: str, **entity: Any) -> Any:
    """The row that was published, or None."""
    found = next(item for item in place.views if item.name == view)
    return next((row for row in found.rows if all(row[key] == value for key, value in entity.items())), None)


def as_published(place: Place, keys: dict[str, list[Any]], asked_at: Any) -> np.ndarray[Any, Any]:
    """What the rows themselves say, by the plainest rule."""
    columns = []
    for item in INPUTS:
        name, _, feature = item.name.partition("__")
        view = next(view for view in place.views if view.name == name)
        values = []
        for index in range(len(keys["origin"])):
            row = row_of(place, name, **{key: keys[key][index] for key in view.entities})
            fresh = row and (view.ttl is None or row["known_at"] >= asked_at - view.ttl)
            values.append(row[feature] if fresh else None)
        columns.append(encode(item, values))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("rows", [1, 10, 100])
@pytest.mark.parametrize("cache_seconds", [0, 60])
def test_it_reads_what_was_published_in_the_order_of_rows_and_inputs(
    place: Place, rows: int, cache_seconds: float
) -> None:
    reader = place.reader(cache_seconds=cache_seconds)
    for asked_at in (NOON, NOON + HOUR, NOON - HOUR, NOON + timedelta(seconds=1), NOON + 99 * HOUR):
        keys = example.ask(rows, seed=rows)
        looked = reader.read(keys, asked_at, SECONDS)
        assert looked.values.dtype == np.float32
        np.testing.assert_array_equal(looked.values, as_published(place, keys, asked_at))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["sqlite", "fakeredis", pytest.param("redis", marks=pytest.mark.redis)])
def test_it_finds_what_feast_finds(kind: str, seed: int, tmp_path: Path) -> None:
    with example.place(kind, tmp_path / "p", seed) as place:
        keys, endless = example.ask(50, seed), place.plan()
        store = place.feast
        answer = store.get_online_features(store.get_feature_service("all"), keys, full_feature_names=True).to_dict()
        # Feast tells expired values too; what expires is compared with the rows themselves elsewhere.
        views = tuple(view.model_copy(update={"ttl_seconds": None}) for view in endless.views)
        plan = endless.model_copy(update={"views": views})
        looked = reader_with(place, plan).read(keys, NOON, SECONDS)
        expected = [encode(item, answer[item.name]) for item in INPUTS]
        np.testing.assert_array_equal(looked.values, np.stack(expected, axis=1))


def reader_with(place: Place, plan: Any) -> Any:
    class Planned(Place):
        def plan(self) -> Any:
            return plan

    return Planned(place.folder, place.views, place.online).reader()


def test_rows_that_are_missing_or_expired_are_counted_by_view(place: Place) -> None:
    keys = example.ask(20, seed=3) | {"runway": [None] * 20, "gate": ["seven"] * 20}
    missing = read(place, keys).missing
    assert (missing["strip"], missing["walk"]) == (20, 20)
    gone = sum(row_of(place, "history", origin=origin) is None for origin in keys["origin"])
    assert missing.get("history", 0) == gone > 0
    assert read(place, keys, NOON + 99 * HOUR).missing["network"] == 20


@pytest.mark.parametrize("key", [None, 7, 1.5, True, ["EWR"], b"EWR", "\ud800", np.int64(7)])
def test_a_key_that_is_no_text_belongs_to_nobody(place: Place, key: Any) -> None:
    keys = example.ask(2, seed=1) | {"origin": [key, "EWR"]}
    values = read(place, keys).values
    assert np.isnan(values[0, column("history__rank")])
    assert values[0, column("weather__sky")] == -1
    np.testing.assert_array_equal(values[1], as_published(place, keys | {"origin": ["EWR", "EWR"]}, NOON)[1])


@pytest.mark.parametrize("key", [None, "7", 7.0, True, 2**63, 2**200])
def test_a_key_that_is_no_whole_number_of_its_size_belongs_to_nobody(place: Place, key: Any) -> None:
    keys = example.ask(1, seed=1) | {"gate": [key], "runway": [key]}
    assert read(place, keys).missing.items() >= {"walk": 1, "strip": 1}.items()


def test_a_whole_number_is_one_also_as_numpy_has_it(place: Place) -> None:
    keys = example.ask(2, seed=5) | {"gate": [7, 0], "runway": [22, -4]}
    arrays = keys | {"gate": np.array([7, 0]), "runway": np.array([22, -4], dtype=np.int32)}
    np.testing.assert_array_equal(read(place, arrays).values, read(place, keys).values)


def test_keys_that_are_not_needed_are_ignored_and_their_views_not_read(place: Place) -> None:
    network = [item for item in INPUTS if item.name.startswith("network")]
    assert read(place, {"tail": ["N1", "N2"]}, inputs=network).values.shape == (1, 2)


def test_no_rows_are_an_empty_matrix(place: Place) -> None:
    assert read(place, {name: [] for name in example.KEYS}).values.shape == (0, len(INPUTS))


def test_a_missing_key_is_refused_by_name(place: Place) -> None:
    with pytest.raises(FeatureError, match="'dest' is required, but missing; required are dest, gate, origin, runway"):
        read(place, {"origin": ["EWR"], "gate": [1], "runway": [1]})


def test_keys_of_different_lengths_are_refused(place: Place) -> None:
    with pytest.raises(FeatureError, match="one value a row each, but their lengths are"):
        read(place, example.ask(2, seed=1) | {"gate": [1]})


def test_an_input_that_no_view_has_is_refused_with_the_nearest_name(place: Place) -> None:
    with pytest.raises(FeatureError, match=r"'weather__wnd', which does not exist; did you mean 'weather__wind'"):
        place.reader([Input(name="weather__wnd", source="feature", kind="number")])


def test_text_where_a_number_belongs_is_refused_by_name(place: Place) -> None:
    reader = place.reader([Input(name="weather__sky", source="feature", kind="number")])
    with pytest.raises(FeatureError, match="'weather__sky' must hold numbers, but holds"):
        reader.read({"origin": ["EWR", "JFK", "", "Zürich", "a b"]}, NOON - HOUR, SECONDS)


def test_a_deadline_that_has_passed_is_told(place: Place) -> None:
    with pytest.raises(DeadlineError, match="must answer within 0 ms"):
        place.reader().read(example.ask(1, seed=1), NOON, 0)


def test_threads_that_ask_at_once_each_get_their_own_answer(place: Place) -> None:
    reader, asked = place.reader(), [example.ask(rows, seed=rows) for rows in (1, 2, 5, 30)] * 8
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda keys: reader.read(keys, NOON, SECONDS).values, asked))
    for keys, values in zip(asked, answers, strict=True):
        np.testing.assert_array_equal(values, as_published(place, keys, NOON))


def test_a_forked_process_reads_beside_its_parent(place: Place) -> None:
    reader, keys = place.reader(), example.ask(3, seed=2)
    before = reader.read(keys, NOON, SECONDS).values
    child = os.fork()
    if child == 0:
        same = np.array_equal(reader.read(keys, NOON, SECONDS).values, before, equal_nan=True)
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(reader.read(keys, NOON, SECONDS).values, before)


# Stores that cannot be read.


def test_a_memory_may_be_taken_down() -> None:
    reader = MemoryReader(example.rows(1), INPUTS)
    reader.down = "it sleeps"
    with pytest.raises(StoreDownError, match="it sleeps"):
        reader.read(example.ask(1, seed=1), NOON, SECONDS)


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with example.place("sqlite", tmp_path_factory.mktemp("sqlite") / "p") as made:
        yield made


@pytest.fixture(scope="module")
def fakeredis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with example.place("fakeredis", tmp_path_factory.mktemp("fakeredis") / "p") as made:
        yield made


def test_a_database_that_is_not_there_is_told_and_not_made(sqlite: Place, tmp_path: Path) -> None:
    with pytest.raises(StoreDownError, match=r"other\.db cannot be read: unable to open"):
        sqlite.reader(path=tmp_path / "other.db").read(example.ask(1, seed=1), NOON, SECONDS)
    assert not (tmp_path / "other.db").exists()


def test_a_table_that_is_not_there_is_told_until_it_is(sqlite: Place, tmp_path: Path) -> None:
    reader, keys = sqlite.reader(path=tmp_path / "new.db"), example.ask(3, seed=1)
    sqlite3.connect(tmp_path / "new.db").close()
    with pytest.raises(StoreDownError, match="no such table"):
        reader.read(keys, NOON, SECONDS)
    (tmp_path / "new.db").write_bytes((sqlite.folder / "online.db").read_bytes())
    np.testing.assert_array_equal(reader.read(keys, NOON, SECONDS).values, as_published(sqlite, keys, NOON))


def test_the_deadline_of_a_read_that_is_over_ends_no_later_one(sqlite: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(online_rows, "time", SimpleNamespace(monotonic=lambda: now))
    reader = sqlite.reader()
    for _ in range(1000):  # SQLite looks at the clock once in some hundred statements as short as these
        reader.read(example.ask(1, seed=1), NOON, SECONDS)
        now += 2 * SECONDS


def test_a_database_that_is_being_written_is_waited_for_until_the_deadline(sqlite: Place) -> None:
    reader, keys = sqlite.reader(), example.ask(3, seed=1)
    with sqlite3.connect(sqlite.folder / "online.db", isolation_level=None) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(FeatureError):
            reader.read(keys, NOON, SOON)
        writer.execute("ROLLBACK")
    writer.close()
    assert reader.read(keys, NOON, SECONDS).values.shape == (3, len(INPUTS))


def test_a_redis_that_nobody_runs_is_told_with_its_address(fakeredis: Place) -> None:
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        where = f"{HOST}:{unused.getsockname()[1]}"
        reader = fakeredis.reader(connection_string=where)
        with pytest.raises(StoreDownError, match=f"Redis at {where} cannot be read"):
            reader.read(example.ask(1, seed=1), NOON, SECONDS)


def test_a_redis_that_does_not_answer_is_given_up_at_the_deadline(fakeredis: Place) -> None:
    with socket.create_server((HOST, 0)) as silent:
        reader = fakeredis.reader(connection_string=f"{HOST}:{silent.getsockname()[1]}")
        with pytest.raises(DeadlineError, match="must answer within 200 ms"):
            reader.read(example.ask(1, seed=1), NOON, SOON)


def test_a_redis_that_answers_something_else_is_told(fakeredis: Place) -> None:
    keys, store = example.ask(1, seed=1) | {"origin": ["EWR"]}, fakeredis.feast
    client = store._get_provider().online_store._get_client(store.config.online_store)
    entity = next(key for key in client.scan_iter() if b"EWR" in key and b"dest" not in key)
    fields = client.hgetall(entity)
    client.delete(entity)
    client.set(entity, "text")
    reader = fakeredis.reader()
    with pytest.raises(StoreDownError, match="WRONGTYPE"):
        reader.read(keys, NOON, SECONDS)
    client.delete(entity)
    client.hset(entity, mapping=fields)
    np.testing.assert_array_equal(reader.read(keys, NOON, SECONDS).values, as_published(fakeredis, keys, NOON))


@pytest.mark.redis
def test_a_redis_that_comes_back_is_read_again(tmp_path: Path) -> None:
    with redis_server(tmp_path) as first:
        port = port_of(first)
        place = Place(tmp_path, example.rows(1), {"type": "redis", "connection_string": f"{HOST}:{port}"})
        place.publish()
        reader, keys = place.reader(), example.ask(5, seed=1)
        reader.read(keys, NOON, SECONDS)
    with pytest.raises(StoreDownError):
        reader.read(keys, NOON, SECONDS)
    with redis_server(tmp_path, port):
        assert reader.read(keys, NOON, SECONDS).missing["network"] == 5
        place.publish()
        np.testing.assert_array_equal(reader.read(keys, NOON, SECONDS).values, as_published(place, keys, NOON))


@pytest.mark.redis
def test_a_redis_that_hangs_is_given_up_at_the_deadline_and_its_late_answer_is_nobodys(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        where = {"type": "redis", "connection_string": f"{HOST}:{port_of(server)}"}
        place = Place(tmp_path, example.rows(1), where)
        place.publish()
        reader, keys = place.reader(), example.ask(5, seed=1)
        reader.read(keys, NOON, SECONDS)
        server.send_signal(signal.SIGSTOP)
        with pytest.raises(DeadlineError):
            reader.read(example.ask(9, seed=2), NOON, SOON)
        server.send_signal(signal.SIGCONT)
        np.testing.assert_array_equal(reader.read(keys, NOON, SECONDS).values, as_published(place, keys, NOON))


# feature_store.yaml.


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"type": "dynamodb"}, "online_store.type must be sqlite or redis, but is 'dynamodb'"),
        ({"type": "redis", "redis_type": "redis_cluster"}, "redis_type must be redis, but is 'redis_cluster'"),
        ({"type": "redis", "redis_type": "redis_sentinel"}, "one server, so clusters and sentinels are not read"),
        ({"type": "redis", "connection_string": "redis,password=secret"}, "but begins with 'redis'$"),
        ({"path": "${FAIRLEAD_NOWHERE}"}, "variable 'FAIRLEAD_NOWHERE' must be one of FAIRLEAD_REPO"),
        ({"path": "]"}, "must be YAML"),
    ],
)
def test_a_store_that_cannot_be_read_is_refused_with_the_reason(
    sqlite: Place, changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FeatureError, match=reason):
        sqlite.reader(**changed)


# The cache.


class Counted:
    """Rows that say how often they were fetched."""

    def __init__(self) -> None:
        self.fetched: list[list[list[bytes]]] = []

    def oldest(self, view: Any, asked_at: Any) -> float | None:
        return None

    def fetch(self, wanted: Any, deadline: Deadline) -> list[list[Row]]:
        self.fetched.append([list(keys) for keys in wanted])
        return [[Row([key], [len(self.fetched)]) for key in keys] for keys in wanted]


def cached(place: Place, seconds: float, most_rows: int = 100) -> tuple[CachedRows, Counted]:
    store, inputs = Counted(), [Input(name="weather__wind", source="feature", kind="number")]
    return CachedRows(store, group_views(place.plan(), inputs), seconds, most_rows=most_rows), store


@pytest.mark.parametrize(("seconds", "told"), [(60, {"hit": 2.0, "miss": 3.0}), (0, {"hit": None, "miss": None})])
def test_a_server_counts_the_rows_that_its_cache_had_and_those_it_fetched(
    sqlite: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, told: dict[str, float | None]
) -> None:
    inputs = [Input(name="weather__wind", source="feature", kind="number")]
    sqlite.reader(inputs)  # leaves the feature_store.yaml that a server is to find
    settings = laptop(sqlite.folder, sqlite.folder).model_copy(update={"feature_store": sqlite.folder / "store.yaml"})
    for name, value in settings.environ().items():
        monkeypatch.setenv(name, value)
    bundle = read_bundle(
        write(
            tmp_path, version=f"cached-{seconds}", lookup=sqlite.plan(),
            signature=Signature(inputs=inputs, entities=["origin"]),
            serving=ServingSpec(features=FeatureReadSpec(cache_seconds=seconds)),
        )
    )  # fmt: skip
    reader = open_server_reader(bundle)
    for origins in (["EWR", "JFK"], ["JFK", "", "EWR"]):
        reader.read({"origin": origins}, NOON, SECONDS)
    labels = {"model": bundle.model, "version": bundle.version}
    assert told == {
        result: REGISTRY.get_sample_value("fairlead_feature_cache_rows_total", {**labels, "result": result})
        for result in told
    }


def test_a_cache_asks_only_for_what_it_does_not_have(sqlite: Place) -> None:
    rows, store = cached(sqlite, seconds=3600)
    rows.fetch([[b"a", b"b"]], Deadline(SECONDS))
    again = rows.fetch([[b"b", b"c", b"a"]], Deadline(SECONDS))
    assert [row.cells for row in again[0]] == [[b"b"], [b"c"], [b"a"]]
    assert store.fetched == [[[b"a", b"b"]], [[b"c"]]]


def test_a_cache_forgets_the_oldest_rows_first(sqlite: Place) -> None:
    rows, store = cached(sqlite, seconds=3600, most_rows=2)
    for key in (b"a", b"b", b"c", b"b", b"a"):
        rows.fetch([[key]], Deadline(SECONDS))
    assert store.fetched == [[[key]] for key in (b"a", b"b", b"c", b"a")]


def test_a_cache_asks_again_after_its_time(sqlite: Place) -> None:
    rows, store = cached(sqlite, seconds=1e-9)
    rows.fetch([[b"a"]], Deadline(SECONDS))
    rows.fetch([[b"a"]], Deadline(SECONDS))
    assert len(store.fetched) == 2
