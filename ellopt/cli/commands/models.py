"""``ellopt show``, ``predict``, ``compile`` and ``bench``: what can be done with one model."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellopt.cli.commands.device_arguments import add_running_options, boards_from
from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import add_options, add_path, read_options
from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import setting
from ellopt.deploy.preprocess import Preprocess, PreprocessSettings
from ellopt.frontends.settings import ShapeSettings
from ellopt.targets.settings import target_setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from ellopt.app.loaded import LoadedModel
    from ellopt.deploy.times import LayerTime
    from ellopt.model.describe import Column
    from ellopt.report.tables import WordTable


_OPTIONS_FILE = "a `compile_options.json`"
_FOUND = "the options found in the model"
_CHECK = "compare every step and the model's output with the reference first; stop if one is wrong"


@dataclass(frozen=True)
class PredictSettings:
    """How ``ellopt predict`` runs a model."""

    input: Path | None = setting(
        None,
        "a `.npy` file: rows x columns x channels, and for ONNX models the shape that they say; or a `.npz` file "
        "with an array by the name of each input",
        metavar="FILE",
        default_text="this or `--image` must be given",
    )
    output: Path | None = setting(
        None,
        "where the output goes, a `.npy` file; or a `.npz` file with an array by the name of each output",
        metavar="FILE",
        default_text="must be given with `--input`",
    )
    image: Path | None = setting(None, "a picture, instead of `--input`: its largest outputs are shown", metavar="FILE")
    labels: Path | None = setting(None, "what the outputs for a picture mean, a label a line", metavar="FILE")
    top: int = setting(5, "how many of the largest outputs to show", least=1)
    target: str = target_setting(
        "host",
        "what to compile for",
    )
    options: Path | None = setting(None, _OPTIONS_FILE, metavar="FILE", default_text=_FOUND)
    check: bool = setting(False, _CHECK)


@dataclass(frozen=True)
class CompileSettings:
    """What ``ellopt compile`` writes."""

    output_path: Path = setting(
        help="the folder to write, for one library. Files in it that are not as ellopt left them are not overwritten: "
        "the command ends with exit code 2",
        short="o",
        required=True,
        metavar="DIR",
    )
    target: str = target_setting(
        "host",
        "what to compile for",
    )
    options: Path | None = setting(None, _OPTIONS_FILE, metavar="FILE", default_text=_FOUND)
    name: str = setting(
        "",
        "what the library is called: lower-case letters, digits and `_`, a letter first",
        metavar="NAME",
        default_text="made of the model's name",
    )
    cpu: str = setting(
        "native",
        "with `--target host` on x86-64, the oldest processor that the library runs on: `native`, `x86-64`, "
        "`x86-64-v2`, `x86-64-v3` (AVX2) or `x86-64-v4` (AVX-512). All but `native` also run with older C libraries "
        "(glibc 2.28)",
        metavar="LEVEL",
    )
    force: bool = setting(False, "overwrite such files")
    check: bool = setting(
        False,
        "before anything is written, compare every step with the reference, and load the finished library and compare "
        "its output; stop if one is wrong. A board's library cannot be loaded here: a test program with the same "
        "options is checked under the emulator instead",
    )


@dataclass(frozen=True)
class BenchSettings:
    """How ``ellopt bench`` times a model."""

    target: str = target_setting("host", "what to compile for")
    options: Path | None = setting(None, _OPTIONS_FILE, metavar="FILE", default_text=_FOUND)
    threads: int | None = setting(None, "threads to use", default_text="all cores")
    iterations: int = setting(50, "timed runs")
    interval: float = setting(
        0.0,
        "milliseconds from the start of a run to that of the next, as a camera would call it (33: 30 times a second)",
        metavar="MS",
        default_text="0: one after the other",
    )
    profile: bool = setting(False, "also show what each layer takes, measured by itself")
    json: bool = setting(
        False,
        "print one JSON object: `median_ms`, `mean_ms`, `p90_ms`, `p99_ms`, `min_ms`, `samples_ms`, `first_ms`, "
        "`threads`, `peak_rss_mb`, `board`, and with `--profile` `layers`",
    )


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _register_show(subparsers)
    _register_predict(subparsers)
    _register_compile(subparsers)
    _register_bench(subparsers)


def _register_show(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "show",
        help=COMMANDS["show"].help,
        description="Shows the nodes of a model with shapes, parameters and multiply-adds, and what can be tried on "
        "its convolution layers.",
    )
    _add_model(parser)
    add_options(parser, "options", ShapeSettings, JsonSettings)
    parser.set_defaults(run=show)


def _register_predict(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "predict",
        help=COMMANDS["predict"].help,
        description="Runs a model once on a picture, or on an input given as a NumPy file: rows x columns x channels, "
        "and for ONNX models the shape that they say.",
    )
    _add_model(parser)
    add_options(parser, "options", ShapeSettings, PredictSettings, JsonSettings)
    add_options(parser, "pictures", PreprocessSettings)
    add_running_options(parser)
    parser.set_defaults(run=predict)


def _register_compile(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "compile",
        help=COMMANDS["compile"].help,
        description="Writes a C header, a static library, a CMake file, an example and a Python wrapper. The options "
        "found in the model are honoured.",
    )
    _add_model(parser)
    add_options(parser, "options", ShapeSettings, CompileSettings)
    add_options(parser, "pictures, for the Python wrapper", PreprocessSettings)
    parser.set_defaults(run=compile_)


def _register_bench(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bench",
        help=COMMANDS["bench"].help,
        description="Times a model in a fresh process on this machine or a board: what its first runs take, and what "
        "all later ones do.",
    )
    _add_model(parser)
    add_options(parser, "options", ShapeSettings, BenchSettings)
    add_running_options(parser)
    parser.set_defaults(run=bench)


def _add_model(parser: argparse.ArgumentParser) -> None:
    add_path(parser, "model", metavar="MODEL", help="a .ell, .ell.zip or .onnx file, or a folder that a tuning wrote")


def _read(arguments: argparse.Namespace) -> LoadedModel:
    from ellopt.app.loaded import load

    return load(arguments.model, input_shape=read_options(ShapeSettings, arguments).input_shape)


def show(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.model.describe import describe, format_table, table_columns

    loaded = _read(arguments)
    rows = describe(loaded.model)
    if read_options(JsonSettings, arguments).json:
        print_json({"model": loaded.name, "inputs": loaded.inputs, "outputs": loaded.outputs, "nodes": rows})
    elif console.is_terminal:
        console.print(_nodes(table_columns(rows)))
    else:
        print(format_table(rows))
    return 0


def _nodes(columns: Sequence[Column]) -> WordTable:
    from rich.text import Text

    from ellopt.report.tables import WordTable

    table = WordTable(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.title, justify="right" if column.numeric else "left", overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, cells))
    return table


def predict(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.cli.commands import arrays
    from ellopt.deploy import picture

    asked = read_options(PredictSettings, arguments)
    if (asked.input is None) == (asked.image is None):
        raise ConfigurationError("give --input (a NumPy file) or --image (a picture), one of them")
    if asked.input is not None and asked.output is None:
        raise ConfigurationError("--output must be given with --input: where the output goes")
    preprocess = read_options(PreprocessSettings, arguments)
    values: Any = None if asked.input is None else arrays.read(asked.input)
    labels = picture.read_labels(asked.labels)
    loaded = _read(arguments)
    if asked.output is not None:
        arrays.check_output(asked.output, loaded.model)
    if asked.image is not None:
        values = loaded.image(asked.image, preprocess.over(Preprocess.read(asked.options)))
    outputs = loaded.predict_isolated(
        values, target=asked.target, options=asked.options, check=asked.check, **boards_from(arguments)
    )
    if asked.output is not None:
        arrays.write(asked.output, outputs)
    best = picture.ranked(picture.only_output(outputs), labels, asked.top) if asked.image and (
        asked.output is None or len(outputs) == 1) else ()  # fmt: skip
    if read_options(JsonSettings, arguments).json:
        shapes = {name: output.shape for name, output in outputs.items()}
        print_json({"output": asked.output, "outputs": shapes, "image": asked.image, "top": best})
        return 0
    if asked.output is not None:
        sizes = ["x".join(map(str, output.shape)) for output in outputs.values()]
        console.print(f"{asked.output}: {', '.join(sizes)}", markup=False, highlight=False, soft_wrap=True)
    for row in best:
        console.print(f"{row.value:10.4f}  {row.label or row.index}", markup=False, highlight=False, soft_wrap=True)
    return 0


def compile_(arguments: argparse.Namespace, console: Console) -> int:
    asked = read_options(CompileSettings, arguments)
    library = _read(arguments).compile(
        asked.output_path, target=asked.target, options=asked.options, name=asked.name, cpu=asked.cpu,
        force=asked.force, check=asked.check,
        preprocess=read_options(PreprocessSettings, arguments).over(Preprocess.read(asked.options)),
    )  # fmt: skip
    for line in library.summary():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def bench(arguments: argparse.Namespace, console: Console) -> int:
    asked, loaded, boards = read_options(BenchSettings, arguments), _read(arguments), boards_from(arguments)
    threads = asked.threads or 0
    result = loaded.bench(
        target=asked.target, options=asked.options, threads=threads, iterations=asked.iterations,
        interval=asked.interval, **boards,
    )  # fmt: skip
    layers = None
    if asked.profile:
        layers = loaded.profile(
            target=asked.target, options=asked.options, threads=threads, iterations=asked.iterations, **boards
        )
    if asked.json:
        print_json({**result.to_json(), **({} if layers is None else {"layers": layers})})
        return 0
    console.print(result.summary(), markup=False, highlight=False, soft_wrap=True)
    if layers is not None:
        console.print(_layers(layers))
    return 0


def _layers(layers: Sequence[LayerTime]) -> WordTable:
    from rich.text import Text

    from ellopt.core.numbers import unit_of
    from ellopt.files.terminal import shortened
    from ellopt.report.tables import WordTable

    table = WordTable(box=None, pad_edge=False, header_style="bold")
    for name in ("layer", "type", "computed by"):
        table.add_column(name, overflow="fold")
    unit = unit_of(time for row in layers for time in (row.median_ms, row.p90_ms))
    for name in (f"median {unit.name}", f"p90 {unit.name}", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in layers:
        texts = (f"{row.node_id} {shortened(row.name)}".strip(), row.type_name, row.options)
        table.add_row(*map(Text, texts), unit.text(row.median_ms), unit.text(row.p90_ms), f"{row.share:.1%}")
    return table
