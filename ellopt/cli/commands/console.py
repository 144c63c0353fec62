"""The terminal, with one place that makes safe what is written to it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ellopt.files.terminal import harmless


class SafeConsole(Console):
    """A console on which no text steers the terminal, wherever it comes from: only what is drawn by the console
    itself (colours, the moves of a live display) does."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(harmless(segment.text), segment.style)
