"""The same command after its end shows what it found; ``--again`` tunes anew; several models end with one table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

import ellopt
from ellopt.cli.commands.optimize import config_from
from ellopt.cli.main import build_parser, main
from ellopt.report.document import TuningReport
from ellopt.search.observation_log import ObservationLog
from tests.support.paths import TINY

NAMES = ("face", "hand")


@dataclass(frozen=True)
class Tuned:
    """A folder of two models, and where they were tuned."""

    models: Path
    out: Path

    def command(self, *further: str) -> list[str]:
        return [
            *("optimize", "--model_path", str(self.models), "--target", "host", "-o", str(self.out), "--no_mlflow"),
            *(
                "--options",
                "quick",
                "--trials",
                "2",
                "--sampler",
                "random",
                "--no_warm_start",
                "--visit_spacing",
                "0.01",
                *further,
            ),
        ]

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in sorted(self.out.rglob("*")) if path.is_file()}

    def report(self, name: str) -> TuningReport:
        return TuningReport.load(self.out / name / "tuning_report.json")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    place = tmp_path_factory.mktemp("first")
    made = Tuned(place / "models", place / "out")
    made.models.mkdir()
    for name in NAMES:
        shutil.copy(TINY, made.models / f"{name}.ell")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", said := StringIO())
        assert main(made.command()) == 0
    assert "finished at" not in said.getvalue()
    table = said.getvalue().rstrip().splitlines()[-4:]
    assert table[0].rstrip() == "2 models tuned"
    assert table[1].split() == ["model", "before", "after", "change", "files"]
    for name, line in zip(NAMES, table[2:], strict=True):
        assert line.startswith(name)
        assert str(made.out / name) in line
    return made


@pytest.fixture
def tuned(first: Tuned, tmp_path: Path) -> Tuned:
    """A copy of the folders that ``first`` left."""
    shutil.copytree(first.models.parent, tmp_path, dirs_exist_ok=True)
    return Tuned(tmp_path / "models", tmp_path / "out")


def test_a_finished_command_shows_what_it_found_and_changes_nothing(
    tuned: Tuned, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tuned.files()
    assert main(tuned.command()) == 0
    said = capsys.readouterr()
    for name in NAMES:
        assert f"{name}: the same command finished at" in said.out
    assert "--again" in said.out
    assert "2 models tuned" in said.out
    assert "ms before" in said.out or "µs before" in said.out
    assert tuned.files() == files
    assert main(tuned.command("--json")) == 0
    assert [row["finished_before"] for row in json.loads(capsys.readouterr().out)] == [True, True]
    assert main(["report", str(tuned.out / "face")]) == 0  # a page that is drawn again changes nothing
    (tuned.out / "face" / "tuning_report.html").write_text("anything")
    files = tuned.files()
    # from Python, too
    report = ellopt.tune(
        tuned.models / "face.ell", output_path=tuned.out, mlflow=False, options="quick", trials=2, sampler="random",
        warm_start=False, visit_spacing=0.01,
    )  # fmt: skip
    assert report == tuned.report("face")
    assert tuned.files() == files


def another_model(tuned: Tuned) -> None:
    path = tuned.models / "face.ell"
    path.write_bytes(path.read_bytes() + b"\n")


def lost_options(tuned: Tuned) -> None:
    (tuned.out / "face" / "compile_options.json").unlink()


def changed_output(tuned: Tuned) -> None:
    path = tuned.out / "face" / "face_options.ell"
    path.write_bytes(path.read_bytes() + b"\n")


def damaged_report(tuned: Tuned) -> None:
    (tuned.out / "face" / "tuning_report.json").write_text("{")


def damaged_record(tuned: Tuned) -> None:
    (tuned.out / "face" / ".ellopt" / "finished.json").write_text('{"version": 1, "files": 3}')


@pytest.mark.parametrize("change", [another_model, lost_options, changed_output, damaged_report, damaged_record])
def test_only_a_model_whose_files_are_as_they_were_is_finished(
    change: Callable[[Tuned], None], tuned: Tuned, capsys: pytest.CaptureFixture[str]
) -> None:
    change(tuned)
    assert main(tuned.command()) == 0
    said = capsys.readouterr().out
    assert "face: the same command finished" not in said
    assert "hand: the same command finished" in said
    assert "2 models tuned" in said
    assert main(tuned.command()) == 0
    assert "face: the same command finished" in capsys.readouterr().out


def begun(directory: Path) -> str:
    """When a search in ``directory`` began: its journal's first line says it."""
    return (directory / ".ellopt" / "search" / "observations.jsonl").read_text().splitlines()[0]


def test_again_measures_anew_and_another_command_goes_on(tuned: Tuned, capsys: pytest.CaptureFixture[str]) -> None:
    face, first = tuned.out / "face", tuned.report("face")
    began = begun(face)
    assert main(tuned.command("--models", "face", "--trials", "3")) == 0
    more = tuned.report("face")
    assert more.trials[:2] == first.trials
    assert len(more.trials) == 3
    assert begun(face) == began
    assert main(tuned.command("--models", "face", "--trials", "3", "--again")) == 0
    assert "finished at" not in capsys.readouterr().out
    fresh = tuned.report("face")
    assert len(fresh.trials) == 3
    assert begun(face) != began
    assert not {t.started_s for t in fresh.trials} & {t.started_s for t in more.trials}


def test_again_after_an_interruption_goes_on_with_what_it_had_begun(
    tuned: Tuned, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = tuned.command("--models", "face", "--again")
    before = begun(tuned.out / "face")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ObservationLog, "append", interrupted)
        assert main(command) == 130
    began = begun(tuned.out / "face")
    assert began != before
    assert main(command) == 0
    assert begun(tuned.out / "face") == began


@pytest.mark.parametrize("inside", [False, True])
def test_in_a_run_of_a_project_paths_are_found_from_any_folder(
    inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow starts a project that has an address in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    if inside:
        monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    arguments = build_parser().parse_args(["optimize", "--model_path", "models", "-o", "out", "--target", "host"])
    models = config_from(arguments).models
    root = tmp_path if inside else Path()
    assert (models.model_path, models.output_path) == (root / "models", root / "out")
