"""Optuna samplers by name or import path."""

from __future__ import annotations

import importlib
import inspect
import warnings
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from ellopt.core.errors import ConfigurationError


def make_sampler(name: str, seed: int) -> BaseSampler:
    """``tpe``, ``random``, or any Optuna sampler by its import path ("module:Class"), which is given the seed if it
    takes one. Raises ConfigurationError, saying what is wrong."""
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=8)
    return _imported(name, seed)


def _imported(path: str, seed: int) -> BaseSampler:
    module_name, _, class_name = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in class_name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"--sampler: cannot import {path!r}: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, BaseSampler)):
        raise ConfigurationError(f"--sampler: {path!r} is not an Optuna sampler (a subclass of BaseSampler)")
    takes_seed = "seed" in inspect.signature(found).parameters
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: BaseSampler = found(**({"seed": seed} if takes_seed else {}))
    except optuna.exceptions.OptunaError as error:
        raise ConfigurationError(f"--sampler: {path!r}: {error}") from error
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigurationError(f"--sampler: {path!r} cannot be made without more arguments: {error}") from error
    return sampler
