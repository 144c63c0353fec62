"""Which toolchain a run uses."""

from __future__ import annotations

import sys

from ellopt.app.config import TuningConfig
from ellopt.toolchains.base import Toolchain
from ellopt.toolchains.native.toolchain import NativeToolchain


def make_toolchain(config: TuningConfig) -> Toolchain:
    """The toolchain that ``config`` names. Raises ConfigurationError if it cannot be used here."""
    if config.toolchain == "native":
        return NativeToolchain(config.parallel_build)
    from ellopt.toolchains.ell.compile import CodeOptions
    from ellopt.toolchains.ell.toolchain import EllToolchain
    from ellopt.toolchains.ell.tools import find_tools

    tools = find_tools(config.ell_root, config.ell_build_root)
    elf = config.target != "host" or sys.platform != "darwin"
    return EllToolchain(
        tools,
        config.parallel_build,
        config.include_exercise_models,
        elf,
        CodeOptions(config.vectorize, config.fp_contract),
    )
