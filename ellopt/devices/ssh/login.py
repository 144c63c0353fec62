"""Logs in: the right keys in the right order, then the password; and says why it did not work."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import paramiko

from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.devices.ssh.keys import Identity, KeyFileError, agent_identities, default_key_files, load_identity
from ellopt.devices.ssh.refusals import LoginError
from ellopt.devices.ssh.route import Route

_PASSWORD_METHODS = {"password", "keyboard-interactive"}


class Login:
    """One attempt to log in at ``route`` over ``transport``, for the machine called ``name``."""

    def __init__(self, name: str, route: Route, password: str | None) -> None:
        self._name = name
        self._route = route
        self._password = password
        self._tried: list[str] = []
        self._unusable: list[KeyFileError] = []

    def run(self, transport: paramiko.Transport) -> None:
        """Raises LoginError if nothing that there is lets us in, ConfigurationError for a key file that cannot be
        used, InfrastructureError if the connection fails."""
        try:
            transport.auth_none(self._route.user)
        except paramiko.BadAuthenticationType as error:
            allowed = set(error.allowed_types)
        else:
            return
        with agent_identities() as agent:
            given = self._given(agent)
            if "publickey" in allowed:
                for identity in given or self._others(agent, allowed):
                    left = self._offer(transport, identity)
                    if transport.is_authenticated():
                        return
                    if left:  # the key was right, and the server wants more
                        allowed = left
                        break
            if self._password is not None and allowed & _PASSWORD_METHODS:
                self._tried.append("the password")
                try:
                    transport.auth_password(self._route.user, self._password)
                except paramiko.AuthenticationException as error:
                    _raise_if_lost(transport, error, self._name)
                if transport.is_authenticated():
                    return
        raise LoginError(self._refused(allowed))

    def _given(self, agent: Sequence[Identity]) -> list[Identity]:
        try:
            return [load_identity(path, self._password, agent) for path in self._route.given_keys]
        except KeyFileError as error:
            raise ConfigurationError(f"--key_file: {error}") from None

    def _others(self, agent: Sequence[Identity], allowed: Collection[str]) -> Iterator[Identity]:
        """What to offer, the likeliest first: servers end a connection after a few wrong keys."""
        offered: set[bytes] = set()
        for identity in self._from_files(self._route.key_files, agent):
            offered.add(identity.key.asbytes())
            yield identity
        if self._password is not None and set(allowed) & _PASSWORD_METHODS:
            return
        if not self._route.only_these_keys:
            for identity in agent:
                if identity.key.asbytes() not in offered:
                    yield identity
        if not self._route.key_files:
            yield from self._from_files(default_key_files(), agent)

    def _from_files(self, paths: Sequence[Path], agent: Sequence[Identity]) -> Iterator[Identity]:
        for path in paths:
            if not path.exists():
                continue  # as ssh does
            try:
                yield load_identity(path, None, agent)
            except KeyFileError as error:
                self._unusable.append(error)

    def _offer(self, transport: paramiko.Transport, identity: Identity) -> set[str]:
        """What the server still wants after this key; empty if it let us in or does not take the key."""
        self._tried.append(identity.source)
        try:
            return set(transport.auth_publickey(self._route.user, identity.key))
        except paramiko.AuthenticationException as error:
            if not transport.is_active() and len(self._tried) > 1 and "timeout" not in str(error).lower():
                raise LoginError(self._too_many()) from None
            _raise_if_lost(transport, error, self._name)
        except paramiko.SSHException:  # the agent could not sign with this key
            if not transport.is_active():
                raise
        return set()

    def _too_many(self) -> str:
        count = len(self._tried)
        return (
            f"{self._name}: its SSH server hung up after {count} keys that it does not take (too many authentication "
            f"failures); {_sources(self._tried)} offered them. Name the right key with --key_file (for a key of the "
            "agent its .pub file is enough), or with IdentityFile and IdentitiesOnly yes in ~/.ssh/config"
        )

    def _refused(self, allowed: Collection[str]) -> str:
        user = self._route.user
        for unusable in self._unusable:
            if unusable.encrypted:
                return f"{self._name}: does not let user {user} in: {unusable}"
        what = _sources(self._tried) if self._tried else "nothing: there is no key"
        text = f"{self._name}: does not let user {user} in with {what}"
        if self._unusable:
            text += f" ({self._unusable[0]})"
        if not set(allowed) & _PASSWORD_METHODS:
            if "the password" not in self._tried and self._password is not None:
                text += "; it takes no passwords"
            return f"{text}; check --username, or give a key that it knows: --key_file (ssh-copy-id puts one there)"
        if self._password is not None:
            return f"{text}; check --username and --password (RPI_PASSWORD)"
        return f"{text}; give --password, RPI_PASSWORD or --key_file"


def _raise_if_lost(transport: paramiko.Transport, error: Exception, name: str) -> None:
    if not transport.is_active() or "timeout" in str(error).lower():
        raise InfrastructureError(f"{name}: the connection was lost during log-in") from None


def _sources(tried: Sequence[str]) -> str:
    """``the SSH agent (8 keys), the password``"""
    counts = {source: tried.count(source) for source in tried}
    return ", ".join(f"{source} ({count} keys)" if count > 1 else source for source, count in counts.items())
