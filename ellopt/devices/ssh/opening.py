"""What a board says when it is opened: where files may lie there, and what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ellopt.core.errors import ConfigurationError, InfrastructureError


@dataclass(frozen=True)
class Opening:
    """``places``: free KiB, where known, and folder. ``left``: what an earlier run has left there and cannot be
    removed. ``noexec``: folders in which nothing can be executed."""

    places: tuple[tuple[int | None, str], ...]
    left: tuple[str, ...]
    noexec: tuple[str, ...]
    cpus: int
    machine: str
    model: str

    def require_place(self, board: str, wanted: str) -> None:
        """Raise InfrastructureError, or ConfigurationError where no later try will help, unless there is a place.

        ``wanted``: the folder that the user named, or nothing.
        """
        if self.left:
            raise InfrastructureError(f"board {board}: cannot remove {', '.join(self.left)} of an earlier run")
        if self.places:
            return
        tried = wanted or "$TMPDIR, /tmp, $HOME, /dev/shm and /var/tmp"
        text = f"board {board}: no folder there can be written to and executed in (tried {tried})"
        if self.noexec:
            raise ConfigurationError(
                f"{text}: {', '.join(self.noexec)} cannot execute (mounted noexec); name a folder on a disk that can "
                "with --remote_dir"
            )
        raise InfrastructureError(f"{text}; make room, or name a folder with --remote_dir")


def read_opening(lines: Sequence[str]) -> Opening:
    """The answer to the command that opens a board."""
    facts: dict[str, str] = {}
    places: list[tuple[int | None, str]] = []
    left: list[str] = []
    noexec: list[str] = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "base":
            free, _, path = rest.partition(" ")
            places.append((int(free) if free.isdigit() else None, path))
        elif word == "left":
            left.append(rest)
        elif word == "noexec":
            noexec.append(rest)
        else:
            facts[word] = rest.strip()
    cpus = facts.get("cpus", "")
    return Opening(
        tuple(places),
        tuple(left),
        tuple(noexec),
        int(cpus) if cpus.isdigit() else 0,
        facts.get("machine", "unknown"),
        facts.get("model") or "unknown board",
    )
