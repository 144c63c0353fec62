"""``ellopt optimize``: tune models. Takes every option of the original ``profile_and_optimize.py``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ellopt.app.asked import tuning_config, tuning_groups
from ellopt.app.config import TuningConfig
from ellopt.cli.commands.failures import exit_code, show_failure
from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.messages import MessageSettings
from ellopt.cli.options import add_options, given_options, read_options

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from ellopt.app.tune_all import ModelOutcome, TuningOutcome
    from ellopt.report.document import TuningReport

_EXAMPLES = """\
examples:
  ellopt optimize --model_path model.ell --target host -o out
  ellopt optimize --model_path all_models --models face gesture --target pi3 --ipaddress 192.168.1.20 -o out
  ellopt optimize --model_path all_models --cluster https://cluster:1337/api/ -o out     (RPI_APIKEY, RPI_PASSWORD)
  ellopt optimize --model_path model.ell --target pi4_64 --estimate -o out
  ellopt optimize --model_path model.ell --target pi0 --emulate --accept_emulated_timings -o out

The same command, given again after an interruption, continues where it was; after its end it shows what was found,
and tunes anew with --again.
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "optimize",
        help=COMMANDS["optimize"].help,
        description="Tries many ways to compute each convolution layer, measures them on the target, and writes a "
        "new model in which every layer carries the fastest.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for title, groups in option_groups():
        add_options(parser, title, *groups)
    parser.set_defaults(run=run)


def option_groups() -> tuple[tuple[str, tuple[type, ...]], ...]:
    """Every group of settings of a tuning, by the title that its options stand under."""
    return (*tuning_groups(), ("messages", (MessageSettings, JsonSettings)))


def config_from(arguments: argparse.Namespace) -> TuningConfig:
    """The validated settings. What was not given may come from the environment. Raises ConfigurationError."""
    return tuning_config(given_options(arguments, *(group for _, groups in tuning_groups() for group in groups)))


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Tune. Returns 0, or the exit code of what failed."""
    config = config_from(arguments)

    from ellopt.app import tune_all as pipeline
    from ellopt.cli.logs import configure
    from ellopt.cli.progress import display

    messages = read_options(MessageSettings, arguments)
    configure(messages, config.secrets)
    if config.models.from_reports is not None:
        from ellopt.app.from_reports import pick_all
        from ellopt.cli.commands.picked import show_picked

        return show_picked(pick_all(config), console)
    as_json = read_options(JsonSettings, arguments).json
    with display(type(console)(stderr=True) if as_json else console, silent=messages.silence) as shown:
        outcome = pipeline.tune(config, shown)
    if as_json:
        print_json([_summary(model) for model in outcome.models])
    _show(outcome, console, messages.silence or as_json)
    failed = exit_code([model.error for model in outcome.models if model.error is not None])
    return failed or (1 if outcome.tracking.unregistered else 0)


def _summary(model: ModelOutcome) -> dict[str, Any]:
    from ellopt.report.summary import report_summary

    if model.report is not None:
        return report_summary(model.report, model.directory) | {"finished_before": model.before}
    return {"model": model.file.name, "directory": str(model.directory), "error": str(model.error)}


def _finished_before(tag: str, report: TuningReport) -> Text:
    from rich.text import Text

    from ellopt.report import words

    return Text(
        f"{tag}: the same command finished at {words.moment(report.created)}; this is what it found, and nothing was "
        "done now. --again tunes anew, with --no_warm_start as well it measures everything again."
    )


def _show(outcome: TuningOutcome, console: Console, silent: bool) -> None:
    """The closing table of every model that was tuned, an error line for every other, on standard error."""
    from ellopt.report.several import ModelRow, several
    from ellopt.report.text import closing

    errors = type(console)(stderr=True)
    for model in outcome.models:
        if model.report is not None and not silent:
            # A store that was slow to answer while the report was written has said by now where the run is.
            run = model.report.mlflow_run or outcome.tracking.runs.get(model.file.tag, {})
            console.print(closing(replace(model.report, mlflow_run=run), model.directory))
            if model.before:
                console.print(_finished_before(model.file.tag, model.report), style="cyan", soft_wrap=True)
            console.print()
        elif model.error is not None:
            show_failure(model.file.path, model.error, console)
    if len(outcome.models) > 1 and not silent:
        rows = [ModelRow(model.file.tag, model.directory, model.report, str(model.error)) for model in outcome.models]
        console.print(several(rows))
        console.print()
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
