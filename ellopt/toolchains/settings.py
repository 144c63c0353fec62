"""What the user said about building."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ellopt.core.settings import check_settings, setting


@dataclass(frozen=True)
class BuildSettings:
    """What builds the plans, and within which limits. Times are seconds."""

    toolchain: str = setting(
        "native",
        "`native` (ellopt's generator and `zig cc`) or `ell` (ELL's own tools)",
        metavar="NAME",
    )
    parallel_build: int = setting(
        help="compilers that run at once", factory=lambda: os.cpu_count() or 1, default_text="number of cores", least=1
    )
    build_timeout: float = setting(
        1800.0, "how long one build may take", no_option="a build that takes longer hangs: nobody wants to wait for it"
    )

    def __post_init__(self) -> None:
        check_settings(self)
