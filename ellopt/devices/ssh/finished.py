"""What the watchdog on a board says of a run that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ellopt.core.errors import InfrastructureError
from ellopt.devices.ssh.facts import FileFacts, read_facts
from ellopt.devices.state import foreign_load


@dataclass(frozen=True)
class Finished:
    """``exit_code`` is negative for a signal. ``foreign_load``: CPUs that others kept busy meanwhile.

    ``frequency_fixed``: yes, refused, none (the board has no governors); empty if that was not asked for.
    """

    exit_code: int
    foreign_load: float | None
    frequency_fixed: str
    files: dict[str, FileFacts]


def read_finished(lines: Sequence[str], board: str, cpus: int) -> Finished:
    """Raises InfrastructureError for an answer that says something else, or that the board's disk is full."""
    try:
        if lines[0] == "full":
            raise InfrastructureError(f"board {board}: its disk is full")
        word, code = lines[0].split()
        if word != "exit":
            raise ValueError(word)
        exit_code = int(code)
        cpu_seconds = sum(_shell_seconds(part) for part in lines[2].split())
        load = foreign_load(lines[3], lines[4], cpu_seconds, cpus)
        fixed, rest = "", list(lines[5:])
        if rest[0].startswith("fixed "):
            fixed = rest.pop(0).partition(" ")[2]
        files = {}
        for line in rest[:-1]:
            word, size, digest, name = line.split(" ", 3)
            if word != "file":
                raise ValueError(word)
            files[name] = read_facts([size, digest])
    except (ValueError, IndexError):
        raise InfrastructureError(f"board {board}: the run's answer is garbage") from None
    return Finished(128 - exit_code if 128 < exit_code < 193 else exit_code, load, fixed, files)


def _shell_seconds(text: str) -> float:
    """Seconds of ``0m1.25s``, as the shell's ``times`` writes them."""
    minutes, _, seconds = text.removesuffix("s").partition("m")
    return int(minutes) * 60 + float(seconds)
