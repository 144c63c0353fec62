"""Whatever stands in a file that is read back, the answer is a value of the right kind or an error for the user."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.sessions import HeldLock, Session
from ellopt.devices.settings import Address
from ellopt.files.jsonl import encode
from ellopt.measure.store import MeasurementStore, StoreContext, StoredSamples
from ellopt.report.compare.compare import compare
from ellopt.report.compare.html import render_comparison
from ellopt.report.document import TuningReport
from ellopt.report.html import render
from ellopt.space.options_file import compile_options_json, read_compile_options
from ellopt.tracking.outbox import Journal, Outbox, Reader
from ellopt.tracking.record import Destination, Record
from tests.support.damage import altered_json, damaged_bytes
from tests.support.pretend import SMALL
from tests.support.report_text import closing_text, comparison_text
from tests.support.reports import sample_report

T = TypeVar("T")

#: more by hand: ELLOPT_FUZZ=20000
CASES = int(os.environ.get("ELLOPT_FUZZ", "30"))


def read_or_refused(read: Callable[[Path], T], path: Path) -> T | None:
    """What ``read`` returns, or None if it refuses the file in a way that the user understands."""
    said = ""
    try:
        return read(path)
    except ConfigurationError as error:
        said = str(error)
    assert str(path) in said
    return None


def read_report(path: Path) -> None:
    report = read_or_refused(TuningReport.load, path)
    if report is None:
        return
    render(report)
    closing_text(report)
    comparison = compare(report, sample_report())
    render_comparison(comparison)
    comparison_text(comparison)


def read_options(path: Path) -> None:
    options = read_or_refused(read_compile_options, path)
    assert options is None or all(isinstance(each, ConvolutionOptions) for each in options.values())


def read_sessions(path: Path) -> None:
    """A dead session's record: its guard is there, and nobody holds it."""
    path.with_suffix(".lock").touch()
    session = Session(path.parents[1])
    with session.dead() as found:
        for dead in found:
            assert dead.owner == path.stem
            session.adopt(dead)
            session.forget(dead)
    with session.dead() as found:
        assert not found
    for address in session.addresses:
        assert all(len(owner) == 32 for owner in session.owners_at(address))
        session.remove_files(address)
    for lock in session.locks:
        session.remove_lock(lock)
    session.close()
    assert not list(path.parent.glob("*.json"))


def read_records(path: Path) -> None:
    """Records are read, and one more is appended and found again."""
    records = Reader(path.parent).read()
    assert all(isinstance(record, Record) for record in records)
    outbox = Outbox(path.parent)
    late = Record(key="late", kind="child")
    outbox.append(late)
    assert late in Reader(path.parent).read()
    assert set(Outbox(path.parent).records) == {*(record.key for record in records), "late"}


def read_delivered(path: Path) -> None:
    journal = Journal(path.parent)
    journal.note(key="late", run="run-late")
    journal.note(key="late", state="done")
    again = Journal(path.parent)
    assert again.runs == {**journal.runs, "late": "run-late"}
    assert again.done == {*journal.done, "late"}


@lru_cache
def a_session() -> bytes:
    with tempfile.TemporaryDirectory() as name:
        session = Session(Path(name))
        session.add_lock(HeldLock("http://cluster", "1.2.3.4", "key", "me"))
        session.add_files(Address("1.2.3.4", 22))
        return next((Path(name) / "sessions").glob("*.json")).read_bytes()


PLAN = Plan.of({"1": ConvolutionOptions("winograd", True, 8), "2": ConvolutionOptions("unrolled")})
RECORDS = [
    Record("model", "model", "tiny", "RUNNING", 1, params={"a": "b"}, tags={"t": "u"}, destination=Destination("x")),
    Record("trial/0", "child", "trial 0", "FINISHED", 1, 2, metrics={"ms": 1.5}, history={"ms": 1.5}, step=1),
    Record("finish", "parent", status="FINISHED", end_ms=9, marks={"trial/0": {"best": "yes"}}, views=("a",)),
]
DELIVERED = [
    {"journal": 1},
    {"tracking_uri": "http://x"},
    {"key": "model", "state": "begun"},
    {"key": "model", "run": "r"},
    {"key": "model", "state": "done"},
]
Check = Callable[[Path], None]
#: name below a directory -> lines or the one value of it, and what is done with the file
DOCUMENTS: dict[str, tuple[Callable[[], bytes], Check]] = {
    "tuning_report.json": (lambda: sample_report().to_json().encode(), read_report),
    "compile_options.json": (lambda: compile_options_json(PLAN).encode(), read_options),
    f"sessions/{'a' * 32}.json": (a_session, read_sessions),
}
JOURNALS: dict[str, tuple[list[dict[str, Any]], Check]] = {
    "records.jsonl": ([record.to_json() for record in RECORDS], read_records),
    "delivered.jsonl": (DELIVERED, read_delivered),
}


def checked(name: str, content: bytes, check: Check) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        check(path)


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=CASES, deadline=None)
@given(data=st.data())
def test_a_document_of_any_content(name: str, data: st.DataObject) -> None:
    make, check = DOCUMENTS[name]
    content = make()
    if data.draw(st.integers(0, 3)) == 0:
        content = data.draw(damaged_bytes(content))
    else:
        content = json.dumps(data.draw(altered_json(json.loads(content)))).encode()
    checked(name, content, check)


@pytest.mark.parametrize("name", JOURNALS)
@settings(max_examples=CASES, deadline=None)
@given(data=st.data())
def test_a_journal_of_any_content(name: str, data: st.DataObject) -> None:
    lines, check = JOURNALS[name]
    content = b"".join(map(encode, lines))
    if data.draw(st.booleans()):
        content = data.draw(damaged_bytes(content))
    else:
        number = data.draw(st.integers(0, len(lines) - 1))
        changed = data.draw(altered_json(json.loads(json.dumps(lines[number]))))
        content = b"".join(encode(line) for line in (*lines[:number], changed, *lines[number + 1 :]) if line)
    checked(name, content, check)


CONTEXT = StoreContext("pi3", "native", "1", "board", False, 4)
KEPT = StoredSamples(SMALL[0].shape, ConvolutionOptions("simple"), "visit", ((0, "1", 0.5), (1, "1", 0.25)))


@settings(max_examples=CASES, deadline=None)
@given(data=st.data())
def test_a_store_of_any_rows(data: st.DataObject) -> None:
    samples = data.draw(altered_json([list(sample) for sample in KEPT.samples]))
    column = data.draw(st.sampled_from(["options", "visit", "samples"]))
    value = data.draw(st.sampled_from([b"\xff", 1.5, "x", "²", "[" * 1000]) | st.just(json.dumps(samples)))
    with tempfile.TemporaryDirectory() as name:
        store = MeasurementStore(Path(name) / "store.sqlite")
        store.add(CONTEXT, [KEPT])
        connection = sqlite3.connect(store.path)
        with connection:
            connection.execute(f"update samples set {column} = ?", (value,))
        connection.close()
        for found in store.lookup(CONTEXT, [KEPT.shape]):
            assert all(ms > 0 for _, _, ms in found.samples)
        store.add(CONTEXT, [KEPT])


@settings(max_examples=CASES, deadline=None)
@given(data=st.data())
def test_a_store_of_any_bytes(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        store = MeasurementStore(Path(name) / "store.sqlite")
        store.add(CONTEXT, [KEPT])
        store.path.write_bytes(data.draw(damaged_bytes(store.path.read_bytes())))
        store.lookup(CONTEXT, [KEPT.shape])
        store.add(CONTEXT, [KEPT])


@pytest.mark.parametrize("text", ["winograd s²", "winograd s" + "9" * 5000, "", "winograd t", "simple s1", "gx"])
def test_a_text_that_names_no_options_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        ConvolutionOptions.parse(text)
