"""ellopt and other runtimes on simulated Cortex-A53, A72 and A76: ``python -m benchmarks.arm [MODEL ...]``.

Each model is tuned by estimate for one thread, trying what --options names, and compiled as it would be deployed;
ncnn, MNN, LiteRT and onnxruntime come as their wheels for aarch64, and read the model as benchmarks/peers.py converts
it, or benchmarks/litert_model.py. All run the same way: under qemu in a userland of aarch64
(benchmarks/arm_userland.py), where /proc and /sys say what a board's would; the first passes warm caches, and of the
last every instruction is simulated (docs/estimates.md). Outputs are compared with the recorded ones. ``ncnn-float16``
and ``mnn-float16`` are run where they are asked for: those two as they compute where the processor has the
arithmetic. A compile_options.json at options/TARGET/MODEL.json below --keep spares the tuning. Ratios are best peer /
ellopt in float32, in cycles: above 1 ellopt is ahead, within 10 % it is a tie. What could not be run is said with the
reason. What --keep has of a peer from an earlier run is not run again: a pass takes minutes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from benchmarks.arm_simulator import TARGETS, peers_table, simulate, table
from benchmarks.arm_userland import WHEELS, NotHere, Userland, make_userland
from benchmarks.litert_model import write_litert
from benchmarks.peers import MODELS, TOLERANCE, Case, convert, ellopt, read_case
from ellopt.app.estimating import make_simulator
from ellopt.core.errors import ElloptError
from ellopt.files.user_dirs import cache_directory
from ellopt.frontends.onnx.write.writer import to_onnx
from ellopt.targets import find_target
from ellopt.toolchains.native.toolchain import NativeToolchain

OWN = "ellopt"
#: Runtimes that compute in float16 where the processor has the arithmetic -> the same one in float32.
HALF = {"ncnn-float16": "ncnn", "mnn-float16": "mnn"}
#: How far off outputs in float16 may be, as a share of the largest.
_HALF_TOLERANCE = 0.02
#: The least share of a model's operations that are computed: winograd with tiles of 6 spares four fifths.
_FEWEST = 0.15
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Run:
    """One pass. ``flop``: what the model's convolutions are by definition; ``operations``: what was computed."""

    model: str
    target: str
    runtime: str
    cycles: float
    instructions: int
    operations: int
    flop: int
    peak: int

    @property
    def share_of_peak(self) -> float:
        return self.flop / self.cycles / self.peak


@dataclass(frozen=True)
class Ratio:
    """``value``: cycles of the best peer over ellopt's."""

    model: str
    target: str
    best_peer: str
    value: float


def ratios(runs: Iterable[Run]) -> list[Ratio]:
    """A row for each model and target that ellopt and a peer ran, both in float32."""
    by_case: dict[tuple[str, str], dict[str, float]] = {}
    for run in runs:
        by_case.setdefault((run.model, run.target), {})[run.runtime] = run.cycles
    rows = []
    for (model, target), cycles in by_case.items():
        peers = {runtime: value for runtime, value in cycles.items() if runtime != OWN and runtime not in HALF}
        if OWN in cycles and peers:
            best = min(peers, key=lambda runtime: peers[runtime])
            rows.append(Ratio(model, target, best, peers[best] / cycles[OWN]))
    return rows


def tuned_library(case: Case, target: str, keep: Path, space: str) -> Path:
    """The Python wrapper of the model's library, with the options of the file that was given, or tuned by estimate for
    one thread, trying what ``space`` names. It is compiled anew each time, from what the generator writes now."""
    name = case.model.name
    folder = keep / "tuned" / target
    tuned = folder / name / f"{name}_options.{'onnx' if case.is_onnx else 'ell'}"
    given = keep / "options" / target / f"{name}.json"
    if given.exists():
        tuned = case.model.path
    elif not tuned.exists():
        what = ("optimize", "--model_path", str(case.model.path), "--target", target, "--threads", "1", "--estimate")
        ellopt(*what, "--options", space, "-o", str(folder), *case.shapes)
    library = keep / "libraries" / target / name
    shutil.rmtree(library, ignore_errors=True)  # it may hold one of another name
    options = ("--target", target, "-o", str(library), "--force", *case.shapes)
    ellopt("compile", str(tuned), *options, *(("--options", str(given)) if given.exists() else ()))
    return next(library.glob("*.py"))


def run_all(path: Path, arguments: argparse.Namespace, userland: Userland) -> tuple[list[Run], list[str]]:
    """All that was asked for of one model, and what could not be run."""
    case = read_case(path)
    name, runs, missing = case.model.name, [], []
    flop = 2 * sum(layer.shape.multiply_adds for layer in NativeToolchain().layers(case.model))
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        for file, given in (("peers", case.inputs), ("own", case.own)):
            arrays = {f"in:{key}": array for key, array in given.items()}
            np.savez(folder / f"{file}.npz", outputs=np.array(case.outputs), **arrays)  # type: ignore[arg-type]
        files = convert(case, folder) if set(arguments.runtimes) - {OWN} else {}
        if "litert" in arguments.runtimes and "litert" not in files:
            try:
                plain = onnx.load(str(path)) if case.is_onnx else to_onnx(case.model)
                files["litert"] = write_litert(plain, folder / f"{name}.tflite", userland.site("litert"))
            except (NotHere, ValueError) as error:
                print(f"{name}: litert is left out: {error}", file=sys.stderr, flush=True)
        for target_name in arguments.targets:
            simulator = make_simulator(find_target(target_name, 1), calibrated=False)
            for runtime in arguments.runtimes:
                kept = arguments.keep / "runs" / f"{name} {target_name} {runtime}.json"
                if runtime != OWN and kept.exists():
                    runs.append(Run(**json.loads(kept.read_text())))
                    continue
                half = runtime in HALF
                peer = HALF.get(runtime, runtime)
                try:
                    if half and not (simulator.target.cpu and simulator.target.cpu.half_lanes):
                        raise NotHere("the processor has no arithmetic for float16")
                    if runtime == OWN:
                        model, site = tuned_library(case, target_name, arguments.keep, arguments.options), "onnxruntime"
                        code = table(simulator, [*userland.programs(site)[:1], *model.parent.glob("*.so")])
                    elif peer in files:
                        model, site = files[peer], peer
                        code = peers_table(simulator, userland, peer, arguments.keep)
                    else:
                        raise NotHere("it has no form of the model, or cannot convert it here")
                    inputs = folder / ("own.npz" if runtime == OWN else "peers.npz")
                    output = folder / "output"
                    module = ("benchmarks.arm_pass", runtime, str(model), str(inputs), str(output))
                    figures = simulate(simulator, userland, site, module, code)
                    if figures[2] < _FEWEST * flop:
                        raise NotHere(f"it computes by other instructions than those of floats: {figures[2]} of those")
                    check(np.fromfile(output, np.float32), case, _HALF_TOLERANCE if half else TOLERANCE)
                except (NotHere, ElloptError, subprocess.SubprocessError) as error:
                    missing.append(f"{runtime} on {name}, {target_name}: {error}")
                    print(f"not run: {missing[-1]}", file=sys.stderr, flush=True)
                    continue
                peak = simulator.core.peak * (2 if half else 1)
                runs.append(Run(name, target_name, runtime, *figures, flop, peak))
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(asdict(runs[-1])))
                print(line(runs[-1]), file=sys.stderr, flush=True)
    return runs, missing


def check(output: np.ndarray, case: Case, tolerance: float) -> None:
    """Raises NotHere if ``output`` is not what was recorded."""
    error = float(np.abs(output - case.expected).max()) if output.size == case.expected.size else float("inf")
    if not error <= tolerance * max(1.0, float(np.abs(case.expected).max())):
        raise NotHere(f"it computes something else than what is recorded: off by {error}")


def line(run: Run) -> str:
    return (
        f"{run.model:<12} {run.target:<7} {run.runtime:<12} {run.cycles / 1e6:8.2f} M cycles "
        f"{run.instructions / 1e6:8.1f} M instructions  {100 * run.share_of_peak:3.0f} % of peak"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, help="model files (default: the four large shared models)")
    parser.add_argument("--shared", type=Path, default=_ROOT.parent / "shared" / "models")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="TARGET")
    runtimes = (OWN, *WHEELS)
    choices = (*runtimes, *HALF)
    parser.add_argument("--runtimes", nargs="+", choices=choices, default=list(runtimes), metavar="RUNTIME")
    keep = cache_directory() / "arm-benchmark"
    parser.add_argument("--keep", type=Path, default=keep, help="folder of userland, tuned models and peers' runs")
    parser.add_argument(
        "--options", default="extended", metavar="FILE", help="what a tuning may try (default: extended)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the runs and ratios there")
    arguments = parser.parse_args(argv)
    arguments.keep = arguments.keep.resolve()
    runs: list[Run] = []
    missing: list[str] = []
    versions: dict[str, str] = {}
    try:
        userland = make_userland(arguments.keep)
        for path in arguments.models or [arguments.shared / f"{name}.ell.zip" for name in MODELS]:
            found, not_run = run_all(path.resolve(), arguments, userland)
            runs += found
            missing += not_run
        peers = sorted({HALF.get(run.runtime, run.runtime) for run in runs} - {OWN})
        versions = {peer: userland.version(peer) for peer in peers}
    except NotHere as error:
        missing.append(f"anything: {error}")
    for run in runs:
        print(line(run))
    for ratio in ratios(runs):
        print(f"{ratio.model:<12} {ratio.target:<7} best peer {ratio.best_peer:<12} / ellopt {ratio.value:.2f}")
    for reason in missing:
        print(f"not run: {reason}")
    if arguments.json:
        rows = [{**asdict(run), "share_of_peak": run.share_of_peak} for run in runs]
        report = {
            "benchmark": "arm",
            "versions": versions,
            "runs": rows,
            "ratios": [asdict(ratio) for ratio in ratios(runs)],
            "not_run": missing,
        }
        arguments.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
