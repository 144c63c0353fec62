"""The toolchains: a row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from ellopt.core.errors import ConfigurationError
from ellopt.core.nearest import did_you_mean
from ellopt.core.settings import OwnGroups
from ellopt.targets import Target
from ellopt.toolchains.settings import BuildSettings

if TYPE_CHECKING:
    from ellopt.toolchains.base import Toolchain


@dataclass(frozen=True)
class ToolchainRow:
    """``module`` has a function ``make`` of BuildSettings, the toolchains' own groups, and the target. ``options`` is
    the options file that suits it. ``settings``: the import path of a frozen group of the toolchain's own
    (``module:Class``), made of ``core.settings.setting``; its fields are options of the command line."""

    module: str
    options: str
    settings: str = ""


#: ELL knows no more than its own options.
TOOLCHAINS: dict[str, ToolchainRow] = {
    "native": ToolchainRow("ellopt.toolchains.native.toolchain", "extended"),
    "ell": ToolchainRow("ellopt.toolchains.ell.toolchain", "default", "ellopt.toolchains.ell.settings:EllSettings"),
}


def find_toolchain(name: str) -> ToolchainRow:
    """The row called ``name``. Raises ConfigurationError."""
    if name not in TOOLCHAINS:
        raise ConfigurationError(
            f"--toolchain: {name!r} is unknown{did_you_mean(name, TOOLCHAINS)}; use one of {', '.join(TOOLCHAINS)}"
        )
    return TOOLCHAINS[name]


def toolchain_groups() -> tuple[type, ...]:
    """The settings that toolchains bring."""
    paths = dict.fromkeys(row.settings for row in TOOLCHAINS.values() if row.settings)
    return tuple(getattr(import_module(module), name) for module, _, name in (path.partition(":") for path in paths))


def make_toolchain(build: BuildSettings, own: OwnGroups, target: Target) -> Toolchain:
    """The toolchain that the settings name. Raises ConfigurationError if there is none, or it cannot be used here."""
    toolchain: Toolchain = import_module(find_toolchain(build.toolchain).module).make(build, own, target)
    return toolchain
