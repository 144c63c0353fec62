"""Records survive whatever happens to the process that writes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.tracking.outbox import Journal, Outbox, OutboxBusy, Reader, delivering, find_outboxes
from ellopt.tracking.record import Attachment, Destination, Record, Registration

_NAMES = st.text(min_size=1, max_size=8)
_RECORDS = st.builds(
    Record,
    key=_NAMES,
    kind=st.sampled_from(["model", "resumed", "child", "parent"]),
    name=_NAMES,
    status=st.sampled_from(["", "RUNNING", "FINISHED", "FAILED", "KILLED"]),
    start_ms=st.integers(0, 2**41),
    params=st.dictionaries(_NAMES, _NAMES, max_size=3),
    metrics=st.dictionaries(_NAMES, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    step=st.integers(0, 1000),
    files=st.tuples(st.builds(Attachment, _NAMES, _NAMES, _NAMES)),
    marks=st.dictionaries(_NAMES, st.dictionaries(_NAMES, _NAMES, max_size=2), max_size=2),
    registration=st.none() | st.builds(Registration, _NAMES, _NAMES, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    destination=st.none() | st.builds(Destination, tracking_uri=_NAMES, run_id=_NAMES, nested=st.booleans()),
    views=st.lists(_NAMES, max_size=2).map(tuple),
)


def record(number: int) -> Record:
    return Record(key=f"trial/{number}", kind="child", name=f"trial {number}")


@given(_RECORDS)
def test_a_record_is_read_back_as_it_was(original: Record) -> None:
    read = Record.from_json(original.to_json())
    assert read.to_json() == original.to_json()
    assert (read.key, read.files, read.registration) == (original.key, original.files, original.registration)
    if original.destination not in (None, Destination()):
        assert read.destination == original.destination


def test_a_record_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version"):
        Record.from_json({"v": 99, "key": "x", "kind": "child"})
    with pytest.raises(ValueError, match="damaged"):
        Record.from_json({"v": 1, "key": "x", "kind": "child", "surprise": 1})


def test_records_are_read_as_they_come(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path)
    reader = Reader(outbox.path)
    assert reader.read() == []
    outbox.append(record(1))
    assert [r.key for r in reader.read()] == ["trial/1"]
    outbox.append(record(2))
    outbox.append(record(3))
    assert [r.key for r in reader.read()] == ["trial/2", "trial/3"]


def test_a_key_is_written_once(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path)
    assert outbox.append(record(1))
    assert not outbox.append(record(1))
    assert not Outbox(outbox.path).append(record(1))
    assert [r.key for r in Reader(outbox.path).read()] == ["trial/1"]


@pytest.mark.parametrize("cut", [1, 2, 20, 45])
def test_a_line_cut_off_by_a_power_cut_costs_that_line_only(tmp_path: Path, cut: int) -> None:
    outbox = Outbox.create(tmp_path)
    outbox.append(record(1))
    outbox.append(record(2))
    path = outbox.path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    assert [r.key for r in Reader(outbox.path).read()] == ["trial/1"]
    later = Outbox(outbox.path)
    assert later.append(record(2))
    assert later.append(record(3))
    assert [r.key for r in Reader(outbox.path).read()] == ["trial/1", "trial/2", "trial/3"]


def test_the_journal_remembers_and_survives_a_cut(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path)
    journal = Journal(outbox.path)
    journal.note(key="a", state="begun")
    journal.note(key="a", run="run-1")
    journal.note(key="a", state="done")
    journal.note(key="b", state="begun")
    path = outbox.path / "delivered.jsonl"
    path.write_bytes(path.read_bytes() + b'{"key":"b","ru')
    again = Journal(outbox.path)
    again.note(key="b", run="run-2")
    last = Journal(outbox.path)
    assert (last.runs, last.done, last.doubtful) == ({"a": "run-1", "b": "run-2"}, {"a"}, False)


def test_a_lost_journal_is_doubted(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path)
    (outbox.path / "delivered.jsonl").unlink()
    assert Journal(outbox.path).doubtful


def test_one_process_delivers_at_a_time(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path)
    code = (
        "import sys, pathlib\n"
        "from ellopt.tracking.outbox import OutboxBusy, delivering\n"
        "try:\n"
        "    with delivering(pathlib.Path(sys.argv[1])): print('got it')\n"
        "except OutboxBusy: print('busy')\n"
    )

    def other() -> str:
        arguments = [sys.executable, "-c", code, str(outbox.path)]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    with delivering(outbox.path):
        assert other() == "busy"
        with pytest.raises(OutboxBusy), delivering(outbox.path):
            pass
    assert other() == "got it"


def test_outboxes_are_found_oldest_first(tmp_path: Path) -> None:
    made = [Outbox.create(tmp_path / tag).path for tag in ("a", "b")]
    older = made[0].with_name("20000101-000000-00000000")
    made[0].parent.joinpath(older.name).mkdir()
    (older / "records.jsonl").touch()
    assert find_outboxes(tmp_path) == [older, made[0], made[1]]
