"""The jinja2 environment of the report's pages."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ellopt.core.methods import find_method, method_names
from ellopt.report import words
from ellopt.report.charts import method_class


@cache
def templates() -> Environment:
    """The jinja2 environment of the report's pages: everything is escaped unless it is Markup already."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (
        words.milliseconds, words.percent, words.change, words.time_saved, words.speed_up, words.interval,
        words.duration, words.count, words.moment, words.sentence, words.operations, words.significant, method_class,
    ):  # fmt: skip
        environment.filters[function.__name__] = function
    environment.globals["methods"] = lambda: [find_method(name) for name in method_names()]
    return environment
