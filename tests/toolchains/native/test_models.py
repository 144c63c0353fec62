"""Real models, written by ELL itself, computed by the native toolchain: the outputs are those that ELL recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ellopt.codegen.arena import last_reads
from ellopt.codegen.lower import lower
from ellopt.core.deadline import Deadline
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.local import LocalPool
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from ellopt.model.layers import Softmax
from ellopt.targets import Target
from ellopt.toolchains.native.toolchain import NativeToolchain

LARGE = ("cnn64", "cnn128bn", "dw96", "dw96s2", "res64", "tutorial160", "vgg64", "mobile128", "resnet64")
LAYERS = (
    *("act_leaky", "act_prelu", "act_sigmoid", "averagepooling_311", "bin_plus", "conv_1x1_s2", "conv_5x5"),
    *("dw_3x3", "dw_3x3_s2", "maxpooling_321"),
)
MODELS = ("tiny16", "dk64", *LARGE, *(f"layers/{name}" for name in LAYERS))
#: for every layer those of them that apply, else unrolled
OPTIONS = {
    "unrolled": ConvolutionOptions("unrolled"),
    "parallel": ConvolutionOptions("unrolled", parallelize=True),
    "winograd": ConvolutionOptions("winograd", True, 8, 2, 4, 4),
}


def find(folder: Path, name: str) -> Path:
    path = folder / f"{name}.ell"
    return path if path.exists() else folder / f"{name}.ell.zip"


def plan_of(toolchain: NativeToolchain, model: Model, options: ConvolutionOptions, target: Target) -> Plan:
    return toolchain.valid_plan(model, Plan.uniform([n.node_id for n in model.convolutions], options), target)


@pytest.mark.parametrize("name", MODELS)
def test_the_outputs_are_those_of_ell(
    name: str, shared_models: Path, toolchain: NativeToolchain, host: Target, build_directory: Path
) -> None:
    model = toolchain.prepare(read_model(find(shared_models, name)))
    values = np.load(shared_models / f"{name}.input.npy")
    expected = np.load(shared_models / f"{name}.expected.npy")
    plans = {key: plan_of(toolchain, model, options, host) for key, options in OPTIONS.items()}
    bundle = toolchain.build(model, list(plans.values()), host, build_directory, Deadline.after(600))
    with LocalPool() as pool, pool.lease(Deadline.after(60)) as device:
        for key, plan in plans.items():
            done = device.run(bundle, toolchain.invoke_predict(bundle, plan, values), Deadline.after(60))
            found = toolchain.read_prediction(bundle, plan, done).reshape(-1)
            limit = 1e-3 if key == "winograd" else 1e-4
            assert np.abs(found - expected).max() <= limit * np.abs(expected).max(), key
        job = Job("check", tuple(plans.values()))
        checks = toolchain.read(
            bundle, job, device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(60))
        ).checks
    assert len(checks) == len(plans) * (len(model.convolutions) + 1), "each convolution, and the worst other step"
    assert [str(check) for check in checks if not check.passed] == []


@pytest.mark.parametrize("name", ["tiny16", *LARGE])
def test_what_enters_the_softmax_is_that_of_ell(
    name: str, shared_models: Path, toolchain: NativeToolchain, host: Target, build_directory: Path
) -> None:
    """A softmax would hide an error: the model is cut before it."""
    whole = read_model(find(shared_models, name))
    *nodes, softmax, output = whole.nodes
    assert isinstance(softmax, Softmax)
    cut_output = type(output)(
        output.node_id, output.type_name, softmax.inputs, softmax.input_layouts, softmax.input_layouts[0]
    )
    model = Model(whole.path, whole.name, (*nodes, cut_output), whole.options, whole.source)
    expected = np.load(shared_models / f"{name}.logits.npy")
    plan = plan_of(toolchain, model, OPTIONS["parallel"], host)
    bundle = toolchain.build(model, [plan], host, build_directory, Deadline.after(600))
    with LocalPool() as pool, pool.lease(Deadline.after(60)) as device:
        values = np.load(shared_models / f"{name}.input.npy")
        done = device.run(bundle, toolchain.invoke_predict(bundle, plan, values), Deadline.after(60))
    found = toolchain.read_prediction(bundle, plan, done).reshape(-1)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cnn128bn", ["convolution", "pooling", "fully_connected", "softmax"]),
        ("resnet64", ["convolution", "pooling", "fully_connected", "softmax"]),
        ("mobile128", ["convolution", "pooling", "softmax"]),
    ],
)
def test_what_can_be_fused_is_fused(name: str, kinds: list[str], shared_models: Path) -> None:
    """No bias, batch normalisation, residual sum, activation or padding is left over as a step of its own; the input is
    not copied."""
    network = lower(read_model(find(shared_models, name)))
    assert sorted({step.kind for step in network.steps}) == sorted(kinds)


@pytest.mark.parametrize("name", ["tutorial160", "vgg64", "mobile128", "resnet64"])
def test_the_arena_holds_little_more_than_what_is_alive_at_once(name: str, shared_models: Path) -> None:
    network = lower(read_model(find(shared_models, name)))
    last_read = last_reads(network.steps, network.tensors, network.chains)
    most = 0
    for i in range(len(network.steps)):
        alive = {
            step.output
            for j, step in enumerate(network.steps[: i + 1])
            if last_read.get(step.output, j) >= i and network.tensors[step.output].place == "arena"
        }
        most = max(most, sum(network.tensors[name].floats for name in alive))
    assert most <= network.arena_floats <= 1.25 * most
