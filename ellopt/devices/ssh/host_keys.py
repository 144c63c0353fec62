"""Is the machine that answers the board that is meant? Host keys known to the user and to ellopt, and new ones."""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.devices.ssh.known_hosts import KnownKey, known_name, read_known_hosts
from ellopt.devices.ssh.refusals import HostKeyError
from ellopt.files.atomic import append_line, make_directory
from ellopt.files.user_dirs import config_directory

_LOG = logging.getLogger(__name__)
_SYSTEM_FILES = (Path("~/.ssh/known_hosts"), Path("~/.ssh/known_hosts2"), Path("/etc/ssh/ssh_known_hosts"))
_MUTEX = threading.Lock()


def known_hosts_path() -> Path:
    """ellopt's own file of host keys that were accepted on first use."""
    return config_directory() / "known_hosts"


@dataclass(frozen=True)
class HostKey:
    """The key with which a server has proved what it is."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


class OtherKeyError(Exception):
    """The key shown is not the known one of its kind, but keys of ``kinds`` are known, which were not tried."""

    def __init__(self, kinds: Sequence[str]) -> None:
        super().__init__(kinds)
        self.kinds = tuple(kinds)


class HostKeyCheck:
    """Checks the keys that the server ``host``:``port`` shows for the board called ``board``.

    ``trusted`` are keys that boards have proved before in this run: a board that comes back under another address is
    known by its key. ``accept_new``: a key that is seen for the first time is written into ``own_file``.
    """

    def __init__(
        self, board: str, host: str, port: int, own_file: Path, accept_new: bool, trusted: Collection[bytes] = ()
    ) -> None:
        """Raises ConfigurationError if a file of known keys cannot be read."""
        self._board = board
        self._name = known_name(host, port)
        self._plain_name = host.lower()
        self._own_file = own_file
        self._accept_new = accept_new
        self._trusted = trusted
        self._read()

    def _read(self) -> None:
        with _MUTEX:
            self._known = read_known_hosts([*_system_files(), self._own_file])
        self._keys = self._known.keys_of(self._name)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of keys that are known of this server, so that it is asked for one of them."""
        return tuple(dict.fromkeys(key.kind for key in self._keys))

    def check(self, key: HostKey, tried: Sequence[str] = ()) -> None:
        """Return if the key is right. ``tried``: kinds of keys that were shown and wrong before.

        Raises OtherKeyError if another known kind may still prove the server, else HostKeyError.
        """
        revoked = self._known.revoked(self._name, key.blob) or self._known.revoked(self._plain_name, key.blob)
        if revoked:
            raise HostKeyError(f"board {self._board}: its host key {key} is marked as revoked in {revoked.where}")
        if any(known.blob == key.blob for known in self._keys):
            if tried:
                stale = ", ".join(k.where for k in self._keys if k.kind in tried)
                _LOG.warning("board %s: the host key in %s is out of date; another one is right", self._board, stale)
            return
        if any(known.blob == key.blob for known in self._known.keys_of(self._plain_name)):
            return  # as ssh does: the same machine, whatever the port
        if key.blob in self._trusted:
            _LOG.warning("board %s: a board that was used before has come back under this address", self._board)
            return
        if self._keys:
            untried = [kind for kind in self.kinds if kind not in (*tried, key.kind)]
            if untried:
                raise OtherKeyError(untried)
            raise self.changed(key)
        if not self._accept_new:
            raise HostKeyError(self._unknown(key))
        self._remember(key)

    def changed(self, key: HostKey) -> HostKeyError:
        expected = next((k for k in self._keys if k.kind == key.kind), self._keys[0])
        return HostKeyError(
            f"board {self._board}: its host key has changed: it shows {key}, known is "
            f"{HostKey(expected.kind, expected.blob)}. Another machine may pretend to be the board, so ellopt does not "
            f"connect. If the board was set up anew, remove the old key from {_places(self._keys)}"
        )

    def _unknown(self, key: HostKey) -> str:
        text = f"board {self._board}: its host key is not known: {key}. "
        if others := self._known.others_with(key.blob):
            text += (
                f"The same key is known of another name ({_places(others)}): has the board a new address? If so, give "
                "--accept_new_host_keys once"
            )
            return text
        return text + (
            "Compare it with the board's own (ssh-keygen -l on the board) and log in once with ssh, or give "
            "--accept_new_host_keys"
        )

    def _remember(self, key: HostKey) -> None:
        """Trust on first use: every later connection is held to this key."""
        with _MUTEX:
            known = read_known_hosts([self._own_file]).keys_of(self._name)
            if any(other.blob == key.blob for other in known):
                return  # another connection of ours was faster
            if known:
                self._keys = known
                raise self.changed(key)
            try:
                make_directory(self._own_file.parent, mode=0o700)
                append_line(self._own_file, f"{self._name} {key.kind} {base64.b64encode(key.blob).decode()}")
            except OSError as error:
                raise ConfigurationError(f"cannot remember host keys in {self._own_file}: {error}") from error
        _LOG.warning("accepted the new host key of board %s: %s", self._board, key)


def _system_files() -> list[Path]:
    found = []
    for path in _SYSTEM_FILES:
        try:
            found.append(path.expanduser())
        except RuntimeError:  # there is no home directory
            continue
    return found


def _places(keys: Sequence[KnownKey]) -> str:
    return ", ".join(dict.fromkeys(key.where for key in keys))
