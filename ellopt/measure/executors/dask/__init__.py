"""Runs tasks on the workers of a Dask scheduler: a fleet of boards and builders, wherever they are."""
