"""From winners to a model: confirm whole models on the device, then write the output files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ellopt.deadline import Deadline
from ellopt.errors import CandidateError
from ellopt.files.atomic import write_text
from ellopt.measurement import compare
from ellopt.model.archive import write_archive
from ellopt.model.graph import Model
from ellopt.model.metadata import own_options, with_options
from ellopt.option_files import compile_options_json, compile_switches, options_from
from ellopt.options import ConvolutionOptions, Plan
from ellopt.procedure import Measures, Procedure
from ellopt.space import ModelSpace
from ellopt.targets import Target
from ellopt.tuning_report import Comparison, Confirmation, WholeModel

ASSEMBLED, BEFORE, UNIFORM, TRIAL = "assembled", "ELL's default", "best single option", "best trial"

#: How often whole models are measured while it is not clear which is the fastest.
VISITS = 3
#: Whole models are compared without profiling, interleaved: warm-up and timed passes as ELL's scripts made.
CONFIRMATION = Procedure(kind="bench", warm_up=10, rounds=10, turn_warm_up=2, turn_passes=4)


def best_uniform(space: ModelSpace, layers_ms: Mapping[str, Mapping[ConvolutionOptions, float]]) -> Plan | None:
    """The fastest plan that gives every layer the same options, as far as the measurements go.

    ``layers_ms``: node id -> options -> median milliseconds. As ELL does, a layer for which the options are not
    valid or fail takes ELL's default. None while no options were measured.
    """
    best: tuple[float, Plan] | None = None
    everything = dict.fromkeys(options for measured in layers_ms.values() for options in measured)
    for options in everything:
        choices = {
            layer.node_id: options if options in layers_ms.get(layer.node_id, {}) else layer.default
            for layer in space.layers
        }
        times = [layers_ms.get(node_id, {}).get(choice) for node_id, choice in choices.items()]
        known = [time for time in times if time is not None]
        if len(known) == len(times) and (best is None or sum(known) < best[0]):
            best = (sum(known), Plan.of(choices))
    return None if best is None else best[1]


@dataclass(frozen=True)
class Confirmed:
    """What the last comparison said, and the plan to write."""

    plan: Plan
    confirmation: Confirmation


def confirm(
    laboratory: Measures, candidates: Mapping[str, Plan], procedure: Procedure = CONFIRMATION, seconds: float = 600.0
) -> Confirmed:
    """Measure whole models interleaved and choose the one with the lowest median; equal plans are measured once.

    While the winners put together are not the fastest, and are not significantly slower either, more is measured: up
    to ``VISITS`` visits. Medians are over all samples: what disturbs the machine disturbs parallel plans most, and
    that belongs to them. ``candidates`` has ``ASSEMBLED`` and ``BEFORE``. Raises CandidateError if one of those
    cannot be measured.
    """
    deadline = Deadline.after(seconds)
    samples: dict[Plan, list[float]] = {}
    for _ in range(VISITS):
        plans = list(dict.fromkeys(candidates.values()))
        for outcome in laboratory.measure(plans, procedure, deadline):
            if outcome.samples is not None:
                samples.setdefault(outcome.plan, []).extend(outcome.samples.total_ms)
            elif outcome.plan in (candidates[ASSEMBLED], candidates[BEFORE]):
                raise CandidateError(f"the whole model could not be measured: {outcome.reason}")
        wholes = {name: _whole(name, plan, samples[plan]) for name, plan in candidates.items() if samples.get(plan)}
        fastest = min(wholes.values(), key=lambda whole: (whole.median_ms, whole.name != ASSEMBLED))
        if fastest.plan == wholes[ASSEMBLED].plan or deadline.passed:
            break
        if _compare(wholes[ASSEMBLED], fastest).significant:
            break
    chosen = ASSEMBLED if fastest.plan == wholes[ASSEMBLED].plan else fastest.name
    before = wholes[BEFORE]
    return Confirmed(
        plan=candidates[chosen],
        confirmation=Confirmation(
            candidates=tuple(wholes.values()),
            chosen=chosen,
            before=BEFORE,
            against_before=None if fastest.plan == before.plan else _compare(fastest, before),
            why=_why(chosen, wholes),
        ),
    )


def _compare(a: WholeModel, b: WholeModel) -> Comparison:
    return compare(a.samples_ms, b.samples_ms, paired=len(a.samples_ms) == len(b.samples_ms))


def _whole(name: str, plan: Plan, samples: Sequence[float]) -> WholeModel:
    texts = {node_id: str(options) for node_id, options in plan.items()}
    return WholeModel(name, texts, tuple(samples), float(np.median(samples)))


def _why(chosen: str, wholes: Mapping[str, WholeModel]) -> str:
    assembled = wholes[ASSEMBLED]
    others = [whole for name, whole in wholes.items() if name != ASSEMBLED and whole.plan != assembled.plan]
    if not others:
        return "every layer's winner is ELL's default: nothing faster was found"
    if chosen != ASSEMBLED:
        return (
            f"{chosen} was written: with {wholes[chosen].median_ms:.3f} ms it was faster as a whole than the winners "
            f"of the layers put together ({assembled.median_ms:.3f} ms)"
        )
    rival = min(others, key=lambda whole: whole.median_ms)
    return (
        f"the winners of the layers put together took {assembled.median_ms:.3f} ms, the next best whole model "
        f"({rival.name}) {rival.median_ms:.3f} ms"
    )


@dataclass(frozen=True)
class OutputFiles:
    """The files of a tuned model, relative to its output directory."""

    model: str
    names: tuple[str, ...]


def write_model(
    directory: Path, model: Model, name: str, plan: Plan, ell_plan: Plan, target: Target, own: bool = True
) -> OutputFiles:
    """Write the model with its options, ``compile_options.json`` and ``compile_switches.txt``, each atomically.

    ``plan`` is what was chosen, ``ell_plan`` what ELL is told (never winograd on a depthwise layer). ``own``: what
    ELL's options cannot say goes under the key ``ellopt``. Raises OSError.
    """
    ell = {node_id: {k: str(v) for k, v in options.to_ell().items()} for node_id, options in ell_plan.items()}
    ours = {
        node_id: own_options(options)
        for node_id, options in plan.items()
        if own and options_from(ell_plan[node_id].to_ell()) != options
    }
    model_file = f"{name}_options.ell"
    write_archive(with_options(model.archive, ell, ours), directory / model_file)
    write_text(directory / "compile_options.json", compile_options_json(plan, ell_plan, own))
    switches = compile_switches(ell_plan, str(model.path), str(directory), target.ell_name)
    write_text(directory / "compile_switches.txt", switches)  # the original ends without a new line
    return OutputFiles(model_file, (model_file, "compile_options.json", "compile_switches.txt"))
