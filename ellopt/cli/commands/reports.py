"""``ellopt report``, ``compare``, ``sync`` and ``profile-report``: what tuning runs left behind."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ellopt.cli.commands.machine import JsonSettings, print_json
from ellopt.cli.commands.table import COMMANDS
from ellopt.cli.options import add_options, add_path, read_options
from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import setting

if TYPE_CHECKING:
    from rich.console import Console

REPORT_NAME = "tuning_report.json"
PAGE_NAME = "tuning_report.html"


@dataclass(frozen=True)
class CompareSettings:
    """What ``ellopt compare`` writes."""

    page: Path | None = setting(None, "also write the comparison as a page", metavar="FILE")


@dataclass(frozen=True)
class SyncSettings:
    """Where ``ellopt sync`` delivers."""

    to: str = setting(
        "",
        "address of a tracking store to log the runs of which something waits to instead, as a whole",
        metavar="URI",
        default_text="the store that they were meant for",
    )
    experiment: str = setting(
        "",
        "name of the experiment to log them to instead, as a whole",
        metavar="NAME",
        default_text="the experiment that they were meant for",
    )


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    report = subparsers.add_parser(
        "report",
        help=COMMANDS["report"].help,
        description=f"Draws {PAGE_NAME} again from {REPORT_NAME}, and shows the closing table.",
    )
    add_path(report, "directory", metavar="DIR", help="the output directory of one or many models")
    add_options(report, "options", JsonSettings)
    report.set_defaults(run=redraw)

    compare = subparsers.add_parser(
        "compare",
        help=COMMANDS["compare"].help,
        description="Shows which layers changed between two tuning runs, by how much, and whether it is significant.",
    )
    add_path(compare, "first", metavar="OUT_A", help="the output directory of a run")
    add_path(compare, "second", metavar="OUT_B", help="another one")
    add_options(compare, "options", CompareSettings, JsonSettings)
    compare.set_defaults(run=compare_runs)

    sync = subparsers.add_parser(
        "sync",
        help=COMMANDS["sync"].help,
        description="Delivers to MLflow what could not be delivered while a model was tuned.",
    )
    add_path(sync, "directory", metavar="DIR", help="the --output_path of a tuning run")
    add_options(sync, "another place (for runs of which something waits)", SyncSettings)
    sync.set_defaults(run=deliver)

    profile = subparsers.add_parser(
        "profile-report",
        help=COMMANDS["profile-report"].help,
        description="Reads profile reports that ELL's tools or ellopt wrote into a table.",
    )
    add_path(profile, "files", nargs="+", metavar="FILE", help="profile reports")
    add_options(profile, "options", JsonSettings)
    profile.set_defaults(run=show_profiles)


def redraw(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.files.atomic import write_text
    from ellopt.report.document import TuningReport
    from ellopt.report.html import render
    from ellopt.report.locate import find_reports
    from ellopt.report.summary import report_summary
    from ellopt.report.text import closing

    as_json, summaries = read_options(JsonSettings, arguments).json, []
    for path in find_reports(arguments.directory):
        report = TuningReport.load(path)
        write_text(path.with_name(PAGE_NAME), render(report))
        if as_json:
            summaries.append(report_summary(report, path.parent))
            continue
        console.print(closing(report, path.parent))
        console.print(f"page: {path.with_name(PAGE_NAME)}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(summaries)
    return 0


def compare_runs(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.files.atomic import write_text
    from ellopt.report.compare.compare import compare
    from ellopt.report.compare.html import render_comparison
    from ellopt.report.compare.text import comparison_lines
    from ellopt.report.locate import pair_reports
    from ellopt.report.summary import comparison_summary

    page = read_options(CompareSettings, arguments).page
    pairs = pair_reports(arguments.first, arguments.second)
    if page and len(pairs) > 1:
        tags = ", ".join(first.tag for first, _ in pairs)
        raise ConfigurationError(f"--page: a page holds one model, but these directories hold {tags}; name one of each")
    as_json, summaries = read_options(JsonSettings, arguments).json, []
    for first, second in pairs:
        comparison = compare(first, second)
        if as_json:
            summaries.append(comparison_summary(comparison))
        else:
            console.print(comparison_lines(comparison))
        if page:
            write_text(page, render_comparison(comparison))
        if page and not as_json:
            console.print(f"page: {page}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(summaries)
    return 0


def deliver(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.tracking import sync

    def progress(path: Path, waiting: int) -> None:
        console.print(f"{path}: {waiting} records", markup=False, highlight=False, soft_wrap=True)

    asked = read_options(SyncSettings, arguments)
    result = sync(arguments.directory, progress=progress, to=asked.to, experiment=asked.experiment)
    console.print(f"{result.delivered} records delivered, {result.waiting} waiting", markup=False, highlight=False)
    for name in result.registered:
        console.print(f"registered: {name}", markup=False, highlight=False, soft_wrap=True)
    for problem in result.problems:
        console.print(problem, style="yellow", markup=False, highlight=False, soft_wrap=True)
    return 1 if result.waiting or result.problems else 0


def show_profiles(arguments: argparse.Namespace, console: Console) -> int:
    from ellopt.frontends.ell.profile import exercise_text, read_report
    from ellopt.report.profile_table import profile_table

    if read_options(JsonSettings, arguments).json:
        print_json([read_report(path) for path in arguments.files])
        return 0
    for path in arguments.files:
        if len(arguments.files) > 1:
            console.print(f"{path}:", markup=False, highlight=False)
        report = read_report(path)
        if report.nodes:
            console.print(profile_table(report))
        if report.exercise is not None:
            console.print(exercise_text(report.exercise), markup=False, highlight=False, soft_wrap=True)
    return 0
