"""The command line: arguments, exit codes. This module and ``ellopt.cli.commands`` are the only ones that print.

Exit codes: 0 all done; 1 something failed on the way (a board, a service, a candidate); 2 the user can mend it
(an option, a file, a model); 130 interrupted, 143 terminated, 129 the terminal has gone: the same command continues.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence

import shtab

from ellopt import __version__
from ellopt.cli.commands.console import SafeConsole
from ellopt.cli.commands.examples import add_examples
from ellopt.cli.commands.parser import CommandParser
from ellopt.cli.commands.streams import guarded_output
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.termination import Terminated, terminable
from ellopt.core.errors import ConfigurationError, ElloptError, ModelFormatError
from ellopt.files.full_disk import disk_full, is_full
from ellopt.files.redaction import Redactor, address_secrets, environment_secrets
from ellopt.files.user import settle_user

_LOG = logging.getLogger(__name__)
#: commands whose run in MLflow is that of a model
_TUNING = ("optimize", "demo")

_EXAMPLES = """\
examples:
  ellopt optimize --model_path model.ell --target host -o out       tune a model for this machine
  ellopt optimize --model_path models --ipaddress 192.168.1.20 -o out   tune models on a Raspberry Pi 3
  ellopt show model.ell                                             what is in a model, what can be tried
  ellopt predict out/model/model_options.ell --input x.npy --output y.npy
  ellopt doctor --target pi3                                        is everything there that is needed?
"""


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; with ``only``, of other commands than that one nothing but the names."""
    parser: argparse.ArgumentParser = CommandParser(
        prog="ellopt",
        description="Finds the fastest way to compute every convolution layer of a network (.onnx or .ell).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ellopt {__version__}")
    shtab.add_argument_to(parser, "--print-completion", help="print a shell's completion script")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for name, command in COMMANDS.items():
        if only is not None and (only not in COMMANDS or COMMANDS[only].module != command.module):
            subparsers.add_parser(name, help=command.help)
        elif name not in subparsers.choices:  # its module has not registered all of its commands yet
            importlib.import_module(f"ellopt.cli.commands.{command.module}").register(subparsers)
    add_examples(subparsers)
    return parser


def _needed(argv: Sequence[str]) -> str | None:
    """The command that ``argv`` begins with, no command (empty) for help and version, else None: all may be meant."""
    if not argv or argv[0] in ("-h", "--help", "--version"):
        return ""
    return argv[0] if argv[0] in COMMANDS else None


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    secrets = environment_secrets(os.environ)
    with guarded_output(Redactor(secrets)) as output:
        try:
            given = sys.argv[1:] if argv is None else argv
            arguments = build_parser(_needed(given)).parse_args(given)
        except SystemExit:  # help, or a mistake; what it printed may not have arrived
            if trouble := output.trouble():
                _say(f"ellopt: {trouble}", style="red")
                return 1
            raise
        output.keep_secret(Redactor((*secrets, *_given_secrets(arguments))))
        try:
            code = _run(arguments)
            if trouble := output.trouble():
                _say(f"ellopt: {trouble}", style="red")
                code = code or 1
            return code
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output has gone; say nothing more
            return 1


def _name_outer_run(arguments: argparse.Namespace) -> None:
    """What ``mlflow run`` started is called as what it does; a tuning's run is named by its tracking."""
    from ellopt.tracking.outer_run import inside_mlflow_run, name_outer_run

    if inside_mlflow_run() and arguments.command not in _TUNING:
        file = getattr(arguments, "model", None) or getattr(arguments, "first", None) or ""
        name_outer_run(f"{arguments.command} {os.path.basename(str(file))}".strip())


def _run(arguments: argparse.Namespace) -> int:
    from ellopt.cli.logs import TerminalHandler

    logging.lastResort = TerminalHandler(logging.WARNING)  # of commands that set up no log
    try:
        settle_user()
        _name_outer_run(arguments)
        with terminable():
            return int(arguments.run(arguments, SafeConsole()))
    except (ConfigurationError, ModelFormatError) as error:
        _say(f"ellopt: {error}", style="red")
        return 2
    except ElloptError as error:
        _say(f"ellopt: {error}", style="red")
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        if is_full(error):
            _say(f"ellopt: {disk_full(error)}", style="red")
            return 2
        _say(f"ellopt: {_file_trouble(error)}", style="red")
        return 1
    except KeyboardInterrupt:
        _say("ellopt: interrupted; the same command continues where it was")
        return 130
    except Terminated as end:
        _say("ellopt: terminated; the same command continues where it was")
        return end.exit_code


def _say(text: str, style: str = "") -> None:
    SafeConsole(stderr=True).print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _file_trouble(error: OSError) -> str:
    """What the system said, and of which file."""
    place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"{place}{error.strerror or error}"


def _given_secrets(arguments: argparse.Namespace) -> Iterator[str]:
    """The secrets among the arguments, and those in addresses among them."""
    for name in ("apikey", "password"):
        yield getattr(arguments, name, None) or ""
    for name in ("cluster", "to", "storage", "store"):
        yield from address_secrets(getattr(arguments, name, None) or "")
