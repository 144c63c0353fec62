"""The tables of search.py: every variant of every layer of a model, measured once on this machine, all interleaved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial
from ellopt.devices.local import LocalPool
from ellopt.frontends.discover import discover
from ellopt.frontends.ell.read import read_model
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.measure.table import Table
from ellopt.model.graph import Model
from ellopt.space.space import LayerSpace, ModelSpace, SearchSpace, find_options_file, narrow
from ellopt.targets import find_target
from ellopt.toolchains.native.toolchain import NativeToolchain

#: Rounds of each visit in which a table is recorded, and timed passes of each turn.
ROUNDS_PER_VISIT, PASSES_PER_TURN = 6, 3
#: Variants of a layer that take so many times the fastest one's latency are recorded together.
SLOW = 1.5
_TWO_PASSES = Schedule(warm_up=0, rounds=1, settle=False)
_ONE_PASS = replace(_TWO_PASSES, turn_warm_up=0)


@dataclass(frozen=True)
class Bench:
    """A model, ready to be measured here."""

    name: str
    model: Model
    space: ModelSpace
    toolchain: NativeToolchain
    directory: Path

    @classmethod
    def of(cls, name: str, models_dir: Path, options: str, directory: Path) -> Bench:
        toolchain = NativeToolchain()
        file = discover(models_dir, [name])[0]
        model = toolchain.prepare(read_model(file.path))
        space = SearchSpace.load(find_options_file(options))
        narrowed = narrow(space, toolchain.layers(model), toolchain, find_target("host"))
        return cls(name, model, narrowed, toolchain, directory)

    def measurer(self, visit_spacing: float | None = 0.0) -> DeviceMeasurer:
        settings = MeasureSettings(visit_spacing=visit_spacing)
        directory = self.directory / self.name
        return DeviceMeasurer(self.model, self.toolchain, LocalPool(), find_target("host"), directory, settings)

    def sweep_plans(self) -> list[Plan]:
        """The plans of the original sweep: one for each combination, what does not apply being ELL's default."""
        target = find_target("host")
        original = SearchSpace.load(find_options_file("default"))

        def plan(options: ConvolutionOptions) -> Plan:
            return self.space.plan(lambda s: self.toolchain.canonical(s.shape, options, target) or s.default)

        return [plan(options) for options in original.combinations()]


def measure_table(bench: Bench, rounds: int) -> Table:
    """Measure every variant of every layer, all interleaved.

    Visits are short, as those of a search are: much of what disturbs a visit stays the same as long as it lasts.
    """
    measurer = bench.measurer()
    began = time.monotonic()
    measurer.prepare(bench.space)
    build_seconds = time.monotonic() - began
    space = _only_right(bench.space, measurer)
    generator = np.random.default_rng(0)
    schedule = Schedule(warm_up=1, rounds=ROUNDS_PER_VISIT, turn_passes=PASSES_PER_TURN)
    slowness = _slowness(measurer.measure(_mixed(space, generator, {}), schedule))
    plans = [_mixed(space, generator, slowness) for _ in range(math.ceil(rounds / ROUNDS_PER_VISIT))]
    recorded = [measurer.measure(some, schedule) for some in plans]
    passes = [min(len(o.samples.total_ms) for o in outcomes if o.samples) for outcomes in recorded]

    def joined(values: Callable[[PlanSamples], Sequence[float]]) -> npt.NDArray[np.float64]:
        visits = [
            [values(outcome.samples)[:count] for outcome in outcomes if outcome.samples]
            for outcomes, count in zip(recorded, passes, strict=True)
        ]
        return np.concatenate([np.array(visit) for visit in visits], axis=1)

    layers_ms = {s.node_id: joined(_of_layer(s.node_id)) for s in bench.space.layers}
    run_seconds, check_seconds = _overheads(bench)
    about = {
        "model": bench.name,
        "board": measurer.board(),
        "toolchain": bench.toolchain.version,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    return Table(
        space=space,
        plans=tuple(plans),
        layers_ms=layers_ms,
        others_ms=joined(lambda samples: samples.total_ms) - sum(layers_ms.values()),
        visits=tuple(v for v, count in enumerate(passes) for _ in range(count)),
        rounds=tuple(i // PASSES_PER_TURN for count in passes for i in range(count)),
        run_seconds=run_seconds,
        check_seconds=check_seconds,
        build_seconds=build_seconds,
        about=about,
    )


def _of_layer(node_id: str) -> Callable[[PlanSamples], Sequence[float]]:
    return lambda samples: samples.layers_ms[node_id]


def _mixed(
    space: ModelSpace, generator: np.random.Generator, slowness: Mapping[tuple[str, ConvolutionOptions], float]
) -> tuple[Plan, ...]:
    """Plans in which every variant and default of every layer occurs, mixed by chance.

    What runs in parallel is together, and what does not: a thread that slept through the layers before is late. What is
    slow by ``slowness`` is together, too: in the milliseconds that it takes, what the other layers left in the caches
    is lost. What reads the same weights is, so that these settle there once.
    """
    plans: list[Plan] = []
    for parallel in (False, True):
        columns = []
        for layer in space.layers:
            options = list(dict.fromkeys((*layer.variants, layer.default)))
            some = [o for o in options if o.parallelize == parallel] or options
            some = [some[i] for i in generator.permutation(len(some))]
            ways = [o.way for o in some]
            some.sort(key=lambda o: ways.index(o.way))
            slow = {o: slowness.get((layer.node_id, o), 1.0) for o in some}
            fast = [o for o in some if slow[o] < SLOW * min(slow.values())]
            columns.append((layer.node_id, fast, sorted((o for o in some if o not in fast), key=slow.__getitem__)))
        most = max(len(fast) + len(rest) for _, fast, rest in columns)
        choices = {
            node_id: [*(fast[t * len(fast) // (most - len(rest))] for t in range(most - len(rest))), *rest]
            for node_id, fast, rest in columns
        }
        plans += Plan.covering(choices)
    return tuple(plans)


def _slowness(
    outcomes: Sequence[Trial],
) -> dict[tuple[str, ConvolutionOptions], float]:
    """By node id and options, the median milliseconds in a visit."""
    found: dict[tuple[str, ConvolutionOptions], list[float]] = {}
    for outcome in outcomes:
        for node_id, values in (outcome.samples.layers_ms if outcome.samples else {}).items():
            found.setdefault((node_id, outcome.plan[node_id]), []).extend(values)
    return {key: float(np.median(values)) for key, values in found.items()}


def _only_right(space: ModelSpace, measurer: DeviceMeasurer) -> ModelSpace:
    """``space`` without the variants that compute something wrong."""
    measurer.check(space.covering_plans())
    wrong = {(failure.shape, failure.options) for failure in measurer.failures}
    layers = tuple(
        LayerSpace(s.layer, tuple(o for o in s.variants if (s.shape, o) not in wrong), s.default) for s in space.layers
    )
    distinct = sum(len(s.variants) for s in layers)
    return ModelSpace(space.options_file, layers, space.original_combinations, space.valid, distinct)


def _overheads(bench: Bench) -> tuple[float, float]:
    """What starting a job costs beyond its passes, and what checking adds to a pass, in seconds: medians."""
    starts, checks = [], []
    for _ in range(9):
        measurer = bench.measurer()  # a new one has everything to check
        measurer.prepare(bench.space)
        seconds, passed_ms = [0.0], 0.0
        for schedule in (_TWO_PASSES, _TWO_PASSES, _ONE_PASS):
            outcome = measurer.measure([bench.space.default_plan], schedule)[0]
            assert outcome.samples is not None
            seconds.append(measurer.costs.board_seconds)
            passed_ms = outcome.samples.total_ms[0]
        checking, passing, starting = np.diff(seconds)
        checks.append(float(checking - passing))
        starts.append(float(starting) - passed_ms / 1000)
    return max(0.0, float(np.median(starts))), max(0.0, float(np.median(checks)))
