"""Models on simulated processors: ``python -m benchmarks.estimate MODEL ... [--json] [--targets pi3_64 pi4_64 pi5]``.

Of each model and processor: millions of cycles of a pass in which every layer is computed by one method, on one core,
and millions of cycles that were simulated in a second. What was not run is named with the reason; for the comparison
with times that others published of boards (docs/estimates.md has its result), programs of those others for aarch64 and
a userland to run them in are needed, which no package that pip installs brings along.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from ellopt.app.estimating import make_simulator
from ellopt.core.deadline import Deadline
from ellopt.core.errors import ElloptError
from ellopt.core.job import Job
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.estimated import EstimatedDevice
from ellopt.frontends.ell.read import read_model
from ellopt.targets import find_target
from ellopt.toolchains.native.toolchain import NativeToolchain

METHODS = ("unrolled", "winograd")
TARGETS = ("pi3_64", "pi4_64", "pi5")
NOT_RUN = "comparison with published times of boards: no aarch64 userland with their programs is here"
_SECONDS = 3600.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    not_run = [NOT_RUN]
    for path in arguments.models:
        for target in arguments.targets:
            try:
                rows += cycles(path, target)
            except ElloptError as error:
                not_run.append(f"{path.name} on {target}: {error}")
    if arguments.json:
        print(json.dumps({"benchmark": "estimate", "rows": rows, "not_run": not_run}, indent=1))
        return
    for row in rows:
        print(
            f"{row['model']:16s} {row['target']:8s} {row['method']:10s} {row['mcycles']:10.3f} M cycles  "
            f"{row['simulated_mcycles_per_s']:6.1f} M simulated/s"
        )
    for reason in not_run:
        print(f"not run: {reason}")


def cycles(path: Path, target_name: str) -> list[dict[str, Any]]:
    """A row a method. Raises ElloptError."""
    target, toolchain = find_target(target_name, 1), NativeToolchain()
    simulator = make_simulator(target, calibrated=False)
    device = EstimatedDevice(simulator)
    model = toolchain.prepare(read_model(path))
    layers = toolchain.layers(model)
    plans = {
        method: toolchain.valid_plan(
            model, Plan.uniform([layer.node_id for layer in layers], ConvolutionOptions(method)), target
        )
        for method in METHODS
    }
    rows = []
    with tempfile.TemporaryDirectory(prefix="ellopt-estimate-") as name:
        bundle = toolchain.build(model, list(plans.values()), target, Path(name), Deadline.after(_SECONDS))
        for method, plan in plans.items():
            job = Job("bench", (plan,)).once
            started = time.perf_counter()
            execution = device.run(bundle, toolchain.invoke(bundle, job), Deadline.after(_SECONDS))
            took = time.perf_counter() - started
            [samples] = toolchain.read(bundle, job, execution).samples
            mcycles = samples.total_ms[0] * simulator.mhz / 1000
            rows.append(
                {
                    "model": path.name.split(".")[0],
                    "target": target.name,
                    "processor": simulator.core.name,
                    "method": method,
                    "mcycles": mcycles,
                    "ms": samples.total_ms[0],
                    "simulated_mcycles_per_s": mcycles / took,
                }
            )
    return rows


if __name__ == "__main__":
    main()
