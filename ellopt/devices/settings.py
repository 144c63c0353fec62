"""What the user said about devices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import OwnGroups, check_seconds, check_settings, setting
from ellopt.estimate.simulator import Simulator

#: who logs in on a board if nobody says anything else
DEFAULT_USER = "pi"


@dataclass(frozen=True)
class DeviceSettings:
    """Which devices to use and how to reach them. Times are seconds. Secrets never show in the repr.

    An address of ``ipaddresses`` is ``host``, ``user@host:port`` or ``[v6]:port``; ``host`` may be an alias of
    ``~/.ssh/config``. What it leaves open is ``username`` and ``ssh_port``, then what ``~/.ssh/config`` says, then
    DEFAULT_USER and 22. ``remote_dir`` None means a temporary folder. ``board_timeout`` is how long a run waits when no
    board can be used at all. ``emulate`` runs foreign bundles under qemu-user: here, or on the boards where boards are
    given. ``own`` holds the groups of kinds of devices that bring some.
    """

    ipaddresses: tuple[str, ...] = setting(
        (),
        "boards to reach over SSH: `host`, `user@host:port`, `[v6]:port`, or a name of `~/.ssh/config`",
        option="ipaddress",
        metavar="ADDRESS",
    )
    boards: tuple[str, ...] = setting(
        (), "a file that lists boards, an address a line; `#` begins a comment", metavar="PATH", kind=Path
    )
    ssh_port: int | None = setting(
        None, "port of the boards' SSH servers", default_text="what `~/.ssh/config` says, or 22"
    )
    username: str | None = setting(
        None, "user on the boards", metavar="NAME", default_text=f"what `~/.ssh/config` says, or `{DEFAULT_USER}`"
    )
    password: str | None = setting(
        None,
        "that user's password; better in `RPI_PASSWORD`, or use keys (an option shows in `ps`)",
        secret=True,
        metavar="TEXT",
        environment="RPI_PASSWORD",
        default_text="none: keys, agent",
    )
    key_files: tuple[Path, ...] = setting(
        (),
        "private key for the boards",
        option="key_file",
        metavar="PATH",
        kind=Path,
        default_text="the agent's and the usual ones",
    )
    accept_new_host_keys: bool = setting(
        False, "trust a board's host key the first time it is seen; a changed one is always refused"
    )
    cluster: str | None = setting(None, "address of the cluster service", metavar="URL", default_text="`RPI_CLUSTER`")
    apikey: str | None = setting(
        None,
        "key for the cluster service; better in `RPI_APIKEY`",
        secret=True,
        metavar="TEXT",
        environment="RPI_APIKEY",
    )
    allow_insecure_cluster: bool = setting(False, "allow `http` to a service that is not on this machine")
    platform_regex: str | None = setting(
        None,
        "picks boards of the cluster by the platform that they report",
        metavar="REGEX",
        default_text="the target's",
    )
    remote_dir: str | None = setting(
        None,
        "folder on the boards for temporary files, where programs may run; `~/tmp` is beneath the user's home",
        metavar="PATH",
        default_text="the first that will do of `$TMPDIR`, `/tmp`, `$HOME`, `/dev/shm`, `/var/tmp`",
    )
    parallel_run: int = setting(24, "boards to use at once at most", least=1)
    board_timeout: float = setting(600.0, "how long to wait for a board to come, or to come back", metavar="SECONDS")
    fix_frequency: bool = setting(
        False,
        "set the boards' governor to `performance` for each measurement and put it back, where `sudo -n` allows it; "
        "recorded with the measurement",
    )
    emulate: bool = setting(False, "run under an emulator (qemu-user): on this machine, or on the given boards")
    estimate: bool = setting(
        False,
        "simulate the target's processor instead of measuring, see [estimates](estimates.md)",
        default_text="on where nothing says where to measure",
    )
    simulator: Simulator | None = setting(
        None, "the processor that stands for boards", secret=True, no_option="made where estimates are asked for"
    )
    job_name: str = setting(
        "ellopt", "what others who want the same boards are told", no_option="made of what is tuned"
    )
    state_directory: Path | None = setting(
        None, "where ellopt keeps which boards it holds", no_option="the user's own folder for state"
    )
    known_hosts: Path | None = setting(
        None, "where ellopt keeps the host keys that it has accepted", no_option="the user's own folder for settings"
    )
    own: OwnGroups = setting(
        help="settings that kinds of devices bring", factory=OwnGroups, no_option="each field is an option by itself"
    )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every board that was given, by itself or in a list."""
        return (*self.ipaddresses, *self.boards)

    def __post_init__(self) -> None:
        check_settings(self)
        check_seconds(self, "board_timeout")
        if self.ssh_port is not None and not 0 < self.ssh_port < 65536:
            raise ConfigurationError(f"--ssh_port: must be between 1 and 65535, not {self.ssh_port}")
        if self.addresses and self.cluster:
            raise ConfigurationError("--ipaddress and --cluster exclude each other: give the boards one way only")
        if self.cluster and not self.apikey:
            raise ConfigurationError("--cluster needs the service's key: give --apikey or set RPI_APIKEY")
        if self.remote_dir is not None and not self.remote_dir.startswith(("/", "~")):
            raise ConfigurationError(
                f"--remote_dir: {self.remote_dir!r} must be a whole path on the board, such as /home/pi/tmp or ~/tmp"
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
