"""What every `FeatureStore.online` does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fairlead.adapters.feast import FeastFeatures
from fairlead.adapters.memory_features import MemoryFeatures, MemoryView
from fairlead.errors import FeatureError
from tests.contracts import feast_example

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

VIEWS = [
    MemoryView(
        name="weather",
        entities=["origin"],
        features=["wind_mph", "sky"],
        ttl=3 * HOUR,
        rows=[
            {"origin": "EWR", "known_at": NOON - HOUR, "wind_mph": 8.0, "sky": "clear"},
            {"origin": "EWR", "known_at": NOON - 2 * HOUR, "wind_mph": 99.0, "sky": "storm"},
            {"origin": "JFK", "known_at": NOON - 2 * HOUR, "wind_mph": None, "sky": "fog"},
        ],
    ),
    MemoryView(
        name="route",
        entities=["dest", "origin"],
        features=["delay_minutes"],
        ttl=48 * HOUR,
        rows=[
            {"origin": "EWR", "dest": "LAX", "known_at": NOON - 3 * HOUR, "delay_minutes": 5.0},
            {"origin": "JFK", "dest": "LAX", "known_at": NOON - 3 * HOUR, "delay_minutes": 7.0},
            {"origin": "EWR", "dest": "JFK", "known_at": NOON - 3 * HOUR, "delay_minutes": 9.0},
        ],
    ),
    MemoryView(
        name="gate",
        entities=["gate_number"],
        features=["walk_minutes"],
        ttl=48 * HOUR,
        rows=[{"gate_number": 7, "known_at": NOON - HOUR, "walk_minutes": 12.0}],
    ),
    MemoryView(
        name="network",
        entities=[],
        features=["late_share"],
        ttl=6 * HOUR,
        rows=[{"known_at": NOON - HOUR, "late_share": 0.25}],
    ),
]
SERVICES = {"flight_v1": ["weather", "route", "network"], "gate_v1": ["gate"], "network_v1": ["network"]}


def in_memory(folder: Path) -> MemoryFeatures:
    return MemoryFeatures(VIEWS, SERVICES)


def on_feast(folder: Path) -> FeastFeatures:
    store = feast_example.open_store(folder, VIEWS, SERVICES)
    for service in SERVICES:
        store.publish(service, feast_example.versions(VIEWS), None, NOON)
    return store


IMPLEMENTATIONS: list[Callable[[Path], Any]] = [in_memory, on_feast]
"""Factories: given an empty folder, each makes a store that holds VIEWS, all rows published, under SERVICES."""


@pytest.fixture(scope="module", params=IMPLEMENTATIONS, ids=lambda factory: factory.__name__)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return request.param(tmp_path_factory.mktemp("store"))


def ask(store: Any, origins: list[Any], dests: list[Any], asked_at: datetime = NOON) -> dict[str, list[Any]]:
    return store.online("flight_v1", {"origin": origins, "dest": dests}, asked_at)


def test_every_feature_of_the_service_is_answered_under_its_views_name(store: Any) -> None:
    assert set(ask(store, ["EWR"], ["LAX"])) == {
        "weather__wind_mph",
        "weather__sky",
        "route__delay_minutes",
        "network__late_share",
    }


def test_the_latest_row_of_an_entity_wins(store: Any) -> None:
    answer = ask(store, ["EWR"], ["LAX"])
    assert (answer["weather__wind_mph"], answer["weather__sky"]) == ([8.0], ["clear"])


def test_a_key_without_rows_has_no_value(store: Any) -> None:
    answer = ask(store, ["LGA"], ["LAX"])
    assert (answer["weather__wind_mph"], answer["route__delay_minutes"]) == ([None], [None])


def test_a_null_key_has_no_value(store: Any) -> None:
    answer = ask(store, [None, "EWR"], ["LAX", None])
    assert answer["weather__wind_mph"] == [None, 8.0]
    assert answer["route__delay_minutes"] == [None, None]


def test_a_key_may_be_a_whole_number_and_null_beside_it(store: Any) -> None:
    assert store.online("gate_v1", {"gate_number": [None, 7, 8]}, NOON) == {"gate__walk_minutes": [None, 12.0, None]}


def test_a_key_of_another_type_has_no_value(store: Any) -> None:
    assert store.online("gate_v1", {"gate_number": ["seven"]}, NOON) == {"gate__walk_minutes": [None]}
    assert ask(store, [7], ["LAX"])["weather__wind_mph"] == [None]


def test_a_null_value_stays_null_beside_values_that_are_there(store: Any) -> None:
    answer = ask(store, ["JFK"], ["LAX"])
    assert (answer["weather__wind_mph"], answer["weather__sky"]) == ([None], ["fog"])


def test_a_row_older_than_its_views_ttl_at_the_time_of_asking_has_no_value(store: Any) -> None:
    answer = ask(store, ["EWR"], ["LAX"], asked_at=NOON + 3 * HOUR)
    assert (answer["weather__wind_mph"], answer["route__delay_minutes"]) == ([None], [5.0])


def test_a_row_exactly_as_old_as_the_ttl_still_counts(store: Any) -> None:
    assert ask(store, ["EWR"], ["LAX"], asked_at=NOON + 2 * HOUR)["weather__wind_mph"] == [8.0]


def test_composite_keys_name_one_row_whatever_their_order(store: Any) -> None:
    keys = {"dest": ["JFK", "LAX", "EWR"], "origin": ["EWR", "JFK", "JFK"]}
    assert store.online("flight_v1", keys, NOON)["route__delay_minutes"] == [9.0, 7.0, None]


def test_values_keep_the_order_of_the_keys_and_repeat_with_them(store: Any) -> None:
    answer = ask(store, ["JFK", "EWR", "LGA", "EWR"], ["LAX"] * 4)
    assert answer["weather__sky"] == ["fog", "clear", None, "clear"]
    assert answer["route__delay_minutes"] == [7.0, 5.0, None, 5.0]


def test_a_view_without_entities_answers_every_row(store: Any) -> None:
    assert ask(store, ["EWR", "LGA"], ["LAX", "LAX"])["network__late_share"] == [0.25, 0.25]


def test_a_service_without_entities_is_answered_once(store: Any) -> None:
    assert store.online("network_v1", {}, NOON) == {"network__late_share": [0.25]}


def test_keys_that_a_service_does_not_need_are_ignored(store: Any) -> None:
    keys = {"origin": ["EWR"], "dest": ["LAX"], "tailnum": ["N14228"]}
    assert store.online("flight_v1", keys, NOON) == ask(store, ["EWR"], ["LAX"])


def test_an_unknown_service_is_refused_with_the_nearest_name(store: Any) -> None:
    with pytest.raises(FeatureError, match=r"'flight_v2'.*did you mean 'flight_v1'"):
        store.online("flight_v2", {"origin": ["EWR"], "dest": ["LAX"]}, NOON)


def test_a_missing_entity_key_is_refused_by_name(store: Any) -> None:
    with pytest.raises(FeatureError, match=r"'dest' is required, but missing"):
        store.online("flight_v1", {"origin": ["EWR"]}, NOON)


def test_threads_that_ask_at_once_each_get_their_own_answer(store: Any) -> None:
    origins = ["EWR", "JFK", "LGA", None] * 8
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda origin: ask(store, [origin], ["LAX"])["weather__sky"], origins))
    assert answers == [["clear"], ["fog"], [None], [None]] * 8
