"""Tuned models against onnxruntime, OpenVINO and ncnn, on this machine, in one run.

Every model is tuned for each number of threads (unless --tuned has it from an earlier run), compiled as it would be
deployed, and converted to ONNX and from there to ncnn's format. Then all runtimes take turns, every turn in a fresh
process with a warm-up, on one thread and on all cores. Outputs are compared with ELL's recorded ones. The lowest
latency of all turns and the median of the turns' medians are shown; ratios are best peer / ellopt, so above 1 ellopt
is ahead; of memory, ellopt / best peer.

Needs the extra "bench".
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.kernel_bench import host_peak
from benchmarks.to_onnx import to_onnx
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from ellopt.toolchains.native.toolchain import NativeToolchain

MODELS = ("tutorial160", "vgg64", "mobile128", "resnet64")
RUNTIMES = ("ellopt", "onnxruntime", "openvino", "ncnn")
TOLERANCE = 1e-4
_RUNNER = Path(__file__).parent / "peer_runner.py"


def ellopt(*arguments: str) -> None:
    """Runs the command line of ellopt; its own report goes to stderr."""
    subprocess.run([sys.executable, "-m", "ellopt", *arguments], check=True, stdout=sys.stderr)


def tuned_model(path: Path, name: str, tuned: Path, threads: int) -> Path:
    """The model tuned for so many threads, below ``tuned``; tunes it first if it is not there."""
    folder = tuned / f"{threads} threads"
    found = folder / name / f"{name}_options.ell"
    if not found.exists():
        ellopt("optimize", "--model_path", str(path), "--target", "host", "--threads", str(threads), "-o", str(folder))
    return found


def convert(model: Model, folder: Path) -> dict[str, Path]:
    """The model as each peer reads it."""
    rows, columns, channels = model.nodes[0].output_layout.size
    name = model.name
    onnx.save(to_onnx(model), str(folder / f"{name}.onnx"))
    pnnx = shutil.which("pnnx", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if pnnx is None:
        raise SystemExit("pnnx is not installed: pip install '.[bench]'")
    shape = f"inputshape=[1,{channels},{rows},{columns}]"
    converted = folder / "ncnn"
    converted.mkdir()
    shutil.copy(folder / f"{name}.onnx", converted)
    subprocess.run([pnnx, f"{name}.onnx", shape, "fp16=0"], cwd=converted, check=True, capture_output=True)
    return {
        "onnxruntime": folder / f"{name}.onnx",
        "openvino": folder / f"{name}.onnx",
        "ncnn": converted / f"{name}.ncnn.param",
    }


def compiled(path: Path, name: str, tuned: Path, threads: int, folder: Path) -> Path:
    """The Python wrapper of the tuned model's library."""
    library = folder / f"ellopt {threads}"
    ellopt("compile", str(tuned_model(path, name, tuned, threads)), "--target", "host", "-o", str(library))
    return next(library.glob("*.py"))


def turn(runtime: str, model: Path, image: Path, threads: int, passes: int) -> dict[str, Any]:
    """One fresh process of one runtime."""
    # A machine-wide OPENBLAS_CORETYPE or OMP_NUM_THREADS would bind the peers' hands.
    unwanted = ("OPENBLAS_CORETYPE", "OMP_NUM_THREADS")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    command = [sys.executable, str(_RUNNER), runtime, str(model), str(image)]
    command += ["--threads", str(threads), "--passes", str(passes)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    if done.returncode != 0:
        raise SystemExit(f"{runtime} failed on {model}:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def compare(path: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All runtimes on one model, for each number of threads."""
    model = read_model(path)
    mflop = 2e-6 * sum(layer.shape.multiply_adds for layer in NativeToolchain().layers(model))
    image = path.parent / f"{model.name}.input.npy"
    expected = np.load(path.parent / f"{model.name}.expected.npy").reshape(-1)
    results = []
    with tempfile.TemporaryDirectory() as name:
        files = convert(model, Path(name))
        for threads in arguments.threads:
            files["ellopt"] = compiled(path, model.name, arguments.tuned, threads, Path(name))
            turns: dict[str, list[dict[str, Any]]] = {runtime: [] for runtime in RUNTIMES}
            for _ in range(arguments.turns):
                for runtime in RUNTIMES:
                    turns[runtime].append(turn(runtime, files[runtime], image, threads, arguments.passes))
            results.append(summary(model.name, threads, mflop, turns, expected))
    return results


def summary(
    model: str, threads: int, mflop: float, turns: dict[str, list[dict[str, Any]]], expected: np.ndarray
) -> dict[str, Any]:
    runtimes = {}
    for runtime, done in turns.items():
        error = max(float(np.abs(np.array(t["output"]) - expected).max()) for t in done)
        if error > TOLERANCE:
            raise SystemExit(f"{runtime} computes something else than ELL on {model}: off by {error}")
        runtimes[runtime] = {
            "min_ms": min(min(t["samples_ms"]) for t in done),
            "median_ms": float(np.median([np.median(t["samples_ms"]) for t in done])),
            "peak_rss_mb": max(t["peak_rss_mb"] for t in done),
            "largest_error": error,
        }
    ratios = {
        key: min(runtimes[peer][key] for peer in RUNTIMES[1:]) / runtimes["ellopt"][key]
        for key in ("min_ms", "median_ms")
    }
    peak = host_peak() * threads
    return {
        "model": model,
        "threads": threads,
        "mflop": mflop,
        "peak_gflops": peak,
        "share_of_peak": mflop / runtimes["ellopt"]["min_ms"] / peak,
        "ratio_min": ratios["min_ms"],
        "ratio_median": ratios["median_ms"],
        "ratio_memory": runtimes["ellopt"]["peak_rss_mb"] / min(runtimes[peer]["peak_rss_mb"] for peer in RUNTIMES[1:]),
        "runtimes": runtimes,
    }


def show(result: dict[str, Any]) -> None:
    cells = [f"{name} {cell['min_ms']:6.3f} / {cell['median_ms']:6.3f}" for name, cell in result["runtimes"].items()]
    print(
        f"{result['model']:<12} {result['threads']} thread(s)  "
        + "  ".join(cells)
        + f"  ratio {result['ratio_min']:.2f} /"
        f" {result['ratio_median']:.2f}  {100 * result['share_of_peak']:.0f} % of peak,"
        f" memory {result['ratio_memory']:.2f} of the best peer's",
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="model files (default: the four large shared models)")
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared" / "models")
    parser.add_argument(
        "--tuned", type=Path, help="folder that keeps the tuned models; those not in it are tuned into it"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--passes", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    paths = arguments.models or [arguments.shared / f"{name}.ell.zip" for name in MODELS]
    results = []
    with tempfile.TemporaryDirectory() as folder:
        arguments.tuned = arguments.tuned or Path(folder)
        if not arguments.json:
            print("latency in ms: lowest / median of the turns' medians")
        for path in paths:
            for result in compare(path, arguments):
                results.append(result)
                if not arguments.json:
                    show(result)
    if arguments.json:
        print(json.dumps({"cpus": os.cpu_count(), "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
