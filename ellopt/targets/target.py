"""The table of targets: facts, no behaviour."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from ellopt.core.errors import ConfigurationError
from ellopt.core.nearest import did_you_mean
from ellopt.targets.cpus import CPUS, Cpu


@dataclass(frozen=True)
class Target:
    """What a bundle is compiled for.

    ``triple`` is zig's, empty for this machine, whose ``cpu`` the compiler finds out (``cpu`` is None there).
    ``platform_regex`` picks boards of a cluster by the platform text that they report. ``qemu`` is the
    qemu-user program and ``qemu_cpu`` its CPU model; empty for the host.
    """

    name: str
    description: str
    triple: str
    cpu: Cpu | None
    cores: int
    platform_regex: str
    ell_name: str
    qemu: str = ""
    qemu_cpu: str = ""

    @property
    def is_host(self) -> bool:
        return not self.triple

    @property
    def compiler_cpu(self) -> str:
        """The processor's name for the compiler."""
        return self.cpu.compiler_name if self.cpu else "native"

    @property
    def library_cpu(self) -> str:
        """The name of the processor that programs' C library is compiled for."""
        return (self.cpu.library_name or self.cpu.compiler_name) if self.cpu else "native"


_ARM_HARD = "arm-linux-musleabihf"
_AARCH64 = "aarch64-linux-musl"

_TABLE = (
    Target("host", "this machine", "", None, os.cpu_count() or 1, "", "host"),
    Target(
        "pi0", "Raspberry Pi Zero and 1 (ARMv6, VFPv2)", _ARM_HARD, CPUS["arm1176"], 1,
        r"ARMv6-compatible processor rev 7 \(v6l\) \(1 cores\) BCM2835", "pi0", "qemu-arm", "arm1176",
    ),
    Target(
        "pi3", "Raspberry Pi 3, 32-bit (ARMv7 NEON)", _ARM_HARD, CPUS["cortex-a53-32"], 4,
        r"ARMv7 Processor rev 4 \(v7l\) \(4 cores\) BCM2835", "pi3", "qemu-arm", "max",
    ),
    Target(
        "pi3_64", "Raspberry Pi 3, 64-bit", _AARCH64, CPUS["cortex-a53"], 4,
        r"AArch64 Processor rev 4 \(aarch64\) \(4 cores\).*", "pi3_64", "qemu-aarch64", "cortex-a53",
    ),
    Target(
        "pi4", "Raspberry Pi 4, 32-bit", _ARM_HARD, CPUS["cortex-a72-32"], 4,
        r"ARMv7 Processor rev 3 \(v7l\) \(4 cores\) BCM2(711|835)", "pi3", "qemu-arm", "max",
    ),
    Target(
        "pi4_64", "Raspberry Pi 4, 64-bit", _AARCH64, CPUS["cortex-a72"], 4,
        r"AArch64 Processor rev 3 \(aarch64\) \(4 cores\).*", "pi3_64", "qemu-aarch64", "cortex-a72",
    ),
    Target(
        "pi5", "Raspberry Pi 5", _AARCH64, CPUS["cortex-a76"], 4,
        r"AArch64 Processor rev 1 \(aarch64\) \(4 cores\).*", "aarch64", "qemu-aarch64", "max",
    ),
    Target(
        "pi_zero2", "Raspberry Pi Zero 2 W, 32-bit", _ARM_HARD, CPUS["cortex-a53-32"], 4,
        r"ARMv7 Processor rev 4 \(v7l\) \(4 cores\) BCM2(710|835|837)", "pi3", "qemu-arm", "max",
    ),
    Target(
        "orangepi0", "Orange Pi Zero (Cortex-A7)", _ARM_HARD, CPUS["cortex-a7"], 4,
        r"ARMv7 Processor rev 5 \(v7l\) \(4 cores\).*", "orangepi0", "qemu-arm", "cortex-a7",
    ),
    Target(
        "aarch64", "any 64-bit ARM Linux board", _AARCH64, CPUS["aarch64"], 4,
        r"AArch64 Processor.*", "aarch64", "qemu-aarch64", "max",
    ),
)  # fmt: skip

TARGETS: dict[str, Target] = {target.name: target for target in _TABLE}


def find_target(name: str, threads: int | None = None) -> Target:
    """The target called ``name``, of whose cores ``threads`` are used (None: all).

    Case does not matter, and hyphens are as good as underscores. Raises ConfigurationError for a name that is not
    known, listing those that are.
    """
    found = TARGETS.get(target_name(name))
    if found is not None:
        return found if threads is None else replace(found, cores=threads)
    hint = did_you_mean(name, TARGETS)
    raise ConfigurationError(f"--target: unknown target {name!r}{hint}; known targets: {', '.join(TARGETS)}")


def target_name(text: str) -> str:
    """How a target's name is written in the table: ``Pi4-64`` is ``pi4_64``."""
    return text.strip().lower().replace("-", "_")
