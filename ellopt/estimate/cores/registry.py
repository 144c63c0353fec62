"""Which processor a target has, where it is modelled."""

from __future__ import annotations

from ellopt.core.errors import ConfigurationError
from ellopt.estimate.cores.a53 import CORTEX_A53
from ellopt.estimate.cores.a72 import CORTEX_A72
from ellopt.estimate.cores.a76 import CORTEX_A76
from ellopt.estimate.cores.base import Core
from ellopt.targets import TARGETS, Target

CORES: dict[str, Core] = {core.name: core for core in (CORTEX_A53, CORTEX_A72, CORTEX_A76)}


def core_of(target: Target) -> Core:
    """The model of the target's processor. Raises ConfigurationError that says which targets have one."""
    if target.cpu is not None and target.triple.startswith("aarch64") and target.cpu.name in CORES:
        return CORES[target.cpu.name]
    alike = f"{target.name}_64"
    known = [t.name for t in TARGETS.values() if t.cpu is not None and t.cpu.name in CORES]
    if alike in known:
        raise ConfigurationError(
            f"--target {target.name}: its 32-bit code cannot be estimated yet; --target {alike} is the same board with "
            "a 64-bit system. Or give a board with --ipaddress or --cluster, which measures"
        )
    raise ConfigurationError(
        f"--target {target.name} cannot be estimated: its processor is not modelled (those of {', '.join(known)} are). "
        "Give a board with --ipaddress or --cluster, which measures"
    )
