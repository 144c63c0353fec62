"""Layers that take less than the clock of a profile can tell: they read 0, a step of it, or less than 0."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ellopt.core.options import ConvolutionOptions
from ellopt.search.driver import search
from ellopt.search.settings import SearchSettings
from ellopt.select.winners import choose_winners
from tests.support.pretend import SMALL, PretendDevice, PretendToolchain, small_space
from tests.support.pretend_measurer import pretend_measurer

STEP = 0.00025
READINGS = st.sampled_from([0.0, STEP, -STEP, -1e-9, 5 * STEP, 1.0])


@pytest.mark.parametrize("sampler", ["grid", "tpe", "random", "auto", "optuna.samplers:QMCSampler"])
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(layers=st.lists(st.lists(READINGS, min_size=1, max_size=3), min_size=4, max_size=4), seed=st.integers(0, 9))
def test_every_sampler_comes_to_an_end_with_winners(
    tmp_path_factory: pytest.TempPathFactory, sampler: str, layers: list[list[float]], seed: int
) -> None:
    """``layers``: what the passes of each layer may read."""
    generator = random.Random(seed)
    readings = {layer.node_id: values for layer, values in zip(SMALL, layers, strict=True)}

    def latency(node_id: str, options: ConvolutionOptions) -> float:
        return generator.choice(readings[node_id])

    toolchain = PretendToolchain()
    space = small_space(toolchain, (1,), ("simple", "unrolled"))
    directory: Path = tmp_path_factory.mktemp("search")
    lab = pretend_measurer(PretendDevice(latency, other_ms=0.0), toolchain=toolchain, directory=directory)
    settings = SearchSettings(sampler=sampler, trials=12 if sampler != "auto" else 60)
    result = search(space, lab, settings, directory, identity="pretend")
    assert not lab.failures
    winners = choose_winners(result)
    assert set(winners.plan) == set(readings)
    assert all(math.isfinite(layer.winner_ms) and layer.winner_ms > 0 for layer in winners.layers)
