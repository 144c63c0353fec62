"""``ellopt cache``: everything that the rest of ellopt keeps for a user is shown, and removed; nothing else is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ellopt.app.kept import kept
from ellopt.cli.main import main
from ellopt.core.numbers import storage
from ellopt.core.options import ConvolutionOptions
from ellopt.devices.sessions import Session
from ellopt.estimate.calibration.store import Calibration, keep
from ellopt.files.user_dirs import (
    cache_directory,
    config_directory,
    measurements_path,
    put_below,
    state_directory,
    zig_cache,
)
from ellopt.measure.store import MeasurementStore, StoreContext, StoredSamples
from ellopt.targets import find_target
from ellopt.toolchains.object_cache import object_cache
from tests.support.pretend import shape

AGAIN = {"objects", "simulator", "measurements"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory."""
    for name in ("ELLOPT_CACHE", "ELLOPT_STORE", "ZIG_GLOBAL_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    found: dict[str, str] = {}
    put_below(tmp_path, found)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def fill() -> None:
    """Keep something of each kind, by what keeps it."""
    (object_cache(Path("nowhere")) / "a.o").write_bytes(b"o" * 1500)
    (cache_directory() / "simulator").mkdir()
    (cache_directory() / "simulator" / "s.so").write_bytes(b"s")
    entry = StoredSamples(shape(), ConvolutionOptions("unrolled", True), "visit", ((0, "1034", 1.25),))
    MeasurementStore.named(None).add(StoreContext("pi3", "native", "1", "board", False), [entry])
    keep(state_directory(), Calibration(find_target("pi4_64").name, "board", {"loop": 1.5}))
    config_directory().mkdir(parents=True)
    (config_directory() / "known_hosts").write_text("pi ssh-ed25519 AAAA\n")
    (zig_cache() / "o" / "deep").mkdir(parents=True)
    (zig_cache() / "o" / "deep" / "libc.a").write_bytes(b"z" * 10)


def files(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if path.is_file()}


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    assert main(["cache", *arguments, "--json"]) == 0
    [rows] = json.loads(capsys.readouterr().out).values()
    return {row["kind"]: row for row in rows}


def test_everything_that_is_kept_is_shown_and_removed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {row["files"] for row in document(capsys).values()} == {0}
    fill()
    there = files(home)
    shown = document(capsys)
    assert sum(row["files"] for row in shown.values()) == len(there)
    assert sum(row["bytes"] for row in shown.values()) == sum(path.stat().st_size for path in there)
    assert all(row["files"] for kind, row in shown.items() if kind != "sessions")
    assert main(["cache"]) == 0
    assert str(measurements_path()) in capsys.readouterr().out

    removed = document(capsys, "clear")
    assert set(removed) == AGAIN
    for kind, row in removed.items():
        assert row == shown[kind]
    left = files(home)
    assert {path.name for path in left} == {"pi4_64.json", "known_hosts", "libc.a"}

    assert main(["cache", "clear", "--all"]) == 0
    assert "boards' host keys" in capsys.readouterr().out
    assert not files(home)
    assert main(["cache", "clear", "--all"]) == 0
    assert capsys.readouterr().out.strip() == "there was nothing to remove"


def test_a_folder_of_the_users_that_is_named_as_the_cache_loses_only_what_is_ours(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = home / "documents"
    mine.mkdir()
    letter = mine / "letter.txt"
    letter.write_text("dear")
    monkeypatch.setenv("ELLOPT_CACHE", str(mine))
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(mine))
    monkeypatch.setenv("ELLOPT_STORE", str(mine / "kept.sqlite"))
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    fill()
    if os.name != "nt":
        (cache_directory() / "objects" / "link").symlink_to(elsewhere, target_is_directory=True)
    document(capsys, "clear", "--all")
    assert files(mine) == {letter}
    assert (elsewhere / "precious").exists()


@pytest.fixture
def session(home: Path) -> Iterator[Session]:
    held = Session()
    yield held
    held.guard.release()


def test_what_a_running_process_holds_stays_and_what_a_dead_one_held_goes(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    held = files(state_directory())
    assert {path.stem for path in held} == {session.owner}
    assert document(capsys, "clear", "--all")["sessions"]["files"] == 0
    assert files(state_directory()) == held
    session.guard.release()
    assert document(capsys)["sessions"]["files"] == len(held)
    assert document(capsys, "clear", "--all")["sessions"]["files"] == len(held)
    assert not files(state_directory())


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 KB"),
        (999_499, "999 KB"),
        (999_600, "1.00 MB"),
        (4_700_000_000, "4.70 GB"),
    ],
)
def test_sizes_read_well(count: int, text: str) -> None:
    assert storage(count) == text


def test_a_database_that_the_store_names_is_no_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill()
    monkeypatch.setenv("ELLOPT_STORE", "postgresql+psycopg://pi:very-secret@db.example/name")
    assert main(["cache", "show"]) == 0
    said = capsys.readouterr().out
    assert str(cache_directory() / "measurements.sqlite") in "".join(said.split())
    assert "very-secret" not in said
    assert "postgresql" not in said


def test_what_takes_long_to_count_is_shown_as_last_counted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill()
    told: list[tuple[int, int]] = []
    first = {row.kind: row for row in kept(progress=lambda files, size: told.append((files, size)), long=0)}
    assert first["zig"].counted is None
    assert (first["zig"].files, first["zig"].bytes) in told
    (zig_cache() / "o" / "deep" / "more.a").write_bytes(b"z" * 90)
    shown = document(capsys)["zig"]
    assert (shown["files"], shown["bytes"]) == (first["zig"].files, first["zig"].bytes)
    assert shown["counted"] > 0
    assert main(["cache"]) == 0
    assert "--count counts again" in capsys.readouterr().out
    counted = document(capsys, "--count")["zig"]
    assert counted["counted"] is None
    assert counted["bytes"] >= first["zig"].bytes + 90
    assert document(capsys, "clear", "--all")["zig"]["files"] >= counted["files"]
    assert files(zig_cache()) == set()
    assert document(capsys)["zig"] == {**shown, "files": 0, "bytes": 0, "counted": None}


def test_a_note_that_cannot_be_read_is_no_count(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill()
    kept(long=0)
    [note] = zig_cache().glob("*.json")
    for text in ("", "[]", "{}", '{"version": 1}', '{"version": 1, "files": "many", "bytes": 1, "at": 1}'):
        note.write_text(text)
        assert document(capsys)["zig"]["counted"] is None
