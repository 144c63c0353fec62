"""Few long rows: threads share columns, so that each has the same pixels in layer after layer."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ellopt.codegen.convolution.base import kernel_for
from ellopt.core.options import ConvolutionOptions
from ellopt.targets import CPUS
from tests.support.kernels import assert_agrees, compile_kernels, draw_case, plain_site, run_kernel


@pytest.mark.parametrize("cores", [2, 4])
@pytest.mark.parametrize("cpu", ["x86-64-v3", "x86-64-v4"])
def test_threads_share_the_columns_of_few_long_rows_in_one_meeting(cores: int, cpu: str) -> None:
    for rows, columns, channels, filters, depthwise, field in (
        (3, 133, 16, 40, False, 1),
        (2, 97, 5, 24, False, 3),
        (5, 88, 24, 24, True, 5),
        (1, 131, 17, 17, True, 3),
    ):
        site = replace(plain_site(rows, columns, channels, filters, depthwise), cpu=CPUS[cpu], cores=cores)
        stride = (columns + field - 1) * channels
        case = draw_case(replace(site, field=field, field_columns=field, in_row_stride=stride))
        kernel = kernel_for(case.site, ConvolutionOptions("unrolled", True))
        (counted,) = compile_kernels([kernel], pool=Path(__file__).parent / "counting_pool.c")
        meetings = ctypes.c_int.in_dll(counted.library, "meetings")
        meetings.value = 0
        alone = run_kernel(counted, case)
        assert_agrees(alone, case)
        meetings.value = 0
        np.testing.assert_array_equal(run_kernel(counted, case, cores), alone)
        assert meetings.value == 1
