"""Whether a plan computes the whole model rightly, and which of its layers must fall back where it does not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from threading import Thread

from ellopt.core.errors import BuildError, CandidateError
from ellopt.core.job import Job, JobResult
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.measure.accuracy import Accuracy, accuracy, allowance
from ellopt.model.check_data import OUTPUT_LIMIT, WHOLE_INPUTS
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.model.wanted import Wanted
from ellopt.toolchains.base import Toolchain

#: A plan may be off by so many times as much as ELL's default: then it is the model that amplifies rounding errors.
AMPLIFICATION = 10.0

#: How far the outputs of plans are off, in units of what is allowed.
OutputErrors = Callable[[Sequence[Plan]], Sequence[float]]


@dataclass(frozen=True)
class WholeCheck:
    """Compares the outputs of whole models with the reference, and with what ELL's default makes of them."""

    errors: OutputErrors
    default: Plan

    def unsound(self, plans: Sequence[Plan]) -> dict[Plan, float]:
        """Those of ``plans`` whose output is wrong, and how many times what is allowed it is off.

        Raises CandidateError if not even ``default`` gives numbers.
        """
        chosen = list(dict.fromkeys([self.default, *plans]))
        found = dict(zip(chosen, self.errors(chosen), strict=True))
        limits = {plan: _allowed(found[self.default]) * allowance(plan) for plan in found}
        return {plan: error / limits[plan] for plan, error in found.items() if not error <= limits[plan]}

    def allowed(self, plan: Plan) -> float:
        """How far off outputs of ``plan`` may be, in units of what float32 may be in a model that amplifies no rounding
        errors. Raises as ``unsound``."""
        return _allowed(self.errors([self.default])[0]) * allowance(plan)

    def blame(self, plan: Plan) -> tuple[str, ...]:
        """The layers whose options make the output of ``plan`` wrong; none if it is right.

        Each is tried alone, the others computed as in ``default``. Where each alone is right, the one with the largest
        error is blamed.
        """
        if not self.unsound([plan]):
            return ()
        alone = {n: self.default.with_(n, o) for n, o in plan.items() if o != self.default[n]}
        wrong = self.unsound(list(alone.values()))
        blamed = tuple(node_id for node_id, changed in alone.items() if changed in wrong)
        if blamed or not alone:
            return blamed
        errors = self.errors(list(alone.values()))
        return (max(zip(errors, alone, strict=True))[1],)


def _allowed(error_of_default: float) -> float:
    if not error_of_default < math.inf:
        raise CandidateError("the whole model's output is wrong even with ELL's default options")
    return max(1.0, AMPLIFICATION * error_of_default)


@dataclass
class WholeOutputs:
    """How far the outputs of plans are off, in units of what is allowed, each found once.

    Where a toolchain does not give outputs, its check tells. ``samples``: further inputs, [row, column, channel] each.
    """

    model: Model
    toolchain: Toolchain
    samples: Sequence[FloatArray] = ()
    _known: dict[Plan, float] = field(default_factory=dict)

    def ahead(self) -> Thread:
        """A thread that finds out what the reference makes of the inputs, before that is needed. Who interrupts this
        process need not wait for it."""

        def compute() -> None:
            with suppress(Exception):  # whoever needs it gets to know
                _ = self._wanted

        thread = Thread(target=compute, name="reference", daemon=True)
        if self.toolchain.gives_outputs:
            thread.start()
        return thread

    def errors(
        self,
        plans: Sequence[Plan],
        holding: Callable[[Sequence[Plan]], Mapping[Plan, Bundle | BuildError]],
        run: Callable[[Bundle, Job], JobResult],
    ) -> tuple[float, ...]:
        """``holding`` finds the bundles of plans, ``run`` runs a job. What crashes is infinitely wrong. Raises what
        they raise."""
        missing = [plan for plan in dict.fromkeys(plans) if plan not in self._known]
        if missing:
            found = holding(missing)
            groups: dict[str, tuple[Bundle, list[Plan]]] = {}
            for plan in missing:
                bundle = found[plan]
                if isinstance(bundle, BuildError):
                    raise bundle
                groups.setdefault(bundle.digest, (bundle, []))[1].append(plan)
            for bundle, members in groups.values():
                self._run(bundle, members, run)
        return tuple(self._known[plan] for plan in plans)

    def accuracy(
        self,
        plan: Plan,
        holding: Callable[[Sequence[Plan]], Mapping[Plan, Bundle | BuildError]],
        run: Callable[[Bundle, Job], JobResult],
    ) -> Accuracy | None:
        """How accurate ``plan`` is; None where the toolchain gives no outputs. Arguments and errors as ``errors``, and
        CandidateError where it crashes."""
        if not self.toolchain.gives_outputs:
            return None
        bundle = holding([plan])[plan]
        if isinstance(bundle, BuildError):
            raise bundle
        result = run(bundle, Job("outputs", (plan,), inputs=self._wanted.inputs))
        assert result.outputs is not None
        return accuracy(plan, self._wanted, result.outputs[0])

    def _run(self, bundle: Bundle, plans: Sequence[Plan], run: Callable[[Bundle, Job], JobResult]) -> None:
        whole = self.toolchain.gives_outputs
        if len(plans) > 1 and not whole:
            for plan in plans:
                self._run(bundle, [plan], run)
            return
        job = Job("outputs", tuple(plans), inputs=self._wanted.inputs) if whole else Job("check", tuple(plans))
        try:
            result = run(bundle, job)
        except CandidateError:
            if len(plans) == 1:
                self._known[plans[0]] = math.inf
            else:
                for plan in plans:
                    self._run(bundle, [plan], run)
            return
        if result.outputs is None:
            self._known[plans[0]] = max((check.error / check.limit for check in result.checks), default=0.0)
            return
        for plan, outputs in zip(plans, result.outputs, strict=True):
            self._known[plan] = self._error(outputs)

    def _error(self, outputs: FloatArray) -> float:
        return self._wanted.error(outputs) / OUTPUT_LIMIT

    @cached_property
    def _wanted(self) -> Wanted:
        """Several inputs of the model, and what the reference makes of them."""
        return Wanted.of(self.model, WHOLE_INPUTS, self.samples)
