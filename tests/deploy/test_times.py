"""How long a deployed model takes: here, as a camera would call it, layer by layer, and on a board over SSH."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.deploy.times import FIRST_PASSES, BenchResult
from ellopt.devices.emulator import find_qemu
from ellopt.frontends.ell.read import read_model
from ellopt.targets import find_target
from tests.support.devices.bundles import leftovers
from tests.support.devices.openssh import Sshd, openssh_server
from tests.support.paths import DATA, TINY

INPUT = DATA / "tiny16.input.npy"


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=200))
def test_a_result_has_the_order_statistics_of_its_samples(samples: list[float]) -> None:
    result = BenchResult("m", tuple(samples), 2, 1.0, 1024, Plan.of({}))
    found = result.to_json()
    assert found["min_ms"] <= found["median_ms"] <= found["p90_ms"] <= found["p99_ms"] <= max(samples)
    assert found["mean_ms"] == pytest.approx(statistics.fmean(samples))
    assert sum(sample > found["p90_ms"] for sample in samples) <= math.ceil(0.1 * len(samples))


def test_first_passes_are_told_by_themselves_and_passes_begin_an_interval_apart(tmp_path: Path) -> None:
    began = time.monotonic()
    result = deploy.bench(
        read_model(TINY), deploy.RunSettings(directory=tmp_path, threads=1), iterations=5, interval_ms=40
    )
    assert time.monotonic() - began >= 0.04 * (FIRST_PASSES + 5 - 1)
    assert (len(result.first_ms), len(result.samples_ms)) == (FIRST_PASSES, 5)
    assert max(result.samples_ms) < 40 * 5  # waiting is not counted
    assert "of 5, 40 ms apart on 1 thread" in result.summary()
    assert "the first passes of the process: " in result.summary()
    with pytest.raises(ConfigurationError, match="--interval"):
        deploy.bench(read_model(TINY), interval_ms=-1)


def test_a_profile_has_a_row_for_each_layer(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", str(TINY), "--iterations", "5", "--threads", "1", "--profile"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    model = read_model(TINY)
    rows = {row["node_id"]: row for row in found["layers"]}
    assert {node.node_id for node in model.convolutions} <= set(rows)
    assert list(rows) == [node.node_id for node in model.nodes if node.node_id in rows]
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    assert all(rows[node.node_id]["options"] == found["options"][node.node_id] for node in model.convolutions)
    assert all(row["options"] == "" for node_id, row in rows.items() if node_id not in found["options"])


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    try:
        find_qemu(find_target("pi3"))
    except ConfigurationError as error:
        pytest.skip(f"{error} (Debian package qemu-user)")
    with openssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def over_ssh(board: Sshd, monkeypatch: pytest.MonkeyPatch, home: Path) -> list[str]:
    """The options that lead to the board: it is of this processor, so that programs for a Pi run emulated on it."""
    (home / "ellopt").mkdir(parents=True, exist_ok=True)
    (home / "ellopt" / "known_hosts").write_text(board.known_hosts.read_text())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    place = f"{board.user}@{board.host}:{board.port}"
    return ["--target", "pi3", "--emulate", "--ipaddress", place, "--key_file", str(board.user_key)]


def test_predict_and_bench_run_on_a_board(
    board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = over_ssh(board, monkeypatch, tmp_path)
    output = tmp_path / "y.npy"
    assert main(["predict", str(TINY), "--input", str(INPUT), "--output", str(output), *there]) == 0
    np.testing.assert_allclose(np.load(output).reshape(-1), np.load(DATA / "tiny16.expected.npy"), rtol=0, atol=1e-5)
    capsys.readouterr()
    assert main(["bench", str(TINY), "--iterations", "3", "--threads", "1", "--json", *there]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["samples_ms"]) == 3
    assert found["board"]
    assert not leftovers(board.root / "board")


def test_a_library_is_built_copied_and_run_on_a_board(
    board: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = over_ssh(board, monkeypatch, tmp_path / "home")
    command = ["deploy", str(TINY), "-o", str(tmp_path / "library"), "--iterations", "4", *there]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["samples_ms"]) == 4
    assert min(found["first_ms"], *found["samples_ms"]) > 0
    assert (tmp_path / "library" / "tiny16.h").is_file()
    assert not leftovers(board.root / "board")
    assert main(command) == 0
    assert "the output is right" in capsys.readouterr().out


def test_times_of_an_emulator_must_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RPI_CLUSTER", raising=False)
    assert main(["bench", str(TINY), "--target", "pi3"]) == 2
    assert "--emulate" in capsys.readouterr().err
