"""Boards behind SSH at given addresses, as the source of a pool."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.devices.pool.leasing import Pace, Pool
from ellopt.devices.pool.sources import BoardFailed
from ellopt.devices.sessions import Session
from ellopt.devices.settings import Address, DeviceSettings
from ellopt.devices.ssh.device import SshDevice
from ellopt.devices.ssh.identity import Identity
from ellopt.devices.ssh.refusals import HostKeyError
from ellopt.targets import Target

_LOG = logging.getLogger(__name__)
_VISIT_SECONDS = 15.0
_VISITS = 5


class SshConnector:
    """Connects to boards, and remembers which of them have let us in before.

    A board is known by what it is (``Identity``), not by its address: one that comes back elsewhere is used again, and
    one that is reached in two ways is not used twice at once.
    """

    def __init__(self, settings: DeviceSettings, target: Target, session: Session) -> None:
        self.settings = settings
        self.target = target
        self.session = session
        self._let_in: set[Address] = set()
        self._trusted: set[bytes] = set()
        self._boots: dict[str, str] = {}
        self._connected: list[SshDevice] = []
        self._claimed: dict[Identity, Address] = {}
        self._mutex = threading.Lock()

    def connect(self, address: Address, deadline: Deadline) -> SshDevice:
        """Raises BoardFailed, final where trying again is of no use."""
        claims: list[Identity] = []

        def claim(identity: Identity) -> None:
            with self._mutex:
                self._connected = [device for device in self._connected if device.usable]
                inside = {device.identity: device.name for device in self._connected}
                other = inside.get(identity) or self._claimed.get(identity)
                if other is not None and identity.boot:
                    raise InfrastructureError(f"board {address}: is the same machine as board {other}, which is in use")
                self._claimed[identity] = address
                claims.append(identity)

        try:
            device = SshDevice(address, self.settings, self.target, self.session, deadline, self._trusted, claim)
        except ConfigurationError as error:
            # A board that is starting up refuses logins which it grants a moment later, and its name may be unknown.
            final = isinstance(error, HostKeyError) or address not in self._let_in
            raise BoardFailed(str(address), str(error), final) from None
        except InfrastructureError as error:
            raise BoardFailed(str(address), str(error)) from None
        else:
            self._welcome(address, device)
            return device
        finally:
            with self._mutex:
                for identity in claims:
                    self._claimed.pop(identity, None)

    def _welcome(self, address: Address, device: SshDevice) -> None:
        identity = device.identity
        with self._mutex:
            self._connected.append(device)
            self._let_in.add(address)
            self._trusted = self._trusted | {identity.host_key}  # a new set: others may be looking at the old one
            before = self._boots.get(identity.board, identity.boot)
            self._boots[identity.board] = identity.boot
        if before != identity.boot:
            _LOG.warning("board %s was started anew", address)

    def clean_up(self, addresses: Iterable[Address]) -> None:
        """Visit boards on which there may be files of ours, side by side, and remove them. A few tries for each."""

        def visit(address: Address) -> None:
            deadline = Deadline.after(_VISIT_SECONDS)
            for attempt in range(_VISITS):
                time.sleep(min(deadline.remaining, 0.2 * attempt))
                try:
                    SshDevice(address, self.settings, self.target, self.session, deadline).close()
                except InfrastructureError as error:
                    _LOG.info("cannot clean up yet: %s", error)
                except ConfigurationError as error:
                    _LOG.info("cannot clean up: %s", error)
                    return
                if deadline.passed or not self.session.owners_at(address):
                    return

        threads = [threading.Thread(target=visit, args=(address,), daemon=True) for address in addresses]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * _VISIT_SECONDS)


class SshHolding:
    """A connected board of a fixed address."""

    def __init__(self, device: SshDevice, source: SshSource, address: Address) -> None:
        self.device = device
        self.name = device.name
        self._source = source
        self._address = address

    def still_ours(self) -> bool:
        return self.device.usable

    def release(self) -> None:
        if self.device.usable:
            self.device.close()
        self._source.give_back(self._address)

    def abort(self) -> None:
        self.device.abort()


class SshSource:
    """The boards at the addresses of ``settings``. What earlier, killed runs left on boards is removed."""

    shared = False
    distant = True

    def __init__(self, settings: DeviceSettings, target: Target) -> None:
        addresses = [Address.parse(text, settings.ssh_port or 0) for text in settings.addresses]
        self._free = list(dict.fromkeys(addresses))
        self.size = len(self._free)
        self.emulated = bool(settings.emulate and target.qemu)
        self._lock = threading.Lock()
        self._session = Session(settings.state_directory)
        self._connector = SshConnector(settings, target, self._session)
        self._session.adopt_files(frozenset(self._free))

    def acquire(self, avoid: frozenset[str], deadline: Deadline) -> SshHolding | None:
        with self._lock:
            address = next((free for free in self._free if str(free) not in avoid), None)
            if address is None:
                return None
            self._free.remove(address)
        try:
            return SshHolding(self._connector.connect(address, deadline), self, address)
        except BaseException:
            self.give_back(address)
            raise

    def give_back(self, address: Address) -> None:
        with self._lock:
            self._free.append(address)

    def waiting_for(self) -> str:
        with self._lock:
            away = ", ".join(map(str, self._free))
        return f"boards that failed are set aside: {away}" if away else "all boards are in use"

    def close(self) -> None:
        self._connector.clean_up(self._session.addresses)
        if left := self._session.addresses:
            _LOG.warning("files may be left on %s; the next run removes them", ", ".join(map(str, sorted(left))))
        self._session.close()


def open_pool(settings: DeviceSettings, target: Target, pace: Pace | None) -> Pool:
    """The boards at the given addresses."""
    return Pool(SshSource(settings, target), settings.parallel_run, settings.board_timeout, pace)
