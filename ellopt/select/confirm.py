"""From winners to a model: confirm whole models on the device, then write the output files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import CandidateError
from ellopt.core.numbers import milliseconds
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.statistics import Comparison, of_estimates
from ellopt.core.turns import Round, Turns, modes, turn_values
from ellopt.files.atomic import write_text
from ellopt.frontends import base as frontends
from ellopt.frontends.ell.metadata import ESTIMATED_KEY, own_options
from ellopt.measure.base import Measurer
from ellopt.model.graph import Model
from ellopt.select.decisions import Confirmation, WholeModel
from ellopt.space.options_file import compile_options_json, compile_switches, options_from
from ellopt.space.space import ModelSpace
from ellopt.targets import Target

ASSEMBLED, BEFORE, UNIFORM, TRIAL = "assembled", "ELL's default", "best single option", "best trial"

#: How often whole models are measured at least, while it is not clear which is the fastest, and where passes of one
#: model come in several modes or visits disagree: what is expected of states is known only when they were seen.
LEAST_VISITS, VISITS, MODAL_VISITS = 2, 6, 9
#: What is slower by this share at most, by the confidence interval's end, is as good as the fastest: no more visits are
#: worth their time.
TIE = 0.01
#: Visits disagree about two models if each was significantly faster in one of them, by this share.
DISAGREEMENT = 0.02
#: Whole models are compared without profiling, interleaved. Six short visits see more states of a machine than three
#: of twice the length, and where two are enough the rest is saved. Weights settle at the beginning of each turn.
CONFIRMATION = Schedule(kind="bench", warm_up=3, rounds=5, turn_warm_up=2, turn_passes=4)
#: Where times say nothing of the board, as under an emulator, and so choose nothing.
UNCHOSEN = Schedule(kind="bench", warm_up=0, rounds=3, settle=False)


def best_uniform(space: ModelSpace, layers_ms: Mapping[str, Mapping[ConvolutionOptions, float]]) -> Plan | None:
    """The fastest plan that gives every layer the same options, as far as the measurements go.

    ``layers_ms``: node id -> options -> median milliseconds. As ELL does, a layer for which the options are not
    valid or fail takes ELL's default. None while no options were measured.
    """
    best: tuple[float, Plan] | None = None
    everything = dict.fromkeys(options for measured in layers_ms.values() for options in measured)
    for options in everything:
        able = {node_id: options for node_id, measured in layers_ms.items() if options in measured}
        plan = space.default_plan.with_all(able)
        times = [layers_ms.get(node_id, {}).get(choice) for node_id, choice in plan.items()]
        known = [time for time in times if time is not None]
        if len(known) == len(times) and (best is None or sum(known) < best[0]):
            best = (sum(known), plan)
    return None if best is None else best[1]


@dataclass(frozen=True)
class Confirmed:
    """What the last comparison said, and the plan to write."""

    plan: Plan
    confirmation: Confirmation


def confirm(
    measurer: Measurer,
    candidates: Mapping[str, Plan],
    schedule: Schedule = CONFIRMATION,
    seconds: float = 600.0,
    error: float = 0.0,
    once: bool = False,
) -> Confirmed:
    """Measure whole models in turns and choose the one with the lowest latency (see ``turns``).

    Equal plans are measured once. While the fastest is not significantly faster than all others, and not as good as
    equal to them either (``TIE``), more is measured: ``LEAST_VISITS`` to ``VISITS`` visits. Where passes have several
    modes, or visits disagree about which plan is faster, up to ``MODAL_VISITS`` are made, and what is expected over all
    of them decides. What is chosen, printed and sorted by is one number, so no plan is written that its own comparison
    says is slower. ``candidates`` has
    ``ASSEMBLED`` and ``BEFORE``. ``error``: where positive, times are estimates that may be off by that share: one
    visit says all that more would. ``once``: one visit, as nothing is chosen by it. Raises CandidateError if one of
    those cannot be measured.
    """
    deadline = Deadline.after(seconds)
    samples: dict[Plan, list[float]] = {}
    values: dict[Plan, dict[Round, float]] = {}
    left, visits = dict(candidates), 0
    while True:
        for trial in measurer.measure(list(dict.fromkeys(left.values())), schedule, deadline):
            if trial.samples is not None:
                samples.setdefault(trial.plan, []).extend(trial.samples.total_ms)
                found = turn_values(trial.samples.total_ms, trial.samples.rounds, visits)
                values.setdefault(trial.plan, {}).update(found)
            elif trial.plan in (candidates[ASSEMBLED], candidates[BEFORE]):
                raise CandidateError(f"the whole model could not be measured: {trial.reason}")
        visits += 1
        standing = _Standing(
            {n: p for n, p in candidates.items() if len(values.get(p, ())) > 0}, Turns(values), samples, error
        )
        most = MODAL_VISITS if standing.states else VISITS
        clear = visits >= min(LEAST_VISITS, len(values)) and standing.clear
        if once or error > 0 or visits >= most or deadline.passed or (clear and not standing.states):
            return standing.confirmed(visits)


@dataclass(frozen=True)
class _Standing:
    """What is known after some visits."""

    candidates: Mapping[str, Plan]
    turns: Turns[Plan]
    samples: Mapping[Plan, Sequence[float]]
    error: float = 0.0

    @cached_property
    def latencies(self) -> dict[Plan, float]:
        return {plan: self.turns.latency_ms(plan) for plan in dict.fromkeys(self.candidates.values())}

    @cached_property
    def modes(self) -> dict[Plan, tuple[float, ...]]:
        return {plan: modes(self.samples[plan]) for plan in self.latencies}

    @property
    def fastest(self) -> str:
        """Of equally fast ones the winners put together, or ELL's default, which are the first."""
        return min(self.candidates, key=lambda name: self.latencies[self.candidates[name]])

    @property
    def clear(self) -> bool:
        fastest = self.candidates[self.fastest]
        found = (self.turns.compare(fastest, plan) for plan in self.latencies if plan != fastest)
        return all(comparison.significant or comparison.gain_low >= -TIE for comparison in found)

    @cached_property
    def states(self) -> str:
        """What depended on the state of the machine, of plans that may be chosen and of ELL's default."""
        fastest = self.candidates[self.fastest]
        name_of = {plan: name for name, plan in reversed(tuple(self.candidates.items()))}
        lowest = self.latencies[fastest]
        said = []
        for plan, found in self.modes.items():
            if len(found) > 1 and (name_of[plan] == BEFORE or min(found) <= lowest):
                said.append(
                    f"{name_of[plan]} ran in two modes, around {milliseconds(found[0])} and {milliseconds(found[1])}"
                )
        for plan in self.latencies:
            by_visit = [visit.compare(fastest, plan) for visit in self.turns.visits]
            sure = [c.gain > 0 for c in by_visit if c.significant and abs(c.gain) > DISAGREEMENT]
            if len(set(sure)) > 1:
                pair, visits = f"{name_of[plan]} was faster than {name_of[fastest]}", f"{len(by_visit)} visits"
                said.append(f"{pair} in {sure.count(False)} of {visits} and slower in {sure.count(True)}")
        if not said:
            return ""
        return "; ".join(said) + ": what is expected over all visits decides, each counting alike"

    def confirmed(self, visits: int) -> Confirmed:
        chosen = self.fastest
        plan, before = self.candidates[chosen], self.candidates[BEFORE]
        if plan == self.candidates[ASSEMBLED]:
            chosen = ASSEMBLED
        wholes = {name: self._whole(name) for name in self.candidates}
        return Confirmed(
            plan=plan,
            confirmation=Confirmation(
                candidates=tuple(sorted(wholes.values(), key=lambda whole: whole.latency_ms)),
                chosen=chosen,
                before=BEFORE,
                against_before=None if plan == before else self._against(plan, before),
                why=_why(chosen, wholes),
                visits=visits,
                states=self.states,
            ),
        )

    def _against(self, plan: Plan, before: Plan) -> Comparison:
        if self.error > 0:
            return of_estimates(self.latencies[plan], self.latencies[before], self.error)
        return self.turns.compare(plan, before)

    def _whole(self, name: str) -> WholeModel:
        plan = self.candidates[name]
        found = self.modes[plan]
        return WholeModel(
            name=name,
            plan=plan,
            samples_ms=tuple(self.samples[plan]),
            latency_ms=self.latencies[plan],
            turns_ms=self.turns.turns_ms(plan),
            modes_ms=found if len(found) > 1 else (),
        )


def _why(chosen: str, wholes: Mapping[str, WholeModel]) -> str:
    assembled = wholes[ASSEMBLED]
    others = [whole for name, whole in wholes.items() if name != ASSEMBLED and whole.plan != assembled.plan]
    if not others:
        return "every layer's winner is ELL's default: nothing faster was found"
    if chosen != ASSEMBLED:
        return (
            f"with {milliseconds(wholes[chosen].latency_ms)} it was faster as a whole than the winners of the layers "
            f"put together ({milliseconds(assembled.latency_ms)})"
        )
    rival = min(others, key=lambda whole: whole.latency_ms)
    return (
        f"the winners of the layers put together took {milliseconds(assembled.latency_ms)}, the next best whole model "
        f"({rival.name}) {milliseconds(rival.latency_ms)}"
    )


@dataclass(frozen=True)
class OutputFiles:
    """The files of a tuned model, relative to its output directory."""

    model: str
    names: tuple[str, ...]


def write_model(
    directory: Path,
    model: Model,
    name: str,
    plan: Plan,
    ell_plan: Plan,
    target: Target,
    own: bool = True,
    estimated: str = "",
) -> OutputFiles:
    """Write the model with its options, ``compile_options.json`` and, for ELL's models, ``compile_switches.txt``, each
    atomically.

    ``plan`` is what was chosen, ``ell_plan`` what ELL is told (never winograd on a depthwise layer). ``own``: what
    ELL's options cannot say goes under the key ``ellopt``. ``estimated``: there, too, by what processor's
    estimate it was chosen, if by one. Raises OSError.
    """
    ell = {node_id: {k: str(v) for k, v in options.to_ell().items()} for node_id, options in ell_plan.items()}
    remark = {ESTIMATED_KEY: estimated} if estimated else {}
    ours = {
        node_id: {**(own_options(options) if options_from(ell_plan[node_id].to_ell()) != options else {}), **remark}
        for node_id, options in plan.items()
        if own and (remark or options_from(ell_plan[node_id].to_ell()) != options)
    }
    suffix = frontends.tuned_suffix(model)
    model_file = f"{name}_options{suffix}"
    frontends.write_model(model, directory / model_file, plan, ell, ours)
    write_text(directory / "compile_options.json", compile_options_json(plan, ell_plan, own))
    if suffix != ".ell":
        return OutputFiles(model_file, (model_file, "compile_options.json"))
    switches = compile_switches(ell_plan, str(model.path), str(directory), target.ell_name)
    write_text(directory / "compile_switches.txt", switches)  # the original ends without a new line
    return OutputFiles(model_file, (model_file, "compile_options.json", "compile_switches.txt"))
