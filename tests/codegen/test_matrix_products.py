"""Products of two computed matrices, of every size of tile, panel and batch, whichever way their elements lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from tests.support.onnx_models import make_model, runtime_outputs, save

#: Rows, depth, columns: a tile is four rows and two vectors, a panel 64 x 64.
SIZES = ((1, 1, 1), (5, 3, 2), (7, 64, 65), (66, 70, 130), (3, 200, 17), (4, 128, 16), (9, 65, 33))


def test_products_of_every_size(tmp_path: Path) -> None:
    nodes, inputs, outputs = [], {}, []
    for k, (rows, depth, columns) in enumerate(SIZES):
        for way, batch in (("along", 2), ("across", 1)):
            left, right, read = f"l{k}{way}", f"r{k}{way}", f"r{k}{way}"
            inputs[left] = (3, 2, rows, depth)
            inputs[right] = (1, batch, depth, columns) if way == "along" else (3, batch, columns, depth)
            if way == "across":
                read = f"t{k}"
                nodes.append(helper.make_node("Transpose", [right], [read], perm=[0, 1, 3, 2]))
            outputs.append(f"y{k}{way}")
            nodes.append(helper.make_node("MatMul", [left, read], [outputs[-1]]))
    path = save(make_model(nodes, inputs, outputs), tmp_path / "m.onnx")
    random = np.random.default_rng(1)
    values = {name: random.normal(size=shape).astype(np.float32) for name, shape in inputs.items()}
    found = deploy.predict_all(read_model(path), values, deploy.RunSettings(threads=2), check=True)
    for name, wanted in runtime_outputs(path, values).items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max(), err_msg=name)
