"""What is large and needs no compiler is on boards when the compiler has ended: real servers, behind slow links."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial
from ellopt.devices.base import DevicePool, DistantDevice
from ellopt.devices.cluster.source import ClusterSource
from ellopt.devices.local import LocalPool
from ellopt.devices.open import open_pool
from ellopt.devices.pool.leasing import Pool
from ellopt.devices.settings import DeviceSettings
from ellopt.measure.measurer import DeviceMeasurer
from tests.support.devices.bundles import leftovers
from tests.support.devices.cluster import API_KEY, ClusterService
from tests.support.devices.openssh import Sshd, openssh_server
from tests.support.devices.pace import QUICK
from tests.support.devices.recorded import RecordedToolchain
from tests.support.devices.slow_link import SlowLink, slow_link
from tests.support.patience import eventually
from tests.support.pretend import AT_ONCE, MODEL, TARGET, small_space
from tests.support.pretend_measurer import SIMPLE, UNROLLED, uniform

RATE = 1_000_000
"""Bytes a second."""


@contextmanager
def behind(link: SlowLink, sshd: Sshd, **changes: object) -> Iterator[DevicePool]:
    """The board, at the end of a link."""
    known = sshd.root / "known_through_link"
    kind, key = (sshd.root / "host_key.pub").read_text().split()[:2]
    known.write_text(f"[127.0.0.1]:{link.port} {kind} {key}\n")
    settings = sshd.settings(ipaddresses=(f"127.0.0.1:{link.port}",), known_hosts=known, **changes)
    with open_pool(settings, TARGET, QUICK) as pool:
        yield pool


def tune(pool: DevicePool, toolchain: RecordedToolchain, directory: Path) -> tuple[Trial, ...]:
    """The build of a space, and its first visit."""
    measurer = DeviceMeasurer(MODEL, toolchain, pool, TARGET, directory, AT_ONCE, sleep=lambda seconds: None)
    measurer.board()
    measurer.prepare(small_space(toolchain))
    trials = measurer.measure([uniform(SIMPLE), uniform(UNROLLED)], Schedule())
    measurer.rest()
    return trials


def test_an_upload_takes_the_time_in_which_the_compiler_works(root: Path) -> None:
    seconds: dict[bool, float] = {}
    found: dict[bool, tuple[Trial, ...]] = {}
    with openssh_server(root) as sshd, slow_link(sshd.port, RATE) as link:
        for secretive in (True, False):
            toolchain = RecordedToolchain(ballast=3 * RATE, compiling=lambda: time.sleep(3), secretive=secretive)
            with behind(link, sshd) as pool:
                began = time.monotonic()
                found[secretive] = tune(pool, toolchain, root / f"bundles-{secretive}")
                seconds[secretive] = time.monotonic() - began
            assert pool.report().retries == 0
            assert leftovers(root / "board") == []
        assert link.carried < 7 * RATE, "nothing is sent twice"
    assert [trial.plan for trial in found[True]] == [trial.plan for trial in found[False]]
    assert all(trial.samples for trials in found.values() for trial in trials)
    assert seconds[False] < seconds[True], "three seconds fewer, less what else this machine does"


def test_what_a_bundle_brought_is_not_sent_after_it(root: Path) -> None:
    with openssh_server(root) as sshd, slow_link(sshd.port, RATE) as link, behind(link, sshd) as pool:
        toolchain = RecordedToolchain(ballast=RATE, secretive=True)
        tune(pool, toolchain, root / "bundles")
        before = link.carried
        with pool.lease(Deadline.after(30)) as device:
            assert isinstance(device, DistantDevice)
            device.send(b"w" * RATE, Deadline.after(30))
        assert link.carried < before + RATE / 10


def test_a_visit_waits_for_what_is_still_on_its_way(root: Path) -> None:
    toolchain = RecordedToolchain(ballast=RATE)
    with openssh_server(root) as sshd, slow_link(sshd.port, RATE) as link:
        with behind(link, sshd) as pool:
            assert all(trial.samples for trial in tune(pool, toolchain, root / "bundles"))
        assert link.carried < 1.5 * RATE
        assert pool.report().retries == 0
        assert leftovers(root / "board") == []


def test_what_was_cut_off_goes_with_the_bundle(root: Path) -> None:
    with openssh_server(root) as sshd, slow_link(sshd.port, RATE) as link:

        def cut() -> None:
            assert eventually(lambda: link.carried > RATE / 3)
            link.cut()

        with behind(link, sshd) as pool:
            toolchain = RecordedToolchain(ballast=RATE, compiling=cut)
            assert all(trial.samples for trial in tune(pool, toolchain, root / "bundles"))
        assert pool.report().retries == 1
        assert leftovers(root / "board") == []


def test_every_board_of_ours_gets_it(root: Path) -> None:
    """Two boards at links of their own, a third that is not there."""
    with ExitStack() as stack:
        sshds: list[Sshd] = []
        links: list[SlowLink] = []
        lines: list[str] = []
        for name in ("a", "b"):
            (root / name).mkdir()
            sshds.append(stack.enter_context(openssh_server(root / name)))
            links.append(stack.enter_context(slow_link(sshds[-1].port, RATE)))
            kind, key = (root / name / "host_key.pub").read_text().split()[:2]
            lines.append(f"[127.0.0.1]:{links[-1].port} {kind} {key}\n")
        (root / "known").write_text("".join(lines))
        addresses = (*(f"127.0.0.1:{link.port}" for link in links), "127.0.0.1:1")
        settings = replace(
            sshds[0].settings(ipaddresses=addresses, known_hosts=root / "known"),
            key_files=tuple(sshd.user_key for sshd in sshds),
            parallel_run=3,
        )
        with open_pool(settings, TARGET, QUICK) as pool:
            assert pool.sends == 3
            arrived = partial(eventually, lambda: all(link.carried > RATE for link in links))
            toolchain = RecordedToolchain(ballast=RATE, compiling=arrived)
            assert all(trial.samples for trial in tune(pool, toolchain, root / "bundles"))
            assert all(RATE < link.carried < 1.5 * RATE for link in links)
        assert [leftovers(root / name / "board") for name in ("a", "b")] == [[], []]


def test_whom_bundles_are_sent_to(service: ClusterService, root: Path) -> None:
    with LocalPool() as pool:
        assert pool.sends == 0, "this machine has them"
    with open_pool(DeviceSettings(emulate=True), TARGET) as emulated:
        assert emulated.sends == 0
    shared = ClusterSource(DeviceSettings(cluster=service.url, apikey=API_KEY, state_directory=root / "state"), TARGET)
    with Pool(shared, capacity=2) as several:
        assert several.sends == 1, "others may want the rest meanwhile"
