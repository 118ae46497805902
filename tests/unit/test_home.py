"""The home folder: one run at a time, and nothing held by a run that was killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.errors import HomeError
from fairlead.home import as_typed, lock_home

HOLD = """
import sys, time
from pathlib import Path
from fairlead.home import lock_home

with lock_home(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the home."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    repo = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=repo, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_home_that_another_process_holds_is_refused_and_that_process_named(
    tmp_path: Path, holder: "subprocess.Popen[str]"
) -> None:
    told = rf"is in use by another run \(process {holder.pid}\); wait for it, or use another --home"
    with pytest.raises(HomeError, match=told), lock_home(tmp_path):
        pytest.fail("two runs in one home")


def test_a_killed_process_holds_nothing(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    with lock_home(tmp_path):
        assert (tmp_path / "lock.pid").read_text(encoding="utf-8") == str(os.getpid())


def test_a_home_is_held_for_as_long_as_the_block_runs(tmp_path: Path) -> None:
    with lock_home(tmp_path):
        with (
            pytest.raises(HomeError, match=rf"is in use by another run \(process {os.getpid()}\)"),
            lock_home(tmp_path),
        ):
            pytest.fail("two runs in one home")
        with lock_home(tmp_path / "another"):
            pass
    with lock_home(tmp_path):
        pass


def test_a_home_is_released_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock_home(tmp_path):
        raise ZeroDivisionError
    with lock_home(tmp_path):
        pass


def test_a_home_is_made_with_the_folders_above_it(tmp_path: Path) -> None:
    with lock_home(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize(("home", "reason"), [("file", "File exists"), ("file/home", "Not a directory")])
def test_a_file_in_the_place_of_the_home_is_told(tmp_path: Path, home: str, reason: str) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(HomeError, match=f"{home} must be writable, but is not: {reason}$"), lock_home(tmp_path / home):
        pytest.fail("no folder")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc")
def test_a_folder_that_cannot_be_written_is_told() -> None:
    with pytest.raises(HomeError, match="the home folder /proc must be writable, but is not"), lock_home(Path("/proc")):
        pytest.fail("not writable")


def test_a_path_is_told_from_the_working_directory_where_it_is_below_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert as_typed(tmp_path / "report" / "report.html") == "report/report.html"
    assert as_typed(Path("report/report.html")) == "report/report.html"
    assert as_typed(tmp_path.parent / "report.html") == str(tmp_path.parent / "report.html")
