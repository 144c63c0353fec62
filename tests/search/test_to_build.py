"""On this machine a search has built what its visits want, not all that there is, and finds the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.core.errors import BuildError
from ellopt.core.options import ConvolutionOptions, Way
from ellopt.core.trial import Trial
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.search.driver import search
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from ellopt.space.space import ModelSpace, SearchSpace, narrow
from ellopt.targets import find_target
from tests.support.pretend import AT_ONCE, MODEL, PretendDevice, PretendPool, PretendToolchain, layers, shape

HOST = find_target("host")
LAYERS = layers(*(shape(channels, filters) for channels in (8, 16, 32, 64) for filters in (16, 64)))


class Tiled(PretendToolchain):
    """Winograd has tiles of all sizes, each a way of its own."""

    def canonical(self, s, options, target):  # type: ignore[no-untyped-def]
        found = super().canonical(s, options, target)
        return found and replace(found, winograd_tile_size=options.winograd_tile_size)


def latency(node_id: str, options: ConvolutionOptions) -> float:
    """Winograd is the better the larger its tile is, but for the largest."""
    tile = options.winograd_tile_size
    base = {"simple": 4.0, "unrolled": 1.0, "winograd": 2.0 if tile == 6 else 1.4 - 0.2 * tile}[options.method]
    return base * (0.6 if options.parallelize else 1.0)


Broken = frozenset[ConvolutionOptions]


def searched(
    directory: Path, sampler: str, packs_weights: bool = True, broken: Broken = frozenset()
) -> tuple[SearchResult, PretendToolchain, ModelSpace]:
    toolchain = Tiled(LAYERS, packs_weights=packs_weights, checks_in_turns=True, broken=broken)
    tiles = (2, 3, 4, 5, 6)
    choices = SearchSpace("pretend.json", ("simple", "unrolled", "winograd"), (True, False), (0, 4), tiles)
    space = narrow(choices, LAYERS, toolchain, HOST)
    measurer = DeviceMeasurer(
        MODEL, toolchain, PretendPool(PretendDevice(latency, noise=0.02)), HOST, directory, AT_ONCE
    )
    result = search(space, measurer, SearchSettings(sampler=sampler, trials=60), directory)
    return result, toolchain, space


def ways_built(toolchain: PretendToolchain) -> set[tuple[str, Way]]:
    return {(node, o.way) for plans in toolchain.builds for plan in plans for node, o in plan.items()}


def all_ways(space: ModelSpace) -> set[tuple[str, Way]]:
    return {(layer.node_id, o.way) for layer in space.layers for o in layer.variants}


def complete(trials: tuple[Trial, ...]) -> list[Trial]:
    return [trial for trial in trials if trial.samples is not None]


def test_a_search_has_built_what_it_measures_and_finds_what_it_finds_with_everything(tmp_path: Path) -> None:
    result, toolchain, space = searched(tmp_path / "some", "auto")
    built = ways_built(toolchain)
    assert {(n, o.way) for trial in complete(result.trials) for n, o in trial.plan.items()} <= built
    assert len(built) < 0.9 * len(all_ways(space))
    assert result.cost.builds > 1
    everything, at_once, _ = searched(tmp_path / "all", "auto", packs_weights=False)
    assert everything.cost.builds == 1
    assert ways_built(at_once) >= all_ways(space)
    assert [trial.plan for trial in result.trials] == [trial.plan for trial in everything.trials]
    assert result.evidence.best_plan() == everything.evidence.best_plan()


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_a_sampler_that_wants_most_variants_has_everything_built_at_once(tmp_path: Path, sampler: str) -> None:
    result, toolchain, space = searched(tmp_path, sampler)
    assert result.cost.builds == 1
    assert ways_built(toolchain) >= all_ways(space)


def test_what_does_not_build_is_found_when_it_is_wanted_once(tmp_path: Path) -> None:
    tile = ConvolutionOptions("winograd", winograd_tile_size=4)
    broken = frozenset(replace(tile, parallelize=p, nonseparable_filter_block_depth=f, nonseparable_channel_depth=c)
                       for p in (False, True) for f in (0, 4) for c in (0, 4))  # fmt: skip
    result, toolchain, space = searched(tmp_path / "tile", "auto", broken=broken)
    plan = result.evidence.best_plan()
    assert plan is not None
    assert {options.winograd_tile_size for options in plan.values()} == {5}
    measured = {o.winograd_tile_size for trial in complete(result.trials) for o in trial.plan.values()}
    assert {3, 5} <= measured
    assert 4 not in measured
    tried = [plans for plans in toolchain.builds if broken & {o for plan in plans for o in plan.values()}]
    layers_with_it = sum(any(o.winograd_tile_size == 4 for o in layer.variants) for layer in space.layers)
    assert len(tried) <= 2 * layers_with_it + 4
    with pytest.raises(BuildError, match="no such kernel"):  # ELL's default, on every layer
        searched(tmp_path / "default", "auto", broken=frozenset({ConvolutionOptions("unrolled")}))
