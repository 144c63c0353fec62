"""Raw samples of measured plans, and what may be concluded from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ellopt.options import ConvolutionOptions, Plan


@dataclass(frozen=True)
class DeviceState:
    """What a device said of itself around a measurement; None where it does not offer the fact."""

    governor: str | None = None
    frequency_mhz: float | None = None
    temperature_c: float | None = None
    throttled: bool | None = None
    load: float | None = None


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

    ``error`` is max |value - reference| / max(1e-6, max |reference|) over the layer's output; ``limit`` is the
    largest allowed.
    """

    node_id: str
    options: ConvolutionOptions
    error: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.error <= self.limit
