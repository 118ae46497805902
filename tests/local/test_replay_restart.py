"""`fairlead replay`, killed without a warning in the middle: the same command goes on, and nothing shows of it."""

import json
import shutil
import subprocess
import time
from datetime import date
from pathlib import Path

import pytest

from fairlead.adapters.delta_records import DeltaRecords

pytestmark = pytest.mark.slow

FIRST, LAST, DAYS = "2013-02-06", "2013-02-12", 7
REPLAY = ("replay", "flight-delay", "--from", FIRST, "--to", LAST, "--json")


def found(done: "subprocess.CompletedProcess[str]") -> dict[str, object]:
    """The result, without the seconds that it took."""
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: value for name, value in json.loads(done.stdout).items() if name != "seconds"}


def walks(home: Path) -> dict[str, bytes]:
    """Every day of every policy, and every model, by the path below the home."""
    files = [*home.glob("replay-year/walks/*/*.jsonl"), *home.glob("replay-year/models/bundles/*/model.onnx")]
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def lines(home: Path) -> int:
    """Days that the platform has lived through and written down."""
    return sum(path.read_bytes().count(b"\n") for path in home.glob("replay-year/walks/*/platform.jsonl"))


def records(home: Path) -> list[str]:
    [walk] = home.glob("replay-year/walks/*")
    rows = DeltaRecords(str(walk)).read("flight-delay", date.fromisoformat(FIRST), date(2013, 2, 14))
    return sorted(rows["id"].to_pylist())


def _kill_in_the_middle(process: "subprocess.Popen[str]", home: Path) -> None:
    """As soon as some day is written; its processes go with it."""
    while lines(home) == 0:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    process.kill()
    process.wait()


def test_a_replay_that_is_killed_goes_on_and_ends_the_same_to_the_byte(checkout):
    whole = found(checkout.run(*REPLAY))
    undisturbed, kept = walks(checkout.home), records(checkout.home)
    assert len(undisturbed) > 4
    # Again in the same home, because a day names the folder of its model; the joined rows stay.
    for name in ("walks", "models"):
        shutil.rmtree(checkout.home / "replay-year" / name)
    _kill_in_the_middle(checkout.start(*REPLAY), checkout.home)
    assert 0 < lines(checkout.home) < DAYS
    assert found(checkout.run(*REPLAY)) == whole
    assert walks(checkout.home) == undisturbed
    assert records(checkout.home) == kept
    assert len(kept) == len(set(kept)) > 500
