"""A mistake on the command line is answered by one line that names it and what was meant."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ellopt.cli.main import build_parser, main
from ellopt.targets import TARGETS, find_target
from tests.support.paths import TINY


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


def spelt(option: str, how: int) -> str:
    """``option`` with hyphens, underscores, or both by turns."""
    words = option[2:].replace("-", "_").split("_")
    return "--" + "".join(word + ("_", "-", "_-"[place % 2])[how] for place, word in enumerate(words))[:-1]


def needed(parser: argparse.ArgumentParser, but: str) -> list[str]:
    """Arguments for all that must be given, but for one option."""
    words = []
    for action in parser._actions:
        if action.required and action.dest not in ("help", "shell") and but not in action.option_strings:
            words += [action.option_strings[0], "x"] if action.option_strings else ["x"]
    return words


@pytest.mark.parametrize(("command", "option"), list(options()))
def test_hyphens_are_as_good_as_underscores(command: str, option: str) -> None:
    parser = commands()[command]
    (action,) = [action for action in parser._actions if option in action.option_strings]
    value = "true" if action.nargs == "?" else "1"
    start = [command, *needed(parser, option)]
    expected = vars(parser.parse_args([*start[1:], option, value]))
    for how in range(3):
        name = spelt(option, how)
        for words in ([name, value], [f"{name}={value}"]):
            found = vars(build_parser().parse_args([*start, *words]))
            assert {key: found[key] for key in expected} == expected


def test_the_beginning_of_an_option_may_have_hyphens_too() -> None:
    given = build_parser().parse_args(["optimize", "--model-pa", "m.ell", "--output-p", "o", "--accept-emul"])
    assert (str(given.model_path), str(given.output_path), given.accept_emulated_timings) == ("m.ell", "o", True)


def test_what_follows_two_hyphens_is_no_option() -> None:
    assert str(build_parser().parse_args(["show", "--", "--input-shape"]).model) == "--input-shape"


@given(st.sampled_from(sorted(TARGETS)), st.data())
def test_targets_are_known_in_any_case_and_spelling(name: str, data: st.DataObject) -> None:
    text = "".join(data.draw(st.sampled_from((c, c.upper(), "-" if c == "_" else c))) for c in name)
    assert build_parser().parse_args(["compile", "m.ell", "-o", "d", "--target", text]).target == name
    assert find_target(text) is TARGETS[name]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["--sampler", "Gird"], "grid"),
        (["--sampler", "tp"], "tpe"),
        (["--toolchain", "nativ"], "native"),
        (["--verbosity", "warn"], "WARNING"),
        (["--fp-contract", "fats"], "fast"),
        (["--options", "qick"], "quick"),
        (["--target", "Pi5b"], "pi5"),
        (["--pruner", "behin"], "behind"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else words,
)
def test_a_choice_that_there_is_not_is_answered_by_the_one_that_was_meant(
    arguments: list[str], meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = [] if "--target" in arguments else ["--target", "host"]
    assert main(["optimize", "--model-path", str(TINY), "-o", str(tmp_path), "--no-mlflow", *target, *arguments]) == 2
    said = capsys.readouterr().err
    assert f"did you mean {meant}?" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("command", ["predict", "bench", "show", "compile", "deploy"])
@pytest.mark.parametrize("option", ["--model", "--model_path", "--model-path=m.ell", "--modle"])
def test_a_model_given_by_an_option_where_it_has_none_is_said_to_stand_without(
    command: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = answer([command, option, "m.ell"], capsys)
    assert lines[0] == f"ellopt {command}: unknown option {option.partition('=')[0]}; MODEL is given without an option"


@pytest.mark.parametrize("command", commands())
def test_a_mistyped_command_is_answered_by_the_one_that_was_meant(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for behind in (["m.ell"], ["--model_path", "m.ell"], ["--no-such-option"]):
        lines = answer([f"{command[:-1]}x", *behind], capsys)
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


def switches() -> Iterator[tuple[str, str]]:
    """Every switch of every command that takes files, folders or words without an option."""
    for name, parser in commands().items():
        takes = any(not action.option_strings for action in parser._actions)
        switched = [action for action in parser._actions if action.const is True and takes]
        yield from ((name, option) for action in switched for option in action.option_strings)


@pytest.mark.parametrize(("command", "option"), list(switches()))
def test_a_switch_leaves_the_file_behind_it_alone(command: str, option: str) -> None:
    actions = commands()[command]._actions
    words, given = [], []
    for action in actions:
        if not action.option_strings:
            words.append(str(next(iter(action.choices))) if action.choices else "m.ell")
        elif action.required:
            given += [action.option_strings[0], "x"]
    (switch,) = [action.dest for action in actions if option in action.option_strings]
    behind = vars(build_parser().parse_args([command, *words, *given, option]))
    before = vars(build_parser().parse_args([command, option, *words, *given]))
    assert before[switch] is True
    assert before == behind
    assert vars(build_parser().parse_args([command, option, "off", *words, *given])) == {**before, switch: False}
