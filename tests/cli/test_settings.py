"""Every field of every group of settings is an option, a parameter and a line of the reference, and no other is."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from ellopt.app.config import ModelSettings, TuningConfig
from ellopt.cli.commands.optimize import config_from, option_groups
from ellopt.cli.main import build_parser, main
from ellopt.cli.options import add_options, default_text, plain, read_options
from ellopt.cli.reference import commands_of, settings_by_title, table
from ellopt.core.errors import ConfigurationError
from ellopt.core.settings import OwnGroups, SettingField, setting, settings_of
from ellopt.devices.kinds import DEVICE_KINDS, DeviceKind
from ellopt.devices.settings import DeviceSettings
from ellopt.measure.executors import EXECUTORS, ExecutorRow, make_executor
from ellopt.measure.executors.inline import InlineExecutor
from ellopt.toolchains.registry import TOOLCHAINS, ToolchainRow
from tests.support.paths import REPOSITORY, TINY

COMMANDS = commands_of(build_parser())
GROUPS = tuple(group for _, groups in option_groups() for group in groups)
FIELDS = [(group, part) for group in GROUPS for part in settings_of(group)]
GIVEN = ["optimize", "--model_path", "m.ell", "--output_path", "out"]


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, part in FIELDS:
        if part.setting.environment:
            monkeypatch.delenv(part.setting.environment, raising=False)
    monkeypatch.delenv("RPI_CLUSTER", raising=False)


def name_of(value: object) -> str:
    return value.__name__ if isinstance(value, type) else value.name if isinstance(value, SettingField) else ""


def own_options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in parser._actions if action.option_strings and action.dest not in ("help", "shell"))


def test_a_tuning_has_no_settings_but_these_groups() -> None:
    config = TuningConfig(ModelSettings(Path("m.ell"), Path("out")))
    found: set[type] = set()
    for part in fields(config):
        value = getattr(config, part.name)
        if is_dataclass(value):
            found.add(type(value))
        else:
            assert isinstance(value, OwnGroups)
    assert found <= set(GROUPS)


@pytest.mark.parametrize(("group", "part"), FIELDS, ids=name_of)
def test_a_field_is_an_option_of_the_same_default_or_says_why_not(group: type, part: SettingField) -> None:
    known = {flag for action in own_options(COMMANDS["optimize"]) for flag in action.option_strings}
    if part.setting.no_option:
        assert len(part.setting.no_option) > 10
        offered = {other.option for _, other in FIELDS if not other.setting.no_option}
        assert part.option in offered or f"--{part.option}" not in known
        return
    assert f"--{part.option}" in known
    if part.setting.required:
        return
    arguments = build_parser().parse_args(GIVEN)
    instead: dict[str, Any] = {"boards": ()} if group is DeviceSettings else {}
    assert getattr(read_options(group, arguments, **instead), part.name) == part.default


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_is_a_field(name: str) -> None:
    for action in own_options(COMMANDS[name]):
        assert isinstance(getattr(action, "setting", None), SettingField), action.option_strings


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_and_the_reference_say_the_same(name: str) -> None:
    page = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    section = re.search(rf"^## `ellopt {name}\b.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section
    assert table(COMMANDS[name]) in section[0], "run: python docs/reference_tables.py"
    shown = "".join(COMMANDS[name].format_help().split())
    for _, options in settings_by_title(COMMANDS[name]):
        for _, part in options:
            row = next(line for line in section[0].splitlines() if re.match(rf"\| `--{part.option}[ `]", line))
            assert part.setting.help.replace("|", r"\|") in row
            assert default_text(part) in row
            assert "".join(plain(part.setting.help).split()) in shown


def test_the_documents_are_as_the_settings_make_them(tmp_path: Path) -> None:
    for name in ("docs/reference.md", "docs/reference_tables.py", "MLproject"):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes((REPOSITORY / name).read_bytes())
    subprocess.run([sys.executable, tmp_path / "docs" / "reference_tables.py"], check=True, timeout=60)
    for name in ("docs/reference.md", "MLproject"):
        assert (tmp_path / name).read_text() == (REPOSITORY / name).read_text(), "run: python docs/reference_tables.py"


def parameters() -> dict[str, str]:
    project = (REPOSITORY / "MLproject").read_text(encoding="utf-8")
    main_entry = re.search(r"^  main:\n(?P<text>.*?)(?=^  \w)", project, re.MULTILINE | re.DOTALL)
    assert main_entry
    return {
        name: default.strip('"') for name, default in re.findall(r"^ +(\w+): \{.*default: (.*)\}", main_entry[0], re.M)
    }


def test_the_project_gives_what_must_be_given_and_nothing_else() -> None:
    given = parameters()
    assert given == {part.option: part.setting.project_default for _, part in FIELDS if part.setting.project_default}
    needed = {part.option for _, part in FIELDS if part.setting.required}
    assert needed <= given.keys()
    assert all(given.values())


@pytest.mark.parametrize(("group", "part"), FIELDS, ids=name_of)
def test_whatever_else_is_given_to_the_project_is_an_option(group: type, part: SettingField) -> None:
    """MLflow puts "--name value" behind the command."""
    if part.setting.no_option or part.option in parameters():
        return
    sort = "true" if isinstance(part.default, bool) else "1"
    command = ["optimize", "--model_path", "m.ell", "--output_path", "out", f"--{part.option}", sort]
    assert vars(build_parser().parse_args(command))[part.option.replace("-", "_")]


def test_the_command_of_the_project_gives_every_parameter_to_its_option() -> None:
    project = (REPOSITORY / "MLproject").read_text(encoding="utf-8")
    for entry in re.split(r"^  (?=\w)", project.partition("entry_points:\n")[2], flags=re.MULTILINE)[1:]:
        declared = set(re.findall(r"^      (\w+): \{", entry, re.MULTILINE))
        used = re.findall(r"\{(\w+)\}", entry.partition("command:")[2])
        assert set(used) == declared
        command = "optimize" if entry.startswith("main") else entry.partition(":")[0]
        known = {flag for action in own_options(COMMANDS[command]) for flag in action.option_strings}
        assert set(re.findall(r"(--?\w+) \{", entry)) <= known


def test_every_variable_is_in_the_reference() -> None:
    page = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8").partition("## Environment variables")[2]
    for _, part in FIELDS:
        assert part.setting.environment in page


def test_a_group_whose_field_says_nothing_is_refused() -> None:
    @dataclass(frozen=True)
    class Silent:
        value: int = 3

    with pytest.raises(TypeError, match=r"Silent\.value"):
        list(settings_of(Silent))


@dataclass(frozen=True)
class ToySettings:
    """What a kind of part from outside brings."""

    toy_speed: int = setting(7, "how fast the toy is", least=1)
    toy_key: str | None = setting(None, "its key", secret=True, environment="TOY_KEY")


class OpenedError(Exception):
    """The part was asked for, with these settings."""


def test_a_kind_of_device_brings_its_settings_and_options_by_its_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def opened(settings: DeviceSettings, target: object, pace: object) -> Any:
        raise OpenedError(settings.own[ToySettings])

    def meant(settings: DeviceSettings, target: object) -> bool:
        return settings.own[ToySettings].toy_speed != 7

    DEVICE_KINDS.insert(0, DeviceKind("toy", meant, opened, ToySettings))
    try:
        monkeypatch.setenv("TOY_KEY", "of-the-toy")
        tune = ["optimize", "--model_path", str(TINY), "-o", str(tmp_path), "--no_mlflow", "--target", "pi3"]
        with pytest.raises(OpenedError) as ended:
            main([*tune, "--toy_speed", "9"])
        assert ended.value.args == (ToySettings(9, "of-the-toy"),)
        assert "of-the-toy" not in repr(ended.value)
        assert main([*tune, "--toy_speed", "0"]) == 2
        for command in ("devices", "doctor"):
            assert "--toy_speed N" in commands_of(build_parser())[command].format_help()
    finally:
        del DEVICE_KINDS[0]


class ToyExecutor:
    """What an executor's row names: the registry calls it."""

    def __init__(self, site: object, capacity: int, settings: ToySettings) -> None:
        raise OpenedError(settings)


def test_an_executor_brings_its_settings_and_options_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ExecutorRow(f"{__name__}:ToyExecutor", f"{__name__}:ToySettings", lambda group: group.toy_speed != 7)
    monkeypatch.setitem(EXECUTORS, "toy", row)
    tune = ["optimize", "--model_path", str(TINY), "-o", str(tmp_path), "--no_mlflow", "--target", "host"]
    with pytest.raises(OpenedError) as ended:
        main([*tune, "--toy_speed", "3"])
    assert ended.value.args == (ToySettings(3),)
    assert main([*tune, "--toy_speed", "0"]) == 2
    unasked = config_from(build_parser().parse_args(tune)).measure.own
    assert isinstance(make_executor("", None, 1, unasked), InlineExecutor)


def make(build: object, own: OwnGroups, target: object) -> Any:
    """What a toolchain's module has: the registry calls it."""
    raise OpenedError(own[ToySettings])


def test_a_toolchain_brings_its_settings_and_options_by_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOOLCHAINS, "toy", ToolchainRow(__name__, "default", f"{__name__}:ToySettings"))
    tune = ["optimize", "--model_path", str(TINY), "-o", str(tmp_path), "--no_mlflow", "--target", "host"]
    with pytest.raises(OpenedError) as ended:
        main([*tune, "--toolchain", "toy", "--toy_speed", "3"])
    assert ended.value.args == (ToySettings(3),)


def test_an_option_that_is_not_given_leaves_the_default() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, "toy", ToySettings)
    assert read_options(ToySettings, parser.parse_args(["--toy_speed", ""])) == ToySettings()
    with pytest.raises(ConfigurationError, match="--toy_speed: must be at least 1"):
        read_options(ToySettings, parser.parse_args(["--toy_speed", "0"]))
