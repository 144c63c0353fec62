"""Where the wall time of a whole tuning goes, as ``ellopt optimize`` does it by default: a ledger as JSON.

Each tuning is a process of its own, with caches of its own in which only what the compiler makes once for a machine is:
its C library. ``cold`` has nothing else; ``full`` has the compiled objects of a cold one, but none of its
measurements. What a stage takes is its own, without the stages within it, so that all stages of a tuning add up to its
wall time. Beside other work the wall time says little; processor seconds, visits and builds still do.

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
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.stages import Stages

CASES = ("cold", "full")
_MODELS_DIR = Path(__file__).resolve().parents[2] / "shared" / "models"


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.child is not None:
        raise SystemExit(_tune_here(arguments.child, arguments.more))
    found = []
    with tempfile.TemporaryDirectory(prefix="tuning-time-") as name:
        place = Path(name)
        _set_up_compiler(place / "compiler")
        for model in arguments.models.split(","):
            (path,) = arguments.models_dir.glob(f"{model}.*ell*")
            for seed in range(arguments.seeds):
                work = place / f"{model}-{seed}"
                shutil.copytree(place / "compiler", work / "cache" / "zig", symlinks=True)
                for case in CASES:
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


def _set_up_compiler(cache: Path) -> None:
    """Have the compiler make what it makes once for a machine."""
    code = (
        "import sys, pathlib\n"
        "from ellopt.core.deadline import Deadline\n"
        "from ellopt.targets import find_target\n"
        "from ellopt.toolchains.zig import Compiler\n"
        "there = pathlib.Path(sys.argv[1])\n"
        "compiler = Compiler(find_target('host'), (), there)\n"
        "made = compiler.objects({'main.c': 'int main(void) { return 0; }'}, Deadline.after(600))\n"
        "compiler.link(made.values(), there / 'program', Deadline.after(600))\n"
    )
    with tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache)}
        subprocess.run([sys.executable, "-c", code, name], env=environment, check=True)


def _tuning(work: Path, model: Path, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One tuning in a process of its own; what it measured before is forgotten, what it compiled is not."""
    cache = work / "cache"
    shutil.rmtree(work / "out", ignore_errors=True)
    (cache / "ellopt" / "measurements.sqlite").unlink(missing_ok=True)
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "ZIG_GLOBAL_CACHE_DIR": str(cache / "zig")}
    for name in ("ELLOPT_CACHE", "ELLOPT_STORE", "MLFLOW_TRACKING_URI"):
        environment.pop(name, None)
    environment["PYTHONPATH"] = os.pathsep.join((str(Path(__file__).resolve().parents[1]), *sys.path[1:]))
    command = ["optimize", "--model_path", str(model), "--target", "host", "-o", "out", "--seed", str(seed)]
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tuning_time", "--child", "stages.json", "--", *command, *arguments.more],
        cwd=work, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
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
