"""ONNX models with several inputs and outputs on the command line, in a library and tuned: arrays keep their axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from ellopt.cli.main import main
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from ellopt.targets import find_target
from tests.support.onnx_models import convolution_model, make_model, runtime_outputs, save
from tests.support.python_wrappers import import_wrapper

NAMES = ("image/0:0", "other")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two inputs, two outputs, names that are no identifiers."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", [NAMES[0], "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", NAMES[1]], ['"; sum */']),
        helper.make_node("GlobalAveragePool", ["c"], ["mean"]),
    ]
    shapes = {NAMES[0]: (1, 3, 6, 7), NAMES[1]: (1, 4, 6, 7)}
    model = make_model(nodes, shapes, ["mean", '"; sum */'], {"w": weights})
    return save(model, tmp_path_factory.mktemp("two") / "two.onnx")


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    sizes = {NAMES[0]: (1, 3, 6, 7), NAMES[1]: (1, 4, 6, 7)}
    return {name: random.normal(size=size).astype(np.float32) for name, size in sizes.items()}


def same(found: dict[str, Any], wanted: dict[str, np.ndarray]) -> None:
    assert {name: array.shape for name, array in found.items()} == {n: array.shape for n, array in wanted.items()}
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-5)


def test_predict_takes_and_gives_arrays_by_name(path: Path, values: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **values)
    code = main(
        ["predict", str(path), "--input", str(tmp_path / "x.npz"), "--output", str(tmp_path / "y.npz"), "--check"]
    )
    assert code == 0
    with np.load(tmp_path / "y.npz") as found:
        same(dict(found), runtime_outputs(path, values))


@pytest.mark.parametrize(
    ("given", "output", "said"),
    [
        ({NAMES[0]: (1, 3, 6, 7)}, "y.npz", "the input other of"),
        ({NAMES[0]: (1, 3, 6, 7), NAMES[1]: (1, 4, 6, 7), "third": (1,)}, "y.npz", "has no input third"),
        ({NAMES[0]: (1, 6, 7, 3), NAMES[1]: (1, 4, 6, 7)}, "y.npz", "the input image/0:0 has the shape 1x6x7x3"),
        ({NAMES[0]: (1, 3, 6, 7), NAMES[1]: (1, 4, 6, 7)}, "y.npy", "has 2 outputs"),
        (None, "y.npz", "has 2 inputs"),
    ],
)
def test_what_does_not_fit_is_named(
    given: dict[str, tuple[int, ...]] | None,
    output: str,
    said: str,
    path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / ("x.npy" if given is None else "x.npz")
    if given is None:
        np.save(source, np.zeros((1, 3, 6, 7), np.float32))
    else:
        np.savez(source, **{name: np.zeros(shape, np.float32) for name, shape in given.items()})
    code = main(["predict", str(path), "--input", str(source), "--output", str(tmp_path / output)])
    assert code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_the_library_has_the_axes_of_the_file(path: Path, values: dict[str, np.ndarray], tmp_path: Path) -> None:
    library = deploy.compile_library(read_model(path), tmp_path / "lib", find_target("host"))
    header = (library.directory / f"{library.name}.h").read_text()
    assert "input 0: image_0:0: 1 x 3 x 6 x 7 floats, from element 0" in header
    assert f"#define {library.name.upper()}_OUTPUT_1_OFFSET 4\n" in header
    module = import_wrapper(library.directory, library.name)
    with module.Model(threads=1) as network:
        same(network.predict(values), runtime_outputs(path, values))
        with pytest.raises(ValueError, match="has the shape"):
            network.predict({**values, NAMES[1]: np.zeros((4, 6), np.float32)})


def test_a_model_is_tuned_and_written_as_the_same_file(tmp_path: Path) -> None:
    path = save(convolution_model((1, 3, "h", "w"), "x=0"), tmp_path / "net.onnx")
    arguments = ("--input_shape", "x=0=1,3,8,8", "--target", "host")
    quick = (
        "--options",
        "quick",
        "--trials",
        "2",
        "--visit_spacing",
        "0",
        "--no_warm_start",
        "--no_mlflow",
        "--silence",
    )
    code = main(["optimize", "--model_path", str(path), *arguments, "-o", str(tmp_path / "out"), *quick])
    assert code == 0
    written = tmp_path / "out" / "net" / "net_options.onnx"
    assert not (written.parent / "compile_switches.txt").exists()
    model = read_model(written, {"x=0": (1, 3, 8, 8)})
    assert [node.node_id for node in model.convolutions] == list(model.options)
    x = {"x=0": np.random.default_rng(2).normal(size=(1, 3, 8, 8)).astype(np.float32)}
    same(deploy.predict_all(model, x), runtime_outputs(written, x))


def test_a_shape_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(convolution_model(), tmp_path / "net.onnx")
    code = main(["show", str(path), "--input_shape", "nonsense"])
    assert code == 2
    assert "--input_shape: 'nonsense' is not of the form" in " ".join(capsys.readouterr().err.split())
