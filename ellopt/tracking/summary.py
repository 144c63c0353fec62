"""What a reader of the parent run sees first: its description in Markdown, and the table of all measurements."""

from __future__ import annotations

import csv
import io
import re
import statistics
from collections.abc import Mapping

from ellopt.core.options import ConvolutionOptions
from ellopt.core.statistics import Comparison
from ellopt.frontends.base import frontend_of
from ellopt.report.document import TuningReport
from ellopt.report.explain import written
from ellopt.report.words import count, duration
from ellopt.select.decisions import LayerReport, VariantReport
from ellopt.tracking.codes import code

#: MLflow cuts longer descriptions; the links to the views, some 300 characters, come on top
_LENGTH = 4300
COLUMNS = (
    "node_id",
    "layer",
    "shape",
    "options",
    "code",
    "median_ms",
    "winner",
    "default",
    "state",
    "min_ms",
    "max_ms",
    "samples",
    "unstable",
    "source",
    "reason",
    "samples_ms",
)


def description(report: TuningReport) -> str:
    """The description: before and after, a line a layer (those that matter most first), cost, how to go on."""
    head = _headline(report)
    tail = _cost(report)
    layers = sorted(report.layers, key=lambda layer: -layer.share_of_model)
    rows = [_row(layer) for layer in layers]
    kept = list(rows)
    while kept and len("\n".join((*head, *kept, *tail))) > _LENGTH - 80:
        kept.pop()
    if len(kept) < len(rows):
        kept.append(f"\n… and {len(rows) - len(kept)} smaller layers: see `tuning_report.json`.")
    return "\n".join((*head, *kept, *tail))


def _headline(report: TuningReport) -> list[str]:
    confirmation = report.confirmation
    medians = {whole.name: whole.latency_ms for whole in confirmation.candidates}
    before, after = medians.get(confirmation.before), medians.get(confirmation.chosen)
    lines = ["{views}"]
    if before and after is not None:
        # One line: MLflow shows the first two or three lines and lays a veil over all but the first.
        against = confirmation.against_before
        gain = f"{_gain(gain_of(before, after, against))} than ELL's default"
        if confirmation.chosen == confirmation.before:
            gain = "ELL's default, nothing was faster"
        evidence = _evidence(against) if report.estimate is None else []
        lines = [f"**{before:.3f} ms → {after:.3f} ms** a pass, {gain} · {{views}}", "", *evidence]
    lines += ("", written(report))
    if report.estimate is not None:
        lines += ("", f"**{report.estimate.remark}**")
    if report.emulated:
        lines += ("", "**These times come from an emulator and say nothing of a real board.**")
    return [
        *lines,
        "",
        "| layer | shape | winner | ms | default ms | gain | share |",
        "|---|---|---|--:|--:|--:|--:|",
    ]


def plan_table(plan: Mapping[str, ConvolutionOptions]) -> str:
    """How each layer was computed, in words and as the code that stands for it in charts."""
    rows = [f"| {_cell(layer.strip())} | {_cell(str(o))} | {code(o)} |" for layer, o in plan.items()]
    head = ["| layer | computed by | code |", "|---|---|---|"]
    while len("\n".join((*head, *rows))) > _LENGTH:
        rows.pop()
    return "\n".join((*head, *rows))


def _row(layer: LayerReport) -> str:
    gain = gain_of(layer.default_ms, layer.winner_ms, layer.against_default)
    winner = f"{_cell(str(layer.winner))} `{code(layer.winner)}`{' (tie)' if layer.tie else ''}"
    cells = (
        _cell(f"{layer.node_id} {layer.name}".strip()),
        _cell(layer.shape),
        winner,
        f"{layer.winner_ms:.3f}" if layer.winner_ms else "",
        f"{layer.default_ms:.3f}" if layer.default_ms else "",
        f"{100 * gain:.0f} %",
        f"{100 * layer.share_of_model:.0f} %",
    )
    return "| " + " | ".join(cells) + " |"


def _cost(report: TuningReport) -> list[str]:
    cost, space = report.cost, report.space
    trials = f"{cost.trials_complete} trials complete, {cost.trials_pruned} pruned, {cost.trials_failed} failed"
    return [
        "",
        f"{trials}; {count(cost.builds, 'build')}, {duration(cost.board_seconds)} of measuring, "
        f"{duration(cost.wall_seconds)} in all "
        f"(sampler {report.sampler}, {space.distinct} distinct variants of {len(report.layers)} layers).",
        "",
        f"The tuned model is `{_model_file(report)}` among the artifacts. "
        "Among the nested runs the winner carries the tag `winner`.",
    ]


def _model_file(report: TuningReport) -> str:
    return next((file for file in report.files if frontend_of(file)), f"{report.model}_options.ell")


def gain_of(before: float, after: float, comparison: Comparison | None) -> float:
    """How much less time, as a share: from the comparison of samples taken in pairs, where there is one."""
    if comparison is not None:
        return comparison.gain
    return 1 - after / before if before else 0.0


def _gain(gain: float) -> str:
    return f"{100 * gain:.1f} % less" if gain >= 0 else f"{-100 * gain:.1f} % more"


def _evidence(comparison: Comparison | None) -> list[str]:
    if comparison is None:
        return []
    interval = f"{100 * comparison.gain_low:.1f} to {100 * comparison.gain_high:.1f} %"
    return [f"95 % confidence interval of the gain: {interval}{'' if comparison.significant else ', not significant'}."]


def _cell(text: str) -> str:
    """``text`` as Markdown that shows it as it is: names of nodes are the model's author's."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return re.sub(r"([\\`*_\[\]<>|~&!$])", r"\\\1", line)


def measurements_csv(report: TuningReport) -> str:
    """One row a layer and variant, with its raw samples; made for ``pandas.read_csv``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for layer in report.layers:
        for variant in layer.variants:
            writer.writerow(_measurement(layer, variant))
    return buffer.getvalue()


def _measurement(layer: LayerReport, variant: VariantReport) -> tuple[object, ...]:
    samples = variant.samples_ms
    median = variant.median_ms if variant.median_ms is not None or not samples else statistics.median(samples)
    return (
        layer.node_id,
        layer.name,
        layer.shape,
        str(variant.options),
        code(variant.options),
        "" if median is None else median,
        variant.options == layer.winner,
        variant.options == layer.default,
        variant.state,
        min(samples) if samples else "",
        max(samples) if samples else "",
        len(samples),
        variant.unstable,
        variant.source,
        variant.reason,
        " ".join(f"{sample:.6g}" for sample in samples),
    )
