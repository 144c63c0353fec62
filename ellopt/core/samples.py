"""Raw samples of measured plans, and what may be concluded from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan


@dataclass(frozen=True)
class DeviceState:
    """What a device said of itself around a measurement; None where it does not offer the fact.

    ``load`` is the load average, our own runs included; ``foreign_load`` how many CPUs others kept busy, on average,
    during the run that has just ended.
    """

    governor: str | None = None
    frequency_mhz: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    load: float | None = None
    foreign_load: float | None = None


@dataclass(frozen=True)
class PlanSamples:
    """What one plan took on one device: one number per timed pass, in milliseconds.

    ``layers_ms`` has every convolution layer by node id, ``nodes_ms`` every other node that took time. All
    lists have the same length and are aligned: element i of each belongs to pass i. ``rounds`` says in which
    round of the job a pass was made, so that plans of one job can be compared in pairs.
    """

    plan: Plan
    total_ms: tuple[float, ...]
    layers_ms: Mapping[str, tuple[float, ...]]
    nodes_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    rounds: tuple[int, ...] = ()


@dataclass(frozen=True)
class LayerCheck:
    """Whether a layer, computed with ``options``, gave what the NumPy reference gives for the same input.

    ``error`` and ``limit``, the largest allowed, are in units of what float32 may be off in any order of summation, by
    output channel, the worst of them; where a toolchain sees only the model's output, in shares of its largest value.
    ``options`` is None for a node that is no convolution layer; ``type_name`` is then its type.
    ``unit`` names the units.
    """

    node_id: str
    options: ConvolutionOptions | None
    error: float
    limit: float
    type_name: str = ""
    unit: str = "of the largest value"

    @property
    def reason(self) -> str:
        """What is wrong, for a reader."""
        return f"wrong output: off by {self.error:.3g} {self.unit}, {self.limit:.3g} is allowed"

    @property
    def passed(self) -> bool:
        return self.error <= self.limit
