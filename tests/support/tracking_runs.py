"""A tuning run of a made-up model, as tracking sees it."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.statistics import Comparison
from ellopt.core.trial import Trial, TrialState, Visit
from ellopt.report.document import TuningReport
from ellopt.search.result import BoardReport, CostReport
from ellopt.select.decisions import Confirmation, LayerReport, VariantReport, WholeModel
from ellopt.space.space import SpaceReport
from ellopt.tracking import ModelStart

OPTIONS = ("simple", "unrolled", "unrolled parallel", "winograd s8 f2 c4", "winograd s8 f2 c4 parallel", "winograd t4")
DEFAULT = ConvolutionOptions("unrolled")
WINNER = ConvolutionOptions.parse("winograd s8 f2 c4 parallel")
COSTS = dict(zip(OPTIONS, (3.0, 1.6, 1.0, 0.9, 0.6, 0.7), strict=True))


def node_ids(layers: int) -> tuple[str, ...]:
    return tuple(str(1034 + 4 * i) for i in range(layers))


def make_start(output_dir: Path, name: str = "net", target: str = "host") -> ModelStart:
    output_dir.mkdir(parents=True, exist_ok=True)
    return ModelStart(
        name=name,
        tag=name,
        output_dir=output_dir,
        target=target,
        toolchain="native",
        sampler="tpe",
        board_kind="local",
        identity=f"sha256 of {name}",
        params={"seed": "0", "options_file": "search_spaces/quick.json"},
        layer_names={node: f"conv{i}" for i, node in enumerate(node_ids(300))},
    )


def make_trials(count: int, layers: int = 3) -> tuple[Trial, ...]:
    """Trials with random plans. Every ninth is pruned, every thirteenth failed."""
    chance = random.Random(7)
    trials: list[Trial] = []
    best = float("inf")
    for number in range(count):
        plan = {node: chance.choice(OPTIONS) for node in node_ids(layers)}
        layers_ms = {
            node: COSTS[text] * (1 + i) * chance.uniform(0.97, 1.05) for i, (node, text) in enumerate(plan.items())
        }
        total = sum(layers_ms.values()) + 0.2
        tried = Plan.of({node: ConvolutionOptions.parse(text) for node, text in plan.items()})
        samples = PlanSamples(tried, (total,), {node: (ms,) for node, ms in layers_ms.items()})
        trial = Trial(tried, samples, Visit(f"visit {number}", "host", "board"))
        if number % 13 == 12:
            trial = Trial.without_samples(tried, "the compiler crashed")
        elif number % 9 == 8:
            trial = replace(trial, state=TrialState.PRUNED, reason="3.1 times slower than the best")
        else:
            best = min(best, total)
        known = None if best == float("inf") else best
        trials.append(replace(trial, board_seconds=0.5, number=number, started_s=number * 0.6, best_total_ms=known))
    return tuple(trials)


def make_report(trials: tuple[Trial, ...], layers: int = 3, name: str = "net") -> TuningReport:
    plan = Plan.uniform(node_ids(layers), WINNER)
    default = Plan.uniform(node_ids(layers), DEFAULT)
    after, before = (sum(COSTS[str(o)] * (1 + i) for i in range(layers)) + 0.2 for o in (WINNER, DEFAULT))
    gain = Comparison(1 - after / before, 0.55, 0.65, 1e-6, True)
    states = [trial.state for trial in trials]
    complete, pruned, failed = (states.count(state) for state in TrialState)
    return TuningReport(
        model=name,
        tag=name,
        model_path=f"models/{name}.ell",
        model_sha256="0" * 64,
        target="host",
        toolchain="native",
        toolchain_version="1",
        emulated=False,
        sampler="tpe",
        seed=0,
        ellopt_version="0.1.0",
        created="2026-01-01T00:00:00Z",
        environment={"cpu": "some cpu"},
        space=SpaceReport("quick.json", 14, 18, 18, dict.fromkeys(node_ids(layers), 6)),
        layers=tuple(_layer(node, i, layers) for i, node in enumerate(node_ids(layers))),
        trials=trials,
        confirmation=Confirmation(
            (
                WholeModel("ell default", default, (before, before * 1.01), before),
                WholeModel("assembled", plan, (after, after * 1.01), after),
            ),
            chosen="assembled",
            before="ell default",
            against_before=gain,
            why="The assembled plan was the fastest in 40 interleaved rounds.",
        ),
        cost=CostReport(1, 4.0, 20.0, 120, complete, pruned, failed, 1.5, 31.0, "all trials made"),
        boards=BoardReport(runs=4, boards={"host": 4}),
        files=(f"{name}_options.ell", "compile_options.json", "compile_switches.txt"),
    )


def _layer(node: str, index: int, layers: int) -> LayerReport:
    return LayerReport(
        node_id=node,
        name=f"conv{index}",
        shape="3x3/1 16x16x8 -> 16x16x8",
        multiply_adds=147456,
        variants=tuple(
            VariantReport(
                ConvolutionOptions.parse(text),
                "measured",
                (cost * (1 + index), cost * (1 + index) * 1.02),
                cost * (1 + index),
            )
            for text, cost in COSTS.items()
        ),
        winner=WINNER,
        winner_ms=0.6 * (1 + index),
        default=DEFAULT,
        default_ms=1.6 * (1 + index),
        share_of_model=(1 + index) / sum(range(1, layers + 1)),
        why="fastest by 14 %",
    )


def write_outputs(output_dir: Path, report: TuningReport) -> None:
    """Files as a run leaves them."""
    output_dir.mkdir(parents=True, exist_ok=True)
    for name in report.files:
        (output_dir / name).write_text(f"content of {name}\n")
    (output_dir / "tuning_report.json").write_text(report.to_json())
    (output_dir / "tuning_report.html").write_text("<html><title>tuning report</title></html>\n")
