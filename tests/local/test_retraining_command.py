"""`fairlead retraining …` from the outside: what it prints, how it ends, what it leaves."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.adapters.retraining_log import open_log
from fairlead.retraining.desk import Desk
from fairlead.retraining.entries import Asked
from fairlead.spec.retraining import RetrainingSpec

FAIRLEAD = str(Path(sys.executable).with_name("fairlead"))


def fairlead(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [FAIRLEAD, "retraining", *words, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def read(home: Path, *words: str) -> Any:
    done = fairlead(home, *words, "--json")
    assert done.returncode in (0, 3), done.stderr
    return json.loads(done.stdout)


def test_a_held_model_is_not_retrained_and_the_log_says_who_and_why(tmp_path: Path) -> None:
    assert read(tmp_path, "log", "flight-delay") == []
    assert read(tmp_path, "status", "flight-delay")["state"] == "ready"
    assert fairlead(tmp_path, "hold", "flight-delay", "--why", "the weather feed is broken").returncode == 0
    assert read(tmp_path, "status", "flight-delay")["state"] == "held"

    done = fairlead(tmp_path, "request", "flight-delay", "--as-of", "2013-04-01", "--why", "new routes")
    assert done.returncode == 3, done.stderr
    assert "refused: held" in done.stdout
    assert "the weather feed is broken" in done.stdout

    assert fairlead(tmp_path, "release", "flight-delay").returncode == 0
    assert read(tmp_path, "status", "flight-delay")["state"] == "ready"
    log = read(tmp_path, "log", "flight-delay")
    assert [entry["kind"] for entry in log] == ["held", "asked", "answered", "released"]
    assert log[2]["new_labels"] > 70_000, "of January to March 2013"
    told = json.loads((tmp_path / "tables/monitoring/flight-delay/retraining.json").read_text(encoding="utf-8"))
    assert told["metrics"]["fairlead_retraining_state"]


def test_answering_an_alert_with_a_refusal_is_no_failure_of_the_job(tmp_path: Path) -> None:
    assert fairlead(tmp_path, "hold", "flight-delay", "--why", "the weather feed is broken").returncode == 0
    desk = Desk("flight-delay", RetrainingSpec(), open_log(f"{tmp_path}/tables"))
    now = datetime.now(UTC)
    desk.ask(Asked(at=now, key="alert-1", trigger="drift", by="InputDrift", standing=True))
    done = fairlead(tmp_path, "act", "flight-delay", "--as-of", "2013-04-01")
    assert "refused: held" in done.stdout
    assert done.returncode == 0, done.stderr


def test_a_model_that_is_not_there_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    done = fairlead(tmp_path, "status", "flight-dela")
    assert done.returncode == 1
    assert "flight-delay" in done.stderr
    assert "Traceback" not in done.stderr
