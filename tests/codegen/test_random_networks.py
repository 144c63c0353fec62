"""Generated networks of every kind of node, shape and layout that the reader accepts compute what the reference does.

The suite draws the same few each time; ``ELLOPT_NETWORKS`` asks for so many others.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ellopt.codegen.convolution.gemm.strassen import STRASSEN, STRASSEN_TWICE
from ellopt.core.options import ConvolutionOptions
from tests.support.network_check import check_network
from tests.support.network_generator import Network, networks
from tests.support.networks import compile_networks

OPTIONS = (
    ConvolutionOptions("simple"),
    ConvolutionOptions("unrolled"),
    ConvolutionOptions("unrolled", parallelize=True),
    ConvolutionOptions("unrolled", gemm_blocking=STRASSEN),
    ConvolutionOptions("unrolled", gemm_blocking=STRASSEN_TWICE),
    ConvolutionOptions("winograd", winograd_tile_size=4, parallelize=True),
    ConvolutionOptions("winograd", winograd_tile_size=42),
    ConvolutionOptions("winograd", False, 2, 4, 4),
)
BATCH = 20  # networks that are compiled at once
BATCHES = max(1, int(os.environ.get("ELLOPT_NETWORKS", "60")) // BATCH)


@settings(
    max_examples=BATCHES,
    derandomize="ELLOPT_NETWORKS" not in os.environ,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(st.tuples(networks(), st.sampled_from(OPTIONS)), min_size=BATCH, max_size=BATCH))
def test_every_step_agrees_with_the_reference(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[Network, ConvolutionOptions]]
) -> None:
    directory = tmp_path_factory.mktemp("networks")
    compiled = compile_networks(
        {f"n{i}": (network.model, options) for i, (network, options) in enumerate(drawn)}, directory
    )
    for i, (network, options) in enumerate(drawn):
        try:
            check_network(compiled[f"n{i}"], network.model, network.values, 3 if options.parallelize else 1)
        except AssertionError as error:
            kept = Path(directory, f"{i}.ell")
            kept.write_text(network.text)
            raise AssertionError(f"{kept}, {options}: {error}") from error
