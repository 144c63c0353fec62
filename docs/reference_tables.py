"""Writes the tables of reference.md and the parameters of MLproject anew, from the settings: run it after a change."""

from pathlib import Path

from ellopt.cli.commands.optimize import option_groups
from ellopt.cli.main import build_parser
from ellopt.cli.reference import with_parameters, with_tables

ROOT = Path(__file__).parents[1]

if __name__ == "__main__":
    page, project = ROOT / "docs" / "reference.md", ROOT / "MLproject"
    page.write_text(with_tables(page.read_text(encoding="utf-8"), build_parser()), encoding="utf-8")
    groups = tuple(group for _, groups in option_groups() for group in groups)
    project.write_text(with_parameters(project.read_text(encoding="utf-8"), groups), encoding="utf-8")
