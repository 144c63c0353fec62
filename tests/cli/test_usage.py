"""A mistake on the command line is answered by one line that names it and what was meant."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.cli.main import build_parser, main


def commands() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    (action,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(action.choices)


def options() -> Iterator[tuple[str, str]]:
    """Every long option of every command."""
    for name, parser in commands().items():
        for action in parser._actions:
            yield from ((name, option) for option in action.option_strings if "_" in option)


def answer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


@pytest.mark.parametrize(("command", "option"), list(options()))
def test_an_option_with_hyphens_is_answered_by_the_one_that_was_meant(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = f"--{option[2:].replace('_', '-')}"
    lines = answer([command, wrong, "x"], capsys)
    assert lines == [
        f"ellopt {command}: unknown option {wrong}; did you mean {option}?",
        f"See 'ellopt {command} --help'.",
    ]


@pytest.mark.parametrize("command", commands())
def test_a_mistyped_command_is_answered_by_the_one_that_was_meant(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = answer([f"{command[:-1]}x", "m.ell"], capsys)
    assert f"did you mean {command}?" in lines[0]
    assert len(lines) == 2


def test_a_command_like_no_other_is_answered_by_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    (line, _) = answer(["zzz"], capsys)
    assert all(command in line for command in commands())


def test_no_command_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    (line, _) = answer([], capsys)
    assert "a command is missing" in line
    assert "optimize" in line


def test_options_without_a_command_are_shown_their_place(capsys: pytest.CaptureFixture[str]) -> None:
    (line, _) = answer(["--model_path", "m.ell"], capsys)
    assert "ellopt optimize --model_path" in line


def required_texts() -> Iterator[tuple[str, list[str], str]]:
    """Each argument that must be given, empty, beside all others."""
    for name, parser in commands().items():
        needed = [action for action in parser._actions if action.required and action.dest not in ("help", "shell")]
        for empty in needed:
            arguments = [name]
            for action in needed:
                value = "" if action is empty else "x"
                arguments += [action.option_strings[0], value] if action.option_strings else [value]
            if empty.choices is None:
                yield name, arguments, empty.dest


@pytest.mark.parametrize(("command", "arguments", "name"), list(required_texts()))
def test_an_empty_text_for_what_must_be_given_is_named(
    command: str, arguments: list[str], name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    lines = answer(arguments, capsys)
    assert "is empty; does it come from a variable that is not set?" in lines[0]
    assert len(lines) == 2
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12), max_size=4))
def test_whatever_is_typed_is_answered_in_two_lines(words: list[str]) -> None:
    """By the parser alone: what it accepts is not run."""
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            build_parser().parse_args(["optimize", *words])
        except SystemExit as ended:
            if ended.code == 2:
                assert len(said.getvalue().splitlines()) == 2
