"""What is remembered of boards."""

from __future__ import annotations

from pathlib import Path

from ellopt.devices.sessions import BoardFiles, HeldLock, Session
from ellopt.devices.settings import Address
from ellopt.devices.ssh.host_keys import HostKey, HostKeyCheck
from ellopt.devices.ssh.known_hosts import read_known_hosts
from tests.support.crashes import Announce
from tests.support.keepers.base import Keeper


class SessionKeeper(Keeper):
    """What is held on boards: never forgotten before it is given back."""

    _BOARDS = ("10.0.0.1", "10.0.0.2")

    def work(self, place: Path, announce: Announce) -> None:
        session = Session(place)
        with session.dead() as sessions:
            for dead in sessions:
                session.adopt(dead)
                session.forget(dead)
        for board in self._BOARDS:
            session.add_lock(HeldLock("http://cluster", board, "key", "me"))
            announce(f"{board} locked")
            session.add_files(Address(board, 22))
            announce(f"{board} has files")
        given_back = HeldLock("http://cluster", "10.0.0.3", "key", "me")
        session.add_lock(given_back)
        session.remove_lock(given_back)
        announce("10.0.0.3 free")
        session.close()

    def kept(self, place: Path) -> set[str]:
        found: set[str] = set()
        addresses: set[str] = set()
        with Session(place).dead() as sessions:
            for dead in sessions:
                addresses |= {lock.address for lock in dead.locks}
                found |= {f"{files.address.host} has files" for files in dead.files if isinstance(files, BoardFiles)}
        assert addresses <= {*self._BOARDS, "10.0.0.3"}
        free = set() if "10.0.0.3" in addresses else {"10.0.0.3 free"}
        return found | free | {f"{board} locked" for board in addresses}


class HostKeysKeeper(Keeper):
    """Keys of boards that were accepted on first use."""

    _HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")

    def work(self, place: Path, announce: Announce) -> None:
        for host in self._HOSTS:
            HostKeyCheck(host, host, 22, place / "config" / "known_hosts", accept_new=True).check(self._key(host))
            announce(host)

    @staticmethod
    def _key(host: str) -> HostKey:
        parts = (b"ssh-ed25519", host.encode().rjust(32))
        return HostKey("ssh-ed25519", b"".join(len(part).to_bytes(4) + part for part in parts))

    def kept(self, place: Path) -> set[str]:
        known = read_known_hosts([place / "config" / "known_hosts"])
        found = {host: [key.blob for key in known.keys_of(host)] for host in self._HOSTS}
        assert all(keys in ([], [self._key(host).blob]) for host, keys in found.items())
        return {host for host, keys in found.items() if keys}
