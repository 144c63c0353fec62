"""Only what a command needs is imported, and nobody sees a difference."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.main import build_parser, main
from tests.cli.test_usage import commands


def test_the_list_of_commands_is_the_same_without_their_modules() -> None:
    assert list(commands()) == list(COMMANDS)
    assert build_parser("").format_help() == build_parser().format_help()


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_command_has_the_same_help_alone(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == commands()[command].format_help()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_what_runs_no_command_imports_none(arguments: list[str]) -> None:
    program = f"""
import sys
from ellopt.cli.main import main
try:
    main({arguments!r})
finally:
    print(sorted({{"numpy", "ellopt.app.config", "ellopt.cli.commands.optimize"}} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "[]"
