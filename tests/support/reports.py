"""A tuning report as a real run would leave it, drawn from a seed: the tests' stand-in for hours of measuring."""

from __future__ import annotations

import random
from dataclasses import replace

from ellopt.app.environment import environment
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.statistics import Comparison
from ellopt.core.trial import Trial, TrialState, Visit
from ellopt.report.document import NodeReport, TuningReport
from ellopt.search.result import BoardReport, CostReport
from ellopt.select.decisions import Confirmation, LayerReport, VariantReport, WholeModel
from ellopt.space.space import SpaceReport

DEFAULT = ConvolutionOptions("unrolled")
_WRONG, _UNTRIED, _UNIFORM = map(ConvolutionOptions.parse, ("winograd t6 f2 c2", "winograd t6 f2 c4", "winograd t4"))
OPTIONS = (
    "simple",
    "simple parallel",
    "unrolled",
    "unrolled parallel",
    "winograd f1 c1",
    "winograd f2 c4 parallel",
    "winograd t4 f4 c8",
    "winograd t4 f4 c8 parallel",
    "winograd t6 f8 c16 parallel",
)
SPEED = (9.0, 5.2, 1.0, 0.61, 0.83, 0.48, 0.52, 0.34, 0.35)


def _median(samples: tuple[float, ...]) -> float:
    ordered = sorted(samples)
    return ordered[len(ordered) // 2]


def _samples(random_: random.Random, centre: float, count: int) -> tuple[float, ...]:
    return tuple(
        round(centre * (1 + abs(random_.gauss(0, 0.02)) + (random_.random() < 0.04) * random_.uniform(0.5, 3)), 6)
        for _ in range(count)
    )


def _layer(
    random_: random.Random, node_id: str, name: str, shape: str, default_ms: float, depthwise: bool
) -> LayerReport:
    variants = []
    for text, speed in zip(OPTIONS, SPEED, strict=True):
        if depthwise and " t" in text:
            continue
        options = ConvolutionOptions.parse(text.replace("f1 c1", "s1").replace("f2 c4", "s8") if depthwise else text)
        centre = default_ms * speed * random_.uniform(0.9, 1.1)
        pruned = speed > 2
        samples = _samples(random_, centre, 1 if pruned else 24)
        variants.append(
            VariantReport(
                options,
                "pruned" if pruned else "measured",
                samples,
                _median(samples),
                unstable=text == "unrolled parallel" and node_id == "1041",
                reason="slower than the best by more than 3x after its first pass" if pruned else "",
                source="store" if str(options) == "winograd f1 c1" else "measured",
            )
        )
    if node_id == "1034":
        reason = "wrong output: error 0.13, limit 0.001"
        variants.append(VariantReport(_WRONG, "failed", reason=reason))
        variants.append(VariantReport(_UNTRIED, "untried", reason="the search ended before"))
    measured = sorted((v for v in variants if v.state == "measured"), key=lambda v: v.median_ms or 0.0)
    default = next(v for v in measured if v.options == DEFAULT)
    winner, runner_up = measured[0], measured[1]
    assert winner.median_ms
    assert runner_up.median_ms
    assert default.median_ms
    lead = 1 - winner.median_ms / runner_up.median_ms
    tie = lead < 0.03
    gain = 1 - winner.median_ms / default.median_ms
    return LayerReport(
        node_id=node_id,
        name=name,
        shape=shape,
        multiply_adds=27_000_000,
        variants=tuple(variants),
        winner=winner.options,
        winner_ms=winner.median_ms,
        default=DEFAULT,
        default_ms=default.median_ms,
        share_of_model=0.0,
        runner_up=runner_up.options,
        against_default=Comparison(gain, gain - 0.01, gain + 0.01, 1e-6, True),
        against_runner_up=Comparison(lead, lead - 0.02, lead + 0.02, 0.2 if tie else 0.001, not tie),
        tie=tie,
        why=(
            f"a tie with {runner_up.options} (p = 0.20): the simpler of the two"
            if tie
            else f"{100 * lead:.0f} % faster than {runner_up.options}, the next best (p = 0.001)"
        ),
        ell_options=DEFAULT if depthwise and winner.options.method == "winograd" else None,
    )


def sample_report(seed: int = 1, model: str = "cnn64", scale: float = 1.0) -> TuningReport:
    """A report of a small network with a residual sum and a depthwise layer. ``scale`` multiplies all times."""
    random_ = random.Random(seed)
    rows = [
        ("1034", "", "3x3/1 64x64x3 -> 64x64x16", 0.31, False),
        ("1041", "block1", "3x3/1 32x32x16 -> 32x32x16", 0.62, False),
        ("1047", "block1b", "3x3/1 32x32x16 -> 32x32x16", 0.61, False),
        ("1055", "", "depthwise 3x3/1 32x32x16 -> 32x32x16", 0.12, True),
        ("1061", "", "3x3/1 16x16x16 -> 16x16x64", 0.93, False),
        ("1069", "head", "3x3/1 8x8x64 -> 8x8x128", 1.8, False),
    ]
    layers = [_layer(random_, i, n, s, ms * scale, d) for i, n, s, ms, d in rows]
    rest = 0.21 * scale
    total = sum(layer.winner_ms for layer in layers) + rest
    layers = [replace(layer, share_of_model=layer.winner_ms / total) for layer in layers]
    winners = {layer.node_id: layer.winner for layer in layers}
    plan = Plan.of(winners)
    default = Plan.uniform(list(winners), DEFAULT)
    before = _samples(random_, sum(layer.default_ms for layer in layers) + rest, 40)
    uniform = _samples(random_, total * 1.06, 40)
    after = _samples(random_, total, 40)
    gain = 1 - _median(after) / _median(before)
    trials = []
    best = _median(before)
    for number in range(40):
        if number % 11 == 7:
            trials.append(
                Trial(
                    plan,
                    None,
                    Visit(f"visit {number}", "local", "board"),
                    TrialState.FAILED,
                    "1034: wrong output: error 0.13, limit 0.001",
                    board_seconds=1.0,
                    number=number,
                    started_s=number * 2.4,
                    best_total_ms=best,
                )
            )
            continue
        pruned = number % 7 == 3
        latency = total * (1 + random_.expovariate(1.0) * (40 - number) / 40) * (2.5 if pruned else 1)
        best = min(best, latency)
        trials.append(
            Trial(
                plan, PlanSamples(plan, (latency,), {layer.node_id: (layer.winner_ms,) for layer in layers}),
                Visit(f"visit {number}", "local", "board"),
                TrialState.PRUNED if pruned else TrialState.COMPLETE,
                "behind the incumbent (Wilcoxon, p = 0.01)" if pruned else "",
                board_seconds=0.6 if pruned else 2.1, number=number, started_s=number * 2.4, best_total_ms=best,
            )
        )  # fmt: skip
    states = [trial.state for trial in trials]
    complete, pruned_trials, failed = (states.count(state) for state in TrialState)
    return TuningReport(
        model=model,
        tag=model,
        model_path=f"models/{model}.ell",
        model_sha256="3b" * 32,
        target="host",
        toolchain="native",
        toolchain_version="native 1, zig 0.15.1",
        emulated=False,
        sampler="tpe",
        seed=seed,
        ellopt_version="0.1.0",
        created="2026-03-01T10:20:30+00:00",
        environment=environment("host Example CPU @ 2.4 GHz", 2),
        space=SpaceReport("default.json", 436, 2100, 53, {layer.node_id: len(layer.variants) for layer in layers}),
        layers=tuple(layers),
        trials=tuple(trials),
        confirmation=Confirmation(
            (
                WholeModel("ell default", default, before, _median(before)),
                WholeModel("best uniform", Plan.uniform(list(winners), _UNIFORM), uniform, _median(uniform)),
                WholeModel("assembled", plan, after, _median(after)),
            ),
            "assembled",
            "ell default",
            Comparison(gain, gain - 0.008, gain + 0.007, 1e-12, True),
            "the assembled plan was the fastest of three in a fresh, interleaved measurement",
        ),
        cost=CostReport(3, 21.4, 61.0, 960, complete, pruned_trials, failed, 44.0, 96.0, "too little left to gain"),
        boards=BoardReport(
            64, 2, {"local": 64}, {"10.0.0.7": "3 failures in a row: connection refused"},
            ("10.0.0.7: connection refused", "10.0.0.7: results file truncated"),
        ),
        mlflow_run={"tracking_uri": "file:./mlruns", "experiment": "ellopt", "run_id": "0123456789abcdef"},
        files=(f"{model}_options.ell", "compile_options.json", "compile_switches.txt", "tuning_report.json"),
        nodes=_nodes(layers, total, rest),
    )  # fmt: skip


def _nodes(layers: list[LayerReport], total: float, rest: float) -> tuple[NodeReport, ...]:
    def convolution(index: int, source: str) -> NodeReport:
        layer = layers[index]
        label = "depthwise convolution 3x3" if layer.shape.startswith("depthwise") else "convolution 3x3"
        return NodeReport(
            layer.node_id, "convolution", label, (source,), layer.shape.split("-> ")[1],
            layer.winner_ms, layer.winner_ms / total,
        )  # fmt: skip

    pool = NodeReport("1038", "pooling", "max pooling 2x2", ("1036",), "32x32x16", rest / 2, rest / 2 / total)
    dense = NodeReport("1075", "fully connected", "fully connected", ("1071",), "1x1x10", rest / 2, rest / 2 / total)
    return (
        NodeReport("1032", "input", "input", (), "64x64x3"),
        NodeReport("1033", "reorder", "reorder", ("1032",), "64x64x3"),
        convolution(0, "1033"),
        NodeReport("1035", "bias", "bias", ("1034",), "64x64x16", fused_into="1034"),
        NodeReport("1036", "activation", "ReLU", ("1035",), "64x64x16", fused_into="1034"),
        pool,
        convolution(1, "1038"),
        NodeReport("1042", "batch normalization", "batch normalization", ("1041",), "32x32x16"),
        NodeReport("1043", "activation", "ReLU", ("1042",), "32x32x16"),
        convolution(2, "1043"),
        NodeReport("1045", "reorder", "reorder", ("1038",), "32x32x16"),
        NodeReport("1050", "binary operation", "sum", ("1047", "1045"), "32x32x16"),
        convolution(3, "1050"),
        convolution(4, "1055"),
        convolution(5, "1061"),
        NodeReport("1071", "activation", "leaky ReLU", ("1069",), "8x8x128"),
        dense,
        NodeReport("1077", "softmax", "softmax", ("1075",), "1x1x10"),
        NodeReport("1079", "output", "output", ("1077",), "1x1x10"),
    )
