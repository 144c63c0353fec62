"""Which precisions a tuning may choose from."""

from __future__ import annotations

from ellopt.app.config import TuningConfig
from ellopt.core.errors import ConfigurationError
from ellopt.core.options import FLOAT16
from ellopt.space.space import SearchSpace
from ellopt.targets import TARGETS, Target
from ellopt.toolchains.zig import cpu_of


def allowed_precisions(space: SearchSpace, config: TuningConfig, target: Target) -> SearchSpace:
    """``space`` with what ``--precision`` allows. Raises ConfigurationError for float16 where ``target``, or the
    toolchain, has no arithmetic for it."""
    space = space.allowing(config.space.precision)
    if FLOAT16 not in space.precisions:
        return space
    where = f"--precision {FLOAT16}" if config.space.precision else f"{space.path}: precisions: {FLOAT16}"
    if config.build.toolchain != "native":
        raise ConfigurationError(f"{where}: the toolchain {config.build.toolchain} computes in float32 only")
    if not cpu_of(target).half_lanes:
        able = ", ".join(name for name, each in TARGETS.items() if each.cpu and each.cpu.half_lanes)
        what = "this machine's processor" if target.is_host else f"the processor of {target.name}"
        raise ConfigurationError(
            f"{where}: {what} has no arithmetic that ellopt uses for it; targets that have: {able}"
        )
    return space
