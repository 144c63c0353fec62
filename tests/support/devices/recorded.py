"""A toolchain whose bundles answer recorded latencies: the runner is a shell script that looks them up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError, InfrastructureError
from ellopt.core.job import Job, JobResult
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import LayerCheck, PlanSamples
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.model.graph import Model
from ellopt.targets import Target
from ellopt.toolchains.base import Ahead, kept_back
from tests.support.pretend import Latency, PretendToolchain, smooth_latency

_RUNNER = """#!/bin/sh
sleep 0.05
awk -F '\\t' 'NR == FNR { ms[$1 FS $2] = $3; next }
  { n++; if (($2 FS $3) in ms) print $1 FS $2 FS ms[$2 FS $3]; else exit 3 }
  END { print "end" FS n }' recorded job > result
"""


@dataclass(frozen=True)
class Smooth:
    """``smooth_latency``, as a value that travels."""

    seed: int

    def __call__(self, node_id: str, options: ConvolutionOptions) -> float:
        return smooth_latency(self.seed)(node_id, options)


@dataclass(frozen=True)
class Hashed:
    """Latencies of any layers, in milliseconds, no two alike; a value that travels."""

    seed: int

    def __call__(self, node_id: str, options: ConvolutionOptions) -> float:
        digest = hashlib.sha256(f"{self.seed} {node_id} {options}".encode()).digest()
        return 1.0 + int.from_bytes(digest[:4], "big") / 2**32


@dataclass
class RecordedToolchain(PretendToolchain):
    """Latencies, in milliseconds, are written into the bundle. Its weights are there before its compiler begins, which
    works as long as ``compiling`` takes."""

    latency: Latency = lambda node_id, options: 1.0
    ballast: int = 0  # bytes of weights
    compiling: Callable[[], object] = int
    secretive: bool = False  # nothing is given ahead

    def build(
        self,
        model: Model,
        plans: Sequence[Plan],
        target: Target,
        directory: Path,
        deadline: Deadline,
        ahead: Ahead = kept_back,
    ) -> Bundle:
        choices = {n: frozenset(plan[n] for plan in plans) for n in plans[0]}
        lines = [f"{n}\t{o}\t{self.latency(n, o):.9g}\n" for n, some in choices.items() for o in sorted(some)]
        table = "".join(lines)
        folder = directory / hashlib.sha256(table.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "weights").write_bytes(b"w" * self.ballast)
        if self.ballast and not self.secretive:
            ahead(folder / "weights")
        self.compiling()
        (folder / "runner").write_text(_RUNNER)
        (folder / "runner").chmod(0o755)
        (folder / "recorded").write_text(table)
        return Bundle(folder, folder.name, ("runner", "recorded", "weights"), self.name, target, choices)

    def invoke(self, bundle: Bundle, job: Job) -> Invocation:
        lines = [f"{index}\t{n}\t{o}\n" for index, plan in enumerate(job.plans) for n, o in plan.items()]
        return Invocation(("./runner",), {"job": "".join(lines).encode()}, ("result",))

    def read(self, bundle: Bundle, job: Job, execution: Execution) -> JobResult:
        if execution.exit_code:
            raise CandidateError(f"ended with {execution.exit_code}: {execution.stderr}")
        lines = execution.outputs.get("result", b"").decode().splitlines()
        wanted = sum(len(plan) for plan in job.plans)
        if len(lines) != wanted + 1 or lines[-1] != f"end\t{wanted}":
            raise InfrastructureError("the results are truncated")
        found: list[dict[str, float]] = [{} for _ in job.plans]
        for line in lines[:-1]:
            index, node_id, ms = line.split("\t")
            found[int(index)][node_id] = float(ms)
        if job.kind == "check":
            return JobResult(checks=tuple(LayerCheck(n, o, 0.0, 1e-3) for p in job.plans for n, o in p.items()))
        passes = job.rounds * job.turn_passes
        rounds = tuple(r for r in range(job.rounds) for _ in range(job.turn_passes))
        return JobResult(
            samples=tuple(
                PlanSamples(plan, (sum(ms.values()) + 0.1,) * passes, {n: (ms[n],) * passes for n in plan}, {}, rounds)
                for plan, ms in zip(job.plans, found, strict=True)
            ),
            seconds=0.1,
        )
