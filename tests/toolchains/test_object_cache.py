"""What a user compiled once is there for every later run, as long as it is used and the same machine's."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.core.deadline import Deadline
from ellopt.targets import find_target
from ellopt.toolchains.object_cache import object_cache, trim
from ellopt.toolchains.zig import Compiler

SOURCE = {"seven": "int seven(void) { return 7; }\n"}
DAY = 86400.0


def compiled(otherwise: Path) -> Path:
    return Compiler(find_target("host", 1), (), object_cache(otherwise)).objects(SOURCE, Deadline.after(120))["seven"]


def test_another_run_finds_what_was_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELLOPT_CACHE", str(tmp_path / "cache"))
    first = compiled(tmp_path / "one")
    os.utime(first, (0, 0))
    assert compiled(tmp_path / "two") == first
    assert first.parent == tmp_path / "cache" / "objects"
    assert time.time() - first.stat().st_mtime < DAY, "it was used now"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"]


def test_what_cannot_be_kept_for_others_is_kept_beside_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").touch()  # no directory can be made of it, whoever runs this
    monkeypatch.setenv("ELLOPT_CACHE", str(tmp_path / "cache"))
    assert compiled(tmp_path / "beside").parent == tmp_path / "beside"


ages = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2000)), max_size=8)


@given(ages, st.integers(0, 5000))
def test_what_was_used_longest_ago_goes_first(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[int, int]], kept: int
) -> None:
    directory, now = tmp_path_factory.mktemp("objects"), time.time()
    used = {}
    for number, (days, size) in enumerate(files):
        path = directory / f"{number}.o"
        path.write_bytes(b"x" * size)
        used[path] = now - days * DAY - 3600
        os.utime(path, (used[path], used[path]))
    trim(directory, now, kept)
    left = set(directory.iterdir())
    assert {path for path, at in used.items() if now - at < DAY} <= left
    idle = {path for path in left if now - used[path] > DAY}
    assert sum(path.stat().st_size for path in idle) <= kept
    gone = set(used) - left
    assert all(used[a] <= used[b] for a in gone for b in idle)


def test_a_cache_that_is_gone_is_no_error(tmp_path: Path) -> None:
    trim(tmp_path / "nothing", time.time())
