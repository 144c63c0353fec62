"""What the user said about messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ellopt.core.settings import setting

LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET")


@dataclass(frozen=True)
class MessageSettings:
    """What is reported beside the progress, and where."""

    verbosity: str = setting(
        "WARNING",
        f"what is reported beside the progress: {', '.join(LEVELS)}",
        metavar="LEVEL",
        choices=LEVELS,
        kind=str.upper,
        exclusive="loudness",
    )
    silence: bool = setting(
        False,
        "nothing but errors; excludes `--verbosity`",
        exclusive="loudness",
    )
    logfile: Path | None = setting(
        None, "also log everything here; the file and its older parts stay below 50 MB", metavar="PATH"
    )
    logmode: str = setting(
        "a",
        "append to the log file (`a`) or begin it anew (`w`, the default of `profile_and_optimize.py`)",
        metavar="a|w",
        choices=("a", "w"),
    )
