"""What the user said about devices."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.estimate.simulator import Simulator

#: who logs in on a board if nobody says anything else
DEFAULT_USER = "pi"


@dataclass(frozen=True)
class DeviceSettings:
    """Which devices to use and how to reach them. Times are seconds. Secrets never show in the repr.

    An address of ``ipaddresses`` is ``host``, ``user@host:port`` or ``[v6]:port``; ``host`` may be an alias of
    ``~/.ssh/config``. What it leaves open is ``username`` and ``ssh_port``, then what ``~/.ssh/config`` says, then
    DEFAULT_USER and 22. ``remote_dir`` is the folder on the boards for our files; None means a temporary one.
    ``fix_frequency``: the boards' governors are set for each measurement, where sudo allows it, and put back.
    ``parallel_run`` bounds how many boards are held at once. ``board_timeout`` is how long a run waits when no
    board can be used at all. ``emulate`` runs foreign bundles under qemu-user: here, or on the boards where
    boards are given. ``simulator``: the processor that stands for boards where none are given. ``state_directory`` and
    ``known_hosts`` are where ellopt keeps what it holds and the host keys it has accepted; None means the user's own
    folders.
    """

    ipaddresses: tuple[str, ...] = ()
    ssh_port: int | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    key_files: tuple[Path, ...] = ()
    accept_new_host_keys: bool = False
    cluster: str | None = None
    apikey: str | None = field(default=None, repr=False)
    allow_insecure_cluster: bool = False
    platform_regex: str | None = None
    parallel_run: int = 24
    emulate: bool = False
    simulator: Simulator | None = field(default=None, repr=False)
    board_timeout: float = 600.0
    job_name: str = "ellopt"
    state_directory: Path | None = None
    known_hosts: Path | None = None
    remote_dir: str | None = None
    fix_frequency: bool = False

    def __post_init__(self) -> None:
        if self.ipaddresses and self.cluster:
            raise ConfigurationError("--ipaddress and --cluster exclude each other: give the boards one way only")
        if self.cluster and not self.apikey:
            raise ConfigurationError("--cluster needs the service's key: give --apikey or set RPI_APIKEY")
        if self.parallel_run < 1:
            raise ConfigurationError(f"--parallel_run: must be at least 1, not {self.parallel_run}")
        if self.remote_dir is not None and not self.remote_dir.startswith(("/", "~")):
            raise ConfigurationError(
                f"--remote_dir: {self.remote_dir!r} must be a whole path on the board, such as /home/pi/tmp or ~/tmp"
            )
        if not self.board_timeout > 0:
            raise ConfigurationError(
                f"--board_timeout: must be a positive number of seconds, not {self.board_timeout:g}"
            )


@dataclass(frozen=True, order=True)
class Address:
    """Where a board's SSH server listens, and who logs in there. Port 0 and an empty user: as the settings say."""

    host: str
    port: int
    user: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = host if self.port in (0, 22) else f"{host}:{self.port}"
        return f"{self.user}@{place}" if self.user else place

    @classmethod
    def parse(cls, text: str, default_port: int) -> Address:
        """The address that ``text`` (``host``, ``user@host:port``, ``[v6]:port``, a bare v6) names."""
        text = text.strip()
        user, at, rest = text.rpartition("@")
        host, port = rest, ""
        given = False
        if rest.startswith("["):
            host, bracket, rest = rest[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise ConfigurationError(f"--ipaddress: cannot read {text!r}; write an IPv6 address as [address]:port")
            port, given = rest[1:], rest not in ("", ":")
        elif rest.count(":") == 1:
            host, _, port = rest.partition(":")
            given = True
        if not host or host.startswith("-") or any(c.isspace() or not c.isprintable() for c in host):
            raise ConfigurationError(f"--ipaddress: {text!r} names no host")
        if at and (not user or user.startswith("-") or not user.isprintable()):
            raise ConfigurationError(f"--ipaddress: {text!r} names no user before the @")
        if given and not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
            raise ConfigurationError(f"--ipaddress: {text!r} has no valid port; ports are 1 to 65535")
        return cls(host, int(port) if given else default_port, user)
