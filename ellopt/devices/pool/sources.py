"""What a pool of boards needs of the place where boards come from."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Protocol

from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError
from ellopt.devices.base import Device


class Holding(Protocol):
    """A board that is ours: connected, and locked where that is how boards are shared."""

    name: str

    @property
    def device(self) -> Device: ...

    def still_ours(self) -> bool:
        """Whether the board can be used for another lease."""

    def release(self) -> None:
        """Clean up, disconnect, unlock. Never raises an ElloptError: what fails is logged and stays on record."""

    def abort(self) -> None:
        """End what runs on the board now, from another thread."""


class BoardFailed(InfrastructureError):
    """A board could not be had because of ``board`` itself. ``final``: it is not to be tried again."""

    def __init__(self, board: str, message: str, final: bool = False) -> None:
        super().__init__(message)
        self.board = board
        self.final = final

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.board, str(self), self.final)


class BoardSource(Protocol):
    """Where boards come from."""

    #: how many boards can be had at most
    size: int
    emulated: bool
    #: whether others may be waiting for boards that we hold
    shared: bool
    #: whether boards are reached over a link
    distant: bool

    def acquire(self, avoid: frozenset[str], deadline: Deadline) -> Holding | None:
        """A further board, whose name is not in ``avoid``; None if none is free now.

        Safe to call from several threads: no board is handed out twice. Raises BoardFailed when a board was chosen
        but cannot be used, InfrastructureError when the source itself does not answer.
        """

    def waiting_for(self) -> str:
        """Words for a log: what a caller who got None is waiting for."""

    def close(self) -> None:
        """Give back whatever is left."""


def release_all(holdings: Iterable[Holding]) -> None:
    """Release boards side by side: one that does not answer must not keep the others."""
    threads = [threading.Thread(target=holding.release, daemon=True) for holding in holdings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
