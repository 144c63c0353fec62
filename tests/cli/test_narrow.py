"""A narrow terminal: lines end between words, and what is longer than a line can still be copied."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.cli.commands.console import SafeConsole
from tests.support.paths import REPOSITORY, TINY
from tests.support.reports import sample_report

WIDTH = 50


@given(st.lists(st.text("abcdefgh/", min_size=1, max_size=60), min_size=1, max_size=12), st.integers(0, 20))
def test_prose_is_wrapped_between_words_and_no_word_is_broken(words: list[str], hang: int) -> None:
    shown = StringIO()
    console = SafeConsole(file=shown, force_terminal=True, width=WIDTH, color_system=None)
    console.print(" ".join(words), markup=False, highlight=False, soft_wrap=True, hang=hang)
    lines = shown.getvalue().splitlines()
    assert all(line.startswith(" " * hang) for line in lines[1:])
    assert [word for line in lines for word in line.split()] == words
    assert all(len(line.rstrip()) <= WIDTH or len(line.split()) == 1 for line in lines)


def in_terminal(*arguments: str | Path, code: int = 0) -> list[str]:
    """What a command that ends with ``code`` shows in a terminal that is narrow."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "ellopt", *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm", "NO_COLOR": "1"}
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError as error:  # the other end is closed
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(ours)
    assert process.wait(60) == code, shown
    left = re.sub(r"[^\n]*\x1b\[2K", "", shown.decode())  # without what was erased again: progress
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", left).splitlines()


@pytest.mark.parametrize("command", ["targets", "cache", "show", "report"])
def test_commands_in_a_narrow_terminal(command: str, tmp_path: Path) -> None:
    (tmp_path / "tuning_report.json").write_text(sample_report().to_json())
    arguments = {"show": ("show", TINY), "report": ("report", tmp_path)}
    lines = in_terminal(*arguments.get(command, (command,)))
    long = [line for line in lines if len(line.rstrip()) > WIDTH]
    assert all(str(tmp_path) in line or line.strip().count(" ") <= 1 for line in long), long


def test_tables_of_commands_break_no_word() -> None:
    """``WordTable`` breaks none; rich's own does."""
    sources = (REPOSITORY / "ellopt" / "cli" / "commands").glob("*.py")
    assert [path.name for path in sources if "rich.table" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("mistake", [("optimise",), ("show", "--jsn", "model.ell"), ("optimize", "--target", "host")])
def test_mistakes_are_said_in_whole_words(mistake: tuple[str, ...]) -> None:
    lines = in_terminal(*mistake, code=2)
    assert all(len(line.rstrip()) <= WIDTH for line in lines), lines
    assert lines[-1].startswith("See 'ellopt")


def test_warnings_are_said_in_whole_words(tmp_path: Path) -> None:
    nobody = ("--target", "pi3", "--ipaddress", "127.0.0.9:9", "--board_timeout", "1")
    lines = in_terminal("deploy", TINY, "-o", tmp_path, *nobody, code=2)
    assert any("cannot connect" in line for line in lines), lines
    assert all(len(line.rstrip()) <= WIDTH for line in lines), lines
