"""Which toolchain a run uses."""

from __future__ import annotations

from ellopt.config import TuningConfig
from ellopt.errors import ConfigurationError
from ellopt.toolchains.base import Toolchain
from ellopt.toolchains.native import NativeToolchain


def make_toolchain(config: TuningConfig) -> Toolchain:
    """The toolchain that ``config`` names. Raises ConfigurationError if it cannot be used here."""
    if config.toolchain == "native":
        return NativeToolchain(config.parallel_build)
    raise ConfigurationError("--toolchain ell: not available yet; use --toolchain native")
