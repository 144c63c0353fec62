"""A folder of models, some of them no models: each gets one clear error, the others are tuned."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from ellopt.cli.main import main
from tests.support.onnx_models import convolution_model, make_model, save, with_external_weights

Maker = Callable[[Path], Any]


def truncated(path: Path) -> None:
    path.write_bytes(convolution_model().SerializeToString()[:-200])


def wrong_dimension(path: Path) -> None:
    save(convolution_model((1, 4, 8, 8)), path)


def cyclic(path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    save(make_model(nodes, {"x": (1, 3, 4, 4)}, ["b"]), path)


def file_missing(path: Path) -> None:
    with_external_weights(convolution_model(), path, "weights.bin")


def outside(path: Path) -> None:
    with_external_weights(convolution_model(), path, "../weights.bin")


def not_a_number(path: Path) -> None:
    model = convolution_model()
    values = numpy_helper.to_array(model.graph.initializer[0]).copy()
    values[0, 0, 0, 0] = math.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(values, "w"))
    save(model, path)


BAD: dict[str, tuple[Maker, str]] = {
    "truncated": (truncated, "truncated or damaged"),
    "dimension": (
        wrong_dimension,
        "weights [4, 3, 3, 3] do not go with 4 channels in 1 groups (1 node: node 0 first (Conv))",
    ),
    "cyclic": (cyclic, "the graph has a cycle"),
    "missing": (file_missing, "its weights are in the file weights.bin beside it, which cannot be read"),
    "outside": (outside, "outside the model's folder"),
    "nan": (not_a_number, "the tensor w holds NaN"),
}


def test_each_bad_file_gets_one_error_and_the_others_are_tuned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name, (make, _) in BAD.items():
        make(models / f"{name}.onnx")
    save(convolution_model(), models / "good.onnx")
    quick = ("--options", "quick", "--trials", "2", "--visit_spacing", "0", "--no_warm_start", "--no_mlflow")
    arguments = ("--model_path", str(models), "--target", "host", "-o", str(tmp_path / "out"), "--silence")
    assert main(["optimize", *arguments, *quick]) == 2
    said = " ".join(capsys.readouterr().err.split())
    for name, (_, what) in BAD.items():
        assert what in said, name
        assert said.count(f"{name}.onnx: ") == 1, said
    assert "Traceback" not in said
    assert (tmp_path / "out" / "good" / "good_options.onnx").is_file()
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir() and path.name in BAD) == []


@pytest.mark.parametrize("command", ["show", "compile", "predict", "bench", "convert"])
@pytest.mark.parametrize("name", sorted(BAD))
def test_every_command_says_it(name: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, what = BAD[name]
    path = tmp_path / f"{name}.onnx"
    make(path)
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 8, 8), np.float32))
    more = {
        "compile": ["-o", str(tmp_path / "lib")],
        "predict": ["--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy")],
        "convert": ["-o", str(tmp_path / "m.ell")],
    }
    assert main([command, str(path), *more.get(command, [])]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert what in said
    assert "Traceback" not in said
