"""What the user said about the space that is searched."""

from __future__ import annotations

from dataclasses import dataclass

from ellopt.core.options import PRECISIONS
from ellopt.core.settings import check_settings, setting


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
    precision: str | None = setting(
        None,
        "what layers may be multiplied in: `float16` lets the search choose it where it is faster, on processors that "
        "have its arithmetic (pi5); what it loses is checked and reported",
        choices=PRECISIONS,
        default_text="`float32`, unless the options file allows more",
    )

    def __post_init__(self) -> None:
        check_settings(self)
