"""``ellopt show``, ``predict``, ``compile`` and ``bench``: what can be done with one model."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.cli.options import add_options, add_path, read_options
from ellopt.core.settings import setting
from ellopt.frontends.settings import ShapeSettings
from ellopt.targets.settings import target_setting

if TYPE_CHECKING:
    from rich.console import Console

    from ellopt.app.loaded import LoadedModel


_OPTIONS_FILE = "a `compile_options.json`"
_FOUND = "the options found in the model"
_CHECK = "compare every step and the model's output with the reference first; stop if one is wrong"


@dataclass(frozen=True)
class PredictSettings:
    """How ``ellopt predict`` runs a model."""

    input: Path = setting(
        help="a `.npy` file: rows x columns x channels, and for ONNX models the shape that they say; or a `.npz` file "
        "with an array by the name of each input",
        required=True,
        metavar="FILE",
    )
    output: Path = setting(
        help="where the output goes, a `.npy` file; or a `.npz` file with an array by the name of each output",
        required=True,
        metavar="FILE",
    )
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

    options: Path | None = setting(None, _OPTIONS_FILE, metavar="FILE", default_text=_FOUND)
    threads: int | None = setting(None, "threads to use", default_text="all cores")
    iterations: int = setting(50, "timed runs")
    json: bool = setting(False, "print one JSON object: `median_ms`, `min_ms`, `samples_ms`, `threads`, `peak_rss_mb`")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _register_show(subparsers)
    _register_predict(subparsers)
    _register_compile(subparsers)
    _register_bench(subparsers)


def _register_show(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "show",
        help="show what is in a model",
        description="Shows the nodes of a model with shapes, parameters and multiply-adds, and what can be tried on "
        "its convolution layers.",
    )
    add_path(
        parser,
        "model",
        metavar="MODEL",
        help="a .ell, .ell.zip or .onnx file, or a folder that a tuning wrote",
    )
    add_options(parser, "options", ShapeSettings)
    parser.set_defaults(run=show)


def _register_predict(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "predict",
        help="run a model once",
        description="Runs a model once on an input given as a NumPy file: rows x columns x channels, and for "
        "ONNX models the shape that they say.",
    )
    add_path(
        parser,
        "model",
        metavar="MODEL",
        help="a .ell, .ell.zip or .onnx file, or a folder that a tuning wrote",
    )
    add_options(parser, "options", ShapeSettings, PredictSettings)
    parser.set_defaults(run=predict)


def _register_compile(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "compile",
        help="write a model as a C library to deploy",
        description="Writes a C header, a static library, a CMake file, an example and a Python wrapper. The options "
        "found in the model are honoured.",
    )
    add_path(
        parser,
        "model",
        metavar="MODEL",
        help="a .ell, .ell.zip or .onnx file, or a folder that a tuning wrote",
    )
    add_options(parser, "options", ShapeSettings, CompileSettings)
    parser.set_defaults(run=compile_)


def _register_bench(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="time a model as it would be deployed",
        description="Times a model in a fresh process on this machine, after a warm-up.",
    )
    add_path(
        parser,
        "model",
        metavar="MODEL",
        help="a .ell, .ell.zip or .onnx file, or a folder that a tuning wrote",
    )
    add_options(parser, "options", ShapeSettings, BenchSettings)
    parser.set_defaults(run=bench)


def _read(arguments: argparse.Namespace) -> LoadedModel:
    from ellopt.app.loaded import load

    return load(arguments.model, input_shape=read_options(ShapeSettings, arguments).input_shape)


def show(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.model.describe import describe, format_table

    print(format_table(describe(_read(arguments).model)))
    return 0


def predict(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.cli.commands import arrays

    asked = read_options(PredictSettings, arguments)
    values = arrays.read(asked.input)
    loaded = _read(arguments)
    arrays.check_output(asked.output, loaded.model)
    outputs = loaded.predict_isolated(values, target=asked.target, options=asked.options, check=asked.check)
    arrays.write(asked.output, outputs)
    sizes = ["x".join(map(str, output.shape)) for output in outputs.values()]
    console.print(f"{asked.output}: {', '.join(sizes)}", markup=False, highlight=False)
    return 0


def compile_(arguments: argparse.Namespace, console: Console) -> int:
    asked = read_options(CompileSettings, arguments)
    library = _read(arguments).compile(
        asked.output_path, target=asked.target, options=asked.options, name=asked.name, cpu=asked.cpu,
        force=asked.force, check=asked.check,
    )  # fmt: skip
    for line in library.summary():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def bench(arguments: argparse.Namespace, console: Console) -> int:
    asked = read_options(BenchSettings, arguments)
    result = _read(arguments).bench(options=asked.options, threads=asked.threads or 0, iterations=asked.iterations)
    if asked.json:
        print(json.dumps(result.to_json()))
    else:
        console.print(result.summary(), markup=False, highlight=False)
    return 0
