"""A toolchain and devices that only pretend, with latencies that a test decides."""

from __future__ import annotations

import hashlib
import math
import pickle
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, CandidateError, InfrastructureError
from ellopt.core.job import Job, JobResult
from ellopt.core.methods import find_method
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import DeviceState, LayerCheck, PlanSamples
from ellopt.core.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.devices.base import PoolReport, Times
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.measure.settings import MeasureSettings
from ellopt.model.graph import Model
from ellopt.space.space import ModelSpace, SearchSpace, narrow
from ellopt.targets import Target, find_target
from ellopt.toolchains.base import Ahead, kept_back

Latency = Callable[[str, ConvolutionOptions], float]
#: pretended devices are disturbed by nothing that time would mend
AT_ONCE = MeasureSettings(visit_spacing=0.0)
TARGET = find_target("pi3")


def shape(channels: int = 8, filters: int = 16, *, field: int = 3, stride: int = 1, depthwise: bool = False,
          size: int = 16, epilogue: str = "") -> ConvolutionShape:  # fmt: skip
    return ConvolutionShape(size, size, channels, filters, field, stride, field // 2, depthwise, size // stride,
                            size // stride, epilogue)  # fmt: skip


def layers(*shapes: ConvolutionShape) -> tuple[ConvolutionLayer, ...]:
    return tuple(ConvolutionLayer(str(1000 + i), f"conv{i}", s) for i, s in enumerate(shapes))


SMALL = layers(shape(3, 16), shape(16, 32), shape(16, 32), shape(32, 32, field=1))


@dataclass
class PretendToolchain:
    """Knows layers, builds empty bundles. ``broken`` options do not build."""

    model_layers: Sequence[ConvolutionLayer] = SMALL
    name: str = "pretend"
    plans_per_bundle: int | None = None
    checks_in_turns: bool = False
    gives_outputs: bool = False
    own_options: bool = False
    packs_weights: bool = False
    gemm_blockings: tuple[str, ...] = ("",)
    version: str = "1"
    broken: frozenset[ConvolutionOptions] = frozenset()
    builds: list[tuple[Plan, ...]] = field(default_factory=list)

    def prepare(self, model: Model) -> Model:
        return model

    def layers(self, model: Model) -> tuple[ConvolutionLayer, ...]:
        return tuple(self.model_layers)

    def fused_into(self, model: Model) -> Mapping[str, str]:
        return {}

    def canonical(self, s: ConvolutionShape, options: ConvolutionOptions, target: Target) -> ConvolutionOptions | None:
        method = find_method(options.method)
        if not method.applies(s):
            return None
        if options.method != "winograd":
            return ConvolutionOptions(options.method, options.parallelize)
        if s.stride > 1:
            return None  # as for ELL, whose options are what is written
        _, f, c = options.depths
        if s.depthwise:
            return ConvolutionOptions("winograd", options.parallelize, options.separable_block_depth)
        return ConvolutionOptions("winograd", options.parallelize, 0, min(f, s.filters), min(c, s.channels))

    def build(
        self,
        model: Model,
        plans: Sequence[Plan],
        target: Target,
        directory: Path,
        deadline: Deadline,
        ahead: Ahead = kept_back,
    ) -> Bundle:
        self.builds.append(tuple(plans))
        if any(options in self.broken for plan in plans for options in plan.values()):
            raise BuildError("error: no such kernel")
        choices = {n: frozenset(plan[n] for plan in plans) for n in plans[0]}
        digest = hashlib.sha256(repr(sorted((n, sorted(c)) for n, c in choices.items())).encode()).hexdigest()
        return Bundle(directory, digest, (), self.name, target, choices)

    def output_files(self, plan: Plan) -> Mapping[str, str]:
        return {}

    def parameters(self) -> Mapping[str, str]:
        return {}

    def invoke(self, bundle: Bundle, job: Job) -> Invocation:
        if not all(bundle.runs(plan) for plan in job.plans):
            raise ValueError("the bundle cannot run this plan")
        return Invocation(("run",), {"job": pickle.dumps(job)}, ("result",))

    def read(self, bundle: Bundle, job: Job, execution: Execution) -> JobResult:
        if execution.exit_code:
            raise CandidateError(f"ended with {execution.exit_code}")
        if "result" not in execution.outputs:
            raise InfrastructureError("no results came back")
        result: JobResult = pickle.loads(execution.outputs["result"])
        return result


@dataclass
class PretendDevice:
    """Answers jobs by a latency function. ``wrong`` and ``crashing`` hold (node id, options) or options.

    ``before_run`` may raise an InfrastructureError. ``noise`` is the relative deviation of a pass, ``spoiled`` the
    probability that a pass is two to five times slower.
    """

    latency: Latency
    name: str = "board"
    times: Times = "real"
    here: bool = True
    board: str = "pretend board"
    noise: float = 0.0
    spoiled: float = 0.0
    seed: int = 0
    wrong: frozenset[Any] = frozenset()
    crashing: frozenset[Any] = frozenset()
    other_ms: float = 0.1
    before_run: Callable[[Job], None] = lambda job: None
    states: Callable[[], DeviceState] = DeviceState
    jobs: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        job: Job = pickle.loads(invocation.inputs["job"])
        self.jobs.append(job)
        self.before_run(job)
        if any(self._is(self.crashing, n, o) for plan in job.plans for n, o in plan.items()):
            return Execution(-11, "", "Segmentation fault", {}, 0.01)
        result = JobResult(checks=self._checks(job.plans), seconds=0.01) if job.kind == "check" else self._profile(job)
        return Execution(0, "", "", {"result": pickle.dumps(result)}, result.seconds)

    def state(self) -> DeviceState:
        return self.states()

    def _is(self, marked: frozenset[Any], node_id: str, options: ConvolutionOptions) -> bool:
        return options in marked or (node_id, options) in marked

    def _checks(self, plans: Iterable[Plan]) -> tuple[LayerCheck, ...]:
        return tuple(
            LayerCheck(n, o, 0.5 if self._is(self.wrong, n, o) else 1e-6, 1e-3)
            for plan in plans
            for n, o in plan.items()
        )

    def _profile(self, job: Job) -> JobResult:
        passes: list[list[tuple[int, dict[str, float]]]] = [[] for _ in job.plans]
        dropped: set[int] = set()
        fastest = math.inf
        for r in range(job.rounds):
            for i, plan in enumerate(job.plans):
                if i not in dropped:
                    passes[i] += [(r, self._pass(plan)) for _ in range(job.turn_passes)]
                    if r == 0 and job.slow_factor > 0:
                        first = sum(passes[i][0][1].values())
                        fastest = min(fastest, first)
                        if first > job.slow_factor * fastest:
                            dropped.add(i)
                            del passes[i][1:]
        samples = tuple(
            PlanSamples(
                plan,
                tuple(sum(layers_ms.values()) + self.other_ms for _, layers_ms in done),
                {n: tuple(layers_ms[n] for _, layers_ms in done) for n in plan},
                {},
                tuple(r for r, _ in done),
            )
            for plan, done in zip(job.plans, passes, strict=True)
        )
        checks = self._checks(plan for plan in job.plans if plan in job.unchecked)
        return JobResult(samples, checks, sum(sum(s.total_ms) for s in samples) / 1000)

    def _pass(self, plan: Plan) -> dict[str, float]:
        slow = self._random.uniform(2, 5) if self._random.random() < self.spoiled else 1.0
        return {n: self.latency(n, o) * max(0.5, self._random.gauss(1, self.noise)) * slow for n, o in plan.items()}


class PretendPool:
    """Leases its devices in turn; remembers what failed."""

    sends = 0

    def __init__(self, *devices: PretendDevice, capacity: int = 1) -> None:
        self.devices, self.capacity, self.emulated = devices, capacity, False
        self.leases = 0
        self.failed: dict[str, str] = {}

    @contextmanager
    def lease(self, deadline: Deadline) -> Iterator[PretendDevice]:
        device = self.devices[self.leases % len(self.devices)]
        self.leases += 1
        try:
            yield device
        except InfrastructureError as error:
            self.failed[device.name] = str(error)
            raise

    def report(self) -> PoolReport:
        return PoolReport(self.leases, len(self.failed), self.failed)

    def close(self) -> None: ...


MODEL = cast(Model, None)  # the pretend toolchain does not look at it


def small_space(
    toolchain: PretendToolchain,
    depths: tuple[int, ...] = (1, 4),
    methods: tuple[str, ...] = ("simple", "unrolled", "winograd"),
) -> ModelSpace:
    space = SearchSpace("pretend.json", methods, (True, False), depths)
    return narrow(space, toolchain.model_layers, toolchain, TARGET)


def smooth_latency(seed: int = 0, model_layers: Sequence[ConvolutionLayer] = SMALL) -> Latency:
    """Latencies with a structure: methods, threads and depths matter, differently for every shape."""
    shapes = {layer.node_id: layer.shape for layer in model_layers}

    def latency(node_id: str, options: ConvolutionOptions) -> float:
        generator = random.Random(f"{seed} {shapes[node_id]}")
        base = generator.uniform(0.5, 4.0)
        factor = {"simple": generator.uniform(3, 20), "unrolled": 1.0, "winograd": generator.uniform(0.5, 1.5)}
        best = [generator.choice((1, 2, 4, 8, 16)) for _ in range(3)]
        distance = sum(abs(a.bit_length() - b.bit_length()) for a, b in zip(options.depths, best, strict=True) if a)
        threads = generator.uniform(0.3, 1.1) if options.parallelize else 1.0
        return base * factor[options.method] * threads * (1 + 0.04 * distance)

    return latency


def constant(values: Mapping[ConvolutionOptions, float], default: float = 10.0) -> Latency:
    return lambda node_id, options: values.get(options, default)
