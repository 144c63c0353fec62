"""What the user said about devices."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ellopt.errors import ConfigurationError


@dataclass(frozen=True)
class DeviceSettings:
    """Which devices to use and how to reach them. Times are seconds. Secrets never show in the repr.

    An address of ``ipaddresses`` is ``host``, ``host:port`` or ``[v6]:port``; without a port it is ``ssh_port``.
    ``parallel_run`` bounds how many boards are held at once. ``board_timeout`` is how long a run waits when no
    board can be used at all. ``emulate`` runs foreign bundles under qemu-user: here, or on the boards where
    boards are given. ``state_directory`` and ``known_hosts`` are where ellopt keeps what it holds and the host
    keys it has accepted; None means the user's own folders.
    """

    ipaddresses: tuple[str, ...] = ()
    ssh_port: int = 22
    username: str = "pi"
    password: str | None = field(default=None, repr=False)
    key_files: tuple[Path, ...] = ()
    accept_new_host_keys: bool = False
    cluster: str | None = None
    apikey: str | None = field(default=None, repr=False)
    allow_insecure_cluster: bool = False
    platform_regex: str | None = None
    parallel_run: int = 24
    emulate: bool = False
    board_timeout: float = 600.0
    job_name: str = "ellopt"
    state_directory: Path | None = None
    known_hosts: Path | None = None

    def __post_init__(self) -> None:
        if self.ipaddresses and self.cluster:
            raise ConfigurationError("--ipaddress and --cluster exclude each other: give the boards one way only")
        if self.cluster and not self.apikey:
            raise ConfigurationError("--cluster needs the service's key: give --apikey or set RPI_APIKEY")
        if self.parallel_run < 1:
            raise ConfigurationError(f"--parallel_run: must be at least 1, not {self.parallel_run}")
        if not self.board_timeout > 0:
            raise ConfigurationError(
                f"--board_timeout: must be a positive number of seconds, not {self.board_timeout:g}"
            )


@dataclass(frozen=True, order=True)
class Address:
    """Where a board's SSH server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 22 else f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str, default_port: int) -> Address:
        """The address that ``text`` (``host``, ``host:port``, ``[v6]:port``, a bare v6) names."""
        text = text.strip()
        host, port = text, str(default_port)
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise ConfigurationError(f"--ipaddress: cannot read {text!r}; write an IPv6 address as [address]:port")
            port = rest[1:] or port
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        if not host or any(c.isspace() for c in host):
            raise ConfigurationError(f"--ipaddress: {text!r} names no host")
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigurationError(f"--ipaddress: {text!r} has no valid port; ports are 1 to 65535")
        return cls(host, int(port))
