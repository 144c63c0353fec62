"""The examples that help shows."""

from __future__ import annotations

import argparse
import shlex

import pytest

from ellopt.cli.main import build_parser


def commands() -> dict[str, argparse.ArgumentParser]:
    (action,) = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(action.choices)


@pytest.mark.parametrize("name", sorted(commands()))
def test_the_help_of_every_command_ends_with_examples_that_it_accepts(name: str) -> None:
    _, found, text = commands()[name].format_help().partition("examples:\n")
    assert found
    lines = [line.split("   ")[0].strip() for line in text.splitlines() if line.strip().startswith("ellopt ")]
    assert lines
    for line in lines:
        arguments = shlex.split(line)[1:]
        assert arguments[0] == name
        build_parser().parse_args(arguments)
