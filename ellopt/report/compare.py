"""Two tuning runs of one model side by side: what changed, by how much, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ellopt import measurement
from ellopt.errors import ConfigurationError
from ellopt.measurement import SIGNIFICANCE
from ellopt.report import words
from ellopt.tuning_report import Comparison, LayerReport, TuningReport

#: Facts of the environment that say what kind of machine was measured.
BOARD_FACTS = ("board", "cpu", "machine")


@dataclass(frozen=True)
class LayerDifference:
    """A layer in both runs, or in one only (the other is None).

    ``comparison``: how much less time B's winner takes than A's, from the raw samples (Mann-Whitney); its
    ``significant`` holds after Holm's correction for the number of layers. ``verdict``: faster, slower, same (no
    significant difference, or none beyond the drift), other board, only in A, only in B.
    """

    a: LayerReport | None
    b: LayerReport | None
    comparison: Comparison | None
    verdict: str

    @property
    def changed(self) -> bool:
        """Whether both runs have the layer and chose differently for it."""
        return self.a is not None and self.b is not None and self.a.winner != self.b.winner

    @property
    def title(self) -> str:
        layer = self.a or self.b
        return f"{layer.node_id} {layer.name}".strip() if layer else ""


@dataclass(frozen=True)
class ReportComparison:
    """``whole``: the confirmed whole models, B against A. ``drift``: ELL's default in B against the same in A: what
    the machine itself contributed. ``unlike``: why times cannot be held against each other; ``remarks``: in what
    else the runs differ."""

    a: TuningReport
    b: TuningReport
    layers: tuple[LayerDifference, ...]
    whole: Comparison | None
    drift: Comparison | None
    unlike: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        return not self.unlike


def compare(a: TuningReport, b: TuningReport) -> ReportComparison:
    """Compare two runs. Runs on other kinds of board are shown side by side, but nothing is called faster.

    Raises ConfigurationError if the two have no convolution layer in common: they are of different models.
    """
    pairs = _pairs(a.layers, b.layers)
    if not any(left and right for left, right in pairs):
        raise ConfigurationError(
            f"{a.model} and {b.model} have no convolution layer in common (same node id and shape): "
            "these are runs of different models and cannot be compared"
        )
    unlike = _unlike(a, b)
    before = [_whole(report, report.confirmation.before) for report in (a, b)]
    after = [_whole(report, report.confirmation.chosen) for report in (a, b)]
    drift = None if unlike else _compared(before[1], before[0])
    whole = None if unlike else _compared(after[1], after[0])
    comparisons = [_layer_comparison(x, y) if not unlike else None for x, y in pairs]
    layers = [
        LayerDifference(x, y, comparison, _verdict(x, y, comparison, drift, unlike))
        for (x, y), comparison in zip(pairs, _holm(comparisons), strict=True)
    ]
    return ReportComparison(a, b, tuple(layers), whole, drift, unlike, _remarks(a, b))


def _pairs(a: Sequence[LayerReport], b: Sequence[LayerReport]) -> list[tuple[LayerReport | None, LayerReport | None]]:
    """Layers of equal node id and shape; where all ids differ (ELL renumbers), by position if all shapes agree."""
    by_id = {layer.node_id: layer for layer in b}
    pairs: list[tuple[LayerReport | None, LayerReport | None]] = []
    for layer in a:
        other = by_id.get(layer.node_id)
        pairs.append((layer, other if other and other.shape == layer.shape else None))
    if not any(right for _, right in pairs) and [x.shape for x in a] == [y.shape for y in b]:
        return list(zip(a, b, strict=True))
    matched = {right.node_id for _, right in pairs if right}
    return pairs + [(None, layer) for layer in b if layer.node_id not in matched]


def _winner_samples(layer: LayerReport) -> tuple[float, ...]:
    return next((v.samples_ms for v in layer.variants if v.options == layer.winner), ())


def _layer_comparison(a: LayerReport | None, b: LayerReport | None) -> Comparison | None:
    return _compared(_winner_samples(b), _winner_samples(a)) if a and b else None


def _compared(first: tuple[float, ...], second: tuple[float, ...]) -> Comparison | None:
    return measurement.compare(first, second, paired=False) if first and second else None


def _whole(report: TuningReport, name: str) -> tuple[float, ...]:
    return next((c.samples_ms for c in report.confirmation.candidates if c.name == name), ())


def _holm(comparisons: Sequence[Comparison | None]) -> list[Comparison | None]:
    """Significance at one level for all layers together (Holm 1979)."""
    known = sorted((c.p_value, i) for i, c in enumerate(comparisons) if c is not None)
    result = list(comparisons)
    holds = True
    for rank, (p_value, index) in enumerate(known):
        holds = holds and p_value < SIGNIFICANCE / (len(known) - rank)
        comparison = comparisons[index]
        assert comparison is not None
        result[index] = replace(comparison, significant=holds)
    return result


def _verdict(
    a: LayerReport | None,
    b: LayerReport | None,
    comparison: Comparison | None,
    drift: Comparison | None,
    unlike: tuple[str, ...],
) -> str:
    if a is None or b is None:
        return "only in A" if b is None else "only in B"
    if unlike:
        return "other board"
    if comparison is None:
        return "no samples"
    beyond_drift = drift is None or not drift.significant or abs(comparison.gain) > abs(drift.gain)
    if not comparison.significant or not beyond_drift:
        return "same"
    return "faster" if comparison.gain > 0 else "slower"


def _unlike(a: TuningReport, b: TuningReport) -> tuple[str, ...]:
    reasons = []
    if a.target != b.target:
        reasons.append(f"other target: {a.target} and {b.target}")
    if a.emulated != b.emulated:
        reasons.append("one was measured under emulation")
    for fact in BOARD_FACTS:
        left, right = a.environment.get(fact), b.environment.get(fact)
        if left and right and left != right:
            reasons.append(f"other {fact}: {left} and {right}")
    return tuple(reasons)


def _remarks(a: TuningReport, b: TuningReport) -> tuple[str, ...]:
    remarks = []
    if a.model_sha256 != b.model_sha256:
        remarks.append(f"the model files differ (same shapes where compared): {a.model_path} and {b.model_path}")
    for name, left, right in (
        ("toolchain", f"{a.toolchain} {a.toolchain_version}", f"{b.toolchain} {b.toolchain_version}"),
        ("options file", a.space.options_file, b.space.options_file),
        ("sampler", a.sampler, b.sampler),
        ("seed", str(a.seed), str(b.seed)),
        ("ellopt", a.ellopt_version, b.ellopt_version),
    ):
        if left != right:
            remarks.append(f"{name}: {left} and {right}")
    return tuple(remarks)


def headline(comparison: ReportComparison) -> str:
    """What came out, in one or two sentences."""
    changed = sum(layer.changed for layer in comparison.layers)
    shared = sum(layer.a is not None and layer.b is not None for layer in comparison.layers)
    text = f"{changed} of {words.count(shared, 'layer')} got another winner."
    whole = comparison.whole
    if not comparison.comparable:
        return text + " Times are of different boards and are not held against each other."
    if whole is None:
        return text + " Not both runs have a confirmed whole model."
    if not whole.significant:
        return text + f" The whole model did not change significantly ({words.change(whole.gain)})."
    return (
        f"{text} The whole model takes {words.time_saved(whole.gain)} in B (95 % confidence {words.interval(whole)})."
    )


def drift_remark(comparison: ReportComparison) -> str:
    """How far the machine itself changed between the runs; empty where that is not known."""
    drift = comparison.drift
    if drift is None:
        return ""
    if not drift.significant:
        return f"ELL's default, measured in both runs, did not change significantly ({words.change(drift.gain)})."
    return (
        f"ELL's default, the same code in both runs, changed by {words.change(drift.gain)}: the machine drifted by "
        "as much, and layers that changed by less are called the same."
    )
