"""Where tuning reports are: a file, a model's output folder, or the output folder of many models."""

from __future__ import annotations

from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.report.document import TuningReport

NAME = "tuning_report.json"


def find_reports(place: Path) -> tuple[Path, ...]:
    """The reports at or below ``place``, by path. Raises ConfigurationError, saying what to give, if there is none."""
    if place.is_file():
        return (place,)
    if not place.exists():
        raise ConfigurationError(f"{place}: no such file or folder; give the output folder of a tuning run")
    found = tuple(sorted(place.rglob(NAME)))
    if not found:
        raise ConfigurationError(
            f"{place}: no {NAME} in it or below; give the --output_path of a tuning run that has finished"
        )
    return found


def pair_reports(a: Path, b: Path) -> tuple[tuple[TuningReport, TuningReport], ...]:
    """The reports of two places that belong together: one each, or those of the same tag.

    Raises ConfigurationError if nothing belongs together.
    """
    reports_a, reports_b = ([TuningReport.load(path) for path in find_reports(place)] for place in (a, b))
    if len(reports_a) == len(reports_b) == 1:
        return ((reports_a[0], reports_b[0]),)
    by_tag = {report.tag: report for report in reports_b}
    pairs = tuple((report, by_tag[report.tag]) for report in reports_a if report.tag in by_tag)
    if not pairs:
        raise ConfigurationError(
            f"{a} and {b} have no model in common: {_tags(reports_a)} there, {_tags(reports_b)} here; "
            "to compare two of other names give their own folders"
        )
    return pairs


def _tags(reports: list[TuningReport]) -> str:
    return ", ".join(report.tag for report in reports)
