"""Whatever a person writes into a release, the next look leaves a document that keeps the rules."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.adapters.memory_branch import MemoryBranch
from fairlead.errors import RolloutError
from fairlead.rollout.file import parse_release
from tests.unit.rollout_world import MODEL, World, first_files

FIELDS = {
    "stage": ["idle", "shadow", "canary", "promoted", "rolled_back", "nonsense"],
    "stable": ["'3'", "'4'", "'9'", "null"],
    "candidate": ["'3'", "'4'", "'9'", "null"],
    "weight": ["0", "5", "25", "60", "100", "-1", "x"],
    "mirror": ["0", "100", "101"],
    "revision": ["1", "2", "3", "99"],
}
edits = st.lists(
    st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(FIELDS[name]))),
    min_size=1, max_size=3,
)  # fmt: skip
_CANARY: list[str] = []


def canary() -> World:
    """At the first step; the way there is gone once."""
    if not _CANARY:
        world = World(MemoryBranch(first_files(shadow_minutes=0)))
        world.hour()
        world.start()
        _CANARY.append(world.text())
    world = World(MemoryBranch(first_files(shadow_minutes=0)))
    message = "Try version 4\n\nFairlead-Revision: 2"
    world.repository.commit(world.path, _CANARY[0], message, seen=world.repository.head())
    world.counters.away = True
    return world


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits)
def test_an_edit_is_taken_or_put_back_and_the_rules_hold_after_it(changes):
    world = canary()
    text = world.text()
    for name, value in changes:
        text = re.sub(rf"(?m)^(  {name}:) .*$", rf"\g<1> {value}", text, count=1)
    if text == world.text():
        return
    world.by_person(lambda _: text)
    look = world.look()
    assert look.result in ("adopted", "put_back", "nothing")
    place = world.controller.place(MODEL)
    found = parse_release(world.text(), place.path, place.environment)
    assert found.stable in ("3", "4")
    assert found.candidate in (None, "4")
    assert found.weight in (0, 5, 25, 50, 100)
    assert found == look.release
    again = world.look()
    assert again.result == "nothing", again


def test_a_document_that_was_nonsense_from_the_start_is_an_error_with_its_line():
    files = first_files()
    [path] = [name for name in files if name.endswith("release.yaml")]
    world = World(MemoryBranch({**files, path: files[path].replace("weight: 0", "weight: many")}))
    with pytest.raises(RolloutError, match=r"no good document to go on from: .*release\.yaml:\d+: spec\.weight"):
        world.look()
