"""A client for the Pi cluster service's REST interface: lists its machines, locks and frees them."""

from __future__ import annotations

import ipaddress
import json
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from ellopt.core.deadline import Deadline
from ellopt.core.errors import ConfigurationError, InfrastructureError
from ellopt.devices.cluster_http import Request, call

_LOG = logging.getLogger(__name__)

#: how long one call, its retries included, may take, in seconds
CALL_SECONDS = 30.0
TRIES = 3
PAUSE_SECONDS = 0.3  # before the next try, twice as long each time
_ALIVE_SECONDS = 300.0


@dataclass(frozen=True)
class Machine:
    """A board as the service describes it. Facts that the service does not give are empty."""

    address: str
    host_name: str = ""
    platform: str = ""
    os_name: str = ""
    os_version: str = ""
    command: str = ""
    user: str = ""
    task: str = ""
    lock_key: str = ""
    alive: bool = False
    comment: str = ""

    @property
    def locked(self) -> bool:
        return self.command == "Lock"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Machine:
        """Any key but ``IpAddress`` may be missing or null."""

        def text(key: str) -> str:
            value = data.get(key)
            return "" if value is None else str(value)

        return cls(
            address=text("IpAddress"),
            host_name=text("HostName"),
            platform=text("Platform").strip(),
            os_name=text("OsName"),
            os_version=text("OsVersion"),
            command=text("Command"),
            user=text("CurrentUserName"),
            task=text("CurrentTaskName"),
            lock_key=text("LockKey"),
            alive=_alive(data),
            comment=text("Comment"),
        )


def _alive(data: Mapping[str, Any]) -> bool:
    """What the service says; where it does not, whether it was heard of within 5 minutes."""
    alive = data.get("IsAlive")
    if isinstance(alive, bool):
        return alive
    heartbeat = data.get("LastHeartbeat")
    return isinstance(heartbeat, int | float) and abs(time.time() - heartbeat / 1000) < _ALIVE_SECONDS


class ClusterClient:
    """Speaks with the service at ``url``; safe to use from several threads. The API key never leaves in a log or
    an error.

    Raises ConfigurationError for an address that cannot be one, and for plain http to another machine unless
    ``allow_insecure``. Every method raises ConfigurationError where the user has to mend something (wrong key,
    wrong address, untrusted certificate) and InfrastructureError where the service fails.
    """

    def __init__(self, url: str, apikey: str, allow_insecure: bool = False) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError(f"--cluster: {url!r} is not an address such as https://host:1337/api/")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigurationError("--cluster: the address must not hold a user, a password or a query")
        loopback = _is_loopback(parts.hostname)
        if parts.scheme == "http" and not loopback and not allow_insecure:
            raise ConfigurationError(
                f"--cluster: {url} would send the API key in the clear; use https, or give --allow_insecure_cluster"
            )
        self.url = url.rstrip("/") + "/"
        self._apikey = apikey
        self._trust_environment = not loopback  # no proxy stands between us and this machine

    def machines(self) -> list[Machine]:
        """All machines that the service knows."""
        return self._read_machines(self._call("GET", ""))

    def machine(self, address: str) -> Machine | None:
        """One machine, or None if the service does not know it."""
        found = self._read_machines(self._call("GET", f"?id={quote(address, safe='')}"))
        return next((machine for machine in found if machine.address == address), None)

    def lock(self, address: str, user: str, task: str, key: str) -> bool:
        """Ask for a lock, and believe in it only once ``key`` is read back: others may ask at the same time."""
        body = {"IpAddress": address, "CurrentUserName": user, "CurrentTaskName": task, "LockKey": key}
        try:
            answer = self._call("POST", "lock", body)
        except InfrastructureError as error:
            _LOG.info("%s; reading back whether the lock was given", error)
        else:
            if answer is None:
                return False
        return self.holds(address, key)

    def holds(self, address: str, key: str) -> bool:
        """Whether the machine is locked with ``key``."""
        machine = self.machine(address)
        return machine is not None and machine.locked and machine.lock_key == key

    def free(self, address: str, user: str, key: str) -> bool:
        """Free a machine if, and only if, it is locked with ``key``; whether it was. Afterwards it no longer is."""
        if not self.holds(address, key):
            return False
        self._call("POST", "free", {"IpAddress": address, "CurrentUserName": user})
        if self.holds(address, key):
            raise InfrastructureError(f"cluster {self.url}: did not free {address}")
        return True

    def _read_machines(self, answer: Any) -> list[Machine]:
        if not isinstance(answer, list):
            raise InfrastructureError(f"cluster {self.url}: did not answer with a list of machines")
        found = [Machine.from_json(item) for item in answer if isinstance(item, dict)]
        return [machine for machine in found if machine.address]

    def _call(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Any:
        """One call with a deadline and a few tries. A repeated POST is harmless: a lock has a key of its own, and
        freeing is preceded by a proof of ownership."""
        deadline = Deadline.after(CALL_SECONDS)
        failure = InfrastructureError(f"cluster {self.url}: does not answer")
        for attempt in range(TRIES):
            if attempt:
                time.sleep(min(deadline.remaining, PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5)))
            if deadline.passed:
                break
            try:
                sent = None if body is None else {"ApiKey": self._apikey, **body}
                status, content = call(Request(method, self.url + path, sent, self._trust_environment), deadline)
            except requests.exceptions.SSLError as error:
                raise ConfigurationError(
                    f"--cluster: the certificate of {self.url} cannot be verified: {error}; "
                    "name its authority in REQUESTS_CA_BUNDLE"
                ) from None
            except (requests.RequestException, OSError) as error:
                failure = InfrastructureError(f"cluster {self.url}: {type(error).__name__}: {error}")
                continue
            try:
                return self._read(status, content)
            except InfrastructureError as error:
                failure = error
        raise failure

    def _read(self, status: int, content: bytes) -> Any:
        if status in (301, 302, 303, 307, 308):
            raise ConfigurationError(f"--cluster: {self.url} redirects elsewhere; give the final address")
        if status in (401, 403):
            raise ConfigurationError(f"cluster {self.url}: refuses the API key; check --apikey or RPI_APIKEY")
        if status == 404:
            raise ConfigurationError(f"--cluster: there is no cluster service at {self.url} (404)")
        if status >= 500:
            raise InfrastructureError(f"cluster {self.url}: answered with error {status}")
        try:
            answer = json.loads(content)
        except ValueError:
            raise InfrastructureError(f"cluster {self.url}: answered {status} with something else than JSON") from None
        if isinstance(answer, dict) and "error" in answer:
            reason = str(answer["error"]).replace(self._apikey, "***")
            if "key" in reason.lower():
                raise ConfigurationError(
                    f"cluster {self.url}: refuses the API key ({reason}); check --apikey or RPI_APIKEY"
                )
            raise InfrastructureError(f"cluster {self.url}: answered: {reason}")
        if status != 200:
            raise InfrastructureError(f"cluster {self.url}: answered with error {status}")
        return answer


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
