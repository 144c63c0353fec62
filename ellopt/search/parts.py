"""Optuna's parts, or anybody's, by import path."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from ellopt.core.errors import ConfigurationError

Part = TypeVar("Part")


def make_part(option: str, path: str, base: Callable[..., Part], seed: int) -> Part:
    """An object of the class at ``path`` ("module:Class" or "module.Class"), which is a subclass of ``base``; it is
    given the seed if it takes one. Raises ConfigurationError, naming the command line's ``option``."""
    kind = cast(type, base)
    what = kind.__name__.removeprefix("Base").lower()
    module_name, colon, class_name = path.partition(":")
    if not colon:
        module_name, _, class_name = path.rpartition(".")
    try:
        found: Any = importlib.import_module(module_name)
        for part in class_name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{option}: cannot import {path!r}: {error}") from error
    if not (inspect.isclass(found) and issubclass(found, kind)):
        raise ConfigurationError(f"{option}: {path!r} is not an Optuna {what} (a subclass of {kind.__name__})")
    takes_seed = "seed" in inspect.signature(found).parameters
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            made = cast(Part, found(**({"seed": seed} if takes_seed else {})))
    except optuna.exceptions.OptunaError as error:
        raise ConfigurationError(f"{option}: {path!r}: {error}") from error
    except (TypeError, ValueError, ImportError) as error:
        raise ConfigurationError(f"{option}: {path!r} cannot be made without more arguments: {error}") from error
    return made


def make_inner(name: str, seed: int) -> BaseSampler:
    """The sampler of one layer shape: ``tpe``, ``random``, or any by its import path. Raises ConfigurationError."""
    if name == "random":
        return RandomSampler(seed=seed)
    if name == "tpe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=8)
    return make_part("--sampler", name, BaseSampler, seed)
