"""One factor for each kind of board, kept in the user's state directory and checked when it is read."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ellopt.estimate.simulator import MODEL_VERSION
from ellopt.files.atomic import write_text
from ellopt.files.json_values import decode, parse_object

_LOG = logging.getLogger(__name__)
#: what a ratio can be; beyond, it is damage or something else than a board
_LEAST, _MOST = 1e-3, 1e3


@dataclass(frozen=True)
class Calibration:
    """How many times as long as estimated each loop and network took on a board (``ratios``, by name)."""

    target: str
    board: str
    ratios: Mapping[str, float]
    created: str = ""
    model_version: int = MODEL_VERSION
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        if not self.ratios:
            raise ValueError("a calibration needs ratios")
        for name, ratio in self.ratios.items():
            if not _LEAST <= ratio <= _MOST:
                raise ValueError(f"{name}: {ratio:g} times as long as estimated cannot be")

    @property
    def factor(self) -> float:
        """The geometric mean of the ratios."""
        return math.exp(math.fsum(math.log(ratio) for ratio in self.ratios.values()) / len(self.ratios))

    @property
    def spread(self) -> float:
        """By what share ratios differ from the factor: their standard deviation, on a log scale."""
        log_factor = math.log(self.factor)
        squares = math.fsum((math.log(ratio) - log_factor) ** 2 for ratio in self.ratios.values())
        return math.expm1(math.sqrt(squares / max(1, len(self.ratios) - 1)))


def keep(directory: Path, calibration: Calibration) -> Path:
    """Write it for its kind of board. Raises OSError."""
    path = _path(directory, calibration.target)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(calibration), indent=1) + "\n")
    return path


def find(directory: Path, target: str) -> Calibration | None:
    """What was kept for a kind of board. None if there is nothing, or nothing that can be used, which is said."""
    path = _path(directory, target)
    try:
        found = decode(Calibration, parse_object(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _LOG.warning("%s is passed over: %s; 'ellopt calibrate' writes it anew", path, error)
        return None
    if found.target != target or found.model_version != MODEL_VERSION:
        _LOG.warning("%s is of another target or version and passed over; 'ellopt calibrate' writes it anew", path)
        return None
    return found


def _path(directory: Path, target: str) -> Path:
    return directory / "calibrations" / f"{target}.json"
