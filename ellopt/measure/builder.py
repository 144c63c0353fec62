"""Which bundles a model's plans need: everything in one where the toolchain can, else some plans in each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, DeadlineExceeded
from ellopt.core.options import ELL_DEFAULT, ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.model.graph import Model
from ellopt.space.space import ModelSpace
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain

log = logging.getLogger(__name__)


class Bundles:
    """Builds bundles and remembers them. Safe to use from several threads."""

    def __init__(
        self,
        model: Model,
        toolchain: Toolchain,
        target: Target,
        directory: Path,
        *,
        build_timeout: float = 1800.0,
        parallel_build: int = 1,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.model, self.toolchain, self.target, self.directory = model, toolchain, target, directory
        self._build_timeout = build_timeout
        self._parallel_build = max(1, parallel_build)
        self._on_change = on_change
        self._lock = threading.Lock()
        self._everything: Bundle | None = None
        self._by_plan: dict[Plan, Bundle | BuildError] = {}
        self.builds = 0
        self.build_seconds = 0.0
        self.in_flight = 0

    @property
    def default_plan(self) -> Plan:
        """Every layer as ELL computes it by itself."""
        return Plan(
            tuple(
                (layer.node_id, self.toolchain.canonical(layer.shape, ELL_DEFAULT, self.target) or ELL_DEFAULT)
                for layer in self.toolchain.layers(self.model)
            )
        )

    @property
    def holds_any_number(self) -> bool:
        return self.toolchain.plans_per_bundle is None

    def prepare(self, space: ModelSpace) -> Mapping[tuple[str, ConvolutionOptions], str]:
        """Build the bundle with every variant of every layer, where the toolchain can hold them.

        Returns (node id, options) -> reason for those that do not build. Raises BuildError if not even ELL's
        default options do.
        """
        if not self.holds_any_number:
            return {}
        plans = space.covering_plans()
        try:
            self._everything = self._build(plans)
            return {}
        except BuildError as error:
            log.warning("not every variant builds, looking for the one that does not: %s", error)
        self._build([space.default_plan])
        failed = self._failing_ways(space)
        good = {
            layer.node_id: [o for o in (*layer.variants, layer.default) if (layer.node_id, o.way) not in failed]
            for layer in space.layers
        }
        most = max(len(options) for options in good.values())
        self._everything = self._build(
            [Plan(tuple((n, options[t % len(options)]) for n, options in good.items())) for t in range(most)]
        )
        return {
            (layer.node_id, options): failed[layer.node_id, options.way]
            for layer in space.layers
            for options in layer.variants
            if (layer.node_id, options.way) in failed
        }

    def _failing_ways(self, space: ModelSpace) -> dict[tuple[str, tuple[str, int, str]], str]:
        """Build each way by itself; where one fails, each layer of it by itself."""
        failed: dict[tuple[str, tuple[str, int, str]], str] = {}
        for kind in sorted({o.way for layer in space.layers for o in layer.variants}):
            members = {
                layer.node_id: next(o for o in layer.variants if o.way == kind)
                for layer in space.layers
                if any(o.way == kind for o in layer.variants) and layer.default.way != kind
            }
            plan = space.default_plan
            for node_id, options in members.items():
                plan = plan.with_(node_id, options)
            try:
                self._build([plan])
            except BuildError:
                for node_id, options in members.items():
                    try:
                        self._build([space.default_plan.with_(node_id, options)])
                    except BuildError as error:
                        failed[node_id, kind] = f"does not build: {error}"
        return failed

    def holding(self, plans: Sequence[Plan]) -> dict[Plan, Bundle | BuildError]:
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
        missing = [plan for plan in dict.fromkeys(plans) if plan not in found]
        size = self.toolchain.plans_per_bundle or max(1, len(missing))
        chunks = [missing[i : i + size] for i in range(0, len(missing), size)]
        if len(chunks) > 1 and self._parallel_build > 1:
            with ThreadPoolExecutor(self._parallel_build, thread_name_prefix="build") as pool:
                results: Iterable[dict[Plan, Bundle | BuildError]] = list(pool.map(self._build_chunk, chunks))
        else:
            results = map(self._build_chunk, chunks)
        for result in results:
            found |= result
            with self._lock:
                self._by_plan |= result
        return found

    def _build_chunk(self, plans: Sequence[Plan]) -> dict[Plan, Bundle | BuildError]:
        try:
            bundle = self._build(plans)
            return dict.fromkeys(plans, bundle)
        except BuildError as error:
            if len(plans) == 1:
                return {plans[0]: error}
            half = len(plans) // 2
            return self._build_chunk(plans[:half]) | self._build_chunk(plans[half:])

    def _build(self, plans: Sequence[Plan]) -> Bundle:
        with self._lock:
            self.in_flight += 1
        self._on_change()
        started = time.monotonic()
        try:
            return self.toolchain.build(
                self.model, plans, self.target, self.directory, Deadline.after(self._build_timeout)
            )
        except DeadlineExceeded as error:
            raise BuildError(f"the build took longer than {self._build_timeout:g} s") from error
        finally:
            with self._lock:
                self.in_flight -= 1
                self.builds += 1
                self.build_seconds += time.monotonic() - started
            self._on_change()
