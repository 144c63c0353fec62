"""What the page for users of ELL's scripts says of defaults and habits is what happens."""

from __future__ import annotations

import os
import re
import runpy
import sys
import zipfile
from pathlib import Path

import pytest

from ellopt.cli.main import build_parser, main
from tests.support.paths import REPOSITORY, TINY

ROW = re.compile(r"^\| `--(?P<option>\w+)` is `?(?P<theirs>\w+)`? by default \| (?P<ours>.*) \|$", re.MULTILINE)
ROWS = {row["option"]: row for row in ROW.finditer((REPOSITORY / "docs" / "from-ell.md").read_text(encoding="utf-8"))}


def default(option: str) -> str:
    arguments = build_parser().parse_args(["optimize", "--model_path", "m.ell", "--output_path", "out"])
    return str(getattr(arguments, option))


def reference(option: str) -> str:
    """The default that the reference names, wherever it has the option."""
    text = (REPOSITORY / "docs" / "reference.md").read_text(encoding="utf-8")
    (row,) = set(re.findall(rf"^\| `--{option}\b.*\| ([^|]*) \|$", text, re.MULTILINE))
    return str(row)


def test_every_default_that_differs_is_there() -> None:
    assert {option: row["theirs"] for option, row in ROWS.items()} == {
        "logmode": "w", "verbosity": "INFO", "parallel_build": "4",
    }  # fmt: skip


@pytest.mark.parametrize("option", ["logmode", "verbosity"])
def test_documented_defaults_are_the_true_ones(option: str) -> None:
    assert f"`{default(option)}`" in ROWS[option]["ours"]
    assert reference(option).strip("`").startswith(default(option))


def test_as_many_compilers_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert default("parallel_build") == "7"
    assert reference("parallel_build") == "number of cores"
    assert "number of this machine's cores" in ROWS["parallel_build"]["ours"]


def original(*arguments: object) -> int:
    """The exit code of the script under its old name."""
    script = REPOSITORY / "profile_and_optimize.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script.name, *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(script), run_name="__main__")
    return int(str(end.value.code))


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [([], False), (["--logmode", "a"], True), (["--logmode", "w"], False), (["--logmode", ""], True)],
)
def test_the_script_begins_its_log_anew_unless_told_otherwise(tmp_path: Path, arguments: list[str], kept: bool) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier run\n")
    missing = ["--model_path", tmp_path / "missing.ell", "--output_path", tmp_path / "out", "--no_mlflow"]
    assert original(*missing, "--logfile", log, *arguments) == 2
    assert ("of an earlier run" in log.read_text()) == kept


def test_ellopt_optimize_appends_to_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("of an earlier run\n")
    missing = ["--model_path", str(tmp_path / "missing.ell"), "--output_path", str(tmp_path / "out"), "--no_mlflow"]
    assert main(["optimize", *missing, "--logfile", str(log)]) == 2
    assert "of an earlier run" in log.read_text()


def test_nothing_is_written_beside_a_zipped_model(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "tiny16.ell.zip", "w") as archive:
        archive.write(TINY, "tiny16.ell")
    tmp_path.chmod(0o555)
    try:
        assert main(["show", str(tmp_path / "tiny16.ell.zip")]) == 0
        assert [path.name for path in tmp_path.iterdir()] == ["tiny16.ell.zip"]
    finally:
        tmp_path.chmod(0o755)
