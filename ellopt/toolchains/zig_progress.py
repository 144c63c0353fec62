"""What zig says of its progress: it draws it on a terminal, and writes it to the descriptor in ``ZIG_PROGRESS``."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: the variable that names the descriptor
VARIABLE = "ZIG_PROGRESS"
#: A message is the number of nodes, then of each what is done and what is planned of it (0: not known) and its name,
#: then of each its parent (std.Progress of zig 0.17; another form is not understood, and nothing is said then).
_NODE = struct.Struct("<II120s")
_NO_PARENT = 254
#: the program itself, beside which stand the libraries that are built for it, all below the first node
_PROGRAM = "Linking"


@dataclass(frozen=True)
class Stage:
    """What is being built for a link, such as ``musl libc.a``, and how many of its steps are done: files, mostly.

    How many there will be, zig does not know."""

    name: str
    steps: int


def stage_of(message: bytes) -> Stage | None:
    """The stage that a message speaks of; None if it has none, or another form."""
    count = message[0] if message else 0
    if len(message) != 1 + count * (_NODE.size + 1):
        return None
    nodes = [_NODE.unpack_from(message, 1 + i * _NODE.size) for i in range(count)]
    names = [name.split(b"\0")[0].decode("utf-8", "replace") for _, _, name in nodes]
    parents = message[1 + count * _NODE.size :]
    if any(parent >= count and parent < _NO_PARENT for parent in parents):
        return None
    below = [i for i in range(count) if parents[i] == 0 and names[i] not in ("", _PROGRAM)]
    return Stage(names[below[0]], nodes[below[0]][0]) if below else None


@contextlib.contextmanager
def watched(tell: Callable[[Stage], None], each: float) -> Iterator[int | None]:
    """A descriptor for a zig to inherit; ``tell`` hears of its stage every ``each`` seconds, from another thread.

    None where descriptors cannot be inherited. What is told stops with the ``with``.
    """
    if os.name != "posix":
        yield None
        return
    reading, writing = os.pipe()
    reader = threading.Thread(target=_read, args=(reading, tell, each), daemon=True)
    reader.start()
    try:
        yield writing
    finally:
        os.close(writing)  # whoever inherited it has ended
        reader.join()


def _read(reading: int, tell: Callable[[Stage], None], each: float) -> None:
    with open(reading, "rb", buffering=0) as stream:
        left, told = b"", time.monotonic()
        while data := stream.read(1 << 16):
            left += data
            while left and len(left) >= (size := 1 + left[0] * (_NODE.size + 1)):
                message, left = left[:size], left[size:]
                if time.monotonic() - told >= each and (stage := stage_of(message)) is not None:
                    told = time.monotonic()
                    tell(stage)
