"""One layer shape as an Optuna study of its own, so that a latency is credited to the layer it belongs to."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Sequence
from dataclasses import fields

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from ellopt.core.options import ConvolutionOptions

_FIELDS = tuple(field.name for field in fields(ConvolutionOptions) if field.name != "method")
_REPEATS = 4


class ShapeStudy:
    """Proposes variants of one shape by an Optuna sampler over their fields: the method, then what it leaves open.

    The study lives in memory; what an earlier run measured is told to it again. A proposal that was measured already
    is answered at once with what is known, and the sampler asked again.
    """

    def __init__(self, variants: Sequence[ConvolutionOptions], sampler: BaseSampler, seed: int) -> None:
        self._variants = tuple(variants)
        self._values: dict[ConvolutionOptions, float] = {}
        self._open: dict[ConvolutionOptions, list[Trial]] = {}
        self._rejected: set[ConvolutionOptions] = set()
        self._random = random.Random(seed)
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # not a word of studies that nobody opens
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(direction="minimize", sampler=sampler)
        optuna.logging.set_verbosity(level)

    @property
    def untried(self) -> list[ConvolutionOptions]:
        return [o for o in self._variants if o not in self._values and o not in self._open and o not in self._rejected]

    def ask(self) -> ConvolutionOptions | None:
        """A variant that was not tried yet; None when there is none left."""
        untried = set(self.untried)
        if not untried:
            return None
        for _ in range(_REPEATS):
            trial = self._study.ask()
            options = self._suggest(trial)
            if options in untried:
                self._open.setdefault(options, []).append(trial)
                return options
            self._answer(trial, options)
        chosen = min(sorted(untried), key=lambda o: (_distance(o, options), self._random.random()))
        self._open.setdefault(chosen, [])
        return chosen

    def claim(self, options: ConvolutionOptions) -> None:
        """``options`` are about to be measured, whoever proposed them."""
        self._open.setdefault(options, [])

    def tell(self, options: ConvolutionOptions, ms: float | None) -> None:
        """What ``options`` took; None: they do not work."""
        trials = self._open.pop(options, [])
        if ms is None:
            self._rejected.add(options)
        else:
            self._values[options] = math.log(max(ms, 1e-9))
        if trials:
            for trial in trials:
                self._answer(trial, options)
        elif options in self._values and options in self._variants:
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=self._parameters(options),
                    distributions={name: self._distribution(name) for name in self._parameters(options)},
                    value=self._values[options],
                )
            )

    def release(self, options: ConvolutionOptions) -> None:
        """``options`` were not measured after all."""
        for trial in self._open.pop(options, []):
            self._study.tell(trial, state=TrialState.FAIL)

    def _answer(self, trial: Trial, options: ConvolutionOptions) -> None:
        if options in self._values:
            self._study.tell(trial, self._values[options])
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def _suggest(self, trial: Trial) -> ConvolutionOptions:
        """The variant that the sampler wants: field by field, then the nearest one that exists."""
        method = str(trial.suggest_categorical("method", self._methods))
        wanted: dict[str, object] = {}
        for name in _FIELDS:
            values = self._choices(method, name)
            if len(values) > 1:
                wanted[name] = trial.suggest_categorical(f"{method} {name}", values)
        return min(
            (o for o in self._variants if o.method == method),
            key=lambda o: sum(getattr(o, name) != value for name, value in wanted.items()),
        )

    @property
    def _methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(o.method for o in self._variants))

    def _choices(self, method: str, name: str) -> tuple[str | int | bool, ...]:
        return tuple(sorted({getattr(o, name) for o in self._variants if o.method == method}))

    def _parameters(self, options: ConvolutionOptions) -> dict[str, object]:
        parameters: dict[str, object] = {"method": options.method}
        for name in _FIELDS:
            if len(self._choices(options.method, name)) > 1:
                parameters[f"{options.method} {name}"] = getattr(options, name)
        return parameters

    def _distribution(self, name: str) -> optuna.distributions.CategoricalDistribution:
        if name == "method":
            return optuna.distributions.CategoricalDistribution(self._methods)
        method, field_name = name.split(" ")
        return optuna.distributions.CategoricalDistribution(self._choices(method, field_name))


def _distance(a: ConvolutionOptions, b: ConvolutionOptions) -> int:
    """In how many fields two options differ; another method is the largest difference."""
    return sum(bool(getattr(a, n) != getattr(b, n)) for n in _FIELDS) + len(_FIELDS) * (a.method != b.method)
