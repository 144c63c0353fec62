"""Convolutions by bands of rows: each row in an order in which it can be computed, and with right results."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from ellopt.codegen.bands import band_rows, turns
from ellopt.codegen.lower import lower
from ellopt.codegen.network import ConvolutionStep, Network
from ellopt.core.deadline import Deadline
from ellopt.core.job import Job, JobResult
from ellopt.core.options import FLOAT16, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy.library import compile_library
from ellopt.devices.emulator import EmulatedDevice
from ellopt.model.check_data import check_outputs
from ellopt.model.graph import Model
from ellopt.targets import CPUS, find_target
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.networks import ModelMaker
from tests.support.simulated import needs_qemu

A72 = CPUS["cortex-a72"]
WAYS = {
    "pi4_64": (ConvolutionOptions("unrolled"), ConvolutionOptions("unrolled", gemm_blocking="strassen")),
    "pi5": (ConvolutionOptions("unrolled"), ConvolutionOptions("unrolled", precision=FLOAT16)),
}


def model_of(rows: int, seed: int = 0) -> Model:
    """Layers with and without a stride whose results are large: some bands are cut by the last row."""
    maker = ModelMaker(np.random.default_rng(seed))
    border = {"padding": 1, "value": 0.25}
    at = maker.reorder(maker.input(2 * rows, 160, 3), padding=1)
    at = maker.activation(maker.convolution(at, 24, 3, 2), "relu", **border)
    at = maker.activation(maker.convolution(at, 24, 3, 1, True), "relu")
    at = maker.activation(maker.convolution(at, 32, 1), "relu", **border)
    at = maker.activation(maker.convolution(at, 32, 3, 2, True), "relu")
    maker.output(maker.convolution(at, 8, 1))
    return maker.model()


def rows_of(network: Network, cores: int = 1) -> dict[int, int]:
    convolutions = [(i, step) for i, step in enumerate(network.steps) if isinstance(step, ConvolutionStep)]
    return {i: band_rows(network, step, A72, cores) for i, step in convolutions}


@pytest.mark.parametrize("rows", range(88, 101))
def test_bands_take_turns_so_that_what_one_reads_is_written(rows: int) -> None:
    network = lower(model_of(rows))
    assert network.chains == ((0, 1, 2, 3),)
    sizes = rows_of(network)
    found = list(turns(network, sizes))
    assert len(list(groupby(step for step, _ in found))) > 8, "they take turns"
    written = dict.fromkeys(range(len(network.steps)), 0)
    bands = dict.fromkeys(written, 0)
    for i, band in found:
        step, whole = network.steps[i], network.tensors[network.steps[i].output].rows
        assert isinstance(step, ConvolutionStep)
        if band < 0:
            written[i] = whole
            continue
        assert band == bands[i]
        bands[i] += 1
        written[i] = min(whole, (band + 1) * sizes[i])
        read = (written[i] - 1) * step.shape.stride + step.row_extent - step.border.top
        if i:
            assert min(read, network.tensors[step.inputs[0]].rows) <= written[i - 1]
    assert all(rows == network.tensors[network.steps[i].output].rows for i, rows in written.items())


def test_threads_do_not_meet_after_bands() -> None:
    network = lower(model_of(96))
    assert list(turns(network, rows_of(network, 4))) == [(i, -1) for i in range(len(network.steps))]


def test_what_winograd_may_compute_takes_no_turns() -> None:
    maker = ModelMaker(np.random.default_rng(0))
    at = maker.reorder(maker.input(96, 96, 3), padding=1)
    at = maker.activation(maker.convolution(at, 24, 3), "relu", padding=1, value=0.0)
    at = maker.activation(maker.convolution(at, 24, 3), "relu")
    maker.output(maker.convolution(at, 8, 1))
    network = lower(maker.model())
    assert network.chains == ()
    assert rows_of(network) == dict.fromkeys(range(len(network.steps)), 96)


@pytest.mark.parametrize(("name", "banded"), [("pi4_64", True), ("pi0", False), ("host", False)])
def test_bands_take_memory_only_where_there_are_any(name: str, banded: bool, tmp_path: Path) -> None:
    model, target = model_of(96), replace(find_target(name, 1), cores=4)
    nodes = [layer.node_id for layer in NativeToolchain().layers(model)]
    bytes_of = {
        parallel: compile_library(
            model,
            tmp_path / str(parallel),
            target,
            Plan.uniform(nodes, ConvolutionOptions("unrolled", parallelize=parallel)),
        ).memory_bytes
        for parallel in (False, True)
    }
    more = 4 * (lower(model).arena_floats - lower(model, banded=False).arena_floats)
    assert more > 500_000
    assert (bytes_of[False] - bytes_of[True] > more / 2) == banded


def test_a_border_that_the_input_lacks_is_put_by_who_reads_it() -> None:
    network = lower(model_of(96))
    assert network.steps[0].inputs == ("input",)
    assert {step.kind for step in network.steps} == {"convolution"}


@needs_qemu
@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("rows", [91, 96])
def test_bands_give_what_whole_layers_give(name: str, rows: int, tmp_path: Path) -> None:
    model, toolchain, target = model_of(rows), NativeToolchain(), find_target(name, 1)
    layers = toolchain.layers(model)
    plans = []
    for way in WAYS[name]:
        found = {layer.node_id: toolchain.canonical(layer.shape, way, target) for layer in layers}
        plans.append(Plan.of({node_id: options or WAYS[name][0] for node_id, options in found.items()}))
    deadline = Deadline.after(300)
    bundle = toolchain.build(model, plans, target, tmp_path, deadline)
    device = EmulatedDevice(target)

    def run(job: Job) -> JobResult:
        return toolchain.read(bundle, job, device.run(bundle, toolchain.invoke(bundle, job), deadline))

    assert not [check for check in run(Job("check", tuple(plans))).checks if not check.passed]
    inputs, wanted = check_outputs(model, 2)
    outputs = run(Job("outputs", tuple(plans), inputs=inputs)).outputs
    assert outputs is not None
    errors = np.abs(outputs - wanted.reshape(1, 2, -1)).max(axis=(1, 2)) / np.abs(wanted).max()
    assert errors[0] < 1e-5
    assert errors[1] < (0.02 if name == "pi5" else 1e-4)
