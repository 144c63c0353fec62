"""Two tuning runs of one model side by side: what changed, by how much, and whether that is more than noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ellopt.core import statistics
from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.statistics import SIGNIFICANCE, SIGNIFICANT_PAIRS, Comparison, of_scores
from ellopt.core.turns import compare_runs
from ellopt.report import words
from ellopt.report.document import TuningReport
from ellopt.select.decisions import LayerReport, VariantReport, WholeModel

#: Facts of the environment that say what was measured: runs that differ in one of them are not alike.
LIKENESS = ("board", "threads")
SEQUENTIAL, PARALLEL = "sequential", "parallel"
#: What both runs measured changed for certain, however few of it there is, if it changed by this share.
LARGE_DRIFT = 0.1


@dataclass(frozen=True)
class LayerDifference:
    """A layer in both runs, or in one only (the other is None).

    ``comparison``: how much less time B's winner takes than A's, of the scores, tested on their samples
    (Mann-Whitney); its ``significant`` holds after Holm's correction for the number of layers. ``verdict``: faster,
    slower, same (no significant difference, or none beyond the drift), not comparable (see ``unlike``), no samples,
    only in A, only in B.
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
    """``whole``: the confirmed whole models, B against A. ``drifts``: by kind of code, sequential or parallel, how what
    both runs measured alike changed from A to B: what the machine itself contributed. ``unlike``: why times cannot be
    held against each other; ``remarks``: in what else the runs differ."""

    a: TuningReport
    b: TuningReport
    layers: tuple[LayerDifference, ...]
    whole: Comparison | None
    drifts: Mapping[str, Comparison]
    unlike: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        return not self.unlike

    @property
    def whole_beyond_drift(self) -> bool:
        """Whether the whole model changed by more than the kinds of code that it is made of."""
        kinds = {kind for report in (self.a, self.b) for kind in _kinds(_chosen_plan(report))}
        return self.whole is not None and _beyond(self.whole, self.drifts, kinds)


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
    drifts = {} if unlike else _drifts(a, b, pairs)
    whole = None if unlike else _whole_change(a, b, "chosen")
    comparisons = [_layer_comparison(x, y) if not unlike else None for x, y in pairs]
    layers = [
        LayerDifference(x, y, comparison, _verdict(x, y, comparison, drifts, unlike))
        for (x, y), comparison in zip(pairs, _holm(comparisons), strict=True)
    ]
    return ReportComparison(a, b, tuple(layers), whole, drifts, unlike, _remarks(a, b))


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


def _variant(layer: LayerReport, options: ConvolutionOptions) -> VariantReport | None:
    return next((v for v in layer.variants if v.options == options and v.samples_ms), None)


def _layer_comparison(a: LayerReport | None, b: LayerReport | None) -> Comparison | None:
    first, second = (_variant(b, b.winner), _variant(a, a.winner)) if a and b else (None, None)
    if not a or not b or first is None or second is None:
        return None
    new, old = (variant.decided_ms or variant.samples_ms for variant in (first, second))
    return of_scores(statistics.compare(new, old, paired=False), b.winner_ms, a.winner_ms)


def _whole(report: TuningReport, name: str) -> WholeModel | None:
    return next((c for c in report.confirmation.candidates if c.name == name and c.samples_ms), None)


def _whole_change(a: TuningReport, b: TuningReport, which: str) -> Comparison | None:
    """B against A, of the candidate that each run calls ``which``: chosen or before."""
    found = [_whole(report, getattr(report.confirmation, which)) for report in (b, a)]
    if found[0] is None or found[1] is None:
        return None
    first, second = found[0], found[1]
    return compare_runs(
        first.latency_ms, first.turns_ms or first.samples_ms, second.latency_ms, second.turns_ms or second.samples_ms
    )


def _chosen_plan(report: TuningReport) -> Iterable[ConvolutionOptions]:
    written = report.confirmation.written
    return () if written is None else written.plan.values()


def _kinds(choices: Iterable[ConvolutionOptions]) -> set[str]:
    return {PARALLEL if options.parallelize else SEQUENTIAL for options in choices}


def _drifts(
    a: TuningReport, b: TuningReport, pairs: Sequence[tuple[LayerReport | None, LayerReport | None]]
) -> dict[str, Comparison]:
    """By kind of code: B against A over all variants that both runs measured, in pairs; of sequential code also ELL's
    default as a whole model, where that says more."""
    scores: dict[str, list[tuple[float, float]]] = {SEQUENTIAL: [], PARALLEL: []}
    for x, y in pairs:
        for variant in x.variants if x and y else ():
            other = _variant(y, variant.options) if y else None
            if other and variant.samples_ms and variant.median_ms and other.median_ms:
                [kind] = _kinds([variant.options])
                scores[kind].append((other.median_ms, variant.median_ms))
    found = {
        kind: statistics.compare([new for new, _ in both], [old for _, old in both], paired=True)
        for kind, both in scores.items()
        if both
    }
    default = _whole_change(a, b, "before")
    before = [_whole(report, report.confirmation.before) for report in (a, b)]
    if default is not None and all(w is not None and _kinds(w.plan.values()) == {SEQUENTIAL} for w in before):
        known = found.get(SEQUENTIAL)
        if known is None or len(scores[SEQUENTIAL]) < SIGNIFICANT_PAIRS:
            found[SEQUENTIAL] = default
    return found


def _beyond(change: Comparison, drifts: Mapping[str, Comparison], kinds: Iterable[str]) -> bool:
    """Whether something changed by more than code of these kinds drifted, in whatever direction."""
    moved = [
        abs(math.log(max(1 - drifts[kind].gain, 1e-9))) for kind in kinds if kind in drifts and _drifted(drifts[kind])
    ]
    return abs(math.log(max(1 - change.gain, 1e-9))) > max(moved, default=0.0)


def _drifted(drift: Comparison) -> bool:
    """Whether a drift counts: it is significant, or so large that few pairs are no excuse."""
    return drift.significant or abs(drift.gain) > LARGE_DRIFT


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
    drifts: Mapping[str, Comparison],
    unlike: tuple[str, ...],
) -> str:
    if a is None or b is None:
        return "only in A" if b is None else "only in B"
    if unlike:
        return "not comparable"
    if comparison is None:
        return "no samples"
    if not comparison.significant or not _beyond(comparison, drifts, _kinds((a.winner, b.winner))):
        return "same"
    return "faster" if comparison.gain > 0 else "slower"


def _unlike(a: TuningReport, b: TuningReport) -> tuple[str, ...]:
    reasons = []
    if a.target != b.target:
        reasons.append(f"other target: {a.target} and {b.target}")
    if (a.estimate is None) != (b.estimate is None):
        reasons.append("one is estimated, not measured")
    if a.emulated != b.emulated:
        reasons.append("one was measured under emulation")
    for fact in LIKENESS:
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
        return f"{text} Times are not held against each other: {'; '.join(comparison.unlike)}."
    if whole is None:
        return text + " Not both runs have a confirmed whole model."
    if not whole.significant:
        return text + f" The whole model did not change significantly ({words.change(whole.gain)})."
    if not comparison.whole_beyond_drift:
        return text + (
            f" The whole model takes {words.time_saved(whole.gain)} in B, but code that is the same in both runs "
            "changed by as much: the machine did, not the model."
        )
    return (
        f"{text} The whole model takes {words.time_saved(whole.gain)} in B (95 % confidence {words.interval(whole)})."
    )


def drift_remark(comparison: ReportComparison) -> str:
    """How far the machine itself changed between the runs; empty where that is not known."""
    parts = []
    for kind, drift in comparison.drifts.items():
        if _drifted(drift):
            parts.append(f"{kind} code changed by {words.change(drift.gain)}: the machine drifted by as much")
        else:
            parts.append(f"{kind} code did not change significantly ({words.change(drift.gain)})")
    if not parts:
        return ""
    text = "What both runs measured: " + "; ".join(parts) + "."
    if any(map(_drifted, comparison.drifts.values())):
        text += " Layers that changed by less than code of their kind are called the same."
    return text
