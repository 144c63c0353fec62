"""Strategies that decide what to try next."""
