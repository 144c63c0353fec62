"""Everything that is needed to run a program on a simulated processor."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ellopt.estimate.cores import Core
from ellopt.estimate.elf import code_words
from ellopt.estimate.qemu import Qemu
from ellopt.estimate.table import encode
from ellopt.targets import Target

#: Estimates of different versions are not comparable. Raise it when a model of a core or the simulator changes.
MODEL_VERSION = 2
#: The file that a program's clock is in, as program/simulated.h has it, and those beside it.
CLOCK, TABLE, PLUGIN = "simulated-clock", "simulated-table", "simulator.so"
#: How a program ends whose code cannot be simulated, as simulator.c has it.
REFUSED = 97
_CLOCK_BYTES = 4096
#: beyond this nothing could be told apart
_LARGEST_ERROR = 0.3


@dataclass(frozen=True)
class Simulator:
    """A simulated processor for programs of ``target``. ``plugin``: the compiled one, for ``qemu``.

    ``factor``: how many times as long as estimated programs take on the real boards, and ``spread``, by what share that
    varied, where it was measured. Safe to use from several threads.
    """

    target: Target
    core: Core
    qemu: Qemu
    plugin: Path
    factor: float = 1.0
    spread: float = 0.0
    calibrated: bool = False
    _tables: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def mhz(self) -> float:
        """The clock that turns cycles into time."""
        return self.core.mhz / self.factor

    @property
    def error(self) -> float:
        """How far an estimate may be off, as a share."""
        return min(_LARGEST_ERROR, max(self.core.error, self.spread))

    @property
    def board(self) -> str:
        """What estimates may be compared with."""
        calibration = f", calibrated by {self.factor:.4f}" if self.calibrated else ""
        return f"estimated {self.core.name} at {self.core.mhz} MHz (model {MODEL_VERSION}{calibration})"

    @property
    def wrapper(self) -> tuple[str, ...]:
        """What stands before the command of a program, in a directory with the ``files`` for it."""
        plugin = f"./{PLUGIN},table={TABLE},clock={CLOCK},khz={round(1000 * self.mhz)},cores={self.target.cores}"
        cpu = ("-cpu", self.target.qemu_cpu) if self.target.qemu_cpu else ()
        # Variables are on the stack: with those of the user, its addresses would differ from one shell to the next.
        clean = (env, "-i") if (env := shutil.which("env")) else ()
        return (*clean, self.qemu.program, *cpu, "-plugin", plugin)

    def files(self, program: Path, digest: str) -> Mapping[str, bytes]:
        """What must lie in the working directory of ``program``; ``digest`` tells programs apart. Raises OSError."""
        with self._lock:
            if digest not in self._tables:
                self._tables[digest] = encode(self.core, code_words(program, self.core.code))
            table = self._tables[digest]
        return {CLOCK: bytes(_CLOCK_BYTES), TABLE: table, PLUGIN: self.plugin.read_bytes()}
