"""Keeping what a tuning run saw in MLflow. ``open_tracking`` is the way in, ``sync`` delivers what had to wait."""

from ellopt.tracking.events import ModelStart
from ellopt.tracking.model_tracker import ModelTracker
from ellopt.tracking.quiet import QuietPool
from ellopt.tracking.sync import SyncResult, sync
from ellopt.tracking.tracker import (
    NullTracker,
    Tracker,
    TrackingConfig,
    TrackingSummary,
    check_registered_name,
    open_tracking,
)

__all__ = [
    "ModelStart",
    "ModelTracker",
    "NullTracker",
    "QuietPool",
    "SyncResult",
    "Tracker",
    "TrackingConfig",
    "TrackingSummary",
    "check_registered_name",
    "open_tracking",
    "sync",
]
