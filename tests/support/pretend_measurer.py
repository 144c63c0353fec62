"""A measurer of the pretended model on pretended devices, and plans to ask it for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.base import DevicePool
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.toolchains.settings import BuildSettings
from tests.support.pretend import AT_ONCE, MODEL, SMALL, TARGET, PretendDevice, PretendPool, PretendToolchain, constant

NODES = tuple(layer.node_id for layer in SMALL)
UNROLLED, SIMPLE = ConvolutionOptions("unrolled"), ConvolutionOptions("simple")
PARALLEL = ConvolutionOptions("unrolled", True)


def uniform(options: ConvolutionOptions) -> Plan:
    return Plan.uniform(NODES, options)


def steady(**options: Any) -> PretendDevice:
    """A device on which every layer takes 1 ms."""
    return PretendDevice(constant({}, 1.0), **options)


def pretend_measurer(
    *devices: PretendDevice,
    toolchain: PretendToolchain | None = None,
    pool: DevicePool | None = None,
    directory: Path = Path("unused"),
    settings: MeasureSettings = AT_ONCE,
    build: BuildSettings | None = None,
    capacity: int = 1,
    sleep: Callable[[float], None] = lambda seconds: None,
) -> DeviceMeasurer:
    """Measures on ``devices``, of which ``capacity`` at once, or on those of ``pool``. It never waits, unless ``sleep``
    does."""
    pool = pool or PretendPool(*devices, capacity=capacity)
    return DeviceMeasurer(MODEL, toolchain or PretendToolchain(), pool, TARGET, directory, settings, build, sleep=sleep)
