"""What a board is, wherever it is reached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """What tells a board from others, wherever it is reached: it has proved ``host_key``, and says what it is.

    Cards that were copied share keys and machine ids; ``boot`` (one start of one kernel) is shared by nothing else.
    """

    host_key: bytes
    machine: str
    boot: str

    @property
    def board(self) -> str:
        """The same after the board was started anew."""
        return hashlib.sha256(self.host_key + self.machine.encode()).hexdigest()[:32]
