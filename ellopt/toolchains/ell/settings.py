"""What the user said about ELL's own tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ellopt.core.settings import check_settings, setting


@dataclass(frozen=True)
class EllSettings:
    """Where ELL's tools are, and what they are told beside a plan: ELL's own scripts say the same by default."""

    ell_root: Path | None = setting(
        None, "ELL's source tree, for `--toolchain ell`", environment="ELL_ROOT", default_text="`ELL_ROOT`"
    )
    ell_build_root: Path | None = setting(
        None,
        "ELL's build tree, for `--toolchain ell`",
        environment="ELL_BUILD_ROOT",
        default_text="`ELL_BUILD_ROOT`, else searched upwards from the current folder",
    )
    include_exercise_models: bool = setting(False, "also time the whole model without profiling inside")
    vectorize: bool = setting(
        True,
        "compile without ELL's vector instructions; ELL's scripts compile with them",
    )
    fp_contract: str = setting(
        "fast",
        "`-fp-contract` of LLVM's `opt` and `llc`: `fast` (as ELL's scripts), `on` or `off`",
        choices=("fast", "on", "off"),
        metavar="HOW",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def code(self) -> str:
        """What decides the code that ELL's and LLVM's programs make, as they are told it."""
        return f"--vectorize {'true' if self.vectorize else 'false'}, -fp-contract={self.fp_contract}"
