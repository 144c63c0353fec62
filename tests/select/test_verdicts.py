"""What a report claims of its layers: decided, printed, sorted and drawn by one number."""

from __future__ import annotations

import re

import pytest

from ellopt.core.options import ConvolutionOptions
from ellopt.report.document import TuningReport
from ellopt.report.explain import layer_gain, ordered_variants, verdict
from ellopt.report.html import render
from ellopt.select.choice import TIE_SHARE
from ellopt.select.decisions import LayerReport
from tests.support.tuning import TINY, device_for, tuned

RUNS = [
    (sampler, seed, noise, spoiled)
    for sampler in ("grid", "auto", "random")
    for seed, noise, spoiled in ((1, 0.02, 0.0), (2, 0.15, 0.1))
]


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: "-".join(map(str, run)))
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TuningReport:
    sampler, seed, noise, spoiled = request.param
    directory = tmp_path_factory.mktemp("run")
    return tuned(TINY, directory / "out", device_for(TINY, seed, noise, spoiled), sampler)


def scores(layer: LayerReport) -> dict[ConvolutionOptions, float]:
    return {v.options: v.median_ms for v in layer.variants if v.median_ms is not None}


def test_a_winner_has_the_number_that_its_row_and_its_claims_have(report: TuningReport) -> None:
    for layer in report.layers:
        assert layer.winner_ms == pytest.approx(scores(layer)[layer.winner], rel=1e-12)
        assert layer.default_ms == pytest.approx(scores(layer)[layer.default], rel=1e-12)
        for other, comparison in ((layer.default, layer.against_default), (layer.runner_up, layer.against_runner_up)):
            if comparison is not None:
                assert other is not None
                gain = 1 - layer.winner_ms / scores(layer)[other]
                assert comparison.gain == pytest.approx(gain, rel=1e-6, abs=1e-9)
                assert comparison.significant == (comparison.p_value < 0.05)
                assert comparison.significant == (comparison.gain_low * comparison.gain_high > 0)
    shown = {node.node_id: node.median_ms for node in report.nodes}
    assert all(shown[layer.node_id] == pytest.approx(layer.winner_ms) for layer in report.layers)


def test_nothing_wins_that_is_shown_to_be_slower_than_the_default(report: TuningReport) -> None:
    for layer in report.layers:
        gain = layer_gain(layer)
        assert gain is not None
        assert gain >= 0
        assert "more than ELL's default" not in layer.why
        if verdict(layer) == "faster":
            assert layer.against_default is not None
            assert layer.against_default.p_value < 0.05
            ahead = layer.against_runner_up
            if ahead is not None and ahead.p_value >= 0.05:  # the larger lead decides, and is not called sure
                assert ahead.gain > TIE_SHARE
                assert "than the runner-up" in layer.why
                assert "which is not significant, p = " in layer.why.partition("than the runner-up")[2]
        if verdict(layer) == "tie":
            assert layer.against_runner_up is not None
            assert layer.against_runner_up.p_value >= 0.05
            assert abs(layer.against_runner_up.gain) <= TIE_SHARE


def test_only_the_simpler_of_what_cannot_be_told_apart_and_what_is_stable_wins_over_a_lower_score(
    report: TuningReport,
) -> None:
    for layer in report.layers:
        variants = {v.options: v for v in layer.variants}
        for name, ms in scores(layer).items():
            if ms < layer.winner_ms and not variants[name].seldom and variants[name].state == "measured":
                assert variants[name].unstable or ms >= layer.winner_ms / 1.0051, (layer.why, name)


def test_the_order_is_that_of_the_scores(report: TuningReport) -> None:
    for layer in report.layers:
        first, *rest = [v for v in ordered_variants(layer) if v.state == "measured"]
        assert first.options == layer.winner
        for group in (False, True):
            found = [v.median_ms for v in rest if v.seldom is group]
            assert found == sorted(found, key=lambda ms: ms or 0.0)
        assert [v.seldom for v in rest] == sorted(v.seldom for v in rest)


def test_every_score_lies_among_what_is_drawn_for_it(report: TuningReport) -> None:
    for layer in report.layers:
        for variant in layer.variants:
            if variant.median_ms is not None:
                dots = variant.decided_ms
                assert min(dots) * (1 - 1e-6) <= variant.median_ms <= max(dots) * (1 + 1e-6), variant.options
                ordered = sorted(dots)
                middle = (ordered[(len(dots) - 1) // 2] + ordered[len(dots) // 2]) / 2
                assert variant.median_ms == pytest.approx(middle, rel=1e-6)


def test_the_charts_draw_every_line_among_its_dots_and_inside_the_axis(report: TuningReport) -> None:
    page = render(report)
    drawings = re.findall(r'<svg[^>]*aria-labelledby="(?:variants-\d+|whole-model)-title.*?</svg>', page, re.DOTALL)
    assert len(drawings) == len(report.layers) + 1
    for drawing in drawings:
        lines = [float(x) for x in re.findall(r'<line x1="([\d.]+)"[^>]*class="median', drawing)]
        strips = re.findall(r'<path d="([^"]*)" class="samples', drawing)
        assert len(lines) == len(strips) > 0
        ticks = [float(x) for x in re.findall(r'<line x1="([\d.]+)"[^>]*class="grid"', drawing)]
        assert ticks
        for x, path in zip(lines, strips, strict=True):
            dots = [float(found) for found in re.findall(r"M([\d.]+) ", path)]
            assert min(dots) - 0.2 <= x <= max(dots) + 0.2
            assert 292 <= x <= 880 - 96
