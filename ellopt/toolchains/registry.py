"""The toolchains: a row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from ellopt.core.errors import ConfigurationError
from ellopt.toolchains.base import Toolchain
from ellopt.toolchains.settings import ToolchainSettings


@dataclass(frozen=True)
class ToolchainRow:
    """``module`` has a function ``make`` of ToolchainSettings. ``options`` is the options file that suits it."""

    module: str
    options: str


TOOLCHAINS: dict[str, ToolchainRow] = {
    "native": ToolchainRow("ellopt.toolchains.native.toolchain", "extended"),
    "ell": ToolchainRow("ellopt.toolchains.ell.toolchain", "default"),  # ELL knows no more than its own options
}


def make_toolchain(name: str, settings: ToolchainSettings) -> Toolchain:
    """The toolchain called ``name``. Raises ConfigurationError if there is none, or it cannot be used here."""
    if name not in TOOLCHAINS:
        raise ConfigurationError(f"--toolchain: {name!r} is unknown; use one of {', '.join(TOOLCHAINS)}")
    toolchain: Toolchain = import_module(TOOLCHAINS[name].module).make(settings)
    return toolchain
