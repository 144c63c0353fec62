"""Tuning models from end to end."""
