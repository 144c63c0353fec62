"""The whole search over ELL's own compiler, through the command line."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ellopt.cli.main import main
from ellopt.report.document import TuningReport
from tests.support.paths import TINY


@pytest.fixture
def options(tmp_path: Path) -> Path:
    path = tmp_path / "space.json"
    values = {
        "convolution_methods": ["simple", "unrolled", "winograd"],
        "parallel": [False],
        "winograd_parameters": [2],
    }
    path.write_text(json.dumps(values))
    return path


def optimize(model: Path, output: Path, options: Path, root: Path, *more: str) -> int:
    arguments = ["optimize", "--model_path", str(model), "--target", "host", "-o", str(output), "--no_mlflow"]
    arguments += ["--toolchain", "ell", "--ell_build_root", str(root), "--options", str(options), *more]
    return main(arguments)


def test_a_model_is_tuned_end_to_end(tmp_path: Path, options: Path, ell_build_root: Path) -> None:
    assert optimize(TINY, tmp_path / "out", options, ell_build_root, "--sampler", "grid") == 0
    output = tmp_path / "out" / "tiny16"
    report = TuningReport.load(output / "tuning_report.json")
    assert report.toolchain == "ell"
    assert [layer.node_id for layer in report.layers] == ["1034", "1038", "1041"]
    assert [v.state for layer in report.layers for v in layer.variants] == ["measured"] * 7
    chosen = json.loads((output / "compile_options.json").read_text())["nodes"]
    assert list(chosen) == ["1034", "1038", "1041"]
    assert all(set(values) >= {"preferredConvolutionMethod", "parallelize"} for values in chosen.values())
    assert "ellopt" not in json.dumps(chosen)
    text = (output / "ell_commands.txt").read_text()
    assert text.startswith("# fastest: ")
    for node_id, values in chosen.items():
        assert f"--nodeOption {node_id},preferredConvolutionMethod,{values['preferredConvolutionMethod']}" in text
    assert "ell_commands.txt" in report.files


def test_depthwise_winograd_is_rejected_by_its_result(
    tmp_path: Path, options: Path, ell_build_root: Path, shared_models: Path
) -> None:
    model = shutil.copy(shared_models / "layers" / "dw_3x3.ell", tmp_path)
    assert optimize(Path(model), tmp_path / "out", options, ell_build_root, "--trials", "6") == 0
    (layer,) = TuningReport.load(tmp_path / "out" / "dw_3x3" / "tuning_report.json").layers
    found = {str(variant.options): variant for variant in layer.variants}
    assert found["winograd s2"].state == "failed"
    assert "wrong output: off by" in found["winograd s2"].reason
    assert layer.winner.method != "winograd"
    assert {v.state for text, v in found.items() if not text.startswith("winograd")} <= {"measured", "pruned"}


def test_what_is_missing_is_said_in_one_line(tmp_path: Path, options: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert optimize(TINY, tmp_path / "out", options, tmp_path) == 2
    error = capfd.readouterr().err
    assert "has no bin/compile and no bin/print: build ELL there" in error.replace("\n", " ")
    assert "Traceback" not in error


@pytest.mark.skipif(bool(os.environ.get("ELL_BUILD_ROOT")), reason="sets ELL_BUILD_ROOT, which is set")
def test_the_build_tree_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELL_BUILD_ROOT", str(tmp_path / "nowhere"))
    arguments = ["optimize", "--model_path", str(TINY), "--target", "host", "-o", str(tmp_path / "out")]
    assert main([*arguments, "--toolchain", "ell", "--no_mlflow"]) == 2
    assert "nowhere" in capfd.readouterr().err
