"""Tuned models against onnxruntime, OpenVINO, ncnn, MNN and LiteRT, on this machine, in one run.

Every model is tuned for each number of threads (unless --tuned has it from an earlier run), compiled as it would be
deployed, and converted to each peer's format: ELL's by way of ONNX, ONNX ones as they are. LiteRT takes a ``.tflite``
that lies beside the model. A peer that is not installed, has no form of a model, or computes something else than what
was recorded of it is left out, and that is said. Then all runtimes take turns, every turn in a fresh process with a
warm-up, on one thread and on all cores. Outputs are compared with the recorded ones. The lowest latency of all turns
and the median of the turns' medians are shown; ratios are best peer / ellopt, so above 1 ellopt is ahead; of memory,
ellopt / best peer.

Recorded are ``NAME.input.npy`` and ``NAME.expected.npy`` beside an ELL model, and ``NAME.npz`` with arrays ``in:INPUT``
and ``out:OUTPUT`` beside an ONNX one. Needs the extra "bench".
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from benchmarks.kernel_bench import host_peak
from ellopt.frontends.base import frontend_of, read_model
from ellopt.frontends.onnx.write.writer import to_onnx
from ellopt.model.graph import Model
from ellopt.toolchains.native.toolchain import NativeToolchain

MODELS = ("tutorial160", "vgg64", "mobile128", "resnet64")
#: Runtime -> the Python module that it needs.
PEERS = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "mnn": "MNN",
    "litert": "ai_edge_litert",
}
TOLERANCE = 1e-4
_RUNNER = Path(__file__).parent / "peer_runner.py"


def ellopt(*arguments: str) -> None:
    """Runs the command line of ellopt; its own report goes to stderr."""
    subprocess.run([sys.executable, "-m", "ellopt", *arguments], check=True, stdout=sys.stderr)


@dataclass(frozen=True, eq=False)
class Case:
    """A model with what was recorded of it. ``inputs`` are as its ONNX form takes them, ``own`` as ellopt's library;
    ``outputs`` are the names in ONNX, ``expected`` their values one after another."""

    model: Model
    inputs: Mapping[str, npt.NDArray[np.float32]]
    own: Mapping[str, npt.NDArray[np.float32]]
    outputs: tuple[str, ...]
    expected: npt.NDArray[np.float32]

    @property
    def is_onnx(self) -> bool:
        return bool(self.model.inputs)

    @property
    def shapes(self) -> list[str]:
        """The shapes of the inputs, as the commands take them."""
        if not self.is_onnx:
            return []
        texts = [f"{name}={','.join(map(str, array.shape))}" for name, array in self.inputs.items()]
        return [word for text in texts for word in ("--input_shape", text)]


def read_case(path: Path) -> Case:
    """The model at ``path`` with what lies beside it."""
    frontend = frontend_of(path.name)
    if frontend is None or frontend.name != "ONNX":
        model = read_model(path)
        image = np.load(path.parent / f"{model.name}.input.npy").astype(np.float32)
        expected = np.load(path.parent / f"{model.name}.expected.npy").reshape(-1)
        batch = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
        [given], [output] = model.input_ports, model.output_ports
        return Case(model, {given.name: batch}, {given.name: image}, (output.name,), expected)
    with np.load(path.with_suffix(".npz")) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    inputs = {name[3:]: array for name, array in found.items() if name.startswith("in:")}
    model = read_model(path, {name: array.shape for name, array in inputs.items()})
    outputs = tuple(port.name for port in model.output_ports)
    expected = np.concatenate([found[f"out:{name}"].reshape(-1) for name in outputs])
    return Case(model, inputs, inputs, outputs, expected)


def tuned_model(case: Case, tuned: Path, threads: int) -> Path:
    """The model tuned for so many threads, below ``tuned``; tunes it first if it is not there."""
    folder, path, name = tuned / f"{threads} threads", case.model.path, case.model.name
    found = folder / name / f"{name}_options.{'onnx' if case.is_onnx else 'ell'}"
    if not found.exists():
        command = ("optimize", "--model_path", str(path), "--target", "host", "--threads", str(threads))
        ellopt(*command, "-o", str(folder), *case.shapes)
    return found


def convert(case: Case, folder: Path) -> dict[str, Path]:
    """The model as each peer that is here reads it; says which are left out, and why."""
    name = case.model.name
    if case.is_onnx:
        message = onnx.load(str(case.model.path))
        for value in message.graph.input:  # what the file declares may be another size
            if value.name in case.inputs:
                for dim, size in zip(value.type.tensor_type.shape.dim, case.inputs[value.name].shape, strict=True):
                    dim.dim_value = size
        for value in message.graph.output:
            value.type.tensor_type.ClearField("shape")
    else:
        message = to_onnx(case.model)
    plain = folder / f"{name}.onnx"
    onnx.save(message, str(plain))
    makers: dict[str, Callable[[], Path]] = {
        "onnxruntime": lambda: plain,
        "openvino": lambda: plain,
        "ncnn": lambda: _ncnn(case, plain, folder),
        "mnn": lambda: _mnn(plain, folder),
        "litert": lambda: _beside(case.model.path.parent / f"{name}.tflite"),
    }
    found: dict[str, Path] = {}
    for peer, make in makers.items():
        try:
            if importlib.util.find_spec(PEERS[peer]) is None:
                raise FileNotFoundError("it is not installed")
            found[peer] = make()
        except (OSError, subprocess.SubprocessError) as error:
            print(f"{name}: {peer} is left out: {error}", file=sys.stderr, flush=True)
    return found


def _beside(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"there is no {path.name} beside the model")
    return path


def _ncnn(case: Case, plain: Path, folder: Path) -> Path:
    pnnx = shutil.which("pnnx", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if pnnx is None:
        raise FileNotFoundError("pnnx, which converts models for it, is not installed")
    if len(case.inputs) > 1 or len(case.outputs) > 1:
        raise FileNotFoundError("only models with one input and one output are compared")
    [array] = case.inputs.values()
    shape = f"inputshape=[{','.join(map(str, array.shape))}]"
    converted = folder / "ncnn"
    converted.mkdir()
    shutil.copy(plain, converted)
    command = [pnnx, plain.name, shape, "fp16=0"]
    subprocess.run(command, cwd=converted, check=True, capture_output=True, timeout=300)
    return _beside(converted / f"{plain.stem}.ncnn.param")


def _mnn(plain: Path, folder: Path) -> Path:
    """Its converter's own function: the command also sends what it did to its makers."""
    code = "import sys, MNN, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"
    made = folder / f"{plain.stem}.mnn"
    arguments = ("-f", "ONNX", "--modelFile", str(plain), "--MNNModel", str(made), "--bizCode", "none")
    subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, check=True, capture_output=True, timeout=300)
    return _beside(made)


def compiled(case: Case, tuned: Path, threads: int, folder: Path) -> Path:
    """The Python wrapper of the tuned model's library."""
    library = folder / f"ellopt {threads}"
    command = ("compile", str(tuned_model(case, tuned, threads)), "--target", "host", "-o", str(library))
    ellopt(*command, *case.shapes)
    return next(library.glob("*.py"))


def turn(runtime: str, model: Path, inputs: Path, threads: int, passes: int) -> dict[str, Any]:
    """One fresh process of one runtime."""
    # A machine-wide OPENBLAS_CORETYPE or OMP_NUM_THREADS would bind the peers' hands.
    unwanted = ("OPENBLAS_CORETYPE", "OMP_NUM_THREADS")
    environment = {key: value for key, value in os.environ.items() if key not in unwanted}
    command = [sys.executable, str(_RUNNER), runtime, str(model), str(inputs)]
    command += ["--threads", str(threads), "--passes", str(passes)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    if done.returncode != 0:
        raise SystemExit(f"{runtime} failed on {model}:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def compare(path: Path, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All runtimes on one model, for each number of threads."""
    case = read_case(path)
    mflop = 2e-6 * sum(layer.shape.multiply_adds for layer in NativeToolchain().layers(case.model))
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = convert(case, folder)
        for file, given in (("peers", case.inputs), ("own", case.own)):
            arrays: dict[str, Any] = {f"in:{key}": array for key, array in given.items()}
            np.savez(folder / f"{file}.npz", outputs=np.array(case.outputs), **arrays)
        for threads in arguments.threads:
            files["ellopt"] = compiled(case, arguments.tuned, threads, folder)
            turns: dict[str, list[dict[str, Any]]] = {runtime: [] for runtime in files}
            for _ in range(arguments.turns):
                for runtime in turns:
                    inputs = folder / ("own.npz" if runtime == "ellopt" else "peers.npz")
                    turns[runtime].append(turn(runtime, files[runtime], inputs, threads, arguments.passes))
            results.append(summary(case.model.name, threads, mflop, turns, case.expected))
    return results


def summary(
    model: str, threads: int, mflop: float, turns: dict[str, list[dict[str, Any]]], expected: np.ndarray
) -> dict[str, Any]:
    runtimes = {}
    for runtime, done in turns.items():
        error = max(float(np.abs(np.array(t["output"]) - expected).max()) for t in done)
        if not error <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            said = f"{runtime} computes something else than what is recorded of {model}: off by {error}"
            if runtime == "ellopt":
                raise SystemExit(said)
            print(f"{said}; left out", file=sys.stderr)
            continue
        runtimes[runtime] = {
            "min_ms": min(min(t["samples_ms"]) for t in done),
            "median_ms": float(np.median([np.median(t["samples_ms"]) for t in done])),
            "peak_rss_mb": max(t["peak_rss_mb"] for t in done),
            "largest_error": error,
        }
    peers = [runtime for runtime in runtimes if runtime != "ellopt"]
    ratios = {
        key: min(runtimes[peer][key] for peer in peers) / runtimes["ellopt"][key] for key in ("min_ms", "median_ms")
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
        "ratio_memory": runtimes["ellopt"]["peak_rss_mb"] / min(runtimes[peer]["peak_rss_mb"] for peer in peers),
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
        if not arguments.json:
            for threads in arguments.threads:
                found = [r["ratio_min"] for r in results if r["threads"] == threads]
                mean = float(np.exp(np.mean(np.log(found))))
                print(f"{threads} thread(s): best peer / ellopt {mean:.2f} (geometric mean), lowest {min(found):.2f}")
    if arguments.json:
        print(json.dumps({"cpus": os.cpu_count(), "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
