"""For which x86 processors a library is made: this machine's, or a level of the x86-64 psABI that others have too."""

from __future__ import annotations

import platform
from dataclasses import replace

from ellopt.core.errors import ConfigurationError
from ellopt.targets import CPUS, Target

NATIVE = "native"
#: level -> what kernels are cut for, and what the compiler calls it
_LEVELS = {
    "x86-64": replace(CPUS["x86-64"], compiler_name="x86_64"),
    "x86-64-v2": replace(CPUS["x86-64"], compiler_name="x86_64_v2"),
    "x86-64-v3": replace(CPUS["x86-64-v3"], compiler_name="x86_64_v3"),
    "x86-64-v4": replace(CPUS["x86-64-v4"], compiler_name="x86_64_v4"),
}
LEVELS = (NATIVE, *_LEVELS)


def for_cpu(target: Target, level: str) -> Target:
    """``target`` with the processor called ``level``. Raises ConfigurationError, naming ``--cpu``."""
    name = level.strip().lower().replace("_", "-").replace("x86-64v", "x86-64-v")
    if name == NATIVE:
        return target
    if name not in _LEVELS:
        raise ConfigurationError(f"--cpu: unknown level {level!r}; there are: {', '.join(LEVELS)}")
    if not target.is_host:
        raise ConfigurationError(f"--cpu: a library for {target.name} is made for its processor; leave the option out")
    if not is_x86():
        raise ConfigurationError(f"--cpu: this machine is no x86-64 but {platform.machine()}; leave the option out")
    return replace(target, cpu=_LEVELS[name])


def for_any_cpu(target: Target) -> Target:
    """``target``, an x86-64, with the oldest processor of that kind."""
    return replace(target, cpu=_LEVELS["x86-64"])


def is_x86() -> bool:
    """Whether this machine is an x86-64."""
    return platform.machine().lower() in ("x86_64", "amd64")
