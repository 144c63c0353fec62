"""Programs of the userland of aarch64 on a simulated processor: what arm.py and estimate.py have in common."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.arm_userland import NotHere, Userland
from ellopt.core.deadline import Deadline
from ellopt.estimate.elf import code_words
from ellopt.estimate.simulator import CLOCK, MODEL_VERSION, PLUGIN, TABLE, Simulator
from ellopt.estimate.table import MAGIC, encode
from ellopt.files.process import run_in_group

TARGETS = ("pi3_64", "pi4_64", "pi5")
_SECONDS = 3600.0
_ROOT = Path(__file__).parents[1]


def peers_table(simulator: Simulator, userland: Userland, site: str, keep: Path) -> bytes:
    """What the simulator is told of a peer's code: a minute of work and more than 100 MB, so it is kept."""
    path = keep / "tables" / f"{site} {simulator.core.name} {MODEL_VERSION} {MAGIC.decode()}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_bytes(table(simulator, userland.programs(site)))
        partial.rename(path)
    return path.read_bytes()


def table(simulator: Simulator, programs: Iterable[Path]) -> bytes:
    """The simulator's table of all code in ``programs``."""
    return encode(simulator.core, sorted({word for program in programs for word in code_words(program)}))


def wrapper(simulator: Simulator) -> list[str]:
    """The emulator's command, with the core's own features where it knows them: by those of "max" a runtime chooses
    kernels of instructions that the core has not, and of which it would seem that they take no time."""
    words = list(simulator.wrapper)
    emulator = next(word for word in words if "qemu" in word)
    known = subprocess.run([emulator, "-cpu", "help"], capture_output=True, text=True, timeout=60).stdout.split()
    return [simulator.core.name if word == "max" and simulator.core.name in known else word for word in words]


def simulate(
    simulator: Simulator, userland: Userland, site: str, module: Sequence[str], known_code: bytes
) -> tuple[float, int, int]:  # fmt: skip
    """Cycles, instructions and floating-point operations of what ``module``, a Python module and its arguments, has
    simulated (arm_pass.py). Raises NotHere, ElloptError."""
    with tempfile.TemporaryDirectory(prefix="ellopt-arm-") as name:
        folder = Path(name)
        (folder / CLOCK).write_bytes(bytes(4096))
        (folder / TABLE).write_bytes(known_code)
        shutil.copy(simulator.plugin, folder / PLUGIN)
        variables = userland.environment(userland.site(site), _ROOT)
        command = [*wrapper(simulator), "-L", str(userland.view(simulator.core))]
        command += [word for key, value in variables.items() for word in ("-E", f"{key}={value}")]
        done = run_in_group([*command, str(userland.python), "-m", *module], folder, Deadline.after(_SECONDS))
        if done.exit_code:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise NotHere(f"it ended with {done.exit_code}: {said[-1] if said else 'and said nothing'}")
        nanoseconds, instructions, operations = struct.unpack_from("<3q", (folder / CLOCK).read_bytes())
    if not nanoseconds:
        raise NotHere("nothing of it was simulated")
    return nanoseconds * simulator.mhz / 1000, instructions, operations
