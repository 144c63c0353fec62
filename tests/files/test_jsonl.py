"""A journal keeps what was appended, tells torn from damaged, and loses no more than the damaged line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.files.jsonl import JournalReader, JournalWriter, encode, mend

_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
_OBJECTS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5), _VALUES, min_size=1, max_size=3
)
_JOURNALS = st.lists(_OBJECTS, min_size=1, max_size=6)


def written(directory: str, objects: list[dict[str, Any]]) -> Path:
    path = Path(directory) / "journal.jsonl"
    JournalWriter(path).append(objects)
    return path


@given(_JOURNALS)
def test_what_was_appended_is_read_back_and_is_plain_json(objects: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = written(directory, objects)
        found = JournalReader(path).read()
        assert list(found.values) == objects
        assert not found.damaged
        assert not found.torn
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
        assert [{k: v for k, v in json.loads(line).items() if k != "crc32"} for line in lines] == [
            {k: v for k, v in each.items() if k != "crc32"} for each in objects
        ]


@given(_JOURNALS, st.data())
def test_a_torn_end_costs_the_unfinished_line_only(objects: list[dict[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = written(directory, objects)
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        zeros = data.draw(st.integers(0, 9))
        path.write_bytes(content[:cut] + bytes(zeros))
        left = content[:cut].count(b"\n")
        found = mend(path)
        assert list(found.values) == objects[:left]
        assert not found.damaged
        JournalWriter(path).append([{"later": 1}])
        assert list(JournalReader(path).read().values) == [*objects[:left], {"later": 1}]


@given(_JOURNALS, st.data())
def test_damage_in_the_middle_costs_the_damaged_lines_only(objects: list[dict[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = written(directory, objects)
        written_bytes = path.read_bytes()
        content = bytearray(written_bytes)
        where = data.draw(st.integers(0, len(content) - 2))
        content[where] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        number = written_bytes[:where].count(b"\n")
        lost = {number, number + 1} if written_bytes[where : where + 1] == b"\n" else {number}
        kept = [each for i, each in enumerate(objects) if i not in lost]
        found = mend(path)
        # Without a single sound checksum before it, a line whose checksum was hit passes for one of an old journal.
        doubtful = len(found.values) - len(kept) if 0 in lost else 0
        assert list(found.values[doubtful:]) == kept
        assert doubtful or found.damaged
        again = JournalReader(path).read()
        assert again.values == found.values
        assert not again.damaged


def test_a_damaged_line_is_kept_aside(tmp_path: Path) -> None:
    path = written(str(tmp_path), [{"n": 1}, {"n": 2}, {"n": 3}])
    path.write_bytes(path.read_bytes().replace(b'"n":2', b'"n":9'))
    (damaged,) = mend(path).damaged
    assert damaged.number == 2
    assert b'"n":9' in (tmp_path / "journal.jsonl.damaged").read_bytes()
    assert [value["n"] for value in JournalReader(path).read().values] == [1, 3]


def test_a_journal_without_checksums_is_read_and_goes_on_with_them(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"n":1}\n{"n":2}\n')
    JournalWriter(path).append([{"n": 3}])
    assert [value["n"] for value in JournalReader(path).read().values] == [1, 2, 3]
    with path.open("a") as file:
        file.write('{"n":4}\n')
    assert len(JournalReader(path).read().damaged) == 1


def test_a_reader_sees_what_is_appended_and_never_half_a_line(tmp_path: Path) -> None:
    path = written(str(tmp_path), [{"n": 1}])
    reader = JournalReader(path)
    assert len(reader.read().values) == 1
    line = encode({"n": 2})
    with path.open("ab") as file:
        file.write(line[:5])
    assert reader.read().values == ()
    with path.open("ab") as file:
        file.write(line[5:])
    assert [value["n"] for value in reader.read().values] == [2]


@pytest.mark.parametrize("value", [{"ms": float("nan")}, {}])
def test_what_cannot_be_read_back_is_not_written(tmp_path: Path, value: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        JournalWriter(tmp_path / "journal.jsonl").append([value])
