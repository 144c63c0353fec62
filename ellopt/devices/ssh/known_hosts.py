"""Reads files of known host keys, as OpenSSH writes them (``man sshd``, SSH_KNOWN_HOSTS FILE FORMAT).

A line that cannot be read (cut off, of an unknown form, not UTF-8) stops nothing but itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.errors import ConfigurationError

SSH_PORT = 22


@dataclass(frozen=True)
class KnownKey:
    """A host key in a file. ``kind`` is its type's name ("ssh-ed25519"), ``blob`` its public part (RFC 4253, 6.6)."""

    names: tuple[str, ...]
    kind: str
    blob: bytes
    revoked: bool
    where: str  # file:line

    def is_of(self, name: str) -> bool:
        """Whether one of the patterns of this line means the host called ``name``, and none excludes it."""
        found = False
        for pattern in self.names:
            if pattern.startswith("!") and _matches(pattern[1:], name):
                return False
            found = found or _matches(pattern, name)
        return found


@dataclass(frozen=True)
class KnownHosts:
    """The keys of several files, in their order."""

    entries: tuple[KnownKey, ...]

    def keys_of(self, name: str) -> list[KnownKey]:
        """The keys of the host called ``name`` (see ``known_name``) that count."""
        return [entry for entry in self.entries if not entry.revoked and entry.is_of(name)]

    def revoked(self, name: str, blob: bytes) -> KnownKey | None:
        """The line that revokes this key for that host."""
        return next((e for e in self.entries if e.revoked and e.blob == blob and e.is_of(name)), None)

    def others_with(self, blob: bytes) -> list[KnownKey]:
        """The lines that hold this key, whatever host they name."""
        return [entry for entry in self.entries if not entry.revoked and entry.blob == blob]


def known_name(host: str, port: int) -> str:
    """How such files name a host's server."""
    return host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"


def read_known_hosts(paths: Iterable[Path]) -> KnownHosts:
    """The keys in those of the files that exist. Raises ConfigurationError for a file that cannot be read at all."""
    entries: list[KnownKey] = []
    for path in paths:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigurationError(f"cannot read the known host keys in {path}: {error.strerror or error}") from error
        entries += _entries(path, content)
    return KnownHosts(tuple(entries))


def _entries(path: Path, content: bytes) -> Iterator[KnownKey]:
    for number, raw in enumerate(content.splitlines(), 1):
        words = raw.decode("latin-1").split()
        if not words or words[0].startswith("#"):
            continue
        marker = words.pop(0) if words[0].startswith("@") else ""
        # A certificate authority vouches for certificates, which we do not ask for: its own key is no host's.
        if marker not in ("", "@revoked") or len(words) < 3:
            continue
        blob = _blob(words[1], words[2])
        if blob is not None:
            yield KnownKey(tuple(words[0].split(",")), words[1], blob, bool(marker), f"{path}:{number}")


def _blob(kind: str, text: str) -> bytes | None:
    """The key in ``text``, None unless it is whole: strings with their lengths before them, the first its kind."""
    try:
        blob = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    parts, rest = [], blob
    while len(rest) >= 4:
        length = int.from_bytes(rest[:4])
        if length > len(rest) - 4:
            return None
        parts.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    whole = not rest and len(parts) > 1 and parts[0] == kind.encode("latin-1")
    return blob if whole else None


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        return _is_hash_of(pattern, name)
    expression = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern.lower())
    return re.fullmatch(expression, name) is not None


def _is_hash_of(pattern: str, name: str) -> bool:
    """``|1|salt|hash``: the HMAC-SHA1 of the name, so that the file does not tell which hosts it knows."""
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in pattern[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
