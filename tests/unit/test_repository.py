"""Loads and unloads: which versions of which models they concern, and what a worker that starts later repeats."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.repository import BundleRepository, Extension, Folder, Versions
from serving.sdk import InvalidInput, ModelNotFound
from serving.workers import remember
from tests.unit.serving_example import SIGNATURE, graph, write

Change = dict[str, str]
SENT_ONLY = SIGNATURE.model_copy(update={"inputs": SIGNATURE.inputs[:2], "entities": []})
MODELS, VERSIONS = ("flight-delay", "other"), ("1", "2", "3")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for model in MODELS:
        for version in VERSIONS:
            write(root / model / version, graph(width=2), model=model, version=version, signature=SENT_ONLY)
    return root


def make(repository: BundleRepository, changes: Sequence[Change]) -> list[Change]:
    """Make changes as a worker does; returns those that were not refused."""

    async def one(change: Change) -> bool:
        try:
            await Extension(repository).change(change)
        except (ModelNotFound, InvalidInput):
            return False
        return True

    return [change for change in changes if asyncio.run(one(change))]


def served(root: Path, versions: Versions, changes: Sequence[Change] = ()) -> set[str]:
    """What a worker answers that starts and then makes some changes."""
    repository = BundleRepository([Folder(root)], None, versions)
    repository.open_all()
    make(repository, changes)
    return set(repository.models)


@pytest.mark.parametrize("name", ["flight-delay@2", "flight-delay-vector@2"])
def test_a_version_is_loaded_and_unloaded_under_both_of_its_names(models: Path, name: str) -> None:
    both = {"flight-delay@2", "flight-delay-vector@2"}
    load, unload = {"action": "load", "name": name}, {"action": "unload", "name": name}
    assert served(models, "latest", [load]) - served(models, "latest") == both
    assert served(models, "latest", [load, unload]) == served(models, "latest")


NAMES = [f"{model}{suffix}" for model in MODELS for suffix in ("", "-vector")]
CHANGES = st.fixed_dictionaries(
    {
        "action": st.sampled_from(["load", "unload"]),
        "name": st.sampled_from([*NAMES, *(f"{name}@{version}" for name in NAMES for version in VERSIONS)]),
    }
)


@settings(max_examples=30, deadline=None)
@given(changes=st.lists(CHANGES, max_size=12), versions=st.sampled_from(["latest", "all"]))
def test_what_is_remembered_leads_to_what_all_changes_led_to_and_does_not_grow(
    models: Path, changes: list[Change], versions: Versions
) -> None:
    repository = BundleRepository([Folder(models)], None, versions)
    repository.open_all()
    remembered: list[Change] = []
    for change in make(repository, changes):
        remembered = remember(remembered, change)
    assert served(models, versions, remembered) == set(repository.models)
    assert len(remembered) <= len(MODELS) * (1 + len(VERSIONS))


def test_of_a_version_the_last_change_is_remembered_and_of_a_model_nothing_before_a_change_of_all_of_it() -> None:
    remembered: list[Change] = []
    for name in ["other", "flight-delay@1", "flight-delay@2", "flight-delay-vector@1"] * 3:
        remembered = remember(remembered, {"action": "load", "name": name})
    assert [change["name"] for change in remembered] == ["other", "flight-delay@2", "flight-delay-vector@1"]
    remembered = remember(remembered, {"action": "unload", "name": "flight-delay"})
    assert [change["name"] for change in remembered] == ["other", "flight-delay"]
