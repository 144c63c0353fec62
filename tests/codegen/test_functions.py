"""Functions of one number in generated code, over the whole range of float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from ellopt.deploy import run as deploy
from ellopt.frontends.base import read_model
from ellopt.model.layers.activation import ACTIVATION_FUNCTIONS
from ellopt.model.layers.functions import FUNCTIONS
from ellopt.model.rounding import SMALLEST
from tests.support.onnx_models import make_model, save

#: Units in the last place that a function may be off.
UNITS = 8
OPERATORS = {
    "Sigmoid": "sigmoid", "Tanh": "tanh", "Mish": "mish", "Exp": "exponential", "HardSwish": "hard_swish", "Erf": "erf"
}  # fmt: skip


def test_functions_are_right_everywhere(tmp_path: Path) -> None:
    nodes = [helper.make_node(kind, ["x"], [name]) for kind, name in OPERATORS.items()]
    nodes += [helper.make_node("Mul", ["x", "gate"], ["swish"]), helper.make_node("Sigmoid", ["x"], ["gate"])][::-1]
    large = np.geomspace(1e-30, 3e38, 3000)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan]
    x = np.concatenate([np.linspace(-110, 95, 4001), large, -large, special]).astype(np.float32)
    path = save(make_model(nodes, {"x": (len(x),)}, [*OPERATORS.values(), "swish"], opset=18), tmp_path / "f.onnx")
    found = deploy.predict_all(read_model(path), x)
    for name, values in found.items():
        with np.errstate(all="ignore"):
            wide = x.astype(np.float64)
            if name in ACTIVATION_FUNCTIONS:
                exact = ACTIVATION_FUNCTIONS[name](wide)
            else:
                exact = FUNCTIONS[name].compute(wide, float(np.float32(1 / 6)), 0.5)
            wanted = exact.astype(np.float32)
        finite = np.isfinite(wanted) & np.isfinite(x)
        limit = UNITS * 2.0**-24 * np.abs(exact[finite]) + SMALLEST
        np.testing.assert_array_less(np.abs(values[finite] - exact[finite]), limit, err_msg=name)
        beyond = np.isinf(wanted) & np.isfinite(x)
        assert np.isinf(values[beyond]).all(), name
        assert np.isnan(values[np.isnan(x)]).all(), name


def test_gelu_is_right_everywhere(tmp_path: Path) -> None:
    """Below zero it is the difference of two numbers of the size of x, so long as it is not zero."""
    nodes = [helper.make_node("Gelu", ["x"], [name], approximate=name) for name in ("none", "tanh")]
    large = np.geomspace(1e-30, 3e38, 3000)
    x = np.concatenate([np.linspace(-30, 30, 8001), large, -large, [0.0, -0.0]]).astype(np.float32)
    path = save(make_model(nodes, {"x": (len(x),)}, ["none", "tanh"], opset=20), tmp_path / "gelu.onnx")
    found = deploy.predict_all(read_model(path), x)
    for name, function in (("none", "gelu"), ("tanh", "gelu_tanh")):
        with np.errstate(all="ignore"):
            exact = FUNCTIONS[function].compute(x.astype(np.float64), 0.0, 0.0)
        limit = UNITS * 2.0**-24 * np.minimum(np.abs(x), np.where(x < -10, 0, np.inf)) + SMALLEST
        np.testing.assert_array_less(np.abs(found[name] - exact), limit, err_msg=name)
