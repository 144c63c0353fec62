"""Builds, leases, checks and measures."""
