"""Networks with right values that are known, and what a network is checked for before code is made of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ellopt.codegen.dataflow import check_memory, check_steps
from ellopt.codegen.lower import lower
from ellopt.codegen.network import CopyStep, Network
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.frontends.ell.format import archive_of
from ellopt.frontends.ell.read import read_model
from ellopt.model import reference
from tests.support.paths import CASES


@pytest.mark.parametrize(
    ("case", "model"),
    [
        ("fc_spatial", "m.ell"),
        ("fc_spatial_bn", "m.ell"),
        ("dangling_nodes_after_output", "m.ell"),
        ("mean_pool_in_border", "m.ell"),
    ],
)
def test_a_prediction_has_the_known_values(case: str, model: str) -> None:
    values, wanted = (np.load(CASES / case / name).reshape(-1) for name in ("x.npy", "want.npy"))
    found = deploy.predict(read_model(CASES / case / model), values)
    np.testing.assert_allclose(found.reshape(-1), wanted, rtol=0, atol=1e-5 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("case", ["nan_hardtanh", "nan_hardsigmoid"])
def test_every_method_leaves_nan_where_the_reference_has_it(case: str) -> None:
    model, values = read_model(CASES / case / "m.ell"), np.load(CASES / case / "x.npy")
    wanted = reference.predict(model, values)
    assert np.isnan(wanted).sum() > 0
    for method in ("simple", "unrolled"):
        plan = Plan.uniform([node.node_id for node in model.convolutions], ConvolutionOptions(method))
        found = deploy.predict(model, values, deploy.RunSettings(plan)).reshape(-1)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5, equal_nan=True)


def test_nodes_that_the_output_does_not_need_are_left_out() -> None:
    model = read_model(CASES / "dangling_nodes_after_output" / "m.ell")
    assert len(model.nodes) < len(archive_of(model).nodes)
    assert model.nodes[-1] is model.output


@pytest.fixture
def network() -> Network:
    return lower(read_model(CASES.parent / "tiny16.ell"))


def test_a_step_nobody_reads_or_too_early_or_twice_is_a_fault(network: Network) -> None:
    steps = list(network.steps)
    check_steps(steps, network.tensors)
    for wrong in (steps[:-1], steps[1:], [*steps, steps[0]], steps[::-1]):
        with pytest.raises(AssertionError):
            check_steps(wrong, network.tensors)


def test_memory_that_is_too_small_or_shared_is_a_fault(network: Network) -> None:
    check_memory(network)
    with pytest.raises(AssertionError, match="outside the arena"):
        check_memory(replace(network, arena_floats=100))
    together = {name: replace(t, offset=t.origin) for name, t in network.tensors.items()}
    with pytest.raises(AssertionError, match="writes over"):
        check_memory(replace(network, tensors=together))


def test_a_copy_of_more_than_there_is_is_a_fault(network: Network) -> None:
    tensor = network.tensors["input"]
    for more in (0, 5):
        size = (tensor.rows + more, tensor.columns, tensor.channels)
        copy = CopyStep(("1",), "Copy", ("input",), "copy", size=size)
        tensors = {"input": tensor, "copy": replace(tensor, name="copy", place="arena")}
        copied = replace(network, steps=(copy,), tensors=tensors, arena_floats=tensor.floats)
        if not more:
            check_memory(copied)
            continue
        with pytest.raises(AssertionError, match="leaves"):
            check_memory(copied)
