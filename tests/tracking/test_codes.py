"""Codes of options are short, and tell options apart."""

from __future__ import annotations

import pytest

from ellopt.codegen.convolution.gemm.method import GEMM_BLOCKINGS
from ellopt.core.methods import Choices, find_method, method_names
from ellopt.core.options import ConvolutionOptions
from ellopt.space.space import TILE_SIZES
from ellopt.tracking.codes import LENGTH, code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("simple", "s"),
        ("unrolled parallel", "u p"),
        ("winograd", "w2"),
        ("winograd t4 f1 parallel", "w4 f1 p"),
        ("winograd t4 f1 c2", "w4 f1 c2"),
        ("winograd t4 f1 c2 parallel", "w4f1c2p"),
        ("winograd t4 f16 c16 parallel", "w4fgcgp"),
        ("unrolled g12x8 parallel", "ug12x8p"),
        ("unrolled gstrassen parallel", "u gstr p"),
        ("unrolled gstrassen2 parallel", "ugstr2p"),
        ("winograd t42 f1 parallel", "w42 f1 p"),
    ],
)
def test_a_code_can_be_read(text: str, expected: str) -> None:
    assert code(ConvolutionOptions.parse(text)) == expected


def test_all_that_the_generator_offers_has_a_code_of_its_own() -> None:
    choices = Choices((0, 1, 2, 4, 6, 8, 16, 64, 4096), TILE_SIZES, GEMM_BLOCKINGS)
    options = {
        found
        for name in method_names()
        for parallel in (False, True)
        for found in find_method(name).combinations(parallel, choices)
    }
    codes = {code(found) for found in options}
    assert len(options) > 5000
    assert len(codes) == len(options)
    assert max(map(len, codes)) <= LENGTH
