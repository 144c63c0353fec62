"""A store in a database that many share: SQLite's and PostgreSQL's, and how it is looked after."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import ellopt
from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.measure.store import MeasurementStore, StoreContext, StoredSamples
from tests.support.postgresql import NO_POSTGRESQL, postgresql, postgresql_programs
from tests.support.pretend import shape

CONTEXT = StoreContext("pi3", "native", "1", "pi3 BCM2835", False)
OTHER = StoreContext("pi4_64", "native", "1", "pi4_64 BCM2711", False)
ENTRY = StoredSamples(shape(), ConvolutionOptions("unrolled", True), "visit", ((0, "1034", 1.25),), "gateway: board 7")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('shared') / 'store.db'}"
        return
    if postgresql_programs() is None:
        pytest.skip(NO_POSTGRESQL)
    with postgresql() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    MeasurementStore(server).prune(None, None)
    return server


def test_writers_at_once_lose_nothing_and_double_nothing(url: str) -> None:
    begin = threading.Barrier(4)

    def write(number: int) -> None:
        begin.wait(30)
        for i in range(5):
            mine = replace(ENTRY, visit=f"{number} {i}")
            MeasurementStore(url).add(CONTEXT, [mine, replace(ENTRY, visit=f"everybody's {i}")])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = MeasurementStore(url).lookup(CONTEXT, [shape()])
    assert len(found) == len({entry.visit for entry in found}) == 25
    assert MeasurementStore(url).lookup(OTHER, [shape()]) == []


def test_rows_say_who_when_with_what_and_on_which_board(url: str) -> None:
    MeasurementStore(url).add(CONTEXT, [ENTRY])
    [row] = MeasurementStore(url).rows()
    assert row["device"] == "gateway: board 7"
    assert row["version"] == ellopt.__version__
    assert "@" in row["who"]
    assert row["created"] > 1.6e9
    [found] = MeasurementStore(url).lookup(CONTEXT, [shape()])
    assert (found, found.device) == (ENTRY, "gateway: board 7")


def test_a_store_moves_to_another(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MeasurementStore(url).add(CONTEXT, [ENTRY, replace(ENTRY, visit="second")])
    MeasurementStore(url).add(OTHER, [ENTRY])
    lines, other = tmp_path / "lines", tmp_path / "other.sqlite"
    assert main(["store", "export", str(lines), "--store", url]) == 0
    for new in (3, 0):
        capsys.readouterr()
        assert main(["store", "import", str(lines), "--store", str(other), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"store": str(other), "read": 3, "new": new}
    assert MeasurementStore(other).rows() == MeasurementStore(url).rows()

    assert main(["store", "list", "--store", url, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["context"]["target"], each["measurements"], each["shapes"]) for each in listed] == [
        ("pi3", 2, 1),
        ("pi4_64", 1, 1),
    ]
    assert main(["store", "prune", "--store", url, "--target", "pi3"]) == 0
    assert MeasurementStore(url).lookup(CONTEXT, [shape()]) == []
    assert MeasurementStore(url).lookup(OTHER, [shape()]) == [ENTRY]
    assert main(["store", "prune", "--store", url, "--older_than", "1"]) == 0
    assert len(MeasurementStore(url).rows()) == 1
    assert main(["store", "prune", "--store", url, "--older_than", "0"]) == 0
    assert MeasurementStore(url).rows() == []


@pytest.mark.parametrize(
    "damage",
    [
        {"samples": "[[0, \"1034\", -1]]"},
        {"samples": "[[0, \"1034\", 1e999]]"},
        {"options": "faster, please"},
        {"shape": "{}"},
        {"context": "pi3"},
        {"created": "yesterday"},
        {"device": 7},
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_as_a_whole(
    tmp_path: Path, damage: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    store.add(CONTEXT, [ENTRY, replace(ENTRY, visit="second")])
    first, second = store.rows()
    lines, fresh = tmp_path / "lines", tmp_path / "fresh.sqlite"
    lines.write_text(f"{json.dumps(first)}\n{json.dumps({**second, **damage})}\n")
    assert main(["store", "import", str(lines), "--store", str(fresh)]) == 2
    assert f"{lines} was not written by 'ellopt store export'" in capsys.readouterr().err.replace("\n", " ")
    assert MeasurementStore(fresh).rows() == []


def test_a_file_of_an_earlier_version_is_used_and_gets_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = MeasurementStore(path)
    store.add(CONTEXT, [ENTRY])
    [row] = store.rows()
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "create table samples (context text not null, shape text not null, options text not null, visit text not "
            "null, samples text not null, created real not null, primary key (context, shape, options, visit))"
        )
        values = [row[name] for name in ("context", "shape", "options", "visit", "samples", "created")]
        connection.execute("insert into samples values (?, ?, ?, ?, ?, ?)", values)
    store = MeasurementStore(path)
    assert store.lookup(CONTEXT, [shape()]) == [ENTRY]
    store.add(CONTEXT, [replace(ENTRY, visit="second")])
    assert [row["device"] for row in store.rows()] == ["", "gateway: board 7"]


@pytest.mark.parametrize("wrong", ["nonsense://x", "postgresql+nodriver://host/name", "://"])
def test_what_is_no_database_is_said_at_once(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="--store"):
        MeasurementStore.named(wrong)
    assert main(["store", "list", "--store", wrong]) == 2
    assert "--store" in capsys.readouterr().err


def test_a_server_that_is_away_is_no_reason_to_stop_and_its_password_is_not_shown(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    away = "postgresql+psycopg://user:hunter22@127.0.0.1:9/name"
    store = MeasurementStore(away)
    store.add(CONTEXT, [ENTRY])
    assert store.lookup(CONTEXT, [shape()]) == []
    assert "cannot be written" in caplog.text
    assert main(["store", "list", "--store", away]) == 1
    assert "hunter22" not in caplog.text + capsys.readouterr().err


def test_the_environment_names_a_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELLOPT_STORE", url)
    MeasurementStore.named(None).add(CONTEXT, [ENTRY])
    assert MeasurementStore(url).lookup(CONTEXT, [shape()]) == [ENTRY]
