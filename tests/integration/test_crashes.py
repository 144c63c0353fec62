"""Whatever keeps something on the disk, stopped at any call to it, has lost nothing that counts, and goes on."""

from __future__ import annotations

import resource
import signal
from functools import partial
from itertools import count
from pathlib import Path
from typing import get_args

import pytest

from ellopt.core.options import ConvolutionOptions
from ellopt.measure.store import MeasurementStore, StoreContext, StoredSamples
from tests.support.crashes import Announce, How, in_a_process, stopped
from tests.support.keepers import KEEPERS
from tests.support.keepers.base import Keeper
from tests.support.pretend import SMALL


@pytest.mark.parametrize("how", get_args(How))
@pytest.mark.parametrize("keeper", KEEPERS, ids=lambda keeper: type(keeper).__name__)
def test_stopped_at_any_call_it_lost_nothing_and_goes_on(tmp_path: Path, keeper: Keeper, how: How) -> None:
    undisturbed = tmp_path / "undisturbed"
    keeper.prepare(undisturbed)
    _, expected = keeper.go_on(undisturbed)
    for at in count(1):
        place = tmp_path / (str(at) if keeper.afresh else "again")
        if not place.exists():
            keeper.prepare(place)
        end = stopped(partial(keeper.work, place), place, at, how)
        if keeper.afresh or end.finished:
            found, whole = keeper.go_on(place)
            assert whole == expected, at
        else:
            found = keeper.kept(place)
        assert set(end.announced) <= found, at
        if end.finished:
            break
    assert at > 2


SHAPE, CONTEXT = SMALL[0].shape, StoreContext("host", "native", "1", "a board", False)


def measured(visit: int) -> StoredSamples:
    return StoredSamples(SHAPE, ConvolutionOptions("simple"), f"visit {visit}", ((0, "1000", 1.5 + visit),) * 500)


def visits(store: MeasurementStore) -> set[str]:
    found = store.lookup(CONTEXT, [SHAPE])
    assert all(samples == measured(int(samples.visit.split()[1])) for samples in found)
    return {samples.visit for samples in found}


@pytest.mark.parametrize("killed", [False, True])
def test_the_store_of_measurements_survives_a_write_that_fails_or_kills_at_any_length(
    tmp_path: Path, killed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite writes by itself: here the system lets files grow to a limit, where a write fails or its process dies."""

    def work(store: MeasurementStore, limit: int, announce: Announce) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if killed else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        for visit in range(3):
            store.add(CONTEXT, [measured(visit)])
            for found in visits(store):
                announce(found)

    ends = set()
    for limit in count(0, 1500):
        store = MeasurementStore(tmp_path / f"{limit}.sqlite")
        said, signalled = in_a_process(partial(work, store, limit))
        caplog.clear()
        assert set(said) <= visits(store), limit
        store.add(CONTEXT, map(measured, range(3)))
        assert visits(store) == {"visit 0", "visit 1", "visit 2"}, limit
        assert not caplog.messages, limit
        ends.add((len(set(said)), signalled))
        if len(set(said)) == 3:
            break
    assert {(number, signal.SIGXFSZ if killed and number < 3 else 0) for number in range(4)} <= ends
