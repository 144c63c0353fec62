"""Devices run bundles; pools lease devices."""
