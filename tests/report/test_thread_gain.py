"""What threads gain, layer by layer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ellopt.core.options import ConvolutionOptions
from ellopt.report.document import TuningReport
from ellopt.report.html import render
from ellopt.report.thread_gain import thread_gains
from ellopt.select.decisions import LayerReport, VariantReport
from tests.support.reports import sample_report


def variant(options: str, median_ms: float, seldom: bool = False) -> VariantReport:
    return VariantReport(ConvolutionOptions.parse(options), "measured", (median_ms,), median_ms, seldom=seldom)


def layer(model: LayerReport, winner: str, *variants: VariantReport) -> LayerReport:
    return replace(model, variants=variants, winner=ConvolutionOptions.parse(winner))


@pytest.fixture
def report() -> TuningReport:
    sample = sample_report()
    first, second, third, fourth, *_ = sample.layers
    layers = (
        layer(first, "unrolled parallel", variant("unrolled", 3.0), variant("unrolled parallel", 1.5)),
        layer(
            second, "winograd parallel", variant("unrolled", 2.0), variant("winograd", 0.1, seldom=True),
            variant("winograd parallel", 1.5), variant("unrolled parallel", 1.75),
        ),
        layer(third, "unrolled", variant("unrolled", 1.0), variant("unrolled parallel", 1.25)),
        layer(fourth, "unrolled", variant("unrolled", 1.0)),
    )  # fmt: skip
    return replace(sample, layers=layers)


def test_the_best_of_each_kind_and_the_layers_shares(report: TuningReport) -> None:
    gains = thread_gains(report)
    assert [(gain.sequential_ms, gain.parallel_ms, gain.share) for gain in gains] == [
        (3.0, 1.5, 0.75),
        (2.0, 1.5, 0.25),
        (1.0, 1.25, 0.0),
    ]
    assert gains[0].speed_up == 2.0


def test_the_page_shows_them_where_threads_were_tried(report: TuningReport) -> None:
    page = render(report)
    assert "What threads gain" in page
    alone = [
        replace(one, variants=tuple(v for v in one.variants if not v.options.parallelize), winner=one.default)
        for one in report.layers
    ]
    assert thread_gains(replace(report, layers=tuple(alone))) == ()
    assert "What threads gain" not in render(replace(report, layers=tuple(alone)))
