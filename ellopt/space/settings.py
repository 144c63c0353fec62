"""What the user said about the space that is searched."""

from __future__ import annotations

from dataclasses import dataclass

from ellopt.core.settings import setting


@dataclass(frozen=True)
class SpaceSettings:
    """What may be tried. An empty name leaves the choice to the toolchain."""

    options: str = setting(
        "",
        "what may be tried: a path, or `extended`, `default` (what ELL's scripts tried), `quick`",
        metavar="FILE",
        suggestions=("extended", "default", "quick"),
        default_text="`extended`; with the ell toolchain `default`",
    )
