"""Run on a simulated processor by arm.py: passes of one runtime on one model, the last of which is simulated whole.

What is marked is a system call without effect, see ellopt/codegen/program/simulated.h.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.peer_runner import PEERS

_MARK = 0x454C4C
_OFF, _WARM, _MEASURE, _READ = 0, 1, 2, 4
_Found = TypeVar("_Found")


def mark(command: int) -> None:
    with contextlib.suppress(OSError):
        os.getpriority(_MARK, command)


def simulated(predict: Callable[[], _Found]) -> _Found:
    """Three passes: one as it is, one that warms caches and branch predictor, one that is simulated."""
    predict()
    mark(_WARM)
    predict()
    mark(_MEASURE)
    found = predict()
    mark(_READ)
    mark(_OFF)
    return found


def main(runtime: str, model: str, inputs: str, outputs: str) -> None:
    with np.load(inputs) as arrays:
        given = {name[3:]: np.ascontiguousarray(arrays[name]) for name in arrays.files if name.startswith("in:")}
        names = [str(name) for name in arrays["outputs"]]
    found = simulated(PEERS[runtime](Path(model), given, names, 1))
    Path(outputs).write_bytes(np.concatenate([np.asarray(one, np.float32).reshape(-1) for one in found]).tobytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
