"""Whether something else disturbed a device while it measured."""

from __future__ import annotations

from ellopt.core.samples import DeviceState


def disturbance(before: DeviceState, after: DeviceState, cores: int) -> str:
    """Why samples taken between two states of a device should not be used; empty if nothing is known against them.

    ``cores``: where positive, a load of more than our own job can cause counts.
    """
    if before.throttled or after.throttled:
        return "throttled"
    if cores and before.load is not None and before.load > 1.5 * cores:
        return f"loaded ({before.load:.1f} on {cores} cores)"
    if cores and after.foreign_load is not None and after.foreign_load > 0.5 * cores:
        return f"loaded by others (they used {after.foreign_load:.1f} of {cores} cores)"
    return ""
