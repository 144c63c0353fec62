"""The command line: arguments, exit codes. This module and ``ellopt.commands`` are the only ones that print.

Exit codes: 0 all done; 1 something failed on the way (a board, a service, a candidate); 2 the user can mend it
(an option, a file, a model); 130 interrupted, 143 terminated: the same command continues.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from types import FrameType

import shtab
from rich.console import Console

from ellopt import __version__
from ellopt.commands import boards, doctor, models, optimize, reports
from ellopt.commands.examples import add_examples
from ellopt.errors import ConfigurationError, ElloptError, ModelFormatError
from ellopt.files.full_disk import disk_full, is_full

_LOG = logging.getLogger(__name__)

_EXAMPLES = """\
examples:
  ellopt optimize --model_path model.ell --target host -o out       tune a model for this machine
  ellopt optimize --model_path models --ipaddress 192.168.1.20 -o out   tune models on a Raspberry Pi 3
  ellopt show model.ell                                             what is in a model, what can be tried
  ellopt predict out/model/model_options.ell --input x.npy --output y.npy
  ellopt doctor --target pi3                                        is everything there that is needed?
"""


class Terminated(BaseException):
    """SIGTERM was received. Not an Exception: everything held is released on the way out."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="ellopt",
        description="Finds the fastest way to compute every convolution layer of an ELL model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ellopt {__version__}")
    shtab.add_argument_to(parser, "--print-completion", help="print a shell's completion script")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (optimize, models, boards, reports, doctor):
        module.register(subparsers)
    add_examples(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    console = Console()
    errors = Console(stderr=True)
    arguments = build_parser().parse_args(argv)
    previous = signal.signal(signal.SIGTERM, _terminate) if hasattr(signal, "SIGTERM") else None
    try:
        return int(arguments.run(arguments, console))
    except (ConfigurationError, ModelFormatError) as error:
        errors.print(f"ellopt: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except ElloptError as error:
        errors.print(f"ellopt: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        errors.print("ellopt: interrupted; the same command continues where it was", markup=False, highlight=False)
        return 130
    except Terminated:
        errors.print("ellopt: terminated; the same command continues where it was", markup=False, highlight=False)
        return 143
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; say nothing more
        return 1
    except OSError as error:
        if not is_full(error):
            raise
        errors.print(f"ellopt: {disk_full(error)}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
