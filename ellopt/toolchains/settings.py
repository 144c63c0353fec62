"""What the user said about toolchains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ToolchainSettings:
    """``target`` is its name. ``parallel_build`` bounds the programs at work (0: this machine's cores). The others are
    for ELL's own programs: where they are and what they are told."""

    target: str = "host"
    parallel_build: int = 0
    ell_root: Path | None = None
    ell_build_root: Path | None = None
    include_exercise_models: bool = False
    vectorize: bool = True
    fp_contract: str = "fast"
