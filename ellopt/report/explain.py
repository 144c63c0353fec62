"""How sure a winner is, in a word; and the order in which a layer's variants are shown."""

from __future__ import annotations

from ellopt.core.statistics import Comparison
from ellopt.report.document import TuningReport
from ellopt.report.words import before_and_after, count, percent, sentence, significant
from ellopt.select.confirm import ASSEMBLED, BEFORE, TRIAL, UNIFORM
from ellopt.select.decisions import LayerReport, VariantReport

STATES = ("measured", "pruned", "failed", "untried")


def verdict(layer: LayerReport) -> str:
    """``as default``, ``tie`` (with the runner-up), ``not significant`` (against ELL's default), ``not compared`` (with
    it) or ``faster``."""
    if layer.winner == layer.default:
        return "as default"
    if layer.against_default is None:
        return "not compared"
    if not layer.against_default.significant or layer.against_default.gain <= 0:
        return "not significant"
    return "tie" if layer.tie else "faster"


def layer_gain(layer: LayerReport) -> float | None:
    """How much less time the winner takes than ELL's default, as a share; None where that is not known."""
    if layer.winner == layer.default:
        return 0.0
    return 1 - layer.winner_ms / layer.default_ms if layer.default_ms > 0 else None


def model_gain(report: TuningReport) -> float | None:
    """The same for the confirmed whole model: always of the two latencies that are shown."""
    before, after = before_and_after(report)
    return 1 - after / before if before and after is not None else None


def evidence(report: TuningReport) -> Comparison | None:
    """The comparison with ELL's default, with its interval, if it is one of the latencies that are shown (earlier
    versions compared medians of pairs)."""
    against, gain = report.confirmation.against_before, model_gain(report)
    if report.estimate is not None:  # no samples stand behind it
        return None
    if against is None or gain is None or abs(against.gain - gain) > 1e-6 * (1 + abs(gain)):
        return None
    return against


def accurate(report: TuningReport) -> str:
    """How accurate the written model is, as sentences; empty where that is not told."""
    found = report.accuracy
    if found is None:
        return ""
    text = f"{found.layers} of {count(len(report.layers), 'layer')} in float16: the" if found.layers else "The"
    text += (
        f" output is off by at most {_fine(found.error)} of its largest value"
        f" for {count(found.inputs, 'random input')} ({_fine(found.allowed)} is allowed)"
    )
    if found.samples:
        text += (
            f"; for {count(found.samples, 'sample')} by at most {_fine(found.sample_error)}, and the largest output"
            f" is where the reference has it for {found.same_top} of {found.samples}"
        )
    return text + "."


def _fine(share: float) -> str:
    """A share as per cent with two digits, however small."""
    return f"{significant(100 * share, 2)} %"


_WRITTEN = {
    ASSEMBLED: "Every layer was written with its winner.",
    BEFORE: "Every layer was written with ELL's default.",
    UNIFORM: "All layers were written with one option.",
    TRIAL: "The layers were written as the fastest trial had them.",
}


def written(report: TuningReport) -> str:
    """What was written to the output model, and why, as sentences."""
    chosen = report.confirmation.chosen
    what = _WRITTEN.get(chosen, f"What was written is called {chosen!r}.") if chosen else ""
    return f"{what} {sentence(_nothing_tried(report) or report.confirmation.why)}".strip()


def _nothing_tried(report: TuningReport) -> str:
    """That a search ended before anything but ELL's default was measured, and why; empty where something was."""
    others = [v for layer in report.layers for v in layer.variants if v.options != layer.default]
    if not others or any(variant.state != "untried" for variant in others):
        return ""
    because = report.cost.stopped_because
    return f"nothing but ELL's default was tried{f': {because}' if because else ''}"


def states(report: TuningReport) -> str:
    """What depended on the state of the machine when whole models were compared; empty if nothing did."""
    confirmation = report.confirmation
    return f"In {count(confirmation.visits, 'visit')}: {confirmation.states}" if confirmation.states else ""


def doubt(report: TuningReport) -> str:
    """A sentence for the reader when the confirmation does not show that the model became faster; else empty."""
    against = report.confirmation.against_before
    before, after = before_and_after(report)
    if against is None or before is None or after is None:
        return ""
    if against.significant and (after < before) != (against.gain > 0):
        return (
            "The latencies and the comparison of this run point in opposite directions: "
            "measure again on a calmer machine before you rely on it"
        )
    if against.significant and against.gain < 0:
        return f"What was written takes {percent(-against.gain)} more time than ELL's default: tune the model again"
    if not against.significant and report.estimate is not None:
        return f"The difference from ELL's default is below the error of estimates, {percent(report.estimate.error)}"
    if not against.significant:
        return f"The difference from ELL's default is not significant (p = {significant(against.p_value, 2)})"
    return ""


def ordered_variants(layer: LayerReport) -> tuple[VariantReport, ...]:
    """The winner, then what could win by its score, what was measured too seldom for that, the pruned, the failed, the
    untried."""
    return tuple(
        sorted(
            layer.variants,
            key=lambda v: (
                v.options != layer.winner,
                STATES.index(v.state) if v.state in STATES else len(STATES),
                v.seldom,
                v.median_ms if v.median_ms is not None else float("inf"),
                str(v.options),
            ),
        )
    )
