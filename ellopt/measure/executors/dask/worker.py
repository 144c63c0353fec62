"""A worker of the fleet: offers this process's boards, or builds, to a scheduler, and comes back when that was away."""

from __future__ import annotations

import asyncio
import getpass
import itertools
import logging
import platform
import socket
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError
from ellopt.devices.base import DevicePool
from ellopt.devices.listing import list_devices
from ellopt.devices.local import LocalPool
from ellopt.devices.open import open_pool
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.settings import DeviceSettings
from ellopt.measure.executors.dask.connection import security_of
from ellopt.measure.executors.dask.offer import KEY, Offer, our_version
from ellopt.measure.executors.dask.offered import WorkerSettings
from ellopt.measure.executors.dask.settings import FleetSettings, is_loopback
from ellopt.measure.executors.dask.signals import ends_by_signal
from ellopt.measure.executors.dask.work import Place, settle
from ellopt.targets import Target, find_target

log = logging.getLogger(__name__)
_PAUSE_SECONDS = 1.0
#: of Dask's threads for each piece of work that is done at once: what is sent and asked for meanwhile needs some. A
#: multiple, as Dask shares work out to workers by their threads: it is to be as much for each board.
_THREADS = 3


def run_worker(
    settings: WorkerSettings, devices: DeviceSettings, fleet: FleetSettings, pace: Pace | None = None
) -> None:
    """Offer until this process is interrupted or terminated; then boards are given back.

    Raises ConfigurationError for what cannot be offered, InfrastructureError if no board can be used.
    """
    fleet.address()  # what is wrong with it is said before boards are looked at
    with _pool(settings, devices, pace) as pool, tempfile.TemporaryDirectory(prefix="ellopt-worker-") as directory:
        offer = _offer(settings, devices, pool)
        log.info("offering %s", ", ".join(f"{n:g} x {name}" for name, n in offer.resources.items()))
        place = Place(offer.worker, pool, Path(directory), fleet)
        settle(place)
        told: list[BaseException] = []
        try:
            asyncio.run(_until_told(_serve(settings, fleet, offer, place), place, told))
        except asyncio.CancelledError:
            if told:
                raise told[0] from None
            raise
        finally:
            settle(None)


async def _until_told(serving: Coroutine[Any, Any, None], place: Place, told: list[BaseException]) -> None:
    # Boards first: who ends a process may wait no longer than for them.
    with ends_by_signal(place.watch.close, told):
        await serving


@contextmanager
def _pool(settings: WorkerSettings, devices: DeviceSettings, pace: Pace | None) -> Iterator[DevicePool | None]:
    boards = bool(devices.addresses or devices.cluster or devices.emulate)
    if not settings.target:
        if boards:
            raise ConfigurationError("--target is missing: say what the boards are ('ellopt targets' lists them)")
        yield None
        return
    target = find_target(settings.target)
    with ExitStack() as stack:
        if boards or target.is_host:
            yield stack.enter_context(open_pool(devices, target, pace))
        else:
            _require_itself(target)
            yield stack.enter_context(LocalPool())


def _require_itself(target: Target) -> None:
    machine = platform.machine()
    is_arm = machine.startswith("armv") and target.triple.startswith("arm-")
    if machine != target.triple.partition("-")[0] and not is_arm:
        raise ConfigurationError(
            f"--target {target.name}: no board was given (--ipaddress, --cluster), and this machine ({machine}) is none"
        )


def _offer(settings: WorkerSettings, devices: DeviceSettings, pool: DevicePool | None) -> Offer:
    host = socket.gethostname()
    name = settings.name or host
    site = f"{_user()}@{host}"
    if pool is None:
        alone = 0 if settings.tunings else 1
        builds = alone if settings.builds is None else settings.builds
        return Offer(our_version(), name, site, builds=builds, tunings=settings.tunings)
    with pool.lease(Deadline.after(devices.board_timeout)) as device:
        kind, found, emulated = device.board, device.name, pool.emulated or device.times == "emulated"
    boards = tuple(dict.fromkeys(devices.addresses)) or (found,)
    if devices.cluster:
        boards = tuple(row.name for row in list_devices(devices, find_target(settings.target)) if row.fits)
    return Offer(
        our_version(), name, site, settings.target, kind, boards, pool.capacity, emulated, settings.builds or 0,
        settings.tunings,
    )  # fmt: skip


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "nobody"


async def _serve(settings: WorkerSettings, fleet: FleetSettings, offer: Offer, place: Place) -> None:
    import dask
    from distributed import Worker

    class FleetWorker(Worker):  # type: ignore[misc]  # a library without types
        """Leaves visits under way when the scheduler goes: nobody waits for them, and they end by themselves."""

        async def close(self, *arguments: Any, **more: Any) -> Any:
            return await super().close(*arguments, **{**more, "executor_wait": False})

    dask.config.set({"distributed.worker.profile.enabled": False, "distributed.scheduler.work-stealing": False})
    while True:
        try:
            address = fleet.address()
        except ConfigurationError as error:  # a scheduler that starts writes its file anew
            log.warning("%s", error)
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        host = settings.worker_host or ("127.0.0.1" if is_loopback(address.split("//")[1].rpartition(":")[0]) else None)
        ports = (settings.worker_port + number if settings.worker_port else 0 for number in itertools.count())
        workers = [
            FleetWorker(
                address,
                nthreads=_THREADS * max(1, part.visits + part.builds + part.tunings),
                name=part.worker,
                host=host,
                port=port,
                resources=part.resources,
                local_directory=str(place.directory),
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                security=security_of(fleet),
                startup_information={KEY: lambda _, part=part: part.to_json()},
            )
            for part, port in zip(offer.parts, ports, strict=False)
        ]
        try:
            async with AsyncExitStack() as stack:
                for worker in workers:
                    await stack.enter_async_context(worker)
                log.info("at the scheduler %s", address)
                ends = [asyncio.ensure_future(worker.finished()) for worker in workers]
                try:
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:
                    place.watch.close()  # interrupted, by SIGINT
                    raise
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            log.warning("the scheduler at %s: %s", address, error)
        log.warning("the scheduler at %s has gone: waiting for it", address)
        await asyncio.sleep(_PAUSE_SECONDS)
