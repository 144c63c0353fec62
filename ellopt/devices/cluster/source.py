"""Boards of a cluster service, as the source of a pool: locked, reached over SSH, freed in every case."""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.devices.cluster.client import ClusterClient, Machine
from ellopt.devices.pool.leasing import Pace, Pool
from ellopt.devices.sessions import DeadSession, HeldLock, Session
from ellopt.devices.settings import Address, DeviceSettings
from ellopt.devices.ssh.device import SshDevice
from ellopt.devices.ssh.source import SshConnector
from ellopt.files.user import user_name
from ellopt.targets import Target

_LOG = logging.getLogger(__name__)

#: a lock that was read back this long ago, in seconds, is read back again before the board is used
TRUSTED_SECONDS = 30.0
#: a list of machines this old, in seconds, still does
_FRESH_SECONDS = 0.5
#: at the end, what could not be freed before is tried this often
_LAST_TRIES = 4


class ClusterHolding:
    """A locked and connected board."""

    def __init__(self, device: SshDevice, source: ClusterSource, lock: HeldLock) -> None:
        self.device = device
        self.name = device.name
        self.lock = lock
        self._source = source
        self._verified = time.monotonic()

    def still_ours(self) -> bool:
        if not self.device.usable:
            return False
        if time.monotonic() - self._verified < TRUSTED_SECONDS:
            return True
        try:
            ours = self._source.client.holds(self.lock.address, self.lock.key)
        except (InfrastructureError, ConfigurationError) as error:
            _LOG.warning("cannot verify the lock of board %s: %s", self.name, error)
            return False
        if not ours:
            _LOG.warning("board %s is no longer locked for us", self.name)
        self._verified = time.monotonic()
        return ours

    def release(self) -> None:
        try:
            if self.device.usable:
                self.device.close()
        finally:
            self._source.free(self.lock)

    def abort(self) -> None:
        self.device.abort()


class ClusterSource:
    """The boards of the service at ``settings.cluster`` whose platform matches the target's expression.

    What earlier, killed runs of this user left locked there is freed first. Raises ConfigurationError if no board
    matches.
    """

    shared = True
    distant = True

    def __init__(self, settings: DeviceSettings, target: Target) -> None:
        self.client = open_client(settings)
        self.emulated = bool(settings.emulate and target.qemu)
        self._settings = settings
        self._platform = platform_expression(settings, target)
        self._session = Session(settings.state_directory)
        self._connector = SshConnector(settings, target, self._session)
        self._mutex = threading.Lock()
        self._held: set[str] = set()
        self._machines: list[Machine] = []
        self._listed = -1e9
        self._left_out: set[str] = set()
        try:
            release_dead_locks(self.client, self._session)
            matching = [machine for machine in self._list() if self._matches(machine)]
            if not matching:
                known = sorted({machine.platform or "(unknown)" for machine in self._machines})
                raise ConfigurationError(
                    f"no board of {self.client.url} has a platform that matches {self._platform.pattern!r}; its boards "
                    f"are: {', '.join(known) or '(none)'}. Choose another --target or give --platform_regex"
                )
        except BaseException:
            self._session.close()
            raise
        self.size = len(matching)
        self._session.adopt_files({self._address(machine.address) for machine in matching})

    def acquire(self, avoid: frozenset[str], deadline: Deadline) -> ClusterHolding | None:
        lock = self.lock_one(avoid)
        if lock is None:
            return None
        try:
            device = self._connector.connect(self._address(lock.address), deadline)
        except BaseException:
            self.free(lock)
            raise
        return ClusterHolding(device, self, lock)

    def lock_one(self, avoid: frozenset[str]) -> HeldLock | None:
        """Lock a free, living, matching board. One thread at a time, so that we do not race with ourselves."""
        user = user_name()
        with self._mutex:
            for machine in self._list():
                name = str(self._address(machine.address))
                if name in avoid or machine.address in self._held or not self._usable(machine):
                    continue
                lock = HeldLock(self.client.url, machine.address, uuid.uuid4().hex, user)
                self._session.add_lock(lock)
                self._listed = -1e9
                try:
                    locked = self.client.lock(machine.address, user, self._settings.job_name, lock.key)
                except BaseException:
                    self.free(lock)
                    raise
                if locked:
                    self._held.add(machine.address)
                    _LOG.info("locked board %s", name)
                    return lock
                self.free(lock)  # it was not given, unless late
                _LOG.info("board %s was taken by somebody else at the same moment", name)
        return None

    def free(self, lock: HeldLock) -> None:
        """Free a board if it is ours. What fails stays on record, for ``close`` and for the next run."""
        try:
            self.client.free(lock.address, lock.user, lock.key)
        except (InfrastructureError, ConfigurationError) as error:
            _LOG.warning("cannot free board %s yet: %s", lock.address, error)
        else:
            self._session.remove_lock(lock)
        self._held.discard(lock.address)

    def waiting_for(self) -> str:
        matching = [machine for machine in self._machines if self._matches(machine)]
        others = [m for m in matching if m.locked and m.address not in self._held]
        holders = sorted({f"{m.user or 'somebody'} ({m.task})" if m.task else m.user or "somebody" for m in others})
        parts = [f"{len(matching)} boards of {self.client.url} match"]
        if others:
            parts.append(f"{len(others)} locked by {', '.join(holders)}")
        if dead := sum(not machine.alive for machine in matching):
            parts.append(f"{dead} not alive")
        if self._held:
            parts.append(f"{len(self._held)} in use here")
        return ", ".join(parts)

    def close(self) -> None:
        self._connector.clean_up(self._session.addresses)
        for attempt in range(_LAST_TRIES):
            time.sleep(0.3 * attempt if self._session.locks else 0.0)
            for lock in self._session.locks:
                self.free(lock)
        for lock in self._session.locks:
            _LOG.error(
                "board %s is still locked for us; run 'ellopt devices --release-mine' when the service answers again",
                lock.address,
            )
        self._session.close()

    def _list(self) -> list[Machine]:
        if time.monotonic() - self._listed > _FRESH_SECONDS:
            self._machines = [machine for machine in self.client.machines() if self._has_address(machine)]
            self._listed = time.monotonic()
        return self._machines

    def _has_address(self, machine: Machine) -> bool:
        """Whether the machine can be reached at all; one that cannot is left out, which is said once."""
        if address_of(machine, self._settings) is not None:
            return True
        if machine.address not in self._left_out:
            self._left_out.add(machine.address)
            _LOG.warning(
                "cluster %s: a machine is left out: its address %r cannot be one", self.client.url, machine.address
            )
        return False

    def _matches(self, machine: Machine) -> bool:
        return bool(self._platform.search(machine.platform))

    def _usable(self, machine: Machine) -> bool:
        return self._matches(machine) and machine.alive and not machine.locked

    def _address(self, address: str) -> Address:
        return Address.parse(address, self._settings.ssh_port or 0)


def address_of(machine: Machine, settings: DeviceSettings) -> Address | None:
    """Where the service says that a machine is; None if that cannot be an address. Who logs in is not its to say."""
    try:
        address = Address.parse(machine.address, settings.ssh_port or 0)
    except ConfigurationError:
        return None
    return None if address.user else address


def open_client(settings: DeviceSettings) -> ClusterClient:
    """The client for the service that ``settings`` names."""
    assert settings.cluster is not None
    return ClusterClient(settings.cluster, settings.apikey or "", settings.allow_insecure_cluster)


def platform_expression(settings: DeviceSettings, target: Target) -> re.Pattern[str]:
    """What picks boards by the platform that they report. Raises ConfigurationError if it is not an expression."""
    text = settings.platform_regex if settings.platform_regex is not None else target.platform_regex
    try:
        return re.compile(text)
    except re.error as error:
        raise ConfigurationError(f"--platform_regex: {text!r} is not a regular expression: {error}") from None


def release_dead_locks(
    client: ClusterClient, session: Session, problems: dict[str, str] | None = None
) -> list[HeldLock]:
    """Free the boards of ``client``'s service that processes of this user have left locked when they died.

    Returns those that were freed; ``problems`` gets, by address, why others could not be. The others, and what the same
    processes left on boards, are adopted by ``session``.
    """
    freed: list[HeldLock] = []
    with session.dead() as sessions:
        for dead in sessions:
            if not dead.locks or any(lock.cluster != client.url for lock in dead.locks):
                continue
            left = frozenset(lock for lock in dead.locks if not _relieve(client, lock, freed, problems))
            session.adopt(DeadSession(dead.owner, left, dead.files))
            session.forget(dead)
    return freed


def _relieve(
    client: ClusterClient, lock: HeldLock, freed: list[HeldLock], problems: dict[str, str] | None = None
) -> bool:
    """Free a dead process's lock, if it still is one. Whether that is settled."""
    try:
        if client.free(lock.address, lock.user, lock.key):
            _LOG.warning("freed board %s, which an earlier run had left locked", lock.address)
            freed.append(lock)
    except (InfrastructureError, ConfigurationError) as error:
        _LOG.warning("cannot free board %s of an earlier run yet: %s", lock.address, error)
        if problems is not None:
            problems[lock.address] = str(error)
        return False
    return True


def open_pool(settings: DeviceSettings, target: Target, pace: Pace | None) -> Pool:
    """The boards that the cluster service lends."""
    return Pool(ClusterSource(settings, target), settings.parallel_run, settings.board_timeout, pace)
