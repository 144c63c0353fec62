"""The terminal, with one place that makes safe what is written to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

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

    def print(self, *objects: Any, soft_wrap: bool | None = None, hang: int = 0, **settings: Any) -> None:
        """As rich prints. Prose (``soft_wrap``) is wrapped between words on a terminal, which would break them; what is
        longer than a line, such as a path, stays in one piece to be copied. Lines that go on begin ``hang`` columns
        further right."""
        if soft_wrap and self.is_terminal and len(objects) == 1 and isinstance(objects[0], (str, Text)):
            text = objects[0]
            if isinstance(text, str):
                marks = {name: settings.pop(name, None) for name in ("markup", "emoji", "highlight")}
                text = self.render_str(text, **marks)
            lines = [part for line in text.split("\n", allow_blank=True) for part in _wrapped(line, self.width, hang)]
            objects = (Text("\n").join(lines),)
        super().print(*objects, soft_wrap=soft_wrap, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(harmless(segment.text), segment.style)


def in_whole_words(text: str, width: int) -> str:
    """``text`` in lines that end between words, see ``SafeConsole.print``."""
    lines = (part.plain for line in text.split("\n") for part in _wrapped(Text(line), width))
    return "\n".join(lines)


def _wrapped(line: Text, width: int, hang: int = 0) -> Iterable[Text]:
    """Parts of a line that are not wider, unless a word is; all but the first begin with ``hang`` spaces."""
    plain, begin, room, breaks = line.plain, 0, width, []
    for word in re.finditer(r"\S+", plain):
        if cell_len(plain[begin : word.end()]) > room and plain[begin : word.start()].strip():
            begin, room = word.start(), width - hang
            breaks.append(begin)
    for number, part in enumerate(line.divide(breaks)):
        part.rstrip()
        if number:
            part.pad_left(hang)
        yield part
