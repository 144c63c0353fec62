"""``ellopt convert``: a model in another file format."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import add_options, add_path, read_options
from ellopt.core.settings import setting
from ellopt.files.terminal import printable
from ellopt.frontends.settings import ShapeSettings

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class ConvertSettings:
    """What ``ellopt convert`` writes."""

    output: Path = setting(
        help="the file to write: its ending, `.ell` or `.onnx`, says the format",
        short="o",
        required=True,
        metavar="FILE",
    )


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "convert",
        help=COMMANDS["convert"].help,
        description="Writes a model in the other file format. What the format has nothing for is said at once: each "
        "operator with the number and the first names of its nodes.",
    )
    add_path(
        parser,
        "model",
        metavar="MODEL",
        help="a .ell, .ell.zip or .onnx file, or a folder that a tuning wrote",
    )
    add_options(parser, "options", ShapeSettings, ConvertSettings)
    parser.set_defaults(run=convert)


def convert(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.app.loaded import load

    asked = read_options(ConvertSettings, arguments)
    shapes = read_options(ShapeSettings, arguments).input_shape
    found = load(arguments.model, input_shape=shapes).convert(asked.output)
    sides = (
        ", ".join(f"{printable(name)} {'x'.join(map(str, shape))}" for name, shape in ports.items())
        for ports in (found.inputs, found.outputs)
    )
    console.print(f"{asked.output}: {' -> '.join(sides)}", markup=False, highlight=False, soft_wrap=True)
    return 0
