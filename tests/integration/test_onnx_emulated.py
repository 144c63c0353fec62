"""The smallest ONNX networks tuned for a 64-bit Pi under the emulator, by the command line: one variant a layer.

Each takes 22 seconds of processor time, most of it the compiler's. The face detector's is left out of most
runs: ELLOPT_EMULATE_ALL=1 adds it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ellopt.cli.main import main
from ellopt.core.options import ConvolutionOptions
from ellopt.frontends.base import read_model
from tests.support.onnx_models import runtime_outputs

QUICK = ("--threads", "1", "--trials", "1", "--visit_spacing", "0", "--no_warm_start", "--no_mlflow", "--silence")

#: Model, and the shape of its input where the file leaves it open.
NETWORKS = {"ppocrv2_cls": "x=1,3,48,192"}
if "ELLOPT_EMULATE_ALL" in os.environ:
    NETWORKS["mp_face_detection_short_range"] = ""


@pytest.mark.parametrize(("name", "shape"), NETWORKS.items(), ids=NETWORKS)
def test_small_networks_are_tuned_under_the_emulator(name: str, shape: str, shared_onnx: Path, tmp_path: Path) -> None:
    path = shared_onnx / f"{name}.onnx"
    shapes = ("--input_shape", shape) if shape else ()
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"convolution_methods": ["unrolled"], "parallel": [False], "winograd_parameters": []}))
    command = ("optimize", "--model_path", str(path), "--target", "pi3_64", "--emulate", "-o", str(tmp_path / "out"))
    assert main([*command, *shapes, "--options", str(space), *QUICK]) == 0
    written = tmp_path / "out" / path.stem / f"{path.stem}_options.onnx"
    sizes = {name: tuple(map(int, sizes.split(","))) for name, _, sizes in [shape.rpartition("=")] if name}
    model = read_model(written, sizes)
    assert set(model.options) == {node.node_id for node in model.convolutions}
    assert all(isinstance(chosen, ConvolutionOptions) for _, chosen in model.options.items())
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs = {name[3:]: arrays[name] for name in arrays.files if name.startswith("in:")}
        for name, values in runtime_outputs(written, inputs).items():
            wanted = arrays[f"out:{name}"]
            assert np.abs(values - wanted).max() <= 1e-4 * np.abs(wanted).max()
