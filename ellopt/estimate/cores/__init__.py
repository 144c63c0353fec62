"""The processors of the Raspberry Pi: pipelines, latencies, caches, memory. All that could be calibrated is here."""

from ellopt.estimate.cores.base import Core, Timing, Uop
from ellopt.estimate.cores.registry import CORES, core_of

__all__ = ["CORES", "Core", "Timing", "Uop", "core_of"]
