"""``ellopt show``, ``predict``, ``compile`` and ``bench``: what can be done with one model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.cli.arguments import ArgumentGroup, add_input_shape, given_path
from ellopt.core.errors import ConfigurationError
from ellopt.targets import find_target

if TYPE_CHECKING:
    from rich.console import Console

    from ellopt.model.graph import Model


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
    parser.add_argument("model", type=given_path, metavar="MODEL", help="a .ell, .ell.zip or .onnx file")
    add_input_shape(ArgumentGroup(parser, "options"))
    parser.set_defaults(run=show)


def _register_predict(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "predict",
        help="run a model once",
        description="Runs a model once on an input given as a NumPy file: rows x columns x channels, and for "
        "ONNX models the shape that they say.",
    )
    parser.add_argument("model", type=given_path, metavar="MODEL", help="a .ell, .ell.zip or .onnx file")
    group = ArgumentGroup(parser, "options")
    group.path(
        "--input", required=True, help="the input, a .npy file; or a .npz file with an array by the name of each input"
    )
    group.path(
        "--output",
        required=True,
        help="where the output goes, a .npy file; or a .npz file with an array by the name of each",
    )
    _add_target_and_options(group)
    _add_check(group)
    add_input_shape(group)
    parser.set_defaults(run=predict)


def _register_compile(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "compile",
        help="write a model as a C library to deploy",
        description="Writes a C header, a static library, a CMake file, an example and a Python wrapper. The options "
        "found in the model are honoured.",
    )
    parser.add_argument("model", type=given_path, metavar="MODEL", help="a .ell, .ell.zip or .onnx file")
    group = ArgumentGroup(parser, "options")
    group.path("--output_path", "-o", required=True, help="the directory to write")
    _add_target_and_options(group)
    group.value("--name", default="", help="what the library is called (default: made of the model's name)")
    group.value(
        "--cpu",
        default="native",
        help="for --target host on x86-64: the oldest processor, native or x86-64, x86-64-v2, x86-64-v3, x86-64-v4 "
        "(default: native, this machine's)",
    )
    group.flag("--force", help="overwrite files that are not as ellopt left them")
    _add_check(group)
    add_input_shape(group)
    parser.set_defaults(run=compile_)


def _register_bench(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "bench",
        help="time a model as it would be deployed",
        description="Times a model in a fresh process on this machine, after a warm-up.",
    )
    parser.add_argument("model", type=given_path, metavar="MODEL", help="a .ell, .ell.zip or .onnx file")
    group = ArgumentGroup(parser, "options")
    group.path("--options", help="compile_options.json (default: the options found in the model)")
    group.number("--threads", help="threads to use (default: all cores)")
    group.number("--iterations", default=50, help="timed runs (default: 50)")
    group.flag("--json", help="print one JSON object")
    add_input_shape(group)
    parser.set_defaults(run=bench)


def _add_target_and_options(group: ArgumentGroup) -> None:
    group.value("--target", default="host", help="what to compile for (default: host)")
    group.path("--options", help="compile_options.json (default: the options found in the model)")


def _add_check(group: ArgumentGroup) -> None:
    group.flag(
        "--check", help="compare every step and the model's output with the reference first; stop if one is wrong"
    )


def _read(arguments: argparse.Namespace) -> Model:
    from ellopt.frontends.base import parse_shapes, read_model

    path: Path = arguments.model
    if not path.is_file():
        raise ConfigurationError(f"{path}: no such model file")
    return read_model(path, parse_shapes(arguments.input_shape))


def show(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.model.describe import describe, format_table

    print(format_table(describe(_read(arguments))))
    return 0


def predict(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.cli.commands import arrays
    from ellopt.deploy import run as deploy

    values = arrays.read(arguments.input)
    model, target = _read(arguments), find_target(arguments.target)
    arrays.check_output(arguments.output, model)
    outputs = deploy.predict_all(model, values, arguments.options, target, check=arguments.check)
    arrays.write(arguments.output, outputs)
    sizes = ["x".join(map(str, output.shape)) for output in outputs.values()]
    console.print(f"{arguments.output}: {', '.join(sizes)}", markup=False, highlight=False)
    return 0


def compile_(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.deploy import run as deploy

    model, target = _read(arguments), find_target(arguments.target)
    if arguments.check:
        deploy.check(model, arguments.options, target)
    library = deploy.compile_library(
        model,
        arguments.output_path,
        target,
        arguments.options,
        name=arguments.name,
        cpu=arguments.cpu,
        force=arguments.force,
    )
    for line in library.summary():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def bench(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.deploy import run as deploy

    result = deploy.bench(_read(arguments), arguments.options, arguments.threads or 0, arguments.iterations)
    if arguments.json:
        print(json.dumps(result.to_json()))
    else:
        console.print(result.summary(), markup=False, highlight=False)
    return 0
