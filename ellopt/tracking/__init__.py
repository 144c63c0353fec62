"""Keeping what a tuning run saw in MLflow. ``open_tracking`` is the way in, ``sync`` delivers what had to wait."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ellopt.tracking.events import ModelStart
    from ellopt.tracking.model_tracker import ModelTracker
    from ellopt.tracking.quiet import QuietPool
    from ellopt.tracking.settings import TrackingSettings
    from ellopt.tracking.tracker import NullTracker, Tracker, TrackingSummary, check_registered_name, open_tracking
    from ellopt.tracking.undelivered import SyncResult, sync

__all__ = [
    "ModelStart",
    "ModelTracker",
    "NullTracker",
    "QuietPool",
    "SyncResult",
    "Tracker",
    "TrackingSettings",
    "TrackingSummary",
    "check_registered_name",
    "open_tracking",
    "sync",
]

_PLACES = {
    "ModelStart": "events",
    "ModelTracker": "model_tracker",
    "QuietPool": "quiet",
    "SyncResult": "undelivered",
    "TrackingSettings": "settings",
    "sync": "undelivered",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import what is asked for only then: the command line asks for the settings alone, whenever it is called."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found: object = getattr(import_module(f"{__name__}.{_PLACES.get(name, 'tracker')}"), name)
        globals()[name] = found
        return found
