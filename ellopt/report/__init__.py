"""Plots and pages drawn from a tuning report."""
