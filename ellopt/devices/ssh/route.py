"""How to reach a board: what ``~/.ssh/config`` says of it, under what the command line says."""

from __future__ import annotations

import glob
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko

from ellopt.core.errors import ConfigurationError
from ellopt.devices.settings import DEFAULT_USER, Address, DeviceSettings
from ellopt.files.user import user_name

_LOG = logging.getLogger(__name__)
_FILES = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
_DEEPEST = 16  # as ssh allows files to include files
_MATCHED = {"all", "canonical", "final", "host", "originalhost", "user", "localuser"}  # what the parser evaluates
_WORD = re.compile(r"\s*(\w+)\s*(?:=|\s)\s*(.*)")


@dataclass(frozen=True)
class Route:
    """Where a server is, who logs in there, with which keys, and what is in between.

    ``given_keys`` are those of ``--key_file``; ``key_files`` those of ``IdentityFile``. ``known_as`` is the name under
    which its host key is known. ``jumps`` are passed through first, in this order.
    """

    host: str
    port: int
    user: str
    known_as: str
    given_keys: tuple[Path, ...] = ()
    key_files: tuple[Path, ...] = ()
    only_these_keys: bool = False
    proxy_command: str | None = None
    jumps: tuple[Address, ...] = ()
    configured: bool = False  # whether a file of ssh's says where the host is


def find_route(address: Address, settings: DeviceSettings, jump: bool = False) -> Route:
    """The way to ``address``. ``jump``: it is a machine on the way to a board, which gets no password of the board's.

    What the address itself says goes before the options, and these before the files. Raises ConfigurationError for a
    file that cannot be read, or values in it that cannot be.
    """
    config = _read_config()
    try:
        found = dict(config.lookup(address.host))
        port = int(address.port or (0 if jump else settings.ssh_port or 0) or found.get("port", 22))
    except (paramiko.SSHException, KeyError, ValueError, OSError) as error:
        raise ConfigurationError(f"~/.ssh/config cannot be used for {address.host}: {error}") from None
    user = address.user or (None if jump else settings.username) or found.get("user")
    proxies = str(found.get("proxyjump") or "none")
    jumps = () if proxies.lower() == "none" else tuple(_jump(text) for text in proxies.split(","))
    host = str(found.get("hostname", address.host))
    return Route(
        host=host,
        port=port,
        user=str(user or (user_name() if jump else DEFAULT_USER)),
        known_as=str(found.get("hostkeyalias") or host),
        given_keys=() if jump else settings.key_files,
        key_files=tuple(Path(str(file)).expanduser() for file in found.get("identityfile", ())),
        only_these_keys=str(found.get("identitiesonly", "no")).lower() == "yes",
        proxy_command=None if jumps else found.get("proxycommand"),
        jumps=jumps,
        configured=host != address.host,
    )


def _jump(text: str) -> Address:
    try:
        return Address.parse(text.strip().removeprefix("ssh://").rstrip("/"), 0)
    except ConfigurationError:
        raise ConfigurationError(f"~/.ssh/config: ProxyJump {text!r} names no machine to jump over") from None


def _read_config() -> paramiko.SSHConfig:
    """ssh's files, read anew for every connection: a board may have moved."""
    lines: list[str] = []
    for file in _FILES:
        try:
            path = file.expanduser()
        except RuntimeError:  # there is no home directory
            continue
        if path.is_file():
            lines += ["Host *", *_lines(path, path.parent, 0)]
    try:
        return paramiko.SSHConfig.from_text("\n".join(lines))
    except (paramiko.SSHException, ValueError, KeyError) as error:
        raise ConfigurationError(f"~/.ssh/config: {error}") from None


def _lines(path: Path, base: Path, depth: int) -> list[str]:
    """The lines of a file with the files that it includes; blocks that the parser cannot evaluate are left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        if depth:
            return []  # ssh passes over included files that it cannot read
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from None
    lines: list[str] = []
    block, skipped = "Host *", False
    for line in text.splitlines():
        found = _WORD.fullmatch(line)
        word, value = (found[1].lower(), found[2].strip()) if found else ("", "")
        if word in ("host", "match"):
            block = line
            skipped = word == "match" and not _can_evaluate(value)
            if skipped:
                _LOG.info("%s: %s is passed over: only ssh itself can evaluate it", path, line.strip())
        if skipped or (line.strip() and not found):
            continue
        if word == "include":
            if depth < _DEEPEST:
                for pattern in value.replace('"', "").split():
                    for name in sorted(glob.glob(str(base / Path(pattern).expanduser()))):
                        lines += _lines(Path(name), base, depth + 1)
                lines.append(block)
            continue
        lines.append(line)
    return lines


def _can_evaluate(criteria: str) -> bool:
    words = [word.lower().lstrip("!") for word in criteria.split()]
    names = []
    while words:
        names.append(words.pop(0))
        if names[-1] not in ("all", "canonical", "final"):
            words = words[1:]
    return set(names) <= _MATCHED


def without_secrets(settings: DeviceSettings) -> DeviceSettings:
    """What a machine on the way to a board may know of the settings."""
    return replace(settings, password=None, key_files=(), username=None, ssh_port=None)
