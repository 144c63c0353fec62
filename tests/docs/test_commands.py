"""The guide's commands: those marked as testable are run, all others must at least be understood."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ellopt.cli.main import build_parser
from tests.support.paths import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("docs/*.md"), REPOSITORY / "README.md"])
BLOCK = re.compile(r"^```console(?P<mark>[^\n]*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
SECONDS = 240


@dataclass(frozen=True)
class Command:
    """A line that a reader is told to type. ``page`` and ``line`` say where."""

    page: str
    line: int
    text: str
    testable: bool


def commands(page: Path) -> Iterator[Command]:
    """The lines that begin with "$ " in blocks fenced as ``console``, or all lines of a block that has none such;
    "test" behind the fence makes a block testable."""
    if not page.exists():
        return
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        number = text[: block.start("body")].count("\n") + 1
        joined = re.sub(r"\\\n(?:> )?\s*", " ", block["body"])
        prompt = "$ " if re.search(r"^\$ ", joined, re.MULTILINE) else ""
        for offset, line in enumerate(joined.splitlines()):
            if line.strip() and line.startswith(prompt):
                typed = line.removeprefix(prompt).strip()
                yield Command(page.name, number + offset, typed, "test" in block["mark"].split())


ALL = [command for page in PAGES for command in commands(page)]


def _name(command: Command) -> str:
    return f"{command.page}:{command.line}"


def _arguments(command: Command) -> list[str] | None:
    """The arguments of an ellopt command line; None for another program's."""
    words = shlex.split(command.text, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    for start, arguments in (
        (["ellopt"], words[1:]),
        (["python", "-m", "ellopt"], words[3:]),
        (["python", "profile_and_optimize.py"], ["optimize", *words[2:]]),
    ):
        if words[: len(start)] == start:
            return arguments
    return None


@pytest.mark.parametrize("command", [c for c in ALL if _arguments(c) is not None], ids=_name)
def test_options_exist(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = _arguments(command)
    assert arguments is not None
    code: object = 0
    try:
        build_parser().parse_args(arguments)
    except SystemExit as stopped:  # --help ends with 0
        code = stopped.code
    assert code == 0, f"{_name(command)}: {command.text}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("command", [c for c in ALL if "mlflow run " in c.text], ids=_name)
def test_parameters_of_the_project_exist(command: Command) -> None:
    words = re.findall(r"-P (\w+)=(\S+)", command.text)
    named = [word for name, value in words for word in (f"--{name}", value)]
    start = ["--model_path", "m", "--output_path", "o"]
    if "-e " not in command.text:
        assert build_parser().parse_args(["optimize", *start, *named])


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader of the tutorial has it: the repository's examples, nothing else."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(REPOSITORY / "experiments", folder / "experiments")
    return folder


def test_the_tutorial_works_as_written(reader: Path) -> None:
    """Runs the testable commands of the guide in order, each page going on from what the one before left."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RPI_", "ELL_", "COLUMNS"))
    }
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    ran = 0
    for command in ALL:
        if not command.testable:
            continue
        result = subprocess.run(
            command.text, shell=True, cwd=reader, env=environment, capture_output=True, text=True, timeout=SECONDS
        )
        assert result.returncode == 0, f"{_name(command)}: {command.text}\n{result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stderr
        ran += 1
    assert ran >= 8
    tuned = reader / "out" / "cnn64"
    for name in ("cnn64_options.ell", "compile_options.json", "compile_switches.txt", "tuning_report.html"):
        assert (tuned / name).stat().st_size > 0
    assert (reader / "comparison.html").exists()
    assert (reader / "out.npy").exists()
    assert list((reader / "deploy").glob("*.h"))


@pytest.mark.parametrize("page", [page for page in PAGES if page.exists()], ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in LINK.finditer(text):
        target, _, anchor = link["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = page if not target else (page.parent / target)
        assert file.exists(), link["target"]
        if anchor and file.suffix == ".md":
            assert anchor in _anchors(file), link["target"]


def _anchors(file: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers of Markdown make them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_option_is_in_the_reference() -> None:
    """The reference names every command and every option, and no other."""
    reference = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    sections = dict(
        re.findall(r"^## `ellopt ([a-z-]+)[^\n]*\n(.*?)(?=^## |\Z)", reference, flags=re.MULTILINE | re.DOTALL)
    )
    subparsers = next(a for a in build_parser()._actions if isinstance(getattr(a, "choices", None), dict))
    choices = dict(subparsers.choices or {})
    assert set(sections) == set(choices)
    for name, parser in choices.items():
        known = {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")} - {
            "--help"
        }
        told = set(re.findall(r"`(--[a-z_-]+)", sections[name]))
        assert told == known, f"ellopt {name}"
