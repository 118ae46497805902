"""alibi-detect behind the interface of our own engine: planted cases, and what happens where it is not."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fairlead.adapters.alibi import AlibiEngine
from fairlead.drift.detect import Rule, detect
from fairlead.drift.engine import Columns, OwnEngine
from fairlead.drift.sample import Sample
from fairlead.errors import EngineError, EngineMissingError, HomeError

WORKER = Path(__file__).parents[2] / "monitoring" / "alibi" / "worker.py"
TESTS = {"speed": ("ks", "missing"), "carrier": ("chi_square", "missing")}
CASES = ["nothing", "shift", "new category", "share", "missing", "constant", "null"]


def columns(case: str, rows: int = 1500, seed: int = 1) -> Columns:
    draw = np.random.default_rng(seed)

    def side(size: int) -> dict[str, np.ndarray]:
        speed = np.where(draw.random(size) < 0.1, np.nan, draw.standard_normal(size))
        carrier = draw.choice(np.array(["AA", "UA", "DL", None], dtype=object), size, p=[0.4, 0.3, 0.2, 0.1])
        return {"speed": speed, "carrier": carrier}

    reference, window = side(4 * rows), side(rows)
    changed = draw.random(rows) < 0.15
    if case == "shift":
        window["speed"] = window["speed"] + 0.4
    elif case == "new category":
        window["carrier"][changed] = "ZZ"
    elif case == "share":
        window["carrier"][changed] = "UA"
    elif case == "missing":
        window["speed"][changed] = np.nan
    elif case == "constant":
        window["speed"] = np.full(rows, 0.5)
    elif case == "null":
        window["speed"] = np.full(rows, np.nan)
        window["carrier"] = np.full(rows, None, dtype=object)
    return Columns(reference, window)


@pytest.fixture
def alibi() -> AlibiEngine:
    python = os.environ.get("FAIRLEAD_ALIBI_PYTHON")
    assert python, "run by `make test-alibi`, which sets FAIRLEAD_ALIBI_PYTHON"
    return AlibiEngine(python=Path(python).absolute(), worker=WORKER, folder=None)


@pytest.mark.alibi
def test_it_is_the_release_under_apache_2(alibi: AlibiEngine):
    assert alibi.library() == "alibi-detect 0.11.4"


@pytest.mark.alibi
@pytest.mark.parametrize("case", CASES)
def test_both_engines_agree_on_planted_cases(alibi: AlibiEngine, case: str):
    pairs = columns(case)
    ours = OwnEngine().compare(pairs, TESTS)
    theirs = alibi.compare(pairs, TESTS)
    assert [item[:2] for item in theirs] == [item[:2] for item in ours]
    for own, other in zip(ours, theirs, strict=True):
        assert (own.evidence is None) == (other.evidence is None), own
        if own.evidence is not None and other.evidence is not None:
            assert other.evidence.effect == pytest.approx(own.evidence.effect, abs=0.005)
            assert (other.evidence.p_value < 0.01) == (own.evidence.p_value < 0.01)


@pytest.mark.alibi
@pytest.mark.parametrize("case", ["nothing", "shift", "new category"])
def test_the_verdict_is_the_same(alibi: AlibiEngine, case: str):
    pairs = columns(case, rows=600)
    start = np.datetime64("2013-01-07T05:00:00", "us")

    def sample(side: dict[str, np.ndarray]) -> Sample:
        size = len(side["speed"])
        at = start + (np.arange(size) % 48) * np.timedelta64(1, "h")
        return Sample(at, np.array([str(number) for number in range(size)], dtype=object), side)

    kinds = {"speed": "input", "carrier": "input"}
    found = [
        detect(sample(pairs.reference), sample(pairs.window), kinds, Rule(), "UTC", engine=engine)
        for engine in (OwnEngine(), alibi)
    ]
    assert found[0].verdict == found[1].verdict == ("no drift" if case == "nothing" else "drift")
    assert found[0].reason == found[1].reason


@pytest.mark.alibi
def test_a_worker_that_waits_answers_through_a_folder(tmp_path: Path):
    python = Path(os.environ["FAIRLEAD_ALIBI_PYTHON"]).absolute()
    waiting = subprocess.Popen([python, "-I", WORKER, tmp_path, "--wait"])
    try:
        engine = AlibiEngine(python=None, worker=WORKER, folder=tmp_path)
        assert engine.library() == "alibi-detect 0.11.4"
        [found, _, _, _] = engine.compare(columns("shift"), TESTS)
        assert found.evidence is not None
        assert found.evidence.p_value < 1e-6
        assert list(tmp_path.iterdir()) == []
    finally:
        waiting.kill()
        waiting.wait()


def test_an_environment_without_the_library_is_an_error(tmp_path: Path):
    engine = AlibiEngine(python=Path(sys.executable), worker=WORKER, folder=None)
    with pytest.raises(EngineMissingError, match="alibi-detect cannot be imported"):
        engine.library()
    with pytest.raises(EngineMissingError, match="alibi-detect cannot be imported"):
        engine.compare(columns("nothing"), TESTS)


def test_an_environment_that_is_not_there_is_an_error(tmp_path: Path):
    engine = AlibiEngine(python=tmp_path / "python", worker=WORKER, folder=None)
    with pytest.raises(EngineMissingError, match="cannot be run"):
        engine.library()


def test_a_worker_that_does_not_wait_is_an_error_and_leaves_no_question(tmp_path: Path):
    engine = AlibiEngine(python=None, worker=WORKER, folder=tmp_path, patience_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(EngineMissingError, match="no worker of alibi-detect answered"):
        engine.library()
    assert time.monotonic() - began >= 0.3
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_breaks_is_told_in_its_own_words(tmp_path: Path):
    broken = tmp_path / "worker.py"
    broken.write_text("raise SystemExit('no memory')")
    engine = AlibiEngine(python=Path(sys.executable), worker=broken, folder=None)
    with pytest.raises(EngineError, match="ended with 1: no memory"):
        engine.library()


def test_without_a_place_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("FAIRLEAD_ALIBI_PYTHON", raising=False)
    monkeypatch.delenv("FAIRLEAD_ALIBI_FOLDER", raising=False)
    with pytest.raises(HomeError, match="FAIRLEAD_ALIBI_PYTHON"):
        AlibiEngine.from_environment()
