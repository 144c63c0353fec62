"""Which bundles a model's plans need: everything in one where the toolchain can, else some plans in each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from ellopt.core.errors import BuildError
from ellopt.core.options import ELL_DEFAULT, ConvolutionOptions, Way
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.measure.build import BuildTask
from ellopt.measure.executors.base import Steps, result_of
from ellopt.model.graph import Model
from ellopt.space.space import ModelSpace
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain
from ellopt.toolchains.settings import BuildSettings

log = logging.getLogger(__name__)


class Bundles:
    """Asks for bundles and remembers them. Safe to use from several threads."""

    def __init__(
        self,
        model: Model,
        toolchain: Toolchain,
        target: Target,
        settings: BuildSettings | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.model, self.toolchain, self.target = model, toolchain, target
        self._settings = settings or BuildSettings()
        self._on_change = on_change
        self._lock = threading.Lock()
        self._everything: Bundle | None = None
        self._by_plan: dict[Plan, Bundle | BuildError] = {}
        self._failed: dict[tuple[str, Way], str] = {}  # what of a layer does not build, and why
        self.builds = 0
        self.build_seconds = 0.0
        self.in_flight = 0

    @cached_property
    def default_plan(self) -> Plan:
        """Every layer as ELL computes it by itself."""
        return Plan.of(
            {
                layer.node_id: self.toolchain.canonical(layer.shape, ELL_DEFAULT, self.target) or ELL_DEFAULT
                for layer in self.toolchain.layers(self.model)
            }
        )

    @property
    def holds_any_number(self) -> bool:
        return self.toolchain.plans_per_bundle is None

    @property
    def piecemeal(self) -> bool:
        """Whether it pays to build what is wanted first: programs are sent nowhere, and hold whatever they have to,
        with weights for every way."""
        return self.target.is_host and self.holds_any_number and self.toolchain.packs_weights

    def prepare(self, space: ModelSpace) -> Steps[Mapping[tuple[str, ConvolutionOptions], str]]:
        """Build the bundle with every variant of every layer, where the toolchain can hold them.

        Returns (node id, options) -> reason for those that do not build. Raises BuildError if not even ELL's
        default options do.
        """
        if not self.holds_any_number:
            return {}
        try:
            self._everything = yield from self._build(self._sound_plans(space))
            return {}
        except BuildError as error:
            log.warning("not every variant builds, looking for the one that does not: %s", error)
        yield from self._build([space.default_plan])
        self._failed |= yield from self._failing_ways(space)
        failed = self._failed
        self._everything = yield from self._build(self._sound_plans(space))
        return {
            (layer.node_id, options): failed[layer.node_id, options.way]
            for layer in space.layers
            for options in layer.variants
            if (layer.node_id, options.way) in failed
        }

    def _sound_plans(self, space: ModelSpace) -> tuple[Plan, ...]:
        """The fewest plans with all variants and defaults but for those that were found not to build."""
        return Plan.covering(
            {
                layer.node_id: list(
                    dict.fromkeys(
                        o for o in (*layer.variants, layer.default) if (layer.node_id, o.way) not in self._failed
                    )
                )
                for layer in space.layers
            }
        )

    def _failing_ways(self, space: ModelSpace) -> Steps[dict[tuple[str, Way], str]]:
        """Build each way by itself; where one fails, each layer of it by itself."""
        failed: dict[tuple[str, Way], str] = {}
        for kind in sorted({o.way for layer in space.layers for o in layer.variants}):
            members = {
                layer.node_id: next(o for o in layer.variants if o.way == kind)
                for layer in space.layers
                if any(o.way == kind for o in layer.variants)
                and layer.default.way != kind
                and (layer.node_id, kind) not in self._failed
            }
            try:
                yield from self._build([space.default_plan.with_all(members)])
            except BuildError:
                for node_id, options in members.items():
                    try:
                        yield from self._build([space.default_plan.with_(node_id, options)])
                    except BuildError as error:
                        failed[node_id, kind] = f"does not build: {error}"
        return failed

    def holding(self, plans: Sequence[Plan]) -> Steps[dict[Plan, Bundle | BuildError]]:
        """For each plan the bundle that runs it, built if need be, or why there is none."""
        everything = self._everything
        if everything is not None and all(map(everything.runs, plans)):
            return dict.fromkeys(plans, everything)
        with self._lock:
            found = {plan: self._by_plan[plan] for plan in plans if plan in self._by_plan}
        failed = {plan: value for plan, value in found.items() if isinstance(value, BuildError)}
        wanted = set(plans) - failed.keys()
        one_bundle = self.toolchain.plans_per_bundle is None or len(wanted) <= self.toolchain.plans_per_bundle
        if one_bundle and len({id(found.get(plan)) for plan in wanted}) > 1:
            found = dict(failed)  # in one bundle they can be measured interleaved
        missing = tuple(plan for plan in dict.fromkeys(plans) if plan not in found)
        size = self.toolchain.plans_per_bundle or max(1, len(missing))
        groups = [missing[i : i + size] for i in range(0, len(missing), size)]
        while groups:
            built = yield from self._built(groups)
            halves: list[tuple[Plan, ...]] = []
            for group, result in zip(groups, built, strict=True):
                if isinstance(result, BuildError) and len(group) > 1:
                    half = len(group) // 2
                    halves += [group[:half], group[half:]]
                else:
                    found |= dict.fromkeys(group, result)
                    with self._lock:
                        self._by_plan |= dict.fromkeys(group, result)
            groups = halves
        return found

    def _build(self, plans: Sequence[Plan]) -> Steps[Bundle]:
        (built,) = yield from self._built([tuple(plans)])
        if isinstance(built, BuildError):
            raise built
        return built

    def _built(self, groups: Sequence[tuple[Plan, ...]]) -> Steps[tuple[Bundle | BuildError, ...]]:
        self._count(len(groups))
        task = BuildTask(tuple(groups), self._settings.build_timeout, self._settings.parallel_build)
        seconds = 0.0
        try:
            result = yield from result_of(task)
            seconds = result.seconds
        finally:
            with self._lock:
                self.builds += len(groups)
                self.build_seconds += seconds
            self._count(-len(groups))
        return result.built

    def _count(self, change: int) -> None:
        with self._lock:
            self.in_flight += change
        self._on_change()
