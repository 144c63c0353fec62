"""Generated networks of random layers compute what the NumPy reference computes, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from codegen_support import CompiledNetwork, compile_networks, random_model

from ellopt.model import reference
from ellopt.options import ConvolutionOptions

OPTIONS = (
    ConvolutionOptions("unrolled"),
    ConvolutionOptions("simple"),
    ConvolutionOptions("unrolled", parallelize=True),
    ConvolutionOptions("winograd", winograd_tile_size=4, parallelize=True),
    ConvolutionOptions("winograd", False, 2, 4, 4),
)
MODELS = {f"c{seed}": (random_model(seed), OPTIONS[seed % len(OPTIONS)]) for seed in range(20)}
MODELS |= {f"p{seed}": (random_model(seed, convolutions=False), OPTIONS[0]) for seed in range(40)}


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CompiledNetwork]:
    return compile_networks(MODELS, tmp_path_factory.mktemp("networks"))


@pytest.mark.parametrize("key", MODELS)
def test_every_step_agrees_with_the_reference(key: str, networks: dict[str, CompiledNetwork]) -> None:
    model, options = MODELS[key]
    compiled = networks[key]
    values = np.random.default_rng(1).normal(size=model.input.output_layout.size).astype(np.float32)
    expected = reference.run(model, values)
    tolerance = 1e-3 if options.method == "winograd" else 1e-4
    compiled.start(values, threads=3 if options.parallelize else 1)
    for i, step in enumerate(compiled.network.steps):
        found = compiled.step(i)
        if step.kind != "copy" or step is compiled.network.steps[-1]:
            wanted = expected[step.result_id]
            error = np.abs(found.reshape(-1) - wanted.reshape(-1)).max() / max(1.0, np.abs(wanted).max())
            assert error < tolerance, f"step {i} ({step.kind}, nodes {step.node_ids}): {error}"
    compiled.stop()
    found = compiled.arrays["output"]
    wanted = expected[model.output.node_id].reshape(-1)
    assert np.abs(found - wanted).max() <= tolerance * max(1.0, np.abs(wanted).max())
