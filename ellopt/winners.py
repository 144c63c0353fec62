"""From everything that was measured to one choice a layer, with the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ellopt.measurement import SIGNIFICANCE, SIGNIFICANT_PAIRS
from ellopt.methods import find_method
from ellopt.options import ConvolutionOptions, Plan
from ellopt.search.knowledge import Estimate, Knowledge
from ellopt.search.result import SearchResult
from ellopt.shapes import ConvolutionShape
from ellopt.space import LayerSpace, ModelSpace, simplicity
from ellopt.tuning_report import Comparison, LayerReport, VariantReport

#: A simpler option that cannot be told apart from the fastest wins if its estimate is at most this share above.
TIE_SHARE = 0.005
#: A stable variant is preferred to an unstable one if its estimate is at most this share above.
UNTRUSTED_SHARE = 0.15
#: Fewer samples are a glance.
EVIDENT_SAMPLES = 4
#: Where all that can win have so many, their own samples tell more than what is expected of variants like them.
MANY_SAMPLES = 10
#: Only so many variants, of up to so many times the lowest estimate, can win instead of it.
CHALLENGERS, NEAR = 4, 3.0


@dataclass(frozen=True)
class Winners:
    """The best options of every layer (``plan``) and how they came to win (``layers``)."""

    plan: Plan
    layers: tuple[LayerReport, ...]
    space: ModelSpace
    knowledge: Knowledge

    def ell_plan(self, plan: Plan) -> Plan:
        """What the output model tells ELL where our own code computes the layers by ``plan``."""
        return Plan(
            tuple((layer.node_id, for_ell(self.knowledge, layer, plan[layer.node_id])) for layer in self.space.layers)
        )


NO_EVIDENCE = "ELL's default stays: emulated times are no evidence without --accept_emulated_timings."


def without_evidence(winners: Winners) -> Winners:
    """ELL's default for every layer, whatever was measured: emulated times are no evidence."""
    layers = tuple(
        replace(
            layer,
            winner=layer.default,
            winner_ms=layer.default_ms,
            runner_up="",
            against_default=None,
            against_runner_up=None,
            tie=False,
            why=NO_EVIDENCE,
            ell_options="",
        )
        for layer in winners.layers
    )
    return replace(winners, plan=winners.space.default_plan, layers=layers)


@dataclass(frozen=True)
class _Choice:
    winner: ConvolutionOptions
    runner_up: ConvolutionOptions | None
    against_runner_up: Comparison | None
    against_default: Comparison | None
    tie: bool
    why: str


def choose_winners(
    result: SearchResult, rejected: Mapping[ConvolutionShape, frozenset[ConvolutionOptions]] | None = None
) -> Winners:
    """The winner of every layer.

    The fastest variant whose measurement is stable wins; where a simpler one cannot be told apart from it, that one
    does. A layer that was never measured keeps ELL's default. ``rejected`` takes part no more.
    """
    knowledge, space = result.knowledge, result.space
    choices = {
        shape: _choose(knowledge, shape, layers[0].default, (rejected or {}).get(shape, frozenset()))
        for shape, layers in space.by_shape.items()
    }
    plan = Plan(tuple((layer.node_id, choices[layer.shape].winner) for layer in space.layers))
    total = knowledge.predict_ms(plan) or 0.0
    reports = tuple(
        _report(result, layer, choices[layer.shape], for_ell(knowledge, layer, plan[layer.node_id]), total)
        for layer in space.layers
    )
    return Winners(plan, reports, space, knowledge)


def for_ell(knowledge: Knowledge, layer: LayerSpace, winner: ConvolutionOptions) -> ConvolutionOptions:
    """What the output model tells ELL: the winner where ELL can do it, else the best of what ELL can.

    ELL computes depthwise layers wrongly by winograd, and knows winograd with tiles of 2 only; blockings of the matrix
    multiplication mean nothing to it.
    """
    if ell_can(layer.shape, winner):
        return replace(winner, gemm_blocking="")
    measured = [
        estimate
        for options, estimate in knowledge.estimates(layer.shape).items()
        if ell_can(layer.shape, options) and (options in layer.variants or options == layer.default)
    ]
    best = min(measured, key=lambda estimate: estimate.expected_ms, default=None)
    return replace(best.options if best else layer.default, gemm_blocking="")


def ell_can(shape: ConvolutionShape, options: ConvolutionOptions) -> bool:
    """Whether ELL's own compiler computes ``shape`` rightly by ``options``."""
    return find_method(options.method).ell_can(shape, options)


def _choose(
    knowledge: Knowledge,
    shape: ConvolutionShape,
    default: ConvolutionOptions,
    rejected: frozenset[ConvolutionOptions],
) -> _Choice:
    allowed = set(knowledge.candidates(shape)) - rejected
    measured = [e for o, e in knowledge.estimates(shape).items() if o in allowed]
    # A glance that a search did not find worth another is no evidence, however fast it looks.
    evident = [e for e in measured if e.count >= EVIDENT_SAMPLES]
    some = any(e.options != default for e in evident)
    ranked = _ranked(evident if some else measured)
    if not ranked:
        return _Choice(default, None, None, None, False, "Nothing else was measured, so ELL's default stays.")
    trusted = [estimate for estimate in ranked if not estimate.summary.unstable]
    lead = _leader(knowledge, shape, ranked)
    fastest = _trusted_leader(knowledge, shape, lead, trusted)
    winner = _simplest_tied(knowledge, shape, fastest, trusted)
    rest = [e for e in (trusted if len(trusted) > 1 else ranked) if e.options != winner.options]
    runner_up = rest[0] if rest else None
    against_runner_up = knowledge.compare(shape, winner.options, runner_up.options) if runner_up else None
    against_default = None if winner.options == default else knowledge.compare(shape, winner.options, default)
    tie = against_runner_up is not None and tied(against_runner_up)
    why = _explain(winner, fastest, runner_up, against_runner_up, against_default, tie, default)
    if lead is not fastest:
        why += f" {lead.options} looked faster, but its measurement is unstable and not trusted."
    elif lead.summary.unstable:
        why += " Its measurement is unstable."
    return _Choice(
        winner.options, runner_up.options if runner_up else None, against_runner_up, against_default, tie, why
    )


def _ranked(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Fastest first: by what is expected where some were seen seldom, by their own samples where none was."""
    limit = NEAR * min((e.ms for e in estimates), default=0.0)
    often = all(e.count >= MANY_SAMPLES for e in estimates if e.ms <= limit)
    return sorted(estimates, key=lambda e: e.ms if often else e.expected_ms)


def _leader(knowledge: Knowledge, shape: ConvolutionShape, ranked: Sequence[Estimate]) -> Estimate:
    """The first of ``ranked``, fastest first, unless another was significantly faster in common rounds.

    An estimate looks past slow outliers; where a variant is slow in most rounds, as parallel ones are on a busy
    machine, pairs of rounds show it.
    """
    best = ranked[0]
    near = [other for other in ranked[1:] if other.ms <= NEAR * best.ms][:CHALLENGERS]
    for other in near:
        if len(knowledge.log_ratios(shape, other.options, best.options)) >= SIGNIFICANT_PAIRS:
            comparison = knowledge.compare(shape, other.options, best.options)
            # Several are asked, so each answer must be the surer (Bonferroni).
            if comparison is not None and comparison.gain > 0 and comparison.p_value < SIGNIFICANCE / CHALLENGERS:
                best = other
    return best


def _trusted_leader(knowledge: Knowledge, shape: ConvolutionShape, lead: Estimate, trusted: list[Estimate]) -> Estimate:
    """``lead`` if it is stable or its lead is beyond doubt, else the best of the ``trusted`` that is not far behind."""
    if not lead.summary.unstable or not trusted:
        return lead
    stable = _leader(knowledge, shape, trusted)
    comparison = knowledge.compare(shape, lead.options, stable.options)
    sure = comparison is not None and comparison.significant and comparison.gain > 0
    return lead if sure or stable.ms > lead.ms * (1 + UNTRUSTED_SHARE) else stable


def tied(comparison: Comparison) -> bool:
    """Whether two variants cannot be told apart: the difference is not significant, and may go either way."""
    return not comparison.significant and comparison.gain_low <= 0 <= comparison.gain_high


def _simplest_tied(
    knowledge: Knowledge, shape: ConvolutionShape, fastest: Estimate, trusted: list[Estimate]
) -> Estimate:
    """The simplest that cannot be told apart from ``fastest``, by its estimate or by their samples in pairs."""
    if fastest.count < SIGNIFICANT_PAIRS:
        return fastest  # so few samples cannot tell anything apart
    simpler = [
        e for e in trusted if simplicity(e.options) < simplicity(fastest.options) and e.count >= SIGNIFICANT_PAIRS
    ]
    for estimate in sorted(simpler, key=lambda e: simplicity(e.options)):
        comparison = knowledge.compare(shape, fastest.options, estimate.options)
        near = estimate.expected_ms <= fastest.expected_ms * (1 + TIE_SHARE)
        if comparison is not None and tied(comparison) and near:
            return estimate
    return fastest


def _explain(
    winner: Estimate,
    fastest: Estimate,
    runner_up: Estimate | None,
    against_runner_up: Comparison | None,
    against_default: Comparison | None,
    tie: bool,
    default: ConvolutionOptions,
) -> str:
    """One or two sentences for a reader."""
    if winner.options == default:
        text = f"ELL's default, {default}, took {winner.ms:.4g} ms"
    elif against_default is None:
        text = f"It took {winner.ms:.4g} ms (ELL's default was not measured)"
    else:
        doubt = "" if against_default.significant else ", which is not significant"
        more_or_less = "less" if against_default.gain >= 0 else "more"
        text = f"It took {winner.ms:.4g} ms, {abs(against_default.gain):.1%} {more_or_less} than ELL's default{doubt}"
    if runner_up is None or against_runner_up is None:
        return text + "; nothing else was measured."
    if winner.options != fastest.options:
        return text + f"; it cannot be told apart from {fastest.options} and is the simpler one."
    if tie:
        return text + f"; a tie with {runner_up.options} (p = {against_runner_up.p_value:.2g})."
    return text + (
        f"; {abs(against_runner_up.gain):.1%} {'less' if against_runner_up.gain >= 0 else 'more'} than the "
        f"runner-up {runner_up.options} "
        f"(p = {against_runner_up.p_value:.2g})."
    )


def _report(
    result: SearchResult, layer: LayerSpace, choice: _Choice, ell: ConvolutionOptions, total: float
) -> LayerReport:
    knowledge, node_id = result.knowledge, layer.node_id
    winner_ms = knowledge.layer_ms(node_id, choice.winner) or 0.0
    options = layer.variants if layer.default in layer.variants else (*layer.variants, layer.default)
    return LayerReport(
        node_id=node_id,
        name=layer.layer.name,
        shape=str(layer.shape),
        multiply_adds=layer.shape.multiply_adds,
        variants=tuple(_variant(result, layer, variant) for variant in options),
        winner=str(choice.winner),
        winner_ms=winner_ms,
        default=str(layer.default),
        default_ms=knowledge.layer_ms(node_id, layer.default) or 0.0,
        share_of_model=winner_ms / total if total > 0 else 0.0,
        runner_up=str(choice.runner_up) if choice.runner_up else "",
        against_default=choice.against_default,
        against_runner_up=choice.against_runner_up,
        tie=choice.tie,
        why=choice.why,
        ell_options=str(ell) if ell != choice.winner else "",
    )


def _variant(result: SearchResult, layer: LayerSpace, options: ConvolutionOptions) -> VariantReport:
    knowledge, shape = result.knowledge, layer.shape
    reason = knowledge.failed(shape).get(options)
    if reason is not None:
        return VariantReport(str(options), "failed", reason=reason)
    samples = knowledge.samples(shape, options)
    if not samples:
        return VariantReport(str(options), "untried", reason=result.untried.get((shape, options), ""))
    own = [sample.ms for sample in samples if sample.node_id == layer.node_id] or [sample.ms for sample in samples]
    pruned = result.pruned.get((shape, options), "")
    return VariantReport(
        options=str(options),
        state="pruned" if pruned else "measured",
        samples_ms=tuple(own),
        median_ms=knowledge.layer_ms(layer.node_id, options),
        unstable=knowledge.estimates(shape)[options].summary.unstable,
        reason=pruned,
        source="store" if knowledge.only_stored(shape, options) else "measured",
    )
