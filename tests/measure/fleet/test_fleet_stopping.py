"""Who is interrupted or killed leaves no visit running: workers see by themselves that nobody wants its result."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.fleet import ProcessFleet, eventually
from tests.support.paths import module_command

#: what a visit takes if nobody ends it: longer than the test may
FOREVER = "3600"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessFleet]:
    """A worker with two boards on which a visit never ends by itself."""
    with ProcessFleet(tmp_path_factory.mktemp("fleet")) as started:
        started.start_worker("slow", "--target", "pi3", "--ipaddress", "one", "two", FLEET_TEST_SECONDS=FOREVER)
        assert eventually(partial(started.is_there, "slow"), 240), started.log("slow")
        yield started


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_boards_are_free_soon_after_a_client_has_gone(fleet: ProcessFleet, tmp_path: Path, how: signal.Signals) -> None:
    fleet.start("client", module_command("fleet.client", tmp_path / "client", fleet.address, 0))
    assert eventually(lambda: len(list((fleet.folder / "boards").glob("slow-*.busy"))) == 2, 240), fleet.log("client")
    assert fleet.kill("client", how) != 0
    assert eventually(lambda: not fleet.visited("slow"), 240), fleet.log("slow")
    assert "set aside" not in fleet.log("slow"), "no board is to blame"
    assert fleet.processes["slow"].poll() is None


def test_a_worker_that_ends_waits_for_no_visit(fleet: ProcessFleet, tmp_path: Path) -> None:
    fleet.start("client", module_command("fleet.client", tmp_path / "client", fleet.address, 0))
    assert eventually(lambda: fleet.visited("slow"), 240), fleet.log("client")
    try:
        assert fleet.kill("slow", signal.SIGTERM) == 128 + signal.SIGTERM
    except subprocess.TimeoutExpired:
        pytest.fail(fleet.log("slow"))
    assert not fleet.visited("slow")
