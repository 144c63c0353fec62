"""``--precision float16`` and ``--samples``: where they are refused, what is written, and what is said of accuracy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ellopt.app.samples import MOST_SAMPLES, read_samples
from ellopt.cli.main import main
from ellopt.core.errors import ConfigurationError
from ellopt.core.options import FLOAT16, PRECISIONS, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.frontends.ell.read import read_model
from ellopt.measure.accuracy import HALF_ALLOWANCE, Accuracy, accuracy
from ellopt.measure.whole_model import WholeCheck
from ellopt.model.check_data import OUTPUT_LIMIT, WHOLE_INPUTS
from ellopt.model.wanted import Wanted
from ellopt.report.document import TuningReport
from ellopt.report.html import render
from ellopt.space.options_file import plan_for, read_compile_options
from ellopt.space.space import SearchSpace
from tests.support.paths import DATA, TINY
from tests.support.reports import sample_report
from tests.support.simulated import needs_qemu

SPACE = {"convolution_methods": ["unrolled"], "parallel": [False], "winograd_parameters": []}
SAMPLE = DATA / "tiny16.input.npy"


def optimize(place: Path, *arguments: str, **keys: Any) -> int:
    (place / "space.json").write_text(json.dumps(SPACE | keys))
    command = ("optimize", "--model_path", str(TINY), "-o", str(place / "out"), "--options", str(place / "space.json"))
    return main([*command, "--no_mlflow", "--no_warm_start", *arguments])


@needs_qemu
def test_float16_is_chosen_where_it_is_faster_and_what_it_loses_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = ("--target", "pi5", "--threads", "1")
    assert optimize(tmp_path, *target, "--precision", FLOAT16, "--samples", str(SAMPLE)) == 0
    said = " ".join(capsys.readouterr().out.split())
    directory = tmp_path / "out" / "tiny16"
    report = TuningReport.load(directory / "tuning_report.json")
    for layer in report.layers:
        tried = {variant.options.precision: variant.median_ms for variant in layer.variants}
        assert tried.keys() == {"", FLOAT16}
        assert layer.winner.precision == (FLOAT16 if tried[FLOAT16] < 0.9 * tried[""] else layer.winner.precision)
    chosen = next(c.plan for c in report.confirmation.candidates if c.name == report.confirmation.chosen)
    half = sum(options.precision == FLOAT16 for _, options in chosen.items())
    assert half
    found = report.accuracy
    assert found is not None
    assert (found.layers, found.precision, found.inputs, found.samples, found.same_top) == (half, FLOAT16, 4, 1, 1)
    assert 1e-6 < found.error <= found.allowed == OUTPUT_LIMIT * HALF_ALLOWANCE
    assert 0 < found.sample_error <= found.allowed
    assert f"{half} of {len(report.layers)} layers in float16: the output is off by at most 0." in said
    assert "(2.0 % is allowed); for 1 sample by at most 0." in said
    assert "is where the reference has it for 1 of 1." in said
    model = read_model(directory / "tiny16_options.ell")
    assert plan_for(model) == chosen == Plan.of(read_compile_options(directory / "compile_options.json"))
    switches = (directory / "compile_switches.txt").read_text().replace(str(tmp_path), "")
    assert FLOAT16 not in switches, "ELL's own compiler knows nothing of it"

    # What was tuned is used: on a board of the kind in float16, elsewhere in float32.
    predict = ("predict", str(directory / "tiny16_options.ell"), "--input", str(SAMPLE), "--check", "--output")
    assert main([*predict, str(tmp_path / "half.npy"), "--target", "pi5"]) == 0
    assert main([*predict, str(tmp_path / "single.npy")]) == 0
    halves, singles = np.load(tmp_path / "half.npy"), np.load(tmp_path / "single.npy")
    assert 0 < np.abs(halves - singles).max() <= 0.02 * np.abs(singles).max()

    # The same folder without the option: nothing in float16 is left.
    assert optimize(tmp_path, *target) == 0
    again = TuningReport.load(directory / "tuning_report.json")
    assert again.accuracy is None
    assert not [v for layer in again.layers for v in layer.variants if v.options.precision]
    assert not [
        options for _, options in plan_for(read_model(directory / "tiny16_options.ell")).items() if options.precision
    ]


@pytest.mark.parametrize(
    ("arguments", "keys", "said"),
    [
        (("--target", "pi4_64"), {}, "--precision float16: the processor of pi4_64"),
        (("--target", "pi3"), {}, "--precision float16: the processor of pi3"),
        (("--target", "host"), {}, "--precision float16: this machine's processor"),
        (("--target", "pi5", "--toolchain", "ell"), {}, "--precision float16: the toolchain ell"),
        (("--target", "pi4_64"), {"precisions": list(PRECISIONS)}, "space.json: precisions: float16: the processor"),
        (("--target", "pi5"), {"precisions": ["half"]}, "precisions: unknown value \"half\""),
    ],
    ids=["pi4_64", "pi3", "host", "ell", "options", "unknown"],
)  # fmt: skip
def test_it_is_refused_with_the_reason(
    arguments: tuple[str, ...], keys: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precision = () if keys else ("--precision", FLOAT16)
    assert optimize(tmp_path, *arguments, *precision, **keys) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "out" / "tiny16").exists()


def test_the_option_and_the_key_of_the_options_file() -> None:
    def precisions(option: str | None, **keys: Any) -> tuple[str, ...]:
        return SearchSpace.from_json(SPACE | keys, "f").allowing(option).precisions

    assert precisions(None) == precisions("float32") == ("float32",)
    assert precisions(FLOAT16) == precisions(FLOAT16, precisions=["float32"]) == PRECISIONS
    assert precisions(None, precisions=[FLOAT16]) == (FLOAT16,)
    assert precisions("float32", precisions=list(PRECISIONS)) == ("float32",)


@pytest.mark.parametrize("text", ["unrolled float16", "unrolled float16 parallel"])
def test_options_in_float16_as_texts_and_json(text: str) -> None:
    options = ConvolutionOptions.parse(text)
    assert str(options) == text
    assert ConvolutionOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
    assert replace(options, precision="float32") == replace(options, precision="") < options
    with pytest.raises(ConfigurationError, match="unknown precision"):
        replace(options, precision="bfloat16")


def test_a_plan_in_float16_is_judged_by_a_limit_of_its_own() -> None:
    default, single = Plan.of({"1": ConvolutionOptions("unrolled")}), Plan.of({"1": ConvolutionOptions("simple")})
    half = Plan.of({"1": ConvolutionOptions("unrolled", precision=FLOAT16)})

    def check(error: float) -> WholeCheck:
        errors = {default: 0.01, single: error, half: error}
        return WholeCheck(lambda plans: [errors[plan] for plan in plans], default)

    assert check(15.0).unsound([single, half]) == {single: 15.0}
    assert check(30.0).unsound([half]) == {half: 1.5}
    assert check(15.0).allowed(half) == HALF_ALLOWANCE * check(15.0).allowed(single) == HALF_ALLOWANCE


def test_accuracy_tells_random_inputs_from_samples() -> None:
    model = read_model(TINY)
    sample = np.load(SAMPLE).astype(np.float32).reshape(model.input.output_layout.size)
    wanted = Wanted.of(model, WHOLE_INPUTS, [sample, -sample])
    outputs = wanted.outputs.astype(np.float64)
    outputs[0, 0] += 0.01 * np.abs(outputs[0]).max()
    outputs[-1, outputs[-1].argmin()] = 1.5 * outputs[-1].max()
    found = accuracy(Plan.of({"1": ConvolutionOptions("unrolled", precision=FLOAT16)}), wanted, outputs)
    assert (found.layers, found.inputs, found.samples, found.same_top) == (1, WHOLE_INPUTS, 2, 1)
    assert found.error == pytest.approx(0.01, rel=1e-3)
    assert 0.5 < found.sample_error <= 1.5


def test_the_page_and_the_document_have_the_accuracy() -> None:
    plain = sample_report()
    told = replace(plain, accuracy=Accuracy(2, 0.02, 4, 0.000314, 20, 0.00125, 19))
    assert "float16" not in render(plain)
    page = " ".join(render(told).split())
    assert f"2 of {len(plain.layers)} layers in float16: the output is off by at most 0.031 % of its largest" in page
    assert "for 20 samples by at most 0.12 %" in page
    assert "for 19 of 20." in page


Write = Callable[[Path], object]


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda p: p.mkdir(), "has no .npy files"),
        (lambda p: p.write_bytes(b"no array"), "cannot be read as a NumPy array"),
        (lambda p: None, "cannot be read as a NumPy array"),
        (lambda p: _save(p, np.zeros((5, 5, 3))), "has the shape 5x5x3"),
        (lambda p: _save(p, np.zeros((0, 16, 16, 3))), "has no inputs in it"),
        (lambda p: _save(p, np.full((16, 16, 3), 1e39)), "finite"),
        (lambda p: _save(p, np.zeros((MOST_SAMPLES + 1, 16, 16, 3))), "has more than 100 inputs"),
    ],
    ids=["empty", "damaged", "missing", "shape", "none", "infinite", "many"],
)  # fmt: skip
def test_samples_that_are_none(write: Write, said: str, tmp_path: Path) -> None:
    path = tmp_path / "s.npy"
    write(path)
    with pytest.raises(ConfigurationError, match=said) as raised:
        read_samples(path, read_model(TINY))
    assert "--samples" in str(raised.value)
    assert str(path) in str(raised.value)


def _save(path: Path, values: np.ndarray) -> None:
    np.save(path, values)


def test_samples_of_a_folder_and_of_an_array(tmp_path: Path) -> None:
    model = read_model(TINY)
    several = np.random.default_rng(0).standard_normal((3, *model.input.output_layout.size))
    np.save(tmp_path / "a.npy", several)
    np.save(tmp_path / "b.npy", several[0].astype(np.float32))
    found = read_samples(tmp_path, model)
    assert len(found) == 4
    np.testing.assert_array_equal(found[0], found[3])
    assert read_samples(None, model) == ()
