"""What Python programs call: light to import, typed as the settings are, and the same as the command line."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ellopt
from ellopt.app.asked import tuning_groups
from ellopt.app.options import AnyPath, TuningOptions
from ellopt.cli.main import main
from ellopt.core.given import kind_of
from ellopt.core.settings import settings_of
from tests.support.paths import DATA, REPOSITORY, TINY

NOTEBOOK = REPOSITORY / "experiments" / "tune_and_predict.ipynb"
#: of other arguments of ``tune``, and of several models
ELSEWHERE = {"model_path", "output_path", "target", "concurrent_models", "from_reports"}


def test_importing_ellopt_imports_nothing_but_itself() -> None:
    script = "import sys; before = set(sys.modules); import ellopt; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    new = ast.literal_eval(done.stdout)
    assert "ellopt" in new
    assert {name for name in new if name.split(".")[0] not in sys.stdlib_module_names} == {"ellopt"}


def test_every_public_name_is_there_and_listed() -> None:
    assert set(ellopt.__all__) <= set(dir(ellopt))
    for name in ellopt.__all__:
        assert getattr(ellopt, name).__name__ == name
        assert name in (REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8")
    with pytest.raises(AttributeError, match="tunes"):
        ellopt.tunes  # type: ignore[attr-defined]  # noqa: B018


def test_options_have_the_types_of_the_settings() -> None:
    expected: dict[str, Any] = {}
    for group in (group for _, groups in tuning_groups() for group in groups):
        hints = typing.get_type_hints(group)
        for part in settings_of(group):
            if part.setting.no_option or part.key in ELSEWHERE:
                continue
            hint = hints[part.name]
            if part.setting.kind is Path:
                hint = AnyPath
            elif typing.get_origin(hint) is tuple:
                hint = str | Sequence[str]
            elif kind_of(hint) is Path:
                hint = AnyPath | None
            expected[part.key] = hint
    assert typing.get_type_hints(TuningOptions) == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trials": "ten"}, "trials: a whole number is needed, not 'ten'"),
        ({"trials": True}, "trials: a whole number"),
        ({"trials": 0}, "--trials: must be at least 1"),
        ({"mlflow": "no"}, "mlflow: True or False is needed"),
        ({"tolerance": "small"}, "tolerance: a number"),
        ({"ipaddress": 5, "target": "pi3"}, "ipaddress: a list of texts"),
        ({"ipaddress": [5], "target": "pi3"}, "ipaddress: a text is needed"),
        ({"ipaddress": "192.168.1.20"}, "--target host and --ipaddress contradict"),
        ({"target": "pi33"}, "did you mean pi3"),
        ({"models": "other"}, "no model called 'other'"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_named(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ellopt.ConfigurationError) as ended:
        ellopt.tune(TINY, output_path=tmp_path, **options)
    assert said in str(ended.value)


def test_an_option_that_there_is_not_is_a_type_error(tmp_path: Path) -> None:
    for wrong, meant in (("trial", "trials"), ("no_mlflow", "mlflow"), ("sampler_name", "sampler")):
        with pytest.raises(TypeError, match=rf"{wrong!r} \(did you mean {meant}\?\)"):
            ellopt.tune(TINY, output_path=tmp_path, **{wrong: 1})  # type: ignore[arg-type]


def test_several_models_are_not_one(tmp_path: Path) -> None:
    for name in ("a.ell", "b.ell"):
        (tmp_path / name).write_bytes(TINY.read_bytes())
    with pytest.raises(ellopt.ConfigurationError, match="holds 2 models: a, b"):
        ellopt.tune(tmp_path, output_path=tmp_path / "out")


def test_a_folder_without_a_tuned_model_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ellopt.ConfigurationError, match="no tuned model"):
        ellopt.load(tmp_path)
    (tmp_path / "face").mkdir()
    (tmp_path / "face" / "tuning_report.json").write_text("{}")
    with pytest.raises(ellopt.ConfigurationError, match=r"there are tuned ones .*: face"):
        ellopt.load(tmp_path)


def test_the_notebook_runs_and_leaves_what_the_command_line_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its cells in order, in the folder that it names; then the model that it tuned by the command line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").symlink_to(REPOSITORY / "experiments" / "quickstart")
    names: dict[str, Any] = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)
    printed = capsys.readouterr().out
    report, image, output = names["report"], names["image"], names["output"]
    assert isinstance(report, ellopt.TuningReport)
    assert all(str(layer.winner) in printed for layer in report.layers)
    assert report.confirmation.written is not None
    assert names["model"].options == {key: str(options) for key, options in report.confirmation.written.plan.items()}
    np.save("in.npy", image)
    assert main(["predict", "notebook-out/cnn64", "--input", "in.npy", "--output", "out.npy"]) == 0
    np.testing.assert_allclose(np.load("out.npy"), output, rtol=1e-4, atol=1e-5)


def test_inputs_and_outputs_are_known_by_name_and_shape() -> None:
    model = ellopt.load(TINY)
    assert model.inputs == {"input": (16, 16, 3)}
    values = np.load(DATA / "tiny16.input.npy")
    (name,) = model.outputs
    assert model.predict(values).shape == model.outputs[name]  # type: ignore[union-attr]
    assert model.predict({"input": values}).shape == model.outputs[name]  # type: ignore[union-attr]
    with pytest.raises(ellopt.ConfigurationError, match="4x4x3"):
        model.predict(np.zeros((4, 4, 3)))
