"""Which processor a target has, where it is modelled."""

from __future__ import annotations

from ellopt.core.errors import ConfigurationError
from ellopt.estimate.cores.a53 import CORTEX_A53, CORTEX_A53_32, CORTEX_A53_ZERO
from ellopt.estimate.cores.a72 import CORTEX_A72, CORTEX_A72_32
from ellopt.estimate.cores.a76 import CORTEX_A76
from ellopt.estimate.cores.arm1176 import ARM1176
from ellopt.estimate.cores.base import Core
from ellopt.targets import TARGETS, Target

_ALL = (ARM1176, CORTEX_A53, CORTEX_A53_32, CORTEX_A53_ZERO, CORTEX_A72, CORTEX_A72_32, CORTEX_A76)
CORES: dict[str, Core] = {core.name: core for core in _ALL}
#: Boards whose clock is not that of others with the same processor.
_BOARDS = {"pi_zero2": CORTEX_A53_ZERO}


def core_of(target: Target) -> Core:
    """The model of the target's processor. Raises ConfigurationError that says which targets have one."""
    if (found := _find(target)) is not None:
        return found
    known = [t.name for t in TARGETS.values() if _find(t) is not None]
    raise ConfigurationError(
        f"--target {target.name} cannot be estimated: its processor is not modelled (those of {', '.join(known)} are). "
        "Give a board with --ipaddress or --cluster, which measures"
    )


def _find(target: Target) -> Core | None:
    if target.name in _BOARDS:
        return _BOARDS[target.name]
    return CORES.get(target.cpu.name) if target.cpu is not None else None
