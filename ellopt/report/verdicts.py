"""How sure a winner is, in a word; and the order in which a layer's variants are shown."""

from __future__ import annotations

from ellopt.report.words import before_and_after, sentence, significant
from ellopt.tuning_report import LayerReport, TuningReport, VariantReport

STATES = ("measured", "pruned", "failed", "untried")


def verdict(layer: LayerReport) -> str:
    """``as default``, ``tie``, ``not significant`` or ``faster``."""
    if layer.winner == layer.default:
        return "as default"
    if layer.tie:
        return "tie"
    if layer.against_default is not None and not layer.against_default.significant:
        return "not significant"
    return "faster"


def layer_gain(layer: LayerReport) -> float | None:
    """How much less time the winner takes than ELL's default, as a share; None where that is not known."""
    if layer.winner == layer.default:
        return 0.0
    if layer.against_default is not None:
        return layer.against_default.gain
    return 1 - layer.winner_ms / layer.default_ms if layer.default_ms > 0 else None


def model_gain(report: TuningReport) -> float | None:
    """The same for the confirmed whole model."""
    if report.confirmation.against_before is not None:
        return report.confirmation.against_before.gain
    before, after = before_and_after(report)
    return 1 - after / before if before and after is not None else None


def written(report: TuningReport) -> str:
    """What was written to the output model, and why, as sentences."""
    confirmation = report.confirmation
    why = sentence(confirmation.why)
    return (
        why if confirmation.why.startswith(confirmation.chosen) else f"Written: {confirmation.chosen}. {why}".rstrip()
    )


def doubt(report: TuningReport) -> str:
    """A sentence for the reader when the confirmation does not show that the model became faster; else empty."""
    against = report.confirmation.against_before
    before, after = before_and_after(report)
    if against is None or before is None or after is None:
        return ""
    if (after < before) != (against.gain > 0) and after != before:
        return (
            "The samples scatter so much that medians and paired comparison point in opposite directions: "
            "measure again on a calmer machine before you rely on it"
        )
    if not against.significant:
        return f"The difference from ELL's default is not significant (p = {significant(against.p_value, 2)})"
    return ""


def ordered_variants(layer: LayerReport) -> tuple[VariantReport, ...]:
    """The winner, then the measured by median, then the pruned, the failed, the untried."""
    return tuple(
        sorted(
            layer.variants,
            key=lambda v: (
                v.options != layer.winner,
                STATES.index(v.state) if v.state in STATES else len(STATES),
                v.median_ms if v.median_ms is not None else float("inf"),
                v.options,
            ),
        )
    )
