"""What the checks of steps and of whole models find, and what they let pass."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ellopt.cli.main import main
from ellopt.codegen.sources import c_text
from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.deploy import run as deploy
from ellopt.devices.local import LocalDevice
from ellopt.frontends.ell.read import read_model
from ellopt.measure.whole_model import WholeCheck
from ellopt.model import reference
from ellopt.model.check_data import check_inputs
from ellopt.model.graph import Model
from ellopt.model.layers import Convolution
from ellopt.targets import Target
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.networks import ModelMaker
from tests.support.paths import DATA

TINY, INFINITE = DATA / "tiny16.ell", DATA / "cases" / "infinite_reference"
SIMPLE, UNROLLED, WINOGRAD = (ConvolutionOptions(method) for method in ("simple", "unrolled", "winograd"))
EVERYTHING = (
    SIMPLE,
    UNROLLED,
    ConvolutionOptions("unrolled", gemm_blocking="strassen"),
    ConvolutionOptions("unrolled", gemm_blocking="strassen2"),
    *(ConvolutionOptions("winograd", winograd_tile_size=tile) for tile in (2, 3, 4, 5, 6, 42)),
)


def _network(rng: np.random.Generator, size: int, decades: float) -> Model:
    """One layer of 64 filters, each of its own size: up to ``decades`` powers of ten apart."""
    maker = ModelMaker(rng)
    node_id = maker.convolution(maker.reorder(maker.input(12, 12, 64), size // 2), 64, size, 1, False)
    maker.output(node_id)
    for i, node in enumerate(maker.nodes):
        if isinstance(node, Convolution):
            scales = 10 ** rng.uniform(0, decades, (64, 1, 1, 1))
            maker.nodes[i] = replace(node, weights=(node.weights * scales).astype(np.float32))
    return maker.model()


def _bound(model: Model, node: Convolution) -> np.ndarray:
    """gamma_n sum |w| |x| at the worst pixel, by channel, and the sums behind it."""
    buffers = reference.buffers(model, check_inputs(model)[0][0])
    positive = replace(node, weights=np.abs(node.weights))
    magnitude = positive.compute([np.abs(buffers[source]) for source in node.inputs])
    return 2.0**-24 * (node.weights[0].size + 2) * magnitude.max(axis=(0, 1))


@pytest.mark.parametrize(("seed", "decades"), [(1, 0.0), (2, 1.0), (3, 5.0), (4, 6.0)])
def test_what_is_off_by_more_than_float32_explains_is_rejected_and_nothing_else(
    seed: int, decades: float, toolchain: NativeToolchain, host: Target, build_directory: Path, device: LocalDevice
) -> None:
    model = _network(np.random.default_rng(seed), 1 + seed % 2 * 2, decades)
    [node] = model.convolutions
    [layer] = toolchain.layers(model)
    chosen = {toolchain.canonical(layer.shape, options, host) for options in EVERYTHING}
    plans = tuple(Plan.of({layer.node_id: options}) for options in sorted(o for o in chosen if o is not None))
    bundle = toolchain.build(model, plans, host, build_directory, Deadline.after(300))
    values = check_inputs(model)[0]
    expected, bound = reference.predict(model, values[0]).reshape(-1, node.weights.shape[0]), _bound(model, node)

    def run(job: Job) -> object:
        return toolchain.read(bundle, job, device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(60)))

    outputs = run(Job("outputs", plans, inputs=values)).outputs  # type: ignore[attr-defined]
    checks = [c for c in run(Job("check", plans)).checks if c.options is not None]  # type: ignore[attr-defined]
    assert len(checks) == len(plans)
    for check, output in zip(checks, outputs, strict=True):
        off = float((np.abs(output.reshape(expected.shape) - expected).max(axis=0) / bound).max())
        assert not check.passed or off <= 32, f"{check.options} is off by {off} times the bound"
        if off <= 1 and check.options.method != "winograd":
            assert check.passed, f"{check.options} is right"
        if not check.options.gemm_blocking:
            assert check.passed, f"{check.options} loses no more than it must: {check.reason}"
        elif decades >= 5:
            assert not check.passed
        elif decades == 0:
            assert check.passed


def test_a_wrong_step_that_is_no_convolution_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator's own C for softmax is broken."""
    source = c_text("ellopt_layers.c")
    changed = source.replace("expf(in[i] - largest)", "expf(in[i] - largest) + 0.01f")
    assert changed != source
    monkeypatch.setattr(
        "ellopt.toolchains.native.build.c_text", lambda name: changed if name == "ellopt_layers.c" else c_text(name)
    )
    with pytest.raises(CandidateError, match=r"tiny16\.ell: node 1046 \(Softmax"):
        deploy.check(read_model(TINY))
    with pytest.raises(CandidateError, match="node 1046"):
        deploy.predict(read_model(TINY), np.zeros((16, 16, 3), np.float32), check=True)


def test_commands_check_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "x.npy", np.full((16, 16, 3), 0.5, np.float32))
    arguments = ["predict", str(TINY), "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy")]
    assert main([*arguments, "--check"]) == 0
    want = reference.predict(read_model(TINY), np.full((16, 16, 3), 0.5, np.float32))
    assert np.allclose(np.load(tmp_path / "y.npy").reshape(-1), want, atol=1e-5)
    assert main(["compile", str(TINY), "-o", str(tmp_path / "library"), "--check"]) == 0
    assert (tmp_path / "library" / "tiny16.h").is_file()


def test_an_input_is_chosen_on_which_the_reference_is_finite() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("overflow_inf", "w2e38"):
            model = read_model(INFINITE / f"{name}.ell")
            _, found = check_inputs(model, 3)
            assert all(np.isfinite(buffers[node.node_id]).all() for buffers in found for node in model.nodes)


def test_a_model_that_always_overflows_is_blamed_once(caplog: pytest.LogCaptureFixture) -> None:
    model = read_model(INFINITE / "divide_by_zero_then_conv.ell")
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, "ellopt"):
        warnings.simplefilter("error")
        for _ in range(3):
            check_inputs(model)
        deploy.check(model)
    [message] = [record.getMessage() for record in caplog.records if "not finite" in record.getMessage()]
    assert "divide_by_zero_then_conv.ell: node 1004" in message


@pytest.mark.parametrize(
    ("each", "limit", "blamed"),
    [
        ({}, 1.0, ()),
        ({"b": 50.0}, 1.0, ("b",)),
        ({"a": 30.0, "c": 2.0}, 1.0, ("a", "c")),
        ({"a": 0.6, "c": 0.7}, 1.0, ("c",)),  # each alone is right, together they are not
        ({"b": 20.0}, 30.0, ()),  # the model amplifies what float32 loses with any options
    ],
)
def test_layers_that_make_the_whole_model_wrong_are_found(
    each: Mapping[str, float], limit: float, blamed: tuple[str, ...]
) -> None:
    default = Plan.of(dict.fromkeys("abcd", UNROLLED))
    plan = Plan.of(dict.fromkeys("abcd", WINOGRAD))

    def errors(plans: Sequence[Plan]) -> list[float]:
        return [limit / 10 + sum(each.get(n, 0.0) for n, o in p.items() if o == WINOGRAD) for p in plans]

    assert WholeCheck(errors, default).blame(plan) == blamed


def test_a_model_that_is_wrong_with_any_options_is_an_error() -> None:
    default = Plan.of({"a": UNROLLED})
    with pytest.raises(CandidateError, match="ELL's default"):
        WholeCheck(lambda plans: [float("nan")] * len(plans), default).unsound([default])
