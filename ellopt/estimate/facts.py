"""What a reader must know of estimates: of which processor, how sure, by which rules."""

from __future__ import annotations

from dataclasses import dataclass

from ellopt.core.numbers import percent


@dataclass(frozen=True)
class EstimateFacts:
    """``mhz``: the clock that turns cycles into milliseconds, ``factor`` applied. ``error``: how far an estimate may be
    off, on average, as a share. ``calibrated``: whether a real board says the factor. ``compared``: whether times of
    real boards say the error, which is a guess otherwise."""

    processor: str
    mhz: float
    error: float
    factor: float = 1.0
    calibrated: bool = False
    model_version: int = 1
    compared: bool = True

    @property
    def label(self) -> str:
        """The same in a few words, for tags and metadata."""
        error = f"off by {percent(self.error)} on average" if self.compared else "not compared with a board's times"
        return f"{self.processor} at {self.mhz:.0f} MHz, {error}"

    @property
    def remark(self) -> str:
        """Sentences for whoever reads the figures."""
        source = "calibrated on a board" if self.calibrated else "'ellopt calibrate' compares a board"
        error = f"Estimates are off by {percent(self.error)} on average, and a smaller lead is a tie. "
        if not self.compared:
            error = f"No board's times were compared with it; a lead below {percent(self.error)} is taken for a tie. "
        return (
            f"Estimated, not measured: cycles of a simulated {self.processor} at {self.mhz:.0f} MHz ({source}). "
            f"{error}What runs on several cores is said by a rule from one core's cycles. "
            "Give a board with --ipaddress to measure."
        )
