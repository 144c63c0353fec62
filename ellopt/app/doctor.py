"""Is everything there that a tuning run needs? Each check says what it found and what to do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ellopt.app.board_probe import probe_bundle, run_probe
from ellopt.app.estimating import make_simulator
from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, ElloptError
from ellopt.devices.bundle import Bundle
from ellopt.devices.emulator import EmulatedDevice, find_qemu
from ellopt.devices.listing import list_devices
from ellopt.devices.open import open_pool
from ellopt.devices.settings import DeviceSettings
from ellopt.estimate.cores import core_of
from ellopt.targets import Target
from ellopt.toolchains.zig import zig_command, zig_version

#: what a run may take for temporary files, and a little for its output
NEEDED_BYTES = 2 << 30

#: how long to wait for a free board of a cluster, in seconds
_LEASE_SECONDS = 30.0

_REINSTALL = "if zig itself is at fault, reinstall it: pip install --force-reinstall ziglang"

State = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``advice`` says what to do unless all is well."""

    subject: str
    state: State
    detail: str
    advice: str = ""


def build_findings(target: Target) -> Iterator[Finding]:
    """Whether programs for ``target`` can be built and emulated here, and its estimates made: each is asked of what
    does it in a tuning."""
    with ExitStack() as stack:
        bundle = None
        try:
            bundle = stack.enter_context(probe_bundle(target))
            detail = f"zig {zig_version()} compiles and links for it ({' '.join(zig_command())})"
            yield Finding(f"compiler for {target.name}", "ok", detail)
        except (ElloptError, OSError) as error:
            yield Finding(f"compiler for {target.name}", "failed", str(error), _REINSTALL)
        yield _emulator_finding(target, bundle)
    if not target.is_host:
        yield _estimate_finding(target)


def _emulator_finding(target: Target, bundle: Bundle | None) -> Finding:
    subject = f"emulator for {target.name}"
    if target.is_host:
        return Finding(subject, "ok", "not needed: this machine is the target")
    try:
        program = find_qemu(target)
        if bundle is None:
            return Finding(subject, "warning", f"{program} is there, but there is no program to try it with")
        run_probe(EmulatedDevice(target), bundle)
        return Finding(subject, "ok", f"a program ran under {program}")
    except ElloptError as error:
        return Finding(subject, "warning", str(error), "only --emulate, and --check of a board's code, need it")


def _estimate_finding(target: Target) -> Finding:
    subject = f"estimates for {target.name}"
    try:
        simulator = make_simulator(target)
        return Finding(subject, "ok", f"{simulator.qemu.program}, as {simulator.core.title}")
    except (ElloptError, OSError) as error:
        return Finding(subject, "warning", str(error), "only a tuning without a board (--estimate) needs them")


def check_disk(directory: Path) -> Finding:
    """Space below the nearest existing parent of ``directory``."""
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{free / (1 << 30):.1f} GB free at {place}"
    if free < NEEDED_BYTES:
        advice = f"free {(NEEDED_BYTES - free) / (1 << 30):.1f} GB, or give --output_path and --temp_dir elsewhere"
        return Finding("disk", "failed", detail, advice)
    return Finding("disk", "ok", detail)


def check_write(directory: Path) -> Finding:
    """Whether files can be written at ``directory``, or at its nearest existing parent."""
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place):
            return Finding("output", "ok", f"{place} can be written")
    except OSError as error:
        return Finding("output", "failed", f"{place}: {error.strerror or error}", "give another --output_path")


def basic_findings(target: Target, output: Path) -> Iterator[Finding]:
    """What every run needs."""
    yield from build_findings(target)
    yield check_disk(output)
    yield check_write(output)


def tracking_findings() -> Iterator[Finding]:
    """Whether MLflow can be imported, and whether its store answers."""
    from ellopt.tracking.probe import probe_store

    advice = "tuning works without it (records wait on disk); start the server, or unset MLFLOW_TRACKING_URI"
    try:
        yield Finding("MLflow", "ok", probe_store())
    except ConfigurationError as error:
        lasting = "no run can be logged there: give another MLFLOW_TRACKING_URI, or unset it; --no_mlflow does without"
        yield Finding("MLflow", "failed", str(error), lasting)
    except (ElloptError, OSError) as error:
        yield Finding("MLflow", "warning", str(error), advice)


def device_findings(settings: DeviceSettings, target: Target) -> Iterator[Finding]:
    """Whether the boards can be reached, fit the target, and run a program as a measurement does."""
    try:
        with probe_bundle(target) as bundle:
            yield from _board_findings(settings, target, bundle)
    except (ElloptError, OSError) as error:
        yield Finding("boards", "failed", str(error), "check the address, the key and the network")


def no_board_finding(target: Target) -> Finding:
    """That no board was named for ``target``, and what comes next."""
    try:
        core_of(target)
        without = f"without one, 'ellopt optimize --target {target.name}' tunes by estimate"
    except ConfigurationError:
        without = "without one, --emulate checks what the code computes, and chooses nothing"
    advice = (
        f"next: 'ellopt doctor --target {target.name} --ipaddress ADDRESS' (or --cluster URL) tries a board; {without}"
    )
    return Finding("boards", "warning", "none was named, so none was tried", advice)


def _board_findings(settings: DeviceSettings, target: Target, bundle: Bundle) -> Iterator[Finding]:
    rows = list_devices(settings, target, lambda device: run_probe(device, bundle))
    usable = 0
    for row in rows:
        good = row.fits and row.state in ("free", "reachable")
        usable += good
        told = "a program went there, ran, and its output came back" if row.state == "reachable" else ""
        detail = ", ".join(text for text in (row.state, row.platform, row.comment, told) if text)
        advice = "" if good else _ADVICE.get(row.state, f"it is not a {target.name}: give --platform_regex or --target")
        yield Finding(f"board {row.name}", "ok" if good else "warning", detail, advice)
    if not usable:
        yield Finding("boards", "failed", f"none of {len(rows)} can be used for {target.name} now", "see above")
    elif settings.cluster:
        yield _try_cluster(settings, target, bundle)


def _try_cluster(settings: DeviceSettings, target: Target, bundle: Bundle) -> Finding:
    """Lock one free board of the service, as a measurement does, and run a program on it."""
    patient = replace(settings, board_timeout=_LEASE_SECONDS)
    try:
        with open_pool(patient, target) as pool, pool.lease(Deadline.after(_LEASE_SECONDS)) as device:
            run_probe(device, bundle)
            return Finding("a board of the cluster", "ok", f"a program went to {device.name}, ran, and came back")
    except ElloptError as error:
        return Finding("a board of the cluster", "failed", str(error), "the message says what to do")


_ADVICE = {
    "locked": "somebody uses it; 'ellopt devices --release-mine' frees what a killed run of yours left",
    "not alive": "it has not been heard of for minutes: is it switched on and on the network?",
    "unreachable": "is it switched on, is its SSH server running (sudo systemctl enable --now ssh)?",
    "bad address": "the cluster service has a wrong address for it, so it is left out: have it mended there",
    "unusable": "it can be reached, but not used: the message says why",
    "refused": "check user, password or key; a new board needs --accept_new_host_keys once",
}
