"""What the user said about the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import check_settings, setting
from ellopt.targets.target import TARGETS, Target, find_target, target_name


def target_setting(default: str, help: str, **facts: Any) -> Any:
    """A field that names a target, as ``setting`` makes it."""
    return setting(default, help, metavar="NAME", kind=target_name, suggestions=tuple(TARGETS), **facts)


@dataclass(frozen=True)
class TargetSettings:
    """What is compiled for."""

    target: str = target_setting("pi3", "what to compile for; see `ellopt targets`", project_default="host")
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
