"""Networks of which some layers are computed in float16: tensors between them are, too, and all steps are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from ellopt.codegen.halves import may_be_half
from ellopt.codegen.lower import lower
from ellopt.core.deadline import Deadline
from ellopt.core.job import Job, JobResult
from ellopt.core.options import FLOAT16, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.emulator import EmulatedDevice
from ellopt.frontends.base import read_model
from ellopt.model.check_data import check_outputs
from ellopt.model.graph import Model
from ellopt.targets import find_target
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.networks import ModelMaker
from tests.support.onnx_models import make_model, save
from tests.support.simulated import needs_qemu

PI5 = find_target("pi5", 2)
WAYS = (
    ConvolutionOptions("unrolled"),
    ConvolutionOptions("unrolled", parallelize=True, precision=FLOAT16),
    ConvolutionOptions("winograd", winograd_tile_size=4, precision=FLOAT16),
)
PLANS = 8


def random_model(rng: np.random.Generator) -> Model:
    """Convolutions of every kind, and between them what can and what cannot work on float16."""
    maker = ModelMaker(rng)
    at = maker.reorder(maker.input(13, 11, 3), padding=1)
    for _ in range(6):
        border = {"padding": int(rng.integers(2)), "value": float(rng.choice([0.0, 0.5]))}
        rows, _, channels = maker.layout(at).size
        kind = rng.choice(["wide", "narrow", "depthwise", "strided", "max", "mean", "affine", "residual", "alone"])
        extent = min(maker.layout(at).extent[:2])
        if kind in ("wide", "depthwise", "strided") and extent >= 5:
            stride = 2 if kind == "strided" and rows > 6 else 1
            at = maker.convolution(at, int(rng.integers(5, 34)), 3, stride, kind == "depthwise")
            at = maker.activation(maker.affine(at, "bias"), str(rng.choice(["relu", "sigmoid"])), **border)
        elif kind in ("max", "mean") and rows > 4:
            at = maker.pooling(at, kind, 2 + int(rng.integers(2)), 2, **border)
        elif kind == "residual" and maker.layout(at).extent == maker.layout(at).size:
            at = maker.binary(maker.convolution(at, channels, 1), at, "add", **border)
        elif kind == "affine":
            at = maker.affine(at, "scaling", **border)
        elif kind == "alone":  # a sum or a product of what another step reads, too
            other = maker.activation(at, str(rng.choice(["sigmoid", "exponential", "leaky_relu"])))
            operation = str(rng.choice(["add", "subtract", "coordinatewiseMultiply"]))
            at = maker.binary(maker.affine(at, "batch"), other, operation)
            at = maker.activation(at, str(rng.choice(["relu", "tanh"])), **border)
        else:
            at = maker.convolution(at, int(rng.integers(5, 34)), 1, **border)
    maker.output(maker.convolution(at, 9, 1))
    return maker.model()


def joined_model(path: Path) -> Model:
    """A concatenation that pooling, a convolution and a product write; where all work on float16, its parts do."""
    rng = np.random.default_rng(2)
    sizes = {"a": (12, 3, 3, 3), "b": (10, 12, 1, 1), "c": (5, 34, 1, 1), "d": (12, 12, 1, 1)}
    weights = {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "a"], ["first"], pads=[1, 1, 1, 1]),
        node("MaxPool", ["first"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        node("AveragePool", ["first"], ["means"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["means", "b"], ["second"]),
        node("Conv", ["means", "d"], ["third"]),
        node("Mul", ["third", "means"], ["product"]),
        node("Concat", ["pooled", "second", "product"], ["both"], axis=1),
        node("Conv", ["both", "c"], ["y"]),
    ]
    return read_model(save(make_model(nodes, {"x": (1, 3, 14, 14)}, ["y"], weights), path / "joined.onnx"))


@needs_qemu
@pytest.mark.parametrize("kind", ["random", "random again", "joined"])
def test_every_step_is_right_whatever_its_neighbours_are_computed_in(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(kind == "random again")
    model = joined_model(tmp_path) if kind == "joined" else random_model(rng)
    toolchain = NativeToolchain()
    layers = toolchain.layers(model)
    ways = {
        layer.node_id: [o for way in WAYS if (o := toolchain.canonical(layer.shape, way, PI5)) is not None]
        for layer in layers
    }
    plans = [Plan.of({node_id: row[-1] for node_id, row in ways.items()})]
    plans += [Plan.of({node_id: row[rng.integers(len(row))] for node_id, row in ways.items()}) for _ in range(PLANS)]
    deadline = Deadline.after(300)
    bundle = toolchain.build(model, plans, PI5, tmp_path, deadline)

    def run(job: Job) -> JobResult:
        return toolchain.read(bundle, job, device.run(bundle, toolchain.invoke(bundle, job), deadline))

    device = EmulatedDevice(PI5)
    assert not [check for check in run(Job("check", tuple(plans))).checks if not check.passed]
    inputs, wanted = check_outputs(model, 2)
    found = run(Job("outputs", tuple(plans), inputs=inputs)).outputs
    assert found is not None
    error = np.abs(found - wanted.reshape(1, 2, -1)).max() / np.abs(wanted).max()
    assert error < 0.02


def test_tensors_between_what_works_on_float16_may_be_float16() -> None:
    """Not what the caller gives and gets, nor what a step reads or writes that computes in float32 alone."""
    maker = ModelMaker(np.random.default_rng(0))
    first = maker.convolution(maker.input(16, 16, 3), 8, 3)
    pooled = maker.pooling(maker.pooling(first, "max", 2, 2), "mean", 2, 2)
    second = maker.activation(maker.convolution(pooled, 8, 1), "softplus")
    scaled = maker.affine(second, "scaling")
    third = maker.convolution(scaled, 8, 1)
    summed = maker.binary(maker.convolution(third, 8, 1), maker.activation(third, "elu"), "subtract")
    large = maker.activation(summed, "exponential")
    fourth = maker.convolution(large, 8, 1)
    divided = maker.binary(maker.convolution(fourth, 8, 1), fourth, "divide")
    maker.output(maker.convolution(divided, 4, 1))
    network = lower(maker.model())
    may = may_be_half(network)
    cannot = {network.input_name, network.output_name}  # a copy of the input into one with a border may be
    for step in network.steps:
        if "exponential" in step.activation or getattr(step, "operation", "") == "divide":
            cannot.update((*step.inputs, step.output))
    assert may == network.tensors.keys() - cannot
    assert {f"v{first}", f"v{second}", f"v{scaled}", f"v{third}"} <= may


@needs_qemu
def test_plans_without_float16_have_no_such_tensors(tmp_path: Path) -> None:
    """Whatever stands between their layers: nothing in them is off by as much as float16 would be."""
    maker = ModelMaker(np.random.default_rng(0))
    first = maker.convolution(maker.input(16, 16, 3), 8, 3)
    pooled = maker.pooling(maker.pooling(first, "max", 2, 2), "mean", 2, 2)
    summed = maker.binary(pooled, maker.affine(pooled, "scaling"), "add")
    maker.output(maker.convolution(maker.activation(summed, "relu"), 4, 1))
    model = maker.model()
    assert may_be_half(lower(model))
    toolchain, deadline = NativeToolchain(), Deadline.after(300)
    plan = Plan.of({layer.node_id: ConvolutionOptions("unrolled") for layer in toolchain.layers(model)})
    bundle = toolchain.build(model, [plan], PI5, tmp_path, deadline)
    inputs, wanted = check_outputs(model, 2)
    job = Job("outputs", (plan,), inputs=inputs)
    ran = EmulatedDevice(PI5).run(bundle, toolchain.invoke(bundle, job), deadline)
    found = toolchain.read(bundle, job, ran).outputs
    assert found is not None
    assert np.abs(found - wanted.reshape(1, 2, -1)).max() < 1e-5 * np.abs(wanted).max()
