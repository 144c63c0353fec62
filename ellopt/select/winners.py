"""From everything that was measured to one choice a layer, with the evidence for it.

Each variant of a layer has one score: the median of its samples, less what visits and turns did to them and without
slow outliers. By it variants are chosen, sorted and shown, and gains are those of scores. Tests say how sure a gain is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ellopt.core.methods import find_method
from ellopt.core.numbers import less, significant
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.statistics import SIGNIFICANCE, SIGNIFICANT_PAIRS, Comparison, of_scores
from ellopt.search.evidence.estimates import Estimate, Evidence
from ellopt.search.result import SearchResult
from ellopt.select.by_estimate import choose_by_estimate
from ellopt.select.choice import TIE_SHARE, Choice
from ellopt.select.decisions import LayerReport, VariantReport
from ellopt.space.space import LayerSpace, ModelSpace, simplicity

_WRONG = "the whole model's output is wrong with it"
#: A stable variant is preferred to an unstable one if its estimate is at most this share above.
UNTRUSTED_SHARE = 0.15
#: Fewer samples are a glance.
EVIDENT_SAMPLES = 4
#: Only what has so many samples can win, or half as many as the variant that is expected to: the lowest of many scores
#: of few samples each was lucky.
MANY_SAMPLES = 10
#: Only so many variants, of up to so many times the lowest estimate, can win instead of it.
CHALLENGERS, NEAR = 4, 3.0


@dataclass(frozen=True)
class Winners:
    """The best options of every layer (``plan``) and how they came to win (``layers``)."""

    plan: Plan
    layers: tuple[LayerReport, ...]
    space: ModelSpace
    evidence: Evidence

    def ell_plan(self, plan: Plan) -> Plan:
        """What the output model tells ELL where our own code computes the layers by ``plan``."""
        return self.space.plan(lambda layer: for_ell(self.evidence, layer, plan[layer.node_id]))


NO_EVIDENCE = "ELL's default stays: emulated times are no evidence without --accept_emulated_timings."


def without_evidence(winners: Winners) -> Winners:
    """ELL's default for every layer, whatever was measured: emulated times are no evidence."""
    layers = tuple(
        replace(
            layer,
            winner=layer.default,
            winner_ms=layer.default_ms,
            runner_up=None,
            against_default=None,
            against_runner_up=None,
            tie=False,
            why=NO_EVIDENCE,
            ell_options=None,
        )
        for layer in winners.layers
    )
    return replace(winners, plan=winners.space.default_plan, layers=layers)


def choose_winners(
    result: SearchResult,
    rejected: Mapping[ConvolutionShape, frozenset[ConvolutionOptions]] | None = None,
    error: float = 0.0,
) -> Winners:
    """The winner of every layer.

    The fastest variant whose measurement is stable wins; where a simpler one cannot be told apart from it, that one
    does. A layer that was never measured keeps ELL's default. ``rejected``
    is what makes the whole model's output wrong: it takes part no more, and is reported as failed. ``error``: where
    positive, times are estimates that may be off by that share.
    """
    evidence, space = result.evidence, result.space
    choices = {
        shape: _choose(evidence, shape, layers[0].default, (rejected or {}).get(shape, frozenset()), error)
        for shape, layers in space.by_shape.items()
    }
    plan = space.plan_of_shapes({shape: choice.winner for shape, choice in choices.items()})
    total = evidence.predict_ms(plan) or 0.0
    reports = tuple(
        _report(result, layer, choices[layer.shape], for_ell(evidence, layer, plan[layer.node_id]), total)
        for layer in space.layers
    )
    return Winners(plan, reports, space, evidence)


def for_ell(evidence: Evidence, layer: LayerSpace, winner: ConvolutionOptions) -> ConvolutionOptions:
    """What the output model tells ELL: the winner where ELL can do it, else the best of what ELL can.

    ELL computes depthwise layers wrongly by winograd, and knows winograd with tiles of 2 only; blockings of the matrix
    multiplication and precisions mean nothing to it.
    """
    if ell_can(layer.shape, winner):
        return replace(winner, gemm_blocking="", precision="")
    measured = [
        estimate
        for options, estimate in evidence.estimates(layer.shape).items()
        if ell_can(layer.shape, options) and (options in layer.variants or options == layer.default)
    ]
    best = min(measured, key=lambda estimate: estimate.expected_ms, default=None)
    return replace(best.options if best else layer.default, gemm_blocking="", precision="")


def ell_can(shape: ConvolutionShape, options: ConvolutionOptions) -> bool:
    """Whether ELL's own compiler computes ``shape`` rightly by ``options``."""
    return find_method(options.method).ell_can(shape, options)


def _choose(
    evidence: Evidence,
    shape: ConvolutionShape,
    default: ConvolutionOptions,
    rejected: frozenset[ConvolutionOptions],
    error: float,
) -> Choice:
    allowed = {*evidence.candidates(shape), default} - rejected
    measured = [e for o, e in evidence.estimates(shape).items() if o in allowed]
    contenders = _contenders(measured, default)
    if not contenders:
        why = "Nothing else was measured, so ELL's default stays." + _rejection(rejected)
        return Choice(default, None, None, None, False, why, rejected=rejected)
    scores = {e.options: e.ms for e in contenders}
    if error > 0:
        chosen = choose_by_estimate(scores, default, error)
        return replace(chosen, why=chosen.why + _rejection(rejected), rejected=rejected)
    lead = _leader(evidence, shape, contenders, scores)
    trusted = [e for e in contenders if not e.summary.unstable]
    fastest = _trusted_leader(evidence, shape, lead, trusted, scores)
    winner = _simplest_tied(evidence, shape, fastest, trusted, scores)
    if scores.get(default, math.inf) <= scores[winner.options]:  # unstable, maybe, but nothing was shown to be faster
        winner = next(e for e in contenders if e.options == default)
    rest = [e for e in (trusted if len(trusted) > 1 else contenders) if e.options != winner.options]
    runner_up = min(rest, key=lambda e: scores[e.options]).options if rest else None
    against_runner_up = _compare(evidence, shape, winner.options, runner_up, scores)
    against_default = _compare(evidence, shape, winner.options, default, scores)
    tie = against_runner_up is not None and is_tie(against_runner_up)
    why = _explain(winner.options, fastest.options, runner_up, against_runner_up, against_default, default)
    if lead.options not in (fastest.options, winner.options):
        why += f" {lead.options} looked faster, but its measurement is unstable and not trusted."
    elif winner.summary.unstable:
        why += " Its measurement is unstable."
    why += _rejection(rejected)
    return Choice(winner.options, runner_up, against_runner_up, against_default, tie, why, scores, rejected)


def is_tie(comparison: Comparison) -> bool:
    """Whether two variants count as equally fast, so that the simpler one wins: a difference of at most ``TIE_SHARE``
    that is not significant. A larger one decides, as it is what is expected, and is said to be not significant."""
    return not comparison.significant and abs(comparison.gain) <= TIE_SHARE


def _rejection(rejected: frozenset[ConvolutionOptions]) -> str:
    names = ", ".join(str(options) for options in sorted(rejected))
    return f" Rejected, since {_WRONG}: {names}." if rejected else ""


def _contenders(measured: Sequence[Estimate], default: ConvolutionOptions) -> list[Estimate]:
    """What can win, fastest first: what was measured often enough, and ELL's default."""
    # A glance that a search did not find worth another is no evidence, however fast it looks.
    evident = [e for e in measured if e.count >= EVIDENT_SAMPLES]
    pool = evident if any(e.options != default for e in evident) else list(measured)
    if not pool:
        return []
    likeliest = min(pool, key=lambda e: e.expected_ms)
    enough = min(MANY_SAMPLES, likeliest.count / 2)
    return sorted(
        (e for e in measured if e.options == default or (e in pool and e.count >= enough)), key=lambda e: e.ms
    )


def _compare(
    evidence: Evidence,
    shape: ConvolutionShape,
    a: ConvolutionOptions,
    b: ConvolutionOptions | None,
    scores: Mapping[ConvolutionOptions, float],
) -> Comparison | None:
    """The scores of ``a`` and ``b``, and what their samples say of the difference; None if one has none."""
    if b is None or a == b or b not in scores:
        return None
    comparison = evidence.compare(shape, a, b)
    return None if comparison is None else of_scores(comparison, scores[a], scores[b])


def _leader(
    evidence: Evidence,
    shape: ConvolutionShape,
    ranked: Sequence[Estimate],
    scores: dict[ConvolutionOptions, float],
) -> Estimate:
    """The first of ``ranked``, fastest first, unless another was significantly faster in common rounds.

    An estimate looks past slow outliers; where a variant is slow in most rounds, as parallel ones are on a busy
    machine, pairs of rounds show it. What wins by its pairs has the score that they give it.
    """
    best = ranked[0]
    near = [other for other in ranked[1:] if other.ms <= NEAR * best.ms][:CHALLENGERS]
    for other in near:
        if len(evidence.log_ratios(shape, other.options, best.options)) >= SIGNIFICANT_PAIRS:
            comparison = evidence.compare(shape, other.options, best.options)
            if comparison and comparison.gain > 0 and comparison.p_value < SIGNIFICANCE / CHALLENGERS:
                scores[other.options] = scores[best.options] * (1 - comparison.gain)
                best = other
    return best


def _trusted_leader(
    evidence: Evidence,
    shape: ConvolutionShape,
    lead: Estimate,
    trusted: Sequence[Estimate],
    scores: Mapping[ConvolutionOptions, float],
) -> Estimate:
    """``lead`` if it is stable or its lead is beyond doubt, else the best of the ``trusted`` that is not far behind."""
    if not lead.summary.unstable or not trusted:
        return lead
    stable = min(trusted, key=lambda e: scores[e.options])
    comparison = _compare(evidence, shape, lead.options, stable.options, scores)
    sure = comparison is not None and comparison.significant and comparison.gain > 0
    return lead if sure or scores[stable.options] > scores[lead.options] * (1 + UNTRUSTED_SHARE) else stable


def _simplest_tied(
    evidence: Evidence,
    shape: ConvolutionShape,
    fastest: Estimate,
    trusted: Sequence[Estimate],
    scores: Mapping[ConvolutionOptions, float],
) -> Estimate:
    """The simplest that cannot be told apart from ``fastest``, by its score or by their samples in pairs."""
    if fastest.count < SIGNIFICANT_PAIRS:
        return fastest  # so few samples cannot tell anything apart
    simpler = [
        e for e in trusted if simplicity(e.options) < simplicity(fastest.options) and e.count >= SIGNIFICANT_PAIRS
    ]
    for estimate in sorted(simpler, key=lambda e: simplicity(e.options)):
        comparison = _compare(evidence, shape, fastest.options, estimate.options, scores)
        near = scores[estimate.options] <= scores[fastest.options] * (1 + TIE_SHARE)
        if comparison is not None and not comparison.significant and near:
            return estimate
    return fastest


def _explain(
    winner: ConvolutionOptions,
    fastest: ConvolutionOptions,
    runner_up: ConvolutionOptions | None,
    against_runner_up: Comparison | None,
    against_default: Comparison | None,
    default: ConvolutionOptions,
) -> str:
    """One or two sentences for a reader."""
    if winner == default and runner_up is None:
        return f"Nothing but ELL's default, {default}, was measured."
    if winner == default:
        text = f"Nothing was faster than ELL's default, {default}"
    elif against_default is None:
        text = "ELL's default was not measured"
    else:
        doubt = "" if against_default.significant else f", which is not significant (p = {_p(against_default)})"
        text = f"It took {less(against_default.gain)} than ELL's default{doubt}"
    if runner_up is None or against_runner_up is None:
        return text + "; nothing else was measured."
    if winner not in (fastest, default):
        return text + f"; it cannot be told apart from {fastest} and is the simpler one."
    if is_tie(against_runner_up):
        return text + f"; a tie with {runner_up} ({less(against_runner_up.gain)}, p = {_p(against_runner_up)})."
    evidence = f"{'' if against_runner_up.significant else 'which is not significant, '}p = {_p(against_runner_up)}"
    if runner_up == default and against_default == against_runner_up:
        return f"It took {less(against_runner_up.gain)} than ELL's default, {default}, the runner-up ({evidence})."
    return text + f"; {less(against_runner_up.gain)} than the runner-up {runner_up} ({evidence})."


def _p(comparison: Comparison) -> str:
    return significant(comparison.p_value, 2) if comparison.p_value >= 1e-4 else f"{comparison.p_value:.0e}"


def _report(
    result: SearchResult, layer: LayerSpace, choice: Choice, ell: ConvolutionOptions, total: float
) -> LayerReport:
    evidence, node_id = result.evidence, layer.node_id
    winner_ms = _score_ms(evidence, layer, choice, choice.winner) or 0.0
    options = layer.variants if layer.default in layer.variants else (*layer.variants, layer.default)
    return LayerReport(
        node_id=node_id,
        name=layer.layer.name,
        shape=str(layer.shape),
        multiply_adds=layer.shape.multiply_adds,
        variants=tuple(_variant(result, layer, choice, variant) for variant in options),
        winner=choice.winner,
        winner_ms=winner_ms,
        default=layer.default,
        default_ms=_score_ms(evidence, layer, choice, layer.default) or 0.0,
        share_of_model=winner_ms / total if total > 0 else 0.0,
        runner_up=choice.runner_up,
        against_default=choice.against_default,
        against_runner_up=choice.against_runner_up,
        tie=choice.tie,
        why=choice.why,
        ell_options=ell if ell != choice.winner else None,
    )


def _score_ms(evidence: Evidence, layer: LayerSpace, choice: Choice, options: ConvolutionOptions) -> float | None:
    """The score of ``options`` on this layer, its place in the model accounted for; None if not measured."""
    ms, estimate = evidence.layer_ms(layer.node_id, options), evidence.estimates(layer.shape).get(options)
    return None if ms is None or estimate is None else ms * choice.scores.get(options, estimate.ms) / estimate.ms


def _variant(result: SearchResult, layer: LayerSpace, choice: Choice, options: ConvolutionOptions) -> VariantReport:
    evidence, shape = result.evidence, layer.shape
    reason = _WRONG if options in choice.rejected else evidence.failed(shape).get(options)
    if reason is not None:
        return VariantReport(options, "failed", reason=reason)
    samples = evidence.samples(shape, options)
    if not samples:
        return VariantReport(options, "untried", reason=result.untried.get((shape, options), ""))
    own = [sample.ms for sample in samples if sample.node_id == layer.node_id] or [sample.ms for sample in samples]
    pruned = result.pruned.get((shape, options), "")
    estimate = evidence.estimates(shape)[options]
    by_pairs = choice.scores.get(options, estimate.ms) / estimate.ms
    seldom = not pruned and options not in choice.scores
    return VariantReport(
        options=options,
        state="pruned" if pruned else "measured",
        samples_ms=tuple(own),
        median_ms=_score_ms(evidence, layer, choice, options),
        decided_ms=tuple(float(f"{ms * by_pairs:.7g}") for ms in evidence.adjusted(layer.node_id, options)),
        unstable=estimate.summary.unstable and not choice.error,
        seldom=seldom,
        reason="measured too seldom to win" if seldom else pruned,
        source="store" if evidence.only_stored(shape, options) else "measured",
    )
