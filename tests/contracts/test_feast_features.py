"""Features on Feast: what a training set sees offline is what a server sees online at the same instant."""

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from fairlead.adapters.online_memory import MemoryView
from fairlead.errors import FeatureError
from tests.contracts import feast_example as example
from tests.contracts.feast_example import PublishedFeatures
from tests.contracts.online_example import fake_redis
from tests.s3_server import s3_server

MIDNIGHT = datetime(2013, 10, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ORIGINS, DESTS = ["EWR", "JFK"], ["LAX", "SFO"]
SERVICES = {"trip_v1": ["network", "weather", "route"], "sky_v1": ["weather"]}


def at(hours: float) -> datetime:
    return MIDNIGHT + hours * HOUR


def history(seed: int = 7) -> list[MemoryView]:
    """Two days of rows on the hour, with gaps that are longer than the views' TTLs."""
    draw = random.Random(seed)

    def rows(share: float, *keys: Mapping[str, Any]) -> list[dict[str, Any]]:
        moments = [{"known_at": at(hour), **key} for hour in range(48) for key in keys if draw.random() < share]
        return [row | {"late_share": draw.choice([None, draw.random()])} for row in moments]

    routes = [{"origin": origin, "dest": dest} for origin in ORIGINS for dest in DESTS]
    sky = [row | {"sky": draw.choice(["clear", "fog", None])} for row in rows(0.3, *({"origin": o} for o in ORIGINS))]
    return [
        MemoryView("network", [], ["late_share"], rows(0.5, {}), 3 * HOUR),
        MemoryView("weather", ["origin"], ["sky", "late_share"], sky, 4 * HOUR),
        MemoryView("route", ["dest", "origin"], ["late_share"], rows(0.2, *routes), 6 * HOUR),
    ]


VIEWS = history()
VERSIONS = example.versions(VIEWS)


@pytest.fixture(scope="module", params=["laptop", "cluster"], autouse=True)
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLite and folders, or Redis and S3."""
    with ExitStack() as stack:
        if request.param == "cluster":
            stack.enter_context(s3_server())
            stack.enter_context(
                mock.patch.dict(os.environ, {"FAIRLEAD_ONLINE_STORE": stack.enter_context(fake_redis())})
            )
        yield request.param


@pytest.fixture(scope="module")
def folder(place: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a place")


@pytest.fixture(scope="module")
def store(folder: Path) -> PublishedFeatures:
    return example.open_store(folder, VIEWS, SERVICES)


def keys() -> dict[str, list[Any]]:
    """Every route there is, one that is not, and one of which nothing is known."""
    pairs = [(origin, dest) for origin in ORIGINS for dest in DESTS] + [("LGA", "LAX"), (None, "SFO")]
    return {"origin": [origin for origin, _ in pairs], "dest": [dest for _, dest in pairs]}


def offline(store: PublishedFeatures, now: datetime, versions: dict[str, int] = VERSIONS) -> dict[str, list[Any]]:
    rows = pd.DataFrame(keys()).assign(event_timestamp=pd.Timestamp(now))
    joined = store.historical("trip_v1", rows, versions)
    found = joined[store.describe("trip_v1").features]
    narrow = found.astype(dict.fromkeys(found.select_dtypes("number"), np.float32)).astype(object)
    return narrow.where(found.notna(), None).to_dict("list")


def online(store: PublishedFeatures, now: datetime) -> dict[str, list[Any]]:
    return store.online("trip_v1", keys(), now)


def publish(store: PublishedFeatures, start: datetime | None, end: datetime) -> int:
    return store.publish("trip_v1", VERSIONS, start, end)


def test_a_service_says_which_entities_features_and_tables_it_has(store: PublishedFeatures) -> None:
    service = store.describe("trip_v1")
    assert (service.name, service.entities) == ("trip_v1", ["dest", "origin"])
    assert service.features == [
        "network__late_share",
        "weather__sky",
        "weather__late_share",
        "route__late_share",
    ]
    assert service.tables == [example.table(name) for name in ("network", "weather", "route")]


def test_what_is_looked_up_online_is_what_training_saw(store: PublishedFeatures) -> None:
    seen = []
    for now in (at(0), at(5), at(17.5), at(47), at(60)):
        publish(store, None, now)
        assert online(store, now) == offline(store, now), now
        seen += [value for values in online(store, now).values() for value in values]
    assert None in seen
    assert len(set(seen)) > 5


def test_refreshing_on_the_hour_is_the_same_as_publishing_all_at_once(store: PublishedFeatures) -> None:
    publish(store, None, at(0))
    for hour in range(12):
        publish(store, at(hour), at(hour + 1))
        if hour % 5 == 0:
            assert online(store, at(hour + 1.5)) == offline(store, at(hour + 1.5))
    step_by_step = online(store, at(12))
    publish(store, None, at(12))
    assert online(store, at(12)) == step_by_step


def test_publishing_anew_forgets_what_was_known_later(store: PublishedFeatures) -> None:
    publish(store, None, at(40))
    later = online(store, at(40))
    publish(store, None, at(12))
    assert online(store, at(12)) == offline(store, at(12)) != later
    assert {value for values in online(store, at(40)).values() for value in values} == {None}


def alive(view: MemoryView, now: datetime) -> set[tuple[Any, ...]]:
    """The keys of a view that have a row which is not too old."""
    assert view.ttl is not None
    fresh = [row for row in view.rows if now - view.ttl <= row["known_at"] <= now]
    return {tuple(row[name] for name in view.entities) for row in fresh}


def test_publishing_counts_one_row_for_each_entity_that_has_one(store: PublishedFeatures) -> None:
    assert publish(store, None, at(24)) == sum(len(alive(view, at(24))) for view in VIEWS) > 3
    assert publish(store, at(24), at(24)) == 0


def test_a_row_exactly_as_old_as_its_ttl_counts_offline_and_online(tmp_path: Path) -> None:
    views = [MemoryView("weather", ["origin"], ["sky"], [{"known_at": at(0), "origin": "EWR", "sky": "fog"}], 4 * HOUR)]
    store = example.open_store(tmp_path, views, {"sky_v1": ["weather"]})
    store.publish("sky_v1", example.versions(views), None, at(4))
    asked = [at(4), at(4) + timedelta(seconds=1)]
    rows = pd.DataFrame({"origin": "EWR", "event_timestamp": pd.to_datetime(asked)})
    joined = store.historical("sky_v1", rows, example.versions(views))["weather__sky"]
    assert joined.tolist() == [store.online("sky_v1", {"origin": ["EWR"]}, now)["weather__sky"][0] for now in asked]
    assert joined.tolist() == ["fog", None]


def test_a_joined_training_set_keeps_its_rows_in_order_with_all_their_columns(store: PublishedFeatures) -> None:
    asked = [at(hour) for hour in (40, 3, 3, 25)]
    rows = pd.DataFrame({"row_id": list("dabc"), "origin": "EWR", "dest": "LAX", "event_timestamp": asked})
    joined = store.historical("trip_v1", rows, VERSIONS)
    assert joined.columns.tolist() == [*rows.columns, *store.describe("trip_v1").features]
    assert joined["row_id"].tolist() == list("dabc")
    assert joined["event_timestamp"].tolist() == asked


def test_a_join_reads_the_versions_it_is_given(tmp_path: Path) -> None:
    store = example.open_store(tmp_path, VIEWS, SERVICES)
    before = offline(store, at(30))
    corrected = [replace(row, rows=[item | {"late_share": 0.5} for item in row.rows]) for row in VIEWS]
    second = {example.table(view.name): example.write(tmp_path, view) for view in corrected}
    assert set(second.values()) == {1}
    assert offline(store, at(30)) == before
    assert set(offline(store, at(30), second)["route__late_share"]) == {0.5, None}


def test_another_process_sees_what_was_published_since_it_began_to_read(store: PublishedFeatures, folder: Path) -> None:
    publish(store, None, at(12))
    reader = example.reopen(folder)
    assert online(reader, at(12)) == offline(store, at(12))
    publish(store, at(12), at(24))
    assert online(reader, at(24)) == offline(store, at(24))
    publish(store, None, at(12))
    assert online(reader, at(12)) == offline(store, at(12))


def test_registering_again_changes_nothing(store: PublishedFeatures, folder: Path) -> None:
    publish(store, None, at(20))
    example.reopen(folder).apply()
    assert online(store, at(20)) == offline(store, at(20))


def test_a_row_of_a_table_without_its_key_belongs_to_nobody(tmp_path: Path) -> None:
    rows = [{"known_at": at(0), "origin": origin, "sky": "fog"} for origin in ("EWR", None)]
    views = [MemoryView("weather", ["origin"], ["sky"], rows, 4 * HOUR)]
    store = example.open_store(tmp_path, views, {"sky_v1": ["weather"]})
    store.publish("sky_v1", example.versions(views), None, at(1))
    assert store.online("sky_v1", {"origin": ["EWR", None]}, at(1)) == {"weather__sky": ["fog", None]}


def test_a_row_in_which_all_is_null_takes_the_place_of_what_was_known_before(tmp_path: Path) -> None:
    rows = [{"known_at": at(hour), "origin": "EWR", "sky": sky} for hour, sky in enumerate(["fog", None])]
    views = [MemoryView("weather", ["origin"], ["sky"], rows, 4 * HOUR)]
    store = example.open_store(tmp_path, views, {"sky_v1": ["weather"]})
    seen = []
    for start, end in ((None, at(0)), (at(0), at(1))):
        store.publish("sky_v1", example.versions(views), start, end)
        seen.append(store.online("sky_v1", {"origin": ["EWR"]}, end)["weather__sky"])
    assert seen == [["fog"], [None]]


def test_a_whole_number_is_one_also_as_numpy_has_it(tmp_path: Path) -> None:
    rows = [{"known_at": at(0), "gate": 7, "steps": None}, {"known_at": at(0), "gate": 8, "steps": 120}]
    views = [MemoryView("walk", ["gate"], ["steps"], rows, 4 * HOUR)]
    store = example.open_store(tmp_path, views, {"walk_v1": ["walk"]})
    store.publish("walk_v1", example.versions(views), None, at(1))
    asked = [np.array([8, 7]), [8, 7], np.array([8, 7], dtype=object)]
    assert [store.online("walk_v1", {"gate": gates}, at(1))["walk__steps"] for gates in asked] == [[120, None]] * 3


@pytest.mark.parametrize("call", ["describe", "historical", "publish", "plan"])
def test_an_unknown_service_is_refused_with_the_nearest_name(store: PublishedFeatures, call: str) -> None:
    rows = pd.DataFrame({"origin": ["EWR"], "dest": ["LAX"], "event_timestamp": [at(1)]})
    arguments: dict[str, tuple[Any, ...]] = {
        "describe": (),
        "historical": (rows, VERSIONS),
        "publish": (VERSIONS, None, at(1)),
        "plan": (),
    }
    with pytest.raises(FeatureError, match=r"'trip_v2'.*did you mean 'trip_v1'"):
        getattr(store, call)("trip_v2", *arguments[call])


def test_a_missing_entity_key_is_refused_with_those_required(store: PublishedFeatures) -> None:
    with pytest.raises(FeatureError, match="'dest' is required, but missing; required are dest, origin"):
        store.online("trip_v1", {"origin": ["EWR"]}, at(1))


def test_keys_of_different_lengths_are_refused(store: PublishedFeatures) -> None:
    with pytest.raises(FeatureError, match=r"one value a row each, but their lengths are \{'dest': 1, 'origin': 2\}"):
        store.online("trip_v1", {"dest": ["LAX"], "origin": ["EWR", "JFK"]}, at(1))
