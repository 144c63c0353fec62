"""Where the scheduler of a fleet is, and what protects the way to it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import check_settings, setting
from ellopt.files.json_values import parse_object

_ADDRESS = re.compile(r"(?P<protocol>tcp|tls)://(?P<host>\[[0-9a-fA-F:.]+\]|[^\s/:@\[\]]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class FleetSettings:
    """A Dask scheduler, by its address or by the file that it wrote its address into."""

    scheduler: str | None = setting(
        None,
        "Dask scheduler whose workers build and measure, `tcp://host:8786` or `tls://host:8786`",
        metavar="ADDRESS",
        environment="DASK_SCHEDULER_ADDRESS",
        default_text="`DASK_SCHEDULER_ADDRESS`",
    )
    scheduler_file: Path | None = setting(None, "file into which the Dask scheduler wrote its address", metavar="PATH")
    board_kind: str | None = setting(
        None, "use the fleet's boards of this kind only, as `ellopt devices` names it", metavar="TEXT",
        default_text="the kind of which there are most",
    )  # fmt: skip
    tls_ca: Path | None = setting(None, "certificate of the authority that the fleet trusts", metavar="PATH")
    tls_cert: Path | None = setting(None, "certificate by which we are known in the fleet", metavar="PATH")
    tls_key: Path | None = setting(None, "private key of `--tls_cert`", metavar="PATH")
    allow_insecure_scheduler: bool = setting(
        False, "allow a scheduler without TLS that is not on this machine: whoever reaches it runs code on all workers"
    )

    def __post_init__(self) -> None:
        check_settings(self)
        given = (self.tls_ca, self.tls_cert, self.tls_key)
        if any(given) and not all(given):
            raise ConfigurationError("--tls_ca, --tls_cert and --tls_key belong together: give all three")

    @property
    def meant(self) -> bool:
        """Whether a scheduler was named."""
        return bool(self.scheduler or self.scheduler_file)

    def address(self) -> str:
        """The scheduler's address, which may be used.

        Raises ConfigurationError for one that cannot be read, and for one that TLS ought to protect and does not.
        """
        if self.scheduler_file is not None:
            option, text = f"--scheduler_file: {self.scheduler_file}", _in_file(self.scheduler_file)
        else:
            option, text = "--scheduler", self.scheduler or ""
        found = _ADDRESS.fullmatch(text if "://" in text else f"{'tls' if self.tls_ca else 'tcp'}://{text}")
        if found is None or not 0 < int(found["port"]) < 65536:
            raise ConfigurationError(f"{option}: {text!r} is no address; write tcp://host:8786 or tls://host:8786")
        if found["protocol"] == "tls" and not self.tls_ca:
            raise ConfigurationError(f"{option}: {text} needs certificates: give --tls_ca, --tls_cert and --tls_key")
        if found["protocol"] == "tcp" and self.tls_ca:
            raise ConfigurationError(f"{option}: {text} does not use the certificates: write tls:// instead of tcp://")
        if found["protocol"] == "tcp" and not is_loopback(found["host"]) and not self.allow_insecure_scheduler:
            raise ConfigurationError(
                f"{option}: {text} is not on this machine, and nothing protects the way to it: start the scheduler "
                "with TLS and give --tls_ca, --tls_cert and --tls_key (or --allow_insecure_scheduler)"
            )
        for path in (self.tls_ca, self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise ConfigurationError(f"{path}: there is no such certificate or key")
        return found.group()


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine by any network's rules."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _in_file(path: Path) -> str:
    try:
        return str(parse_object(path.read_bytes())["address"])
    except OSError as error:
        raise ConfigurationError(f"--scheduler_file: {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError) as error:
        raise ConfigurationError(f"--scheduler_file: {path} was not written by a Dask scheduler: {error}") from error
