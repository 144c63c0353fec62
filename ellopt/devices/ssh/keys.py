"""Private keys: from files, whether encrypted or not, and from the SSH agent."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from ellopt.core.errors import ConfigurationError

_KINDS: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
_OPENSSH_MAGIC = b"openssh-key-v1\0"
_LARGEST_FILE = 1 << 20


@dataclass(frozen=True)
class Identity:
    """A key that can be offered, and where it comes from, in words."""

    key: paramiko.PKey
    source: str


class KeyFileError(ConfigurationError):
    """A key file cannot be used as it is. ``encrypted``: it needs a passphrase that nobody gave."""

    def __init__(self, message: str, encrypted: bool = False) -> None:
        super().__init__(message)
        self.encrypted = encrypted


@contextlib.contextmanager
def agent_identities() -> Iterator[list[Identity]]:
    """The keys of the SSH agent, if one runs, for the length of a ``with``: to sign, it must be connected."""
    try:
        agent = paramiko.Agent()
    except (paramiko.SSHException, OSError):
        yield []
        return
    try:
        yield [Identity(key, "the SSH agent") for key in agent.get_keys()]
    finally:
        agent.close()


def load_identity(path: Path, passphrase: str | None, agent: Sequence[Identity]) -> Identity:
    """The key in the file ``path``; for an encrypted one, or the file of its public part, the same key of the agent.

    Raises KeyFileError that says what is wrong with the file and what to do.
    """
    if not path.is_file():
        raise KeyFileError(f"there is no file {path}")
    try:
        content = path.read_bytes()[:_LARGEST_FILE]
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror or error}") from None
    public = _public_part(path, content)
    held = next((identity for identity in agent if identity.key.asbytes() == public), None) if public else None
    if _is_public(content):
        if held is None and path.suffix == ".pub" and (private := path.with_suffix("")).is_file():
            return load_identity(private, passphrase, agent)
        if held is None:
            raise KeyFileError(
                f"{path} is the public half of a key that the SSH agent does not hold: name the file of the private key"
            )
        return Identity(held.key, f"{path} (of the SSH agent)")
    if content.startswith(b"PuTTY-User-Key-File"):
        raise KeyFileError(f"{path} is a key of PuTTY's: convert it (puttygen {path} -O private-openssh -o id_board)")
    return _load_private(path, passphrase, held)


def _load_private(path: Path, passphrase: str | None, held: Identity | None) -> Identity:
    reasons: list[str] = []
    encrypted = False
    for kind in _KINDS:
        for word in (None, passphrase):
            try:
                key = kind.from_private_key_file(str(path), word)
            except paramiko.PasswordRequiredException:
                encrypted = True
                if held is not None:
                    return Identity(held.key, f"{path} (of the SSH agent)")
                if passphrase is None:
                    break
            except (paramiko.SSHException, ValueError, TypeError, IndexError, OSError, NotImplementedError) as error:
                reasons.append(str(error))
                break
            else:
                certificate = Path(f"{path}-cert.pub")
                if certificate.is_file():
                    with contextlib.suppress(paramiko.SSHException, ValueError, OSError):
                        key.load_certificate(str(certificate))
                return Identity(key, str(path))
    if encrypted:
        raise KeyFileError(f"{path} is encrypted, and no SSH agent holds it: start one and run ssh-add {path}", True)
    raise KeyFileError(
        f"{path} is no private key that can be read (Ed25519, ECDSA or RSA in OpenSSH's or PEM form): {reasons[0]}"
    )


def _is_public(content: bytes) -> bool:
    return content.split(b" ", 1)[0].startswith((b"ssh-", b"ecdsa-sha2-", b"sk-")) and b"PRIVATE KEY" not in content


def _public_part(path: Path, content: bytes) -> bytes | None:
    """The public part of the key in a file: itself, its neighbour with .pub, or what OpenSSH's form tells of it."""
    if _is_public(content):
        return _decoded(content.split()[1:2])
    neighbour = Path(f"{path}.pub")
    with contextlib.suppress(OSError):
        if neighbour.is_file() and (blob := _decoded(neighbour.read_bytes()[:_LARGEST_FILE].split()[1:2])):
            return blob
    lines = [line for line in content.splitlines() if line and not line.startswith(b"-----")]
    data = _decoded([b"".join(lines)]) if b"BEGIN OPENSSH PRIVATE KEY" in content else None
    if data is None or not data.startswith(_OPENSSH_MAGIC):
        return None
    rest = data[len(_OPENSSH_MAGIC) :]
    for _ in range(3):  # cipher, key derivation and its options
        rest = rest[4 + int.from_bytes(rest[:4]) :]
    rest = rest[4:]  # how many keys
    return rest[4 : 4 + int.from_bytes(rest[:4])] or None


def _decoded(words: Sequence[bytes]) -> bytes | None:
    try:
        return base64.b64decode(words[0], validate=True) if words else None
    except (binascii.Error, ValueError):
        return None


def default_key_files() -> list[Path]:
    """Those of the keys that ``ssh`` would try by itself which exist."""
    try:
        folder = Path("~/.ssh").expanduser()
    except RuntimeError:  # there is no home directory
        return []
    return [path for name in ("id_ed25519", "id_ecdsa", "id_rsa") if (path := folder / name).is_file()]
