"""Comparing two runs: what changed, what is noise, what must not be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.app.environment import environment
from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.report.compare.compare import compare, drift_remark, headline
from ellopt.report.document import TuningReport
from ellopt.report.locate import find_reports, pair_reports
from ellopt.select.decisions import LayerReport
from tests.support.report_text import comparison_text
from tests.support.reports import sample_report


def scaled(report: TuningReport, node_id: str, factor: float) -> TuningReport:
    """The same run with one layer's samples multiplied; everything else to the last digit as it was."""

    def change(layer: LayerReport) -> LayerReport:
        if layer.node_id != node_id:
            return layer
        variants = tuple(replace(v, samples_ms=tuple(s * factor for s in v.samples_ms)) for v in layer.variants)
        return replace(layer, variants=variants, winner_ms=layer.winner_ms * factor)

    return replace(report, layers=tuple(change(layer) for layer in report.layers))


def save(report: TuningReport, folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "tuning_report.json").write_text(report.to_json(), encoding="utf-8")
    return folder


def test_a_run_against_itself_shows_no_change() -> None:
    result = compare(sample_report(), sample_report())
    assert {layer.verdict for layer in result.layers} == {"same"}
    assert not any(layer.changed for layer in result.layers)
    assert "0 of 6 layers got another winner" in headline(result)
    assert "did not change significantly" in headline(result)
    assert "did not change significantly" in drift_remark(result)


@pytest.mark.parametrize(("factor", "verdict"), [(0.8, "faster"), (1.3, "slower")])
def test_one_changed_layer_is_found_and_no_other(factor: float, verdict: str) -> None:
    result = compare(sample_report(), scaled(sample_report(), "1061", factor))
    verdicts = {layer.title: layer.verdict for layer in result.layers}
    assert verdicts.pop("1061") == verdict
    assert set(verdicts.values()) == {"same"}
    changed = next(layer for layer in result.layers if layer.title == "1061")
    assert changed.comparison is not None
    assert changed.comparison.gain == pytest.approx(1 - factor, abs=0.01)
    assert changed.comparison.gain_low <= 1 - factor <= changed.comparison.gain_high


def test_another_winner_is_reported_as_such() -> None:
    a = sample_report()
    first = a.layers[0]
    assert first.runner_up is not None
    b = replace(a, layers=(replace(first, winner=first.runner_up), *a.layers[1:]))
    result = compare(a, b)
    assert [layer.title for layer in result.layers if layer.changed] == ["1034"]
    assert str(first.runner_up) in comparison_text(result)
    assert "1 of 6 layers got another winner" in comparison_text(result)


def test_a_machine_that_drifted_is_not_taken_for_a_change() -> None:
    slower = sample_report(scale=1.2)
    result = compare(sample_report(), slower)
    assert result.drifts["sequential"].significant
    assert "drifted" in drift_remark(result)
    small = scaled(sample_report(scale=1.2), "1061", 0.95)  # a gain of 5 % hidden in a drift of 20 %
    verdicts = {layer.title: layer.verdict for layer in compare(sample_report(), small).layers}
    assert verdicts["1061"] == "same"


@pytest.mark.parametrize("kind", ["parallel", "sequential"])
def test_disturbed_code_of_one_kind_is_not_taken_for_slower_layers(kind: str) -> None:
    """In the second run something took a core: all that is parallel takes twice as long (or all that is not)."""

    def disturbed(options: ConvolutionOptions) -> bool:
        return options.parallelize == (kind == "parallel")

    a = sample_report()
    layers = []
    for layer in a.layers:
        variants = tuple(
            replace(v, samples_ms=tuple(2.08 * ms for ms in v.samples_ms), median_ms=2.08 * (v.median_ms or 0))
            if disturbed(v.options)
            else v
            for v in layer.variants
        )
        factor = 2.08 if disturbed(layer.winner) else 1.0
        layers.append(replace(layer, variants=variants, winner_ms=factor * layer.winner_ms))
    candidates = tuple(
        replace(c, samples_ms=tuple(2.08 * ms for ms in c.samples_ms), latency_ms=2.08 * c.latency_ms)
        if any(map(disturbed, c.plan.values()))
        else c
        for c in a.confirmation.candidates
    )
    b = replace(a, layers=tuple(layers), confirmation=replace(a.confirmation, candidates=candidates))
    result = compare(a, b)
    assert {layer.verdict for layer in result.layers} == {"same"}
    assert "slower" not in comparison_text(result)
    assert result.drifts[kind].gain == pytest.approx(-1.08)
    other = {"parallel": "sequential", "sequential": "parallel"}[kind]
    assert result.drifts[other].gain == pytest.approx(0)
    assert f"{kind} code changed by +108 %" in drift_remark(result)
    if any(
        disturbed(options) for options in next(c for c in candidates if c.name == a.confirmation.chosen).plan.values()
    ):
        assert "the machine did, not the model" in headline(result)


def test_many_layers_do_not_make_chance_significant() -> None:
    """Identically distributed samples in 60 layers: without correction about three would be called different."""
    calls = 0
    for seed in range(4):
        a, b = sample_report(seed), sample_report(seed)
        layers_a, layers_b = [], []
        for number in range(60):
            for target, source in ((layers_a, 2 * number), (layers_b, 2 * number + 1)):
                base = sample_report(1000 * seed + source).layers[5]
                variants = tuple(
                    replace(v, samples_ms=tuple(s / (v.median_ms or 1) for s in v.samples_ms)) for v in base.variants
                )
                target.append(replace(base, node_id=str(number), variants=variants, winner=base.default))
        result = compare(replace(a, layers=tuple(layers_a)), replace(b, layers=tuple(layers_b)))
        calls += sum(layer.verdict != "same" for layer in result.layers)
    assert calls <= 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"target": "pi3"}, "other target: host and pi3"),
        ({"emulated": True}, "one was measured under emulation"),
        (
            {"environment": environment("host Another CPU", 2)},
            "other board: host Example CPU @ 2.4 GHz and",
        ),
        ({"environment": environment("host Example CPU @ 2.4 GHz", 1)}, "other threads: 2 and 1"),
    ],
)
def test_unlike_boards_are_marked_and_nothing_is_called_faster(change: dict[str, object], reason: str) -> None:
    result = compare(sample_report(), replace(scaled(sample_report(), "1034", 0.1), **change))  # type: ignore[arg-type]
    assert not result.comparable
    assert any(reason in text for text in result.unlike)
    assert {layer.verdict for layer in result.layers} == {"not comparable"}
    assert result.whole is None
    text = comparison_text(result)
    assert f"Not alike: {reason}" in text
    assert "faster" not in text
    assert reason in headline(result)


def test_another_model_is_refused() -> None:
    other = sample_report()
    layers = tuple(replace(layer, shape="5x5/1 8x8x8 -> 8x8x9") for layer in other.layers)
    with pytest.raises(ConfigurationError, match="different models"):
        compare(sample_report(), replace(other, layers=layers))


def test_renumbered_nodes_are_matched_by_place() -> None:
    other = sample_report()
    layers = tuple(replace(layer, node_id=f"9{layer.node_id}") for layer in other.layers)
    assert {layer.verdict for layer in compare(sample_report(), replace(other, layers=layers)).layers} == {"same"}


def test_a_layer_of_one_run_only() -> None:
    result = compare(sample_report(), replace(sample_report(), layers=sample_report().layers[1:]))
    assert [layer.title for layer in result.layers if layer.verdict == "only in A"] == ["1034"]
    result = compare(replace(sample_report(), layers=sample_report().layers[:-1]), sample_report())
    assert [layer.title for layer in result.layers if layer.verdict == "only in B"] == ["1069 head"]
    assert "only in B" in comparison_text(result)


def test_other_settings_are_told() -> None:
    other = replace(sample_report(), seed=7, sampler="grid", model_sha256="00")
    text = comparison_text(compare(sample_report(), other), width=200)
    assert "seed: 1 and 7" in text
    assert "sampler: tpe and grid" in text
    assert "the model files differ" in text


def test_reports_are_found_by_file_and_by_folder(tmp_path: Path) -> None:
    folder = save(sample_report(), tmp_path / "out" / "cnn64")
    file = folder / "tuning_report.json"
    assert find_reports(file) == find_reports(folder) == find_reports(tmp_path / "out") == (file,)
    with pytest.raises(ConfigurationError, match="no such file or folder"):
        find_reports(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="output_path"):
        find_reports(tmp_path / "empty")


def test_reports_are_paired_by_tag(tmp_path: Path) -> None:
    for side, names in (("a", ("x", "y")), ("b", ("y", "z"))):
        for name in names:
            save(sample_report(model=name), tmp_path / side / name)
    assert [(a.tag, b.tag) for a, b in pair_reports(tmp_path / "a", tmp_path / "b")] == [("y", "y")]
    assert len(pair_reports(tmp_path / "a" / "x", tmp_path / "b" / "z")) == 1
    with pytest.raises(ConfigurationError, match="no model in common"):
        pair_reports(tmp_path / "a" / "x", tmp_path / "b")
