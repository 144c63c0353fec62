"""The tests. Their folders mirror the rooms of ``ellopt``."""
