"""A library's Python module takes an input however it lies in memory, and leaves it as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ellopt.cli.main import main
from tests.support.paths import TINY
from tests.support.python_wrappers import import_wrapper

SHAPE = (16, 16, 3)


def unaligned(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.frombuffer(b"\0" + values.tobytes(), np.uint8)[1:].view(np.float32).reshape(SHAPE)


WAYS = {
    "as it is": lambda x: x,
    "flat": lambda x: x.reshape(-1),
    "doubles": lambda x: x.astype(np.float64),
    "columns first": np.asfortranarray,
    "every second": lambda x: np.repeat(x, 2, axis=0)[::2],
    "lists": lambda x: x.tolist(),
    "the other order of bytes": lambda x: x.astype(">f4"),
    "unaligned": unaligned,
}


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("library")
    assert main(["compile", str(TINY), "--target", "host", "-o", str(folder)]) == 0
    return import_wrapper(folder, "tiny16")


def test_an_input_is_read_however_it_lies(module: Any) -> None:
    values = np.random.default_rng(3).normal(size=SHAPE).astype(np.float32)
    values.flags.writeable = False
    with module.Model() as model:
        first = model.predict(values)
        others = [model.predict(np.zeros(SHAPE, np.float32)), *(model.predict(way(values)) for way in WAYS.values())]
    assert np.abs(others[0] - first).max() > 1e-3
    for name, found in zip(WAYS, others[1:], strict=True):
        np.testing.assert_array_equal(found, first, err_msg=name)
