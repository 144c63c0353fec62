"""What is known of layers after a search, as an Optuna study beside its own.

A search measures some thirty plans, after earlier runs a few that hardly differ: what importances and charts make of
those trials is noise. This study holds plans drawn at random, each with the sum of what its layers are known to take,
by the samples of all runs; importances of its parameters are those of the layers.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import BaseStorage

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.search.evidence.estimates import Evidence
from ellopt.search.trials import parameter

#: what a study is, among its user attributes
HOLDS = "holds"
#: plans: enough to tell layers apart, and of all of them no more choices than are written in a moment
_MOST_PLANS, _FEWEST_PLANS, _CHOICES = 150, 100, 6000


def known_name(name: str) -> str:
    """The name of the study of what is known, beside the search's own of this name."""
    return f"{name} (predicted from layers)"


def write_known(storage: BaseStorage, name: str, evidence: Evidence, seed: int = 0) -> None:
    """Write the study of what is known, anew. A layer of which fewer than two variants are known is left out."""
    known = {
        layer.node_id: tuple(o for o in layer.variants if evidence.layer_ms(layer.node_id, o) is not None)
        for layer in evidence.space.layers
    }
    choices = {node: variants for node, variants in known.items() if len(variants) > 1}
    rest = {node: variants[0] for node, variants in known.items() if len(variants) == 1}
    if not choices or len(choices) + len(rest) < len(known):
        return
    if known_name(name) in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=known_name(name), storage=storage)
    study = optuna.create_study(storage=storage, study_name=known_name(name), direction="minimize")
    study.set_user_attr(
        HOLDS,
        "plans drawn at random, each with the sum of its layers' times by the samples of this run and of earlier ones; "
        "none was measured as a whole",
    )
    study.add_trials(_drawn(choices, rest, evidence, random.Random(seed)))


def _drawn(
    choices: Mapping[str, tuple[ConvolutionOptions, ...]],
    rest: Mapping[str, ConvolutionOptions],
    evidence: Evidence,
    chance: random.Random,
) -> list[optuna.trial.FrozenTrial]:
    spaces: dict[str, BaseDistribution] = {
        parameter(node): CategoricalDistribution([str(o) for o in found]) for node, found in choices.items()
    }
    trials = []
    for _ in range(max(_FEWEST_PLANS, min(_MOST_PLANS, _CHOICES // len(choices)))):
        drawn = {node: chance.choice(found) for node, found in choices.items()}
        value = evidence.predict_ms(Plan.of({**rest, **drawn}))
        params = {parameter(node): str(options) for node, options in drawn.items()}
        trials.append(optuna.trial.create_trial(params=params, distributions=spaces, value=value))
    return trials
