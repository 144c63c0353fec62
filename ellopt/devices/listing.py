"""What can be said of the boards that settings name, and boards that dead processes hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, ElloptError, InfrastructureError
from ellopt.core.fan_out import fan_out
from ellopt.devices.base import Device
from ellopt.devices.cluster.source import address_of, open_client, platform_expression, release_dead_locks
from ellopt.devices.pool.sources import BoardFailed
from ellopt.devices.sessions import Session
from ellopt.devices.settings import Address, DeviceSettings
from ellopt.devices.ssh.device import SshDevice
from ellopt.devices.ssh.source import SshConnector
from ellopt.targets import Target

_LOOK_SECONDS = 20.0


@dataclass(frozen=True)
class DeviceRow:
    """A board as ``ellopt devices`` shows it. ``fits`` says whether it can be used for the target."""

    name: str
    state: str  # free, locked, not alive, reachable, unreachable, unusable, refused, bad address
    holder: str
    platform: str
    fits: bool
    comment: str = ""


def list_devices(
    settings: DeviceSettings, target: Target, try_out: Callable[[Device], object] = lambda device: None
) -> list[DeviceRow]:
    """The boards that ``settings`` name: those of the cluster service, or each address after a visit.

    ``try_out`` is called with every board that was visited; an ElloptError from it makes the board ``unusable``.
    """
    if settings.cluster:
        return _list_cluster(settings, target)
    if settings.addresses:
        return _list_addresses(settings, target, try_out)
    raise ConfigurationError("no boards were given: use --ipaddress, --boards or --cluster")


def release_mine(settings: DeviceSettings) -> list[str]:
    """Free the boards of the cluster that this user's processes have left locked when they died; their names.

    Raises InfrastructureError if one of them could not be freed: which, why, and what was freed all the same.
    """
    if not settings.cluster:
        raise ConfigurationError("--release-mine needs --cluster (or RPI_CLUSTER): which service to free boards of")
    session = Session(settings.state_directory)
    try:
        problems: dict[str, str] = {}
        freed = [lock.address for lock in release_dead_locks(open_client(settings), session, problems)]
        if problems:
            also = f"; released: {', '.join(freed)}" if freed else ""
            why = "; ".join(dict.fromkeys(problems.values()))
            raise InfrastructureError(f"could not release {', '.join(problems)}: {why}{also}")
        return freed
    finally:
        session.close()


def _list_cluster(settings: DeviceSettings, target: Target) -> list[DeviceRow]:
    expression = platform_expression(settings, target)
    rows = []
    for machine in open_client(settings).machines():
        state = "locked" if machine.locked else "free" if machine.alive else "not alive"
        holder = f"{machine.user} ({machine.task})" if machine.task else machine.user
        name = f"{machine.address} ({machine.host_name})" if machine.host_name else machine.address
        fits = bool(expression.search(machine.platform))
        if address_of(machine, settings) is None:
            state, fits = "bad address", False
        rows.append(DeviceRow(name, state, holder if machine.locked else "", machine.platform, fits, machine.comment))
    return rows


def _list_addresses(settings: DeviceSettings, target: Target, try_out: Callable[[Device], object]) -> list[DeviceRow]:
    session = Session(settings.state_directory)
    connector = SshConnector(settings, target, session)

    def look(text: str) -> DeviceRow:
        address = Address.parse(text, settings.ssh_port or 0)
        try:
            device: SshDevice = connector.connect(address, Deadline.after(_LOOK_SECONDS))
        except ElloptError as error:
            final = isinstance(error, BoardFailed) and error.final
            return DeviceRow(str(address), "refused" if final else "unreachable", "", "", False, str(error))
        try:
            try_out(device)
        except ElloptError as error:
            return DeviceRow(device.name, "unusable", "", device.board, False, str(error))
        finally:
            device.close()
        return DeviceRow(device.name, "reachable", "", device.board, True)

    try:
        return fan_out(look, dict.fromkeys(settings.addresses), workers=16)
    finally:
        session.close()
