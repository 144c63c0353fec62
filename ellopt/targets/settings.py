"""What the user said about the target."""

from __future__ import annotations

from dataclasses import dataclass

from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import check_settings, setting
from ellopt.targets.target import Target, find_target


@dataclass(frozen=True)
class TargetSettings:
    """What is compiled for."""

    target: str = setting("pi3", "what to compile for; see `ellopt targets`", metavar="NAME", project_default="host")
    threads: int | None = setting(
        None,
        "how many of the target's cores the model will have: winners for one thread are not those for all",
        default_text="all",
        least=1,
    )

    def __post_init__(self) -> None:
        check_settings(self)

    def find(self) -> Target:
        """The target, with as many cores as are used. Raises ConfigurationError if there is none of that kind."""
        cores = find_target(self.target).cores
        if self.threads is not None and self.threads > cores:
            raise ConfigurationError(f"--threads: {self.target} has {cores} cores, not {self.threads}")
        return find_target(self.target, self.threads)
