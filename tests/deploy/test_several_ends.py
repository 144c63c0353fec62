"""`.ell` models with several inputs and outputs on the command line and in a library: arrays go by the map's names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ellopt.cli.main import main
from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from ellopt.targets import find_target
from tests.support import ell_archives as build
from tests.support.python_wrappers import import_wrapper

IMAGE, SECOND = (6, 5, 2), (4, 3, 3)
WEIGHTS = np.random.default_rng(0).normal(size=(3, 3, 3, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution of one input, a sum with the other, and a part of each as outputs."""
    written = build.layout(SECOND)
    convolution = build.convolution_fields(WEIGHTS)
    layouts = {"inputLayout1": written, "inputLayout2": written, "outputLayout": written}
    ports = {"input1": build.port("3", "2", "input1"), "input2": build.port("3", "4", "input2")}
    add = {"_type": "BinaryOperationNode<float>", "_version": "7", "id": "3", **ports, **layouts, "operation": "add"}
    nodes = [
        build.input_node("1", IMAGE),
        build.input_node("4", SECOND),
        build.layer_node("Convolutional", "2", "1", build.layout(IMAGE), written, convolution),
        add,
    ]
    data = build.map_of(nodes)
    data |= {"inputNames": ["image", "more"], "inputIds": ["1", "4"]}
    data |= {"outputNames": ["sum", "first row"], "outputElements": ["3.output", "2.output[0:9]"]}
    path = tmp_path_factory.mktemp("several") / "several.ell"
    path.write_text(json.dumps(data))
    return path


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "image": random.normal(size=IMAGE).astype(np.float32),
        "more": random.normal(size=SECOND).astype(np.float32),
    }


def same(found: dict[str, np.ndarray], values: dict[str, np.ndarray]) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(values["image"], (3, 3), axis=(0, 1))
    convolved = np.einsum("rcdxy,fxyd->rcf", windows, WEIGHTS)
    assert list(found) == ["sum", "first row"]
    np.testing.assert_allclose(found["sum"], convolved + values["more"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["first row"].reshape(3, 3), convolved[0], rtol=1e-4, atol=1e-5)


def test_predict_takes_and_gives_arrays_by_name(path: Path, values: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **values)
    files = ["--input", str(tmp_path / "x.npz"), "--output", str(tmp_path / "y.npz")]
    assert main(["predict", str(path), *files, "--check"]) == 0
    with np.load(tmp_path / "y.npz") as found:
        same(dict(found), values)


def test_the_library_says_where_each_lies(path: Path, values: dict[str, np.ndarray], tmp_path: Path) -> None:
    library = deploy.compile_library(read_model(path), tmp_path / "lib", find_target("host"))
    header = (library.directory / f"{library.name}.h").read_text()
    assert "input 1: more: 4 x 3 x 3 floats, from element 60" in header
    assert f"#define {library.name.upper()}_OUTPUT_1_OFFSET 36\n" in header
    module = import_wrapper(library.directory, library.name)
    with module.Model(threads=1) as network:
        same(network.predict(values), values)
