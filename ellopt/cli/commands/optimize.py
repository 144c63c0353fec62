"""``ellopt optimize``: tune models. Takes every option of the original ``profile_and_optimize.py``."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellopt.app.config import SAMPLERS, TuningConfig
from ellopt.cli.arguments import ArgumentGroup, add_input_shape
from ellopt.cli.commands.device_arguments import add_device_arguments, places_from, secret
from ellopt.toolchains.registry import TOOLCHAINS

if TYPE_CHECKING:
    from rich.console import Console

    from ellopt.app.tune_all import TuningOutcome

_LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")

_EXAMPLES = """\
examples:
  ellopt optimize --model_path model.ell --target host -o out
  ellopt optimize --model_path all_models --models face gesture --target pi3 --ipaddress 192.168.1.20 -o out
  ellopt optimize --model_path all_models --cluster https://cluster:1337/api/ -o out     (RPI_APIKEY, RPI_PASSWORD)
  ellopt optimize --model_path model.ell --target pi4_64 --estimate -o out
  ellopt optimize --model_path model.ell --target pi0 --emulate --accept_emulated_timings -o out

The same command, given again after an interruption, continues where it was.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "optimize",
        help="tune every convolution layer of one or many models",
        description="Tries many ways to compute each convolution layer, measures them on the target, and writes a "
        "new model in which every layer carries the fastest.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_models(ArgumentGroup(parser, "models"))
    _add_boards(ArgumentGroup(parser, "where to measure"))
    _add_search(ArgumentGroup(parser, "search"))
    _add_toolchain(ArgumentGroup(parser, "toolchain"))
    _add_tracking(ArgumentGroup(parser, "tracking (MLflow)"))
    _add_logging(parser)
    parser.set_defaults(run=run)


def _add_models(group: ArgumentGroup) -> None:
    group.path(
        "--model_path",
        required=True,
        help="a model (.ell, .ell.zip, .onnx) or a directory that is searched for models, with all below it",
    )
    group.words("--models", metavar="NAME", help="names of the models to tune (default: all that are found)")
    add_input_shape(group)
    group.path("--output_path", "-o", required=True, help="where the tuned models and reports go")
    group.path("--temp_dir", help="where temporary files go (default: beside each model's output)")
    group.number(
        "--concurrent_models", default=1, help="how many models to tune at once, where boards allow (default: 1)"
    )


def _add_boards(group: ArgumentGroup) -> None:
    group.value("--target", default="pi3", help="what to compile for (default: pi3; 'ellopt targets' lists them)")
    group.number("--threads", help="how many of the target's cores the model will have (default: all)")
    add_device_arguments(group)
    group.number("--parallel_run", default=24, help="how many boards to use at once at most (default: 24)")
    group.number(
        "--board_timeout", default=600.0, kind=float, help="seconds to wait for a board to come (back) (default: 600)"
    )
    group.number(
        "--visit_spacing",
        default=3.0,
        kind=float,
        help="seconds between the starts of two measurements on a board at least, so that what disturbs it for a "
        "moment is not in all of them (default: 3)",
    )
    group.flag(
        "--fix_frequency",
        help="set the boards' frequency governor to performance for each measurement and put it back, where 'sudo -n' "
        "allows it",
    )
    group.flag("--emulate", help="run under qemu-user: on this machine, or on the boards that are given")
    group.flag(
        "--estimate",
        help="simulate the target's processor instead of measuring on a board (the default where none is given)",
    )
    group.flag("--accept_emulated_timings", help="let times measured under emulation choose the winners")


def _add_search(group: ArgumentGroup) -> None:
    group.value(
        "--options",
        default="",
        help="options file that says what may be tried: a path, or extended, default (what ELL's scripts tried), quick "
        "(default: extended; with the ell toolchain: default)",
    )
    group.value(
        "--sampler",
        default="auto",
        help=f"{', '.join(SAMPLERS)}, or the import path of an Optuna sampler, module:Class (default: auto)",
    )
    group.number("--trials", help="how many plans to try at most (default: the sampler's own)")
    group.number("--timeout", kind=float, help="seconds after which no new trial starts, a model (default: none)")
    group.number("--seed", default=0, help="seed of the sampler (default: 0)")
    group.number(
        "--tolerance", default=0.01, kind=float, help="stop when less than this share is left to gain (default: 0.01)"
    )
    group.flag("--no_warm_start", help="do not use measurements of earlier runs")


def _add_toolchain(group: ArgumentGroup) -> None:
    group.value("--toolchain", default="native", help=f"{' or '.join(TOOLCHAINS)} (default: native)")
    group.number("--parallel_build", default=os.cpu_count() or 1, help="how many compilers run at once")
    group.path("--ell_root", help="ELL's source tree (ELL_ROOT); the ell toolchain only")
    group.path("--ell_build_root", help="ELL's build tree (ELL_BUILD_ROOT); the ell toolchain only")
    group.flag("--include_exercise_models", help="also time the whole model without profiling inside")
    group.flag("--no_vectorize", help="do not pass --vectorize to ELL's compile, as ELL's scripts do")
    group.value(
        "--fp_contract", default="fast", help="-fp-contract of LLVM's opt and llc: fast (as ELL's scripts), on or off"
    )
    group.path("--from_reports", help="pick winners from profile reports in this directory instead of measuring")


def _add_tracking(group: ArgumentGroup) -> None:
    group.flag("--no_mlflow", help="do not log to MLflow")
    group.value("--experiment", help="name of the MLflow experiment (default: one a model)")
    group.value("--register", metavar="NAME", help="register the tuned model in the MLflow Model Registry")


def _add_logging(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("messages")
    exclusive = group.add_mutually_exclusive_group()
    exclusive.add_argument(
        "--verbosity",
        type=lambda text: text.upper() or "WARNING",
        choices=_LEVELS,
        default="WARNING",
        metavar="LEVEL",
        help=f"what is reported beside the progress: {', '.join(_LEVELS)} (default: WARNING)",
    )
    exclusive.add_argument("--silence", action="store_true", help="report nothing but errors")
    group.add_argument(
        "--logfile", type=lambda text: Path(text) if text else None, metavar="PATH", help="also log everything here"
    )
    group.add_argument(
        "--logmode",
        type=lambda text: text or "a",
        choices=("a", "w"),
        default="a",
        help="append to the log file or write it anew (default: a)",
    )


def config_from(arguments: argparse.Namespace) -> TuningConfig:
    """The validated settings. Secrets that were not given come from the environment."""
    values: dict[str, Any] = {
        field.name: getattr(arguments, field.name)
        for field in fields(TuningConfig)
        if hasattr(arguments, field.name) and field.name not in ("warm_start", "mlflow", "vectorize")
    }
    values["apikey"] = secret(arguments.apikey, "RPI_APIKEY")
    values["password"] = secret(arguments.password, "RPI_PASSWORD")
    for name in ("ell_root", "ell_build_root"):
        values[name] = values[name] or (Path(os.environ[name.upper()]) if os.environ.get(name.upper()) else None)
    places = places_from(arguments, arguments.target)
    if os.environ.get("MLFLOW_RUN_ID"):  # MLflow has changed the folder: what is printed must be found from any
        values["output_path"], values["model_path"] = values["output_path"].resolve(), values["model_path"].resolve()
    values["ipaddress"], values["cluster"] = places.ipaddress, places.cluster
    return TuningConfig(
        **values,
        warm_start=not arguments.no_warm_start,
        mlflow=not arguments.no_mlflow,
        vectorize=not arguments.no_vectorize,
    )


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Tune. Returns 0, or the exit code of what failed."""
    config = config_from(arguments)

    from ellopt.app import tune_all as pipeline
    from ellopt.app.from_reports import pick_winners
    from ellopt.cli.logs import configure
    from ellopt.cli.progress import display

    configure(arguments.verbosity, arguments.silence, arguments.logfile, arguments.logmode, config.secrets)
    if config.from_reports is not None:
        return pick_winners(config, config.from_reports, console)
    with display(console, silent=arguments.silence) as shown:
        outcome = pipeline.tune(config, shown)
    _show(outcome, console, arguments.silence)
    return outcome.exit_code


def _show(outcome: TuningOutcome, console: Console, silent: bool) -> None:
    """The closing table of every model that was tuned, an error line for every other, on standard error."""
    from ellopt.report.text import closing

    errors = type(console)(stderr=True)
    for model in outcome.models:
        if model.report is not None and not silent:
            console.print(closing(model.report, model.directory))
            console.print()
        elif model.error is not None:
            text = str(model.error)
            prefix = "" if str(model.file.path) in text else f"{model.file.path}: "
            errors.print(f"ellopt: {prefix}{text}", style="red", markup=False, highlight=False, soft_wrap=True)
    for name in outcome.tracking.unregistered:
        errors.print(
            f"ellopt: --register: {name} is not registered yet; 'ellopt sync' does it when MLflow takes it",
            style="red", markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    if outcome.tracking.trouble and outcome.tracking.waiting and not silent:
        errors.print(
            f"MLflow: {outcome.tracking.waiting} records wait on disk ({outcome.tracking.trouble}); "
            "deliver them later with 'ellopt sync'",
            style="yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
