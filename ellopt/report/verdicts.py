"""How sure a winner is, in a word; and the order in which a layer's variants are shown."""

from __future__ import annotations

from ellopt.tuning_report import LayerReport, VariantReport

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
