"""How far outputs are off."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ellopt.model.check_data import output_error
from ellopt.model.graph import Port

PORTS = (Port("large", (2, 3)), Port("small", (4,), 6), Port("one", (), 10))


@given(st.integers(0, 10), st.floats(1e-6, 1e6), st.sampled_from([0.0, 0.01, math.inf]), st.integers(0, 2))
def test_each_output_counts_by_its_own_largest_value(index: int, size: float, error: float, of: int) -> None:
    wanted = np.ones((3, 11))
    wanted[:, :6] *= size
    found = wanted.copy()
    found[of, index] += error * wanted[of, index]
    assert math.isclose(output_error(found, wanted, PORTS), error, rel_tol=1e-6, abs_tol=1e-12)
