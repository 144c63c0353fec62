"""What every Device and every DevicePool does, whatever is behind it."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError, CommandTimeout, ConfigurationError, DeadlineExceeded, InfrastructureError
from ellopt.devices.base import Device, DevicePool
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.emulator import EmulatedDevice
from ellopt.devices.kinds import DEVICE_KINDS
from ellopt.devices.open import open_pool
from ellopt.devices.replay import ReplayPool
from ellopt.devices.settings import DeviceSettings
from ellopt.devices.staging import run_here
from ellopt.targets import Target, find_target
from ellopt.toolchains.zig import link_flags, zig_command
from tests.support.devices.benches import benches_of
from tests.support.devices.bundles import leftovers, script_bundle
from tests.support.devices.pace import QUICK
from tests.support.patience import SOON
from tests.support.processes import processes_in

#: Every bench of every kind of the registry, and recorded answers, which nothing on the command line means.
PARTS = [*((kind.name, bench) for kind in DEVICE_KINDS for bench in benches_of(kind.name)), ("replay", "replay")]

# What RUNNER in tests/support/devices/bundles.py does, for devices that run real binaries only.
RUNNER_C = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
static void copy(const char *name, FILE *to) {
  int c; FILE *f = fopen(name, "rb");
  while (f && (c = fgetc(f)) != EOF) fputc(c, to);
  if (f) fclose(f);
}
int main(int n, char **v) {
  if (!strcmp(v[1], "answer")) {
    FILE *f = fopen("result", "wb"); copy("job", f); copy("data", f); fclose(f);
    printf("out %s\n", v[2]); fprintf(stderr, "err %s\n", v[2]);
    return n > 3 ? atoi(v[3]) : 0;
  }
  if (!strcmp(v[1], "crash")) { signal(SIGABRT, SIG_DFL); abort(); }
  if (!strcmp(v[1], "pwd")) {
    char here[4096]; FILE *f = fopen("result", "wb");
    fprintf(f, "%s\n", getcwd(here, sizeof here)); fclose(f); return 0;
  }
  if (!strcmp(v[1], "ignore")) signal(SIGTERM, SIG_IGN);
  for (;;) sleep(1);
}
"""


@dataclass(frozen=True)
class Setting:
    """A pool, a bundle that its devices can run, and the folder in which its boards keep their files."""

    kind: str
    pool: DevicePool
    bundle: Bundle
    place: Path | None


@pytest.fixture(scope="session")
def arm_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of a real binary for the smallest ARM target. Building the C library for it may take a minute."""
    if not (shutil.which("qemu-arm") or shutil.which("qemu-arm-static")):
        pytest.skip("no qemu-arm here (Debian package qemu-user)")
    return real_bundle(find_target("pi0"), tmp_path_factory.mktemp("arm"))


@pytest.fixture(scope="session")
def aarch64_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same for a processor that can be simulated."""
    if not shutil.which("qemu-aarch64"):
        pytest.skip("no qemu-aarch64 here (Debian package qemu-user)")
    return real_bundle(find_target("pi3_64"), tmp_path_factory.mktemp("aarch64"))


def real_bundle(target: Target, folder: Path) -> Bundle:
    (folder / "runner.c").write_text(RUNNER_C)
    subprocess.run(
        [
            # Linked as the toolchain links, for whom the C library is there already.
            *(*zig_command(), "cc", *link_flags(target), "runner.c", "-o", "runner"),
        ],
        cwd=folder,
        check=True,
    )
    (folder / "data").write_bytes(b"weights")
    return Bundle(folder, "a" * 32, ("runner", "data"), "test", target, {})


@pytest.fixture(params=PARTS, ids=lambda part: part[1])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setting]:
    kind, name = request.param
    with ExitStack() as stack:
        if kind == "replay":
            bundle = script_bundle(tmp_path / "bundle")
            yield Setting(name, stack.enter_context(ReplayPool(run_here, pace=QUICK)), bundle, None)
            return
        bench = benches_of(kind)[name](request, tmp_path, stack)
        pool = stack.enter_context(open_pool(bench.settings, bench.bundle.target, QUICK))
        yield Setting(name, pool, bench.bundle, bench.place)
        pool.close()
        if bench.place is not None:
            assert leftovers(bench.place) == []
            assert processes_in(bench.place) == []
        bench.at_end()


def run(device: Device, bundle: Bundle, *arguments: str, seconds: float = 60.0) -> Execution:
    invocation = Invocation(("./runner", *arguments), {"job": b"job \x00\xff "}, ("result", "missing"))
    return device.run(bundle, invocation, Deadline.after(seconds))


def test_runs_with_inputs_and_returns_outputs(setting: Setting) -> None:
    with setting.pool.lease(Deadline.after(60)) as device:
        for word in ("one", "two; $(exit) 'quoted' \"twice\""):
            execution = run(device, setting.bundle, "answer", word)
            assert execution.exit_code == 0
            assert execution.stdout == f"out {word}\n"
            assert execution.stderr == f"err {word}\n"
            assert execution.outputs == {"result": b"job \x00\xff weights"}
            assert execution.seconds > 0


def test_exit_codes_and_signals_are_results(setting: Setting) -> None:
    with setting.pool.lease(Deadline.after(60)) as device:
        assert run(device, setting.bundle, "answer", "x", "3").exit_code == 3
        assert run(device, setting.bundle, "crash").exit_code < 0


def test_every_run_has_a_directory_of_its_own_that_goes_away(setting: Setting) -> None:
    with setting.pool.lease(Deadline.after(60)) as device:
        places = [run(device, setting.bundle, "pwd").outputs["result"] for _ in range(2)]
    assert len(set(places)) == 2
    for place in places:
        assert not Path(place.decode().strip()).exists()


@pytest.mark.parametrize("how", ["hang", "ignore"])
def test_a_deadline_kills_the_command(setting: Setting, how: str) -> None:
    with setting.pool.lease(Deadline.after(60)) as device:
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            run(device, setting.bundle, how, seconds=1.0)
        assert time.monotonic() - started < SOON
        if setting.place is not None:
            assert processes_in(setting.place) == []
        assert run(device, setting.bundle, "answer", "still there").exit_code == 0


def test_a_command_that_outlives_its_own_limit_is_to_blame_itself(setting: Setting) -> None:
    with setting.pool.lease(Deadline.after(60)) as device:
        assert run(device, setting.bundle, "answer", "x").exit_code == 0
        started = time.monotonic()
        with pytest.raises(CommandTimeout):
            device.run(setting.bundle, Invocation(("./runner", "hang"), limit_seconds=1.0), Deadline.after(60))
        assert time.monotonic() - started < SOON
        if setting.place is not None:
            assert processes_in(setting.place) == []


def test_a_device_says_what_it_is(setting: Setting) -> None:
    with setting.pool.lease(Deadline.after(60)) as device:
        assert device.name
        assert device.board
        state = device.state()
        assert state.load is None or state.load >= 0
        assert setting.pool.emulated == (device.times == "emulated")
        assert device.here in (True, False)


def test_leases_are_bounded_by_capacity(setting: Setting) -> None:
    assert setting.pool.capacity == 1
    with (
        setting.pool.lease(Deadline.after(60)),
        pytest.raises(DeadlineExceeded),
        setting.pool.lease(Deadline.after(0.2)),
    ):
        pass
    with setting.pool.lease(Deadline.after(60)):
        pass
    assert setting.pool.report().leases == 2


@pytest.mark.parametrize(
    "error",
    [InfrastructureError("board"), CandidateError("x"), ValueError("bug"), KeyboardInterrupt(), DeadlineExceeded("x")],
)
def test_a_lease_ends_whatever_leaves_the_block(setting: Setting, error: BaseException) -> None:
    with pytest.raises(type(error)), setting.pool.lease(Deadline.after(60)):
        raise error
    with setting.pool.lease(Deadline.after(60)) as device:
        assert run(device, setting.bundle, "answer", "again").exit_code == 0


def test_a_lease_is_handed_to_the_next_in_line(setting: Setting) -> None:
    order: list[int] = []

    def work(number: int) -> None:
        with setting.pool.lease(Deadline.after(60)):
            order.append(number)

    with setting.pool.lease(Deadline.after(60)):
        threads = []
        for number in range(3):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            time.sleep(0.3)
    for thread in threads:
        thread.join(60)
    assert sorted(order) == [0, 1, 2]
    if setting.kind != "local":
        assert order == [0, 1, 2]


def test_no_board_is_a_clear_error() -> None:
    with pytest.raises(ConfigurationError, match="--ipaddress"), open_pool(DeviceSettings(), find_target("pi3")):
        pass


def test_a_missing_emulator_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigurationError, match="qemu-user"):
        EmulatedDevice(find_target("pi3"))
