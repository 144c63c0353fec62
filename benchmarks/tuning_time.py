"""Where the wall time of a whole tuning goes, as ``ellopt optimize`` does it by default: a ledger as JSON.

Each tuning is a process of its own, with caches of its own in which only what the compiler makes once for a machine
is: its C library. ``cold`` has nothing else; ``kept`` has the compiled objects of a cold one, which are those that its
search asked for, and ``full`` those of all variants; none has measurements. Python's modules are compiled, as those of
an installed package are. What a stage takes is its own, without the stages within it, so that all stages of a tuning
add up to its wall time. Beside other work the wall time says little; processor seconds, visits and builds still do.

    python -m benchmarks.tuning_time                                          tutorial160
    python -m benchmarks.tuning_time --models vgg64,resnet64 --seeds 3 --json times.json
    python -m benchmarks.tuning_time -- --no_mlflow                           what follows -- goes to ellopt optimize
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.stages import Stages

CASES = ("cold", "kept", "full")
_MODELS_DIR = Path(__file__).resolve().parents[2] / "shared" / "models"


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.child is not None:
        raise SystemExit(_tune_here(arguments.child, arguments.more))
    found = []
    with tempfile.TemporaryDirectory(prefix="tuning-time-") as name:
        place = Path(name)
        _run(_SET_UP, name, environment=_environment(place))
        for model in arguments.models.split(","):
            (path,) = arguments.models_dir.glob(f"{model}.*ell*")
            for seed in range(arguments.seeds):
                work = place / f"{model}-{seed}"
                shutil.copytree(place / "cache" / "zig", work / "cache" / "zig", symlinks=True)
                for case in CASES:
                    if case == "full":
                        _run(_COMPILE_ALL, str(path), str(work / "all"), environment=_environment(work))
                    found.append({"model": model, "seed": seed, "case": case, **_tuning(work, path, seed, arguments)})
                    _say(found[-1])
                shutil.rmtree(work)
    text = json.dumps({"load_before": os.getloadavg()[0], "cpus": os.cpu_count(), "tunings": found}, indent=1)
    if arguments.json is None:
        print(text)
    else:
        arguments.json.write_text(text + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="tutorial160", help="names, comma-separated")
    parser.add_argument("--models_dir", type=Path, default=_MODELS_DIR)
    parser.add_argument("--seeds", type=int, default=1, help="tunings of each model and case")
    parser.add_argument("--json", type=Path, metavar="FILE", help="else standard output")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("more", nargs="*", help="further arguments of ellopt optimize, after --")
    return parser


#: What the compiler makes once for a machine, in FOLDER, and what Python makes of modules when they are first imported.
_SET_UP = """
import sys, pathlib
import ellopt.app.tune_all, ellopt.cli.commands.optimize, ellopt.tracking.delivery, ellopt.measure.store
from ellopt.core.deadline import Deadline
from ellopt.targets import find_target
from ellopt.toolchains.zig import Compiler
there = pathlib.Path(sys.argv[1])
compiler = Compiler(find_target("host"), (), there)
made = compiler.objects({"main.c": "int main(void) { return 0; }"}, Deadline.after(600))
compiler.link(made.values(), there / "program", Deadline.after(600))
"""
#: All variants of MODEL, in a bundle below FOLDER.
_COMPILE_ALL = """
import sys, pathlib
from ellopt.core.deadline import Deadline
from ellopt.frontends.base import read_model
from ellopt.space.budget import within_bytes
from ellopt.space.space import SearchSpace, find_options_file, narrow
from ellopt.targets import find_target
from ellopt.toolchains.native.toolchain import NativeToolchain
toolchain, host = NativeToolchain(), find_target("host")
model = toolchain.prepare(read_model(pathlib.Path(sys.argv[1])))
options = SearchSpace.load(find_options_file("extended"))
space = within_bytes(narrow(options, toolchain.layers(model), toolchain, host))
toolchain.build(model, space.covering_plans(), host, pathlib.Path(sys.argv[2]), Deadline.after(600))
"""


def _run(code: str, *arguments: str, environment: Mapping[str, str]) -> None:
    subprocess.run([sys.executable, "-c", code, *arguments], env=dict(environment), check=True)


def _environment(work: Path) -> dict[str, str]:
    """The environment of a process with caches below ``work``."""
    cache = work / "cache"
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "ZIG_GLOBAL_CACHE_DIR": str(cache / "zig")}
    for name in ("ELLOPT_CACHE", "ELLOPT_STORE", "MLFLOW_TRACKING_URI", "PYTHONDONTWRITEBYTECODE"):
        environment.pop(name, None)
    environment["PYTHONPATH"] = os.pathsep.join((str(Path(__file__).resolve().parents[1]), *sys.path[1:]))
    return environment


def _tuning(work: Path, model: Path, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One tuning in a process of its own; what it measured before is forgotten, what it compiled is not."""
    shutil.rmtree(work / "out", ignore_errors=True)
    (work / "cache" / "ellopt" / "measurements.sqlite").unlink(missing_ok=True)
    command = ["optimize", "--model_path", str(model), "--target", "host", "-o", "out", "--seed", str(seed)]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tuning_time", "--child", "stages.json", "--", *command, *arguments.more],
        cwd=work, env=_environment(work), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"ellopt {' '.join(command)} failed:\n{done.stderr}")
    stages = json.loads((work / "stages.json").read_text())
    (report,) = (work / "out").glob("*/tuning_report.json")
    said = json.loads(report.read_text())
    stages["seconds"]["starting and ending Python"] = wall - sum(stages["seconds"].values())
    return {
        "wall": wall,
        "processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "stages": dict(sorted(stages["seconds"].items(), key=lambda item: -item[1])),
        "stages_processor": dict(sorted(stages["processor"].items(), key=lambda item: -item[1])),
        "counts": stages["counts"],
        "beside": stages["beside"],
        "cost": said["cost"],
        "confirmation_visits": said["confirmation"]["visits"],
    }


def _tune_here(ledger: Path, command: Sequence[str]) -> int:
    """Run the command line in this process and write where its time went."""
    stages = Stages()
    with stages.of("everything else"):
        with stages.of("importing"):
            stages.watch()
        from ellopt.cli.main import main as ellopt

        code = ellopt(command)
    ledger.write_text(json.dumps(asdict(stages.ledger)), encoding="utf-8")
    return code


def _say(tuning: dict[str, Any]) -> None:
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in tuning["stages"].items() if seconds > 0.15)
    name = f"{tuning['model']} {tuning['case']}"
    print(f"{name}: {tuning['wall']:.1f} s, of processor {tuning['processor']:.1f}: {stages}", file=sys.stderr)


if __name__ == "__main__":
    main()
