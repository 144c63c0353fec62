"""Which C files a program is compiled of."""

from __future__ import annotations

import pytest

from ellopt.codegen.sources import RUNTIME, c_text, runtime_for

_EVERY = {"ellopt_half.c", "ellopt_layers.c", "ellopt_network.c", "ellopt_padding.c", "ellopt_pool.c"}


def test_a_program_is_compiled_of_what_it_calls_and_of_what_that_calls() -> None:
    runner = c_text("runner.c")

    assert set(runtime_for([runner])) == _EVERY
    assert set(runtime_for([runner, "void ell_products(ell_pool *);"])) == _EVERY | {"ellopt_products.c"}
    assert set(runtime_for([runner, "{ell_general, 1}"])) == _EVERY | {
        *("ellopt_general.c", "ellopt_remap.c", "ellopt_softmax.c")
    }


def test_no_file_of_the_runtime_is_out_of_reach() -> None:
    others = "ell_general ell_half_binary ell_pooling ell_products ell_remap"
    assert set(runtime_for([c_text("runner.c"), others])) == set(RUNTIME)


@pytest.mark.parametrize("text", ["", "/* ell_generality */ int pell_general;"])
def test_a_part_of_a_name_is_no_call(text: str) -> None:
    assert runtime_for([text]) == ()
