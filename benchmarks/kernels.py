"""GFLOP/s of every convolution layer by every method, against this machine's measured peak.

Every kernel runs at its layer's place in the network's own memory, layer after layer as in a prediction, so caches are
as they will be. Methods take turns, pass by pass; the best pass counts. FLOPs are those of the direct method, so
Winograd's and Strassen's algorithms may exceed the peak.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kernel_bench import Bench, Places, host_peak, multiply_adds
from ellopt.codegen.convolution.base import canonical, kernel_for
from ellopt.core.options import ELL_DEFAULT, ConvolutionOptions
from ellopt.targets import TARGETS
from ellopt.toolchains.zig import cpu_of

METHODS = ("simple", "unrolled", "unrolled gstrassen", "winograd", "winograd t4", "winograd t6")
MODELS = ("tutorial160", "vgg64", "mobile128", "resnet64")


@dataclass(frozen=True)
class Method:
    """One way for all layers where it is valid; ``applies`` says which those are."""

    name: str
    bench: Bench
    applies: tuple[bool, ...]


def prepare(places: Places, name: str, threads: int) -> Method:
    wanted = ConvolutionOptions.parse(name).with_parallelize(threads > 1)
    kernels, applies = [], []
    for place in places.convolutions:
        found = canonical(place.shape, wanted, place.site.cpu, place.site.cores)
        applies.append(found is not None)
        kernels.append(kernel_for(place.site, found or ELL_DEFAULT))
    return Method(name, Bench(places, kernels, threads), tuple(applies))


def measure(path: Path, names: Sequence[str], threads: int, passes: int) -> dict[str, Any]:
    """All methods on all convolutions of one model."""
    target = TARGETS["host"]
    places = Places.of_model(path, cpu_of(target), max(threads, 2))
    methods = [prepare(places, name, threads) for name in names]
    best = np.full((len(methods), len(places.convolutions)), np.inf)
    for _ in range(max(1, passes // 5)):
        for i, method in enumerate(methods):
            best[i] = np.minimum(best[i], method.bench.run(6)[1:].min(axis=0))
    layers = []
    for j, place in enumerate(places.convolutions):
        flops = 2 * multiply_adds(place.site)
        results = {
            method.name: {"us": best[i, j] * 1e6, "gflops": flops / best[i, j] * 1e-9}
            for i, method in enumerate(methods)
            if method.applies[j]
        }
        layers.append({"name": place.name, "shape": str(place.shape), "mflop": flops * 1e-6, "methods": results})
    return {"model": path.name.split(".")[0], "threads": threads, "layers": layers}


def show(result: dict[str, Any], names: Sequence[str], peak: float) -> None:
    print(f"{result['model']}: {result['threads']} thread(s), measured peak {peak:.1f} GFLOP/s")
    print(f"{'layer':<42}" + "".join(f"{name:>22}" for name in names))
    for layer in result["layers"]:
        cells = [layer["methods"].get(name) for name in names]
        texts = [f"{cell['us']:9.1f} us {100 * cell['gflops'] / peak:4.0f} %" if cell else "-" for cell in cells]
        print(f"{layer['shape']:<42}" + "".join(f"{text:>22}" for text in texts))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="model files (default: the four large shared models)")
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared" / "models")
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated options, as reports write them")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument("--passes", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    paths = arguments.models or [arguments.shared / f"{name}.ell.zip" for name in MODELS]
    names = arguments.methods.split(",")
    results = []
    peak = host_peak()
    for path in paths:
        for threads in arguments.threads:
            results.append(measure(path, names, threads, arguments.passes))
            peak = max(peak, host_peak())
            if not arguments.json:
                show(results[-1], names, peak * threads)
    if arguments.json:
        print(json.dumps({"peak_gflops_per_core": peak, "cpus": os.cpu_count(), "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
