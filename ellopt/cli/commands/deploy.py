"""``ellopt deploy``: a model's library and example, built here and run on the board."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.cli.commands.device_arguments import add_running_options, boards_from
from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import add_options, add_path, read_options
from ellopt.core.settings import setting
from ellopt.frontends.settings import ShapeSettings
from ellopt.targets.settings import target_setting

if TYPE_CHECKING:
    from rich.console import Console

    from ellopt.report.document import TuningReport


@dataclass(frozen=True)
class DeploySettings:
    """What ``ellopt deploy`` builds, and where."""

    target: str = target_setting("", "what to compile for", default_text="what the model was tuned for, else `pi3`")
    output_path: Path = setting(
        Path("library"), "the folder to write the library to, as `ellopt compile` does", short="o", metavar="DIR"
    )
    options: Path | None = setting(
        None, "a `compile_options.json`", metavar="FILE", default_text="the options found in the model"
    )
    iterations: int = setting(50, "timed runs on the board", least=1)
    force: bool = setting(False, "overwrite files in the folder that are not as ellopt left them")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "deploy",
        help=COMMANDS["deploy"].help,
        description="Writes a model's C library, builds its example program, copies it to a board, runs it there, "
        "compares its output with the reference, and shows its latency beside the tuned one.",
    )
    add_path(parser, "model", metavar="MODEL", help="a folder that a tuning wrote, or a model's file")
    add_options(parser, "options", ShapeSettings, DeploySettings, JsonSettings)
    add_running_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.app.loaded import load
    from ellopt.report import words

    asked = read_options(DeploySettings, arguments)
    report = _report(arguments.model)
    target = asked.target or (report.target if report is not None else "pi3")
    loaded = load(arguments.model, input_shape=read_options(ShapeSettings, arguments).input_shape)
    library, there = loaded.deploy(
        asked.output_path, target=target, options=asked.options, force=asked.force, iterations=asked.iterations,
        **boards_from(arguments),
    )  # fmt: skip
    tuned = words.before_and_after(report)[1] if report is not None and report.target == target else None
    if read_options(JsonSettings, arguments).json:
        print_json({"library": library.directory, "files": library.files, **there.to_json(), "tuned_ms": tuned})
        return 0
    lines = [
        *library.summary(),
        f"On {there.board}: {words.milliseconds(there.median_ms)} (median of {len(there.samples_ms)}), the first pass "
        f"{words.milliseconds(there.first_ms)}; the output is right.",
        *([] if tuned is None else [f"When it was tuned: {words.milliseconds(tuned)}."]),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def _report(model: Path) -> TuningReport | None:
    """The report of the tuning that wrote the model, where there is one beside it."""
    from ellopt.report.document import TuningReport

    path = (model if model.is_dir() else model.parent) / "tuning_report.json"
    return TuningReport.load(path) if path.is_file() else None
