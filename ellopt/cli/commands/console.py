"""The terminal, with one place that makes safe what is written to it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ellopt.files.terminal import harmless

#: of a line that is piped: nothing is as long
_WIDEST = 100_000


class SafeConsole(Console):
    """A console on which no text steers the terminal, wherever it comes from: only what is drawn by the console
    itself (colours, the moves of a live display) does. What is piped is not wrapped, unless COLUMNS says how wide."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        if not self.is_terminal and "width" not in settings and not os.environ.get("COLUMNS"):
            self.width = _WIDEST

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(harmless(segment.text), segment.style)
