"""Tables for the terminal that break no word: where the columns do not fit, each row stands below the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

#: in characters; what is longer (a path, a key) may be broken wherever it must be
_LONGEST_WORD = 32
#: by how much the lines of a stacked cell that go on are indented
_HANG = 4


class WordTable(Table):
    """A rich table without a box, whose columns are as wide as their longest words. On a console that is too narrow for
    that, a row is a heading, its first cell, and a line for each other cell that is not empty; further lines of a cell
    are indented. No line ends with spaces."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = [[_text(console, cell) for cell in (column.header, *column.cells)] for column in self.columns]
        footers = [_text(console, column.footer) for column in self.columns] if self.show_footer else []
        shown = [[*cells, *footers[index : index + 1]] for index, cells in enumerate(columns)]
        _, right, _, left = self.padding
        room = options.max_width - (left + right) * len(columns)
        least = [
            max(_width(text, column.no_wrap) for text in texts)
            for column, texts in zip(self.columns, shown, strict=True)
        ]
        if sum(least) <= room:
            most = [max(text.cell_len for text in texts) for texts in shown]
            for column, width in zip(self.columns, _shared(least, most, room), strict=True):
                column.width = width
            segments: list[Segment] = []
            for part in super().__rich_console__(console, options):
                segments += [part] if isinstance(part, Segment) else console.render(part, options)
            for line in Segment.split_lines(segments):
                yield from _without_end(line)
                yield Segment.line()
            return
            return
        if self.title:
            yield console.render_str(self.title, style="bold") if isinstance(self.title, str) else self.title
        headings = [cells[0].plain for cells in columns]
        for row in zip(*(column[1:] for column in columns), strict=True):
            yield from _stacked(console, options.max_width, headings, row)
        if footers:
            yield from _stacked(console, options.max_width, headings, footers)


def _shared(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Widths between what columns need ``least`` and ``most``, which come to ``room`` at most."""
    widths, spare = list(least), room - sum(least)
    order = sorted(range(len(least)), key=lambda index: most[index] - least[index])
    for rank, index in enumerate(order):  # who wants little gets it, the others share what is left
        more = min(most[index] - least[index], spare // (len(order) - rank))
        widths[index] += more
        spare -= more
    return widths


def _without_end(line: list[Segment]) -> list[Segment]:
    """A line without the spaces that it ends with."""
    while line and not line[-1].text.rstrip():
        line = line[:-1]
    return [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)] if line else []


def _stacked(console: Console, width: int, headings: list[str], cells: Sequence[Text]) -> Iterator[Text]:
    first, *others = cells
    if first.plain:
        first = first.copy()
        first.stylize("bold")
        yield from _hanging(console, first, width)
    for heading, cell in zip(headings[1:], others, strict=True):
        if cell.plain:
            line = Text(f"  {heading}: ", style="dim")
            line.append_text(cell)
            yield from _hanging(console, line, width)


def _hanging(console: Console, text: Text, width: int) -> Iterator[Text]:
    first = text.wrap(console, width, overflow="fold")[0]
    first.rstrip()
    yield first
    rest = text[len(first.plain) :]
    rest = rest[len(rest.plain) - len(rest.plain.lstrip()) :]
    if rest.plain:
        for line in rest.wrap(console, max(1, width - _HANG), overflow="fold"):
            line.rstrip()
            line.pad_left(_HANG)
            yield line


def _text(console: Console, cell: object) -> Text:
    return cell if isinstance(cell, Text) else console.render_str(str(cell))


def _width(text: Text, whole: bool) -> int:
    """What a column needs for ``text``; ``whole``: it is not wrapped."""
    if whole:
        return text.cell_len
    return max((min(Text(word).cell_len, _LONGEST_WORD) for word in text.plain.split()), default=0)
