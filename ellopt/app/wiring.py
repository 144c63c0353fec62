"""Which toolchain a run uses."""

from __future__ import annotations

from ellopt.app.config import TuningConfig
from ellopt.toolchains import registry
from ellopt.toolchains.base import Toolchain
from ellopt.toolchains.settings import ToolchainSettings


def make_toolchain(config: TuningConfig) -> Toolchain:
    """The toolchain that ``config`` names. Raises ConfigurationError if it cannot be used here."""
    settings = ToolchainSettings(
        config.target,
        config.parallel_build,
        config.ell_root,
        config.ell_build_root,
        config.include_exercise_models,
        config.vectorize,
        config.fp_contract,
    )
    return registry.make_toolchain(config.toolchain, settings)
