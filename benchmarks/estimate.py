"""Estimates beside times that others published: ``python -m benchmarks.estimate [--networks FOLDER]``.

ncnn publishes what its benchmark networks take on boards with the three processors that are modelled
(published.json: the table, where it is from, and when). The same networks are run here by ncnn's wheel for aarch64 in
the userland of benchmarks/arm.py, in passes on one thread as ncnn's own benchmark makes them, with weights of zeros,
on the simulated processors. A factor for each board, the geometric mean of published over estimated, is taken out:
what is left is how far estimates are off, and what reports name as their error (docs/estimates.md).

The networks themselves (NAME.param, in ncnn's repository) are part of neither this one nor ncnn's packages: FOLDER has
them. What could not be run is said with the reason. What --keep has of an earlier run is not run again: a network takes
minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.arm_simulator import peers_table, simulate
from benchmarks.arm_userland import NotHere, Userland, make_userland
from ellopt.app.estimating import make_simulator
from ellopt.core.errors import ElloptError
from ellopt.estimate.simulator import MODEL_VERSION
from ellopt.files.user_dirs import cache_directory
from ellopt.targets import find_target

PUBLISHED = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class Times:
    """What one network takes on one board, in ms."""

    network: str
    target: str
    estimated: float
    published: float


@dataclass(frozen=True)
class Agreement:
    """``factor``: how many times as long as estimated the board took, the geometric mean; ``errors``: by network, how
    far an estimate times the factor is off, as a share of what was published."""

    target: str
    factor: float
    errors: dict[str, float]

    @property
    def mean(self) -> float:
        return math.fsum(map(abs, self.errors.values())) / len(self.errors)

    @property
    def worst(self) -> float:
        return max(map(abs, self.errors.values()))


def agreements(times: Iterable[Times]) -> list[Agreement]:
    """One for each board."""
    boards: dict[str, list[Times]] = {}
    for row in times:
        boards.setdefault(row.target, []).append(row)
    found = []
    for target, rows in boards.items():
        logs = [math.log(row.published / row.estimated) for row in rows]
        factor = math.exp(math.fsum(logs) / len(logs))
        errors = {row.network: row.estimated * factor / row.published - 1 for row in rows}
        found.append(Agreement(target, factor, errors))
    return found


def run_all(
    published: dict[str, Any], arguments: argparse.Namespace, userland: Userland
) -> tuple[list[Times], list[str]]:
    """Every network on every board that was asked for, and what could not be run."""
    times, missing = [], []
    for board in published["boards"]:
        target = board["target"]
        if target not in arguments.targets:
            continue
        simulator = make_simulator(find_target(target, 1), calibrated=False)
        for network, ms in board["ms"].items():
            if arguments.only and network not in arguments.only:
                continue
            kept = arguments.keep / "published" / f"{network} {target} {MODEL_VERSION}.json"
            try:
                if not kept.exists():
                    path = arguments.networks / f"{network}.param"
                    if not path.exists():
                        raise NotHere(f"there is no {path.name} in {arguments.networks}")
                    code = peers_table(simulator, userland, "ncnn", arguments.keep)
                    module = ("benchmarks.ncnn_pass", str(path), *map(str, published["shapes"][network]))
                    cycles, instructions, _ = simulate(simulator, userland, "ncnn", module, code)
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    kept.write_text(json.dumps({"cycles": cycles, "instructions": instructions}))
                cycles = json.loads(kept.read_text())["cycles"]
            except (NotHere, ElloptError, subprocess.SubprocessError) as error:
                missing.append(f"{network} on {board['board']}: {error}")
                print(f"not run: {missing[-1]}", file=sys.stderr, flush=True)
                continue
            times.append(Times(network, target, cycles / 1000 / simulator.core.mhz, ms))
            print(line(times[-1]), file=sys.stderr, flush=True)
    return times, missing


def line(row: Times) -> str:
    return f"{row.target:<7} {row.network:<20} estimated {row.estimated:8.2f} ms  published {row.published:8.2f} ms"


def main(argv: Sequence[str] | None = None) -> int:
    published = json.loads(PUBLISHED.read_text())
    targets = [board["target"] for board in published["boards"]]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=Path, required=True, metavar="FOLDER", help="where NAME.param files lie")
    names = list(published["shapes"])
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"some of {', '.join(names)}")
    parser.add_argument("--targets", nargs="+", choices=targets, default=targets, metavar="TARGET")
    keep = cache_directory() / "arm-benchmark"
    parser.add_argument("--keep", type=Path, default=keep, help="folder of userland and of what was run before")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    arguments.keep, arguments.networks = arguments.keep.resolve(), arguments.networks.resolve()
    times: list[Times] = []
    missing: list[str] = []
    version = None
    try:
        userland = make_userland(arguments.keep)
        times, missing = run_all(published, arguments, userland)
        version = userland.version("ncnn")
    except (NotHere, ElloptError) as error:
        missing.append(f"anything: {error}")
    found = agreements(times)
    called = {board["target"]: board["board"] for board in published["boards"]}
    if arguments.json:
        report = {
            "benchmark": "estimate",
            "source": published["source"],
            "ncnn": version,
            "rows": [asdict(row) for row in times],
            "boards": [
                {"board": called[one.target], **asdict(one), "mean_error": one.mean, "worst_error": one.worst}
                for one in found
            ],
            "not_run": missing,
        }
        print(json.dumps(report, indent=1))
        return 0
    for agreement in found:
        for row in times:
            if row.target == agreement.target:
                print(f"{line(row)}  off by {100 * agreement.errors[row.network]:+5.1f} %")
        print(
            f"{called[agreement.target]} takes {agreement.factor:.3f} times as long as estimated; after that estimates "
            f"are {100 * agreement.mean:.1f} % off on average, {100 * agreement.worst:.1f} % at worst"
        )
    for reason in missing:
        print(f"not run: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
