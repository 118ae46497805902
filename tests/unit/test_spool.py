"""Records on disk: what a spool keeps through crashes, restarts and full disks."""

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fairlead.errors import RecordError, SpoolFullError
from fairlead.records.segment import FRAME, HEADER, walk
from fairlead.records.spool import Spool

ROOMY = 1_000_000


def drain(spool: Spool) -> list[bytes]:
    events: list[bytes] = []
    while (batch := spool.read()) is not None:
        events += batch.events
        spool.acknowledge(batch)
    return events


def die(spool: Spool) -> None:
    """What a kill leaves: the files as they are, the lock free."""
    os.close(spool._claim)


def end_of(segment: Path) -> int:
    """Behind its last frame: the file of a process that died is longer, with nothing in the rest."""
    content = segment.read_bytes()
    return HEADER.size + walk(content[HEADER.size :]).length


def segments(root: Path) -> list[Path]:
    return sorted(root.glob("worker-*/*.seg"))


def test_events_are_read_in_the_order_in_which_they_came(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    sent = [b"event %d" % number for number in range(5000)]
    for event in sent:
        spool.append(event)
    assert drain(spool) == sent
    assert spool.depth_events == 0


def test_reading_takes_nothing(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    spool.append(b"a")
    first, again = spool.read(), spool.read()
    assert first is not None
    assert again is not None
    assert first.events == again.events == [b"a"]
    assert spool.depth_events == 1


def test_what_a_killed_process_kept_is_taken_over_from_where_it_was_acknowledged(tmp_path: Path):
    dead = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    for number in range(10):
        dead.append(b"%d" % number)
    batch = dead.read(max_events=4)
    assert batch is not None
    dead.acknowledge(batch)
    die(dead)
    alive = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    assert drain(alive) == [b"%d" % number for number in range(4, 10)]
    assert alive.torn == 0


def test_what_a_living_process_keeps_is_left_to_it(tmp_path: Path):
    living = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    living.append(b"mine")
    other = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    assert other.adopt() == 0
    assert drain(other) == []
    assert drain(living) == [b"mine"]


def test_a_process_that_dies_later_is_taken_over_by_a_running_one(tmp_path: Path):
    spool, dying = (Spool(tmp_path, max_bytes=ROOMY, when_full="refuse") for _ in range(2))
    spool.append(b"new")
    dying.append(b"old")
    die(dying)
    assert spool.adopt() == 1
    assert drain(spool) == [b"old", b"new"]
    assert len(list(tmp_path.glob("worker-*"))) == 1


def test_a_closed_spool_leaves_what_waits_and_no_folder_when_nothing_does(tmp_path: Path):
    first = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    first.append(b"a")
    first.close()
    second = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    assert drain(second) == [b"a"]
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_spool_takes_nothing(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=ROOMY, when_full="drop_oldest")
    spool.append(b"a")
    spool.close()
    with pytest.raises(RecordError, match="is closed"):
        spool.append(b"b")


def test_a_record_that_a_crash_tore_is_dropped_and_counted(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    spool.append(b"whole")
    spool.append(b"torn")
    die(spool)
    os.truncate(segments(tmp_path)[0], end_of(segments(tmp_path)[0]) - 1)
    after = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    assert drain(after) == [b"whole"]
    assert after.torn == 1


def test_a_damaged_record_is_dropped_and_the_ones_behind_it_are_not(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    for event in (b"first", b"second", b"third"):
        spool.append(event)
    with segments(tmp_path)[0].open("r+b") as file:
        file.seek(HEADER.size + FRAME.size + len(b"first") + FRAME.size)
        file.write(b"S")
    assert drain(spool) == [b"first", b"third"]
    assert spool.torn == 1
    assert spool.depth_events == 0


def test_a_damaged_header_means_twice_and_never_lost(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    for event in (b"first", b"second"):
        spool.append(event)
    batch = spool.read(max_events=1)
    assert batch is not None
    spool.acknowledge(batch)
    die(spool)
    with segments(tmp_path)[0].open("r+b") as file:
        file.write(b"????????")
    assert drain(Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")) == [b"first", b"second"]


def test_a_full_spool_that_refuses_keeps_what_it_has_and_takes_again_when_there_is_room(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=2000, when_full="refuse")
    sent = 0
    while spool.refused == 0:
        with suppress(SpoolFullError):
            spool.append(b"%03d" % sent * 10)
            sent += 1
    with pytest.raises(SpoolFullError, match="at most 2000 bytes of records may wait"):
        spool.append(b"one more" * 10)
    assert (spool.refused, spool.dropped, spool.depth_events) == (2, 0, sent)
    assert drain(spool) == [b"%03d" % number * 10 for number in range(sent)]
    spool.append(b"again")
    assert drain(spool) == [b"again"]


def test_a_full_spool_that_drops_gives_up_the_oldest_and_counts_them(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=2000, when_full="drop_oldest")
    for number in range(1000):
        spool.append(b"%03d" % number * 10)
    left = drain(spool)
    assert left == [b"%03d" % number * 10 for number in range(1000 - len(left), 1000)]
    assert spool.dropped == 1000 - len(left)
    assert len(left) > 20


def test_an_event_larger_than_the_spool_is_given_up_alone(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=2000, when_full="drop_oldest")
    spool.append(b"small")
    spool.append(b"x" * 3000)
    assert spool.dropped >= 1
    spool.append(b"small again")
    assert drain(spool)[-1] == b"small again"


def test_a_batch_that_was_given_up_meanwhile_is_acknowledged_without_harm(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=2000, when_full="drop_oldest")
    spool.append(b"old" * 10)
    batch = spool.read()
    assert batch is not None
    for number in range(100):
        spool.append(b"%03d" % number * 10)
    assert spool.acknowledge(batch) == 0
    assert drain(spool)[-1] == b"099" * 10


def test_threads_append_at_once_and_nothing_is_lost(tmp_path: Path):
    spool = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")

    def append(thread: int) -> None:
        for number in range(500):
            spool.append(b"%d-%d" % (thread, number))

    threads = [Thread(target=append, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    read: list[bytes] = []
    while any(thread.is_alive() for thread in threads) or spool.depth_events:
        read += drain(spool)
    assert sorted(read) == sorted(b"%d-%d" % (thread, number) for thread in range(4) for number in range(500))


LIMITED = """
import resource, sys
from pathlib import Path
from fairlead.errors import SpoolFullError
from fairlead.records.spool import Spool

spool = Spool(Path(sys.argv[1]), max_bytes=80_000, when_full=sys.argv[2])
kept = 0
for number in range(100):
    if number == 20:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    try:
        spool.append(b"%03d" % number * 40)
        kept += 1
    except SpoolFullError as error:
        assert "File too large" in str(error), error
print(kept, spool.dropped, spool.refused)
"""


@pytest.mark.parametrize("when_full", ["refuse", "drop_oldest"])
def test_on_a_disk_without_room_every_event_is_kept_or_counted(tmp_path: Path, when_full: str):
    command = [sys.executable, "-c", LIMITED, str(tmp_path), when_full]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, dropped, refused = (int(word) for word in done.stdout.split())
    assert kept > 20, "a segment has its room from the start"
    assert (dropped > 0, refused > 0) == (when_full == "drop_oldest", when_full == "refuse")
    after = Spool(tmp_path, max_bytes=ROOMY, when_full="refuse")
    left = drain(after)
    assert left == [b"%03d" % number * 40 for number in range(len(left))]
    assert len(left) + dropped + refused == 100
    assert after.torn == 0


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot keep records in"):
        Spool(tmp_path / "file", max_bytes=ROOMY, when_full="refuse")


class Crashes(RuleBasedStateMachine):
    """Appends, reads and acknowledges through kills, cuts and restarts, against a list of what must still come."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.number = 0
        self.waiting: list[bytes] = []
        self.start()

    def start(self) -> None:
        self.spool = Spool(self.root, max_bytes=3000, when_full="refuse")

    @rule(size=st.integers(1, 400))
    def append(self, size: int) -> None:
        self.number += 1
        event = b"%d:" % self.number + b"x" * size
        refused = self.spool.refused
        try:
            self.spool.append(event)
        except SpoolFullError:
            assert self.spool.refused == refused + 1
            assert self.waiting, "an empty spool has room"
            return
        self.waiting.append(event)

    @rule(events=st.integers(1, 10), size=st.integers(1, 600), acknowledged=st.booleans())
    def read(self, events: int, size: int, acknowledged: bool) -> None:
        batch = self.spool.read(max_events=events, max_bytes=size)
        if batch is None:
            assert not self.waiting
            return
        assert 1 <= len(batch.events) <= events
        assert batch.events == self.waiting[: len(batch.events)]
        if acknowledged:
            assert self.spool.acknowledge(batch) == len(batch.events)
            del self.waiting[: len(batch.events)]

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.start()

    @rule()
    def kill(self) -> None:
        die(self.spool)
        self.start()
        assert self.spool.torn == 0

    @precondition(lambda self: self.waiting)
    @rule(share=st.floats(0, 1))
    def lose_the_end_of_the_last_file(self, share: float) -> None:
        """What a power cut may do: the last file ends anywhere behind its header."""
        die(self.spool)
        last = segments(self.root)[-1]
        acknowledged = int.from_bytes(last.read_bytes()[4:12], "little")
        end = end_of(last)
        size = acknowledged + round(share * (end - acknowledged))
        lost, behind = 0, end
        while behind > size:
            lost += 1
            behind -= FRAME.size + len(self.waiting[-lost])
        os.truncate(last, size)
        del self.waiting[len(self.waiting) - lost :]
        self.start()
        assert self.spool.torn == (1 if behind < size else 0)

    @invariant()
    def depth_is_what_waits(self) -> None:
        assert self.spool.depth_events == len(self.waiting)

    def teardown(self) -> None:
        assert drain(self.spool) == self.waiting
        self.spool.close()
        assert list(self.root.iterdir()) == []
        self.folder.cleanup()


Crashes.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestCrashes = Crashes.TestCase
