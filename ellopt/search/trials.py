"""A plan as a trial of an Optuna study: one categorical parameter a layer, passes as intermediate values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial
from optuna.trial import Trial as OptunaTrial

from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.trial import Trial, TrialState, Visit
from ellopt.space.space import ModelSpace

#: User attributes of a trial: node id -> median milliseconds, or those of each pass; node id -> why it does not work.
LAYERS, FAILURES = "layers_ms", "failures"


def parameter(node_id: str) -> str:
    """The name of a layer's parameter in a study."""
    return f"layer {node_id}"


def distributions(space: ModelSpace) -> dict[str, CategoricalDistribution]:
    """Of each layer's parameter: its variants and ELL's default, as text."""
    return {
        parameter(layer.node_id): CategoricalDistribution(
            [str(options) for options in dict.fromkeys((*layer.variants, layer.default))]
        )
        for layer in space.layers
    }


def suggest_plan(trial: OptunaTrial, space: ModelSpace) -> Plan:
    """The plan that a trial is to try: for objectives."""
    choices = {name: trial.suggest_categorical(name, d.choices) for name, d in distributions(space).items()}
    return plan_of(choices, space)


def report_layers(trial: OptunaTrial, layers_ms: Mapping[str, float | Sequence[float]]) -> None:
    """Say what each layer took, in milliseconds: once, or in each pass. Samplers of plans learn from it."""
    trial.set_user_attr(LAYERS, {n: ms if isinstance(ms, (int, float)) else list(ms) for n, ms in layers_ms.items()})


def report_failures(trial: OptunaTrial, reasons: Mapping[str, str]) -> None:
    """Say which layers (node ids) made a trial fail, and why: what was chosen for them is not proposed again."""
    trial.set_user_attr(FAILURES, dict(reasons))


def plan_of(parameters: Mapping[str, Any], space: ModelSpace) -> Plan:
    """The plan that a trial's parameters say, ELL's default where they say nothing.

    Raises ConfigurationError for options that do not exist.
    """
    texts = {layer.node_id: parameters.get(parameter(layer.node_id)) for layer in space.layers}
    given = {n: ConvolutionOptions.parse(str(text)) for n, text in texts.items() if text is not None}
    return space.default_plan.with_all(given)


def measured_of(trial: FrozenTrial, values: Sequence[float] | None, visit: Visit, space: ModelSpace) -> Trial:
    """What a trial yielded, by the study alone: its passes, or its value, and what it says of its layers.

    Raises ConfigurationError for what says nothing, or nonsense, of a layer.
    """
    plan = plan_of(trial.params, space)
    failures = {str(n): str(why) for n, why in dict(trial.user_attrs.get(FAILURES, {})).items() if n in plan}
    passes = [ms for _, ms in sorted(trial.intermediate_values.items())] or list(values or ())
    if not passes:
        ended = trial.datetime_complete or datetime.now(trial.datetime_start.tzinfo if trial.datetime_start else None)
        seconds = (ended - trial.datetime_start).total_seconds() if trial.datetime_start else 0.0
        return Trial(plan, None, visit, TrialState.FAILED, "it failed", failures, max(0.0, seconds))
    layers_ms = _layers_ms(trial, plan, passes)
    samples = PlanSamples(plan, tuple(passes), layers_ms, {}, tuple(range(len(passes))))
    return Trial(plan, samples, visit, board_seconds=sum(passes) / 1000)


def _layers_ms(trial: FrozenTrial, plan: Plan, passes: list[float]) -> dict[str, tuple[float, ...]]:
    """Every layer's milliseconds in as many passes as were timed, which become as many as the layers have."""
    given = trial.user_attrs.get(LAYERS)
    if given is None and len(plan) == 1:
        given = {next(iter(plan)): passes}
    if not isinstance(given, Mapping) or set(given) != set(plan):
        raise ConfigurationError(
            f"trial {trial.number} does not say what each layer took: its user attribute {LAYERS!r} has to name "
            f"{', '.join(plan)} (see ellopt.search.trials.report_layers)"
        )
    try:
        rows = {n: [float(v) for v in (ms if isinstance(ms, (list, tuple)) else [ms])] for n, ms in given.items()}
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"trial {trial.number}: {LAYERS!r} holds what is no time: {error}") from error
    flat = [ms for row in rows.values() for ms in row]
    lengths = {len(row) for row in rows.values()}
    if len(lengths) != 1 or not all(np.isfinite(ms) and 0 <= ms < 1e9 for ms in (*flat, *passes)):
        raise ConfigurationError(f"trial {trial.number}: {LAYERS!r} holds impossible times, or not equally many each")
    (count,) = lengths
    if count != len(passes):
        passes[:] = [float(np.median(passes))] * count
    return {n: tuple(rows[n]) for n in plan}
