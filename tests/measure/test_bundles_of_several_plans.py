"""Which bundles are built for a toolchain whose bundles hold a few plans."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ellopt.core.errors import BuildError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.measure.builder import Bundles
from ellopt.measure.executors.base import start
from ellopt.measure.executors.inline import InlineExecutor
from ellopt.measure.site import MeasureSite
from ellopt.toolchains.settings import BuildSettings
from tests.support.pretend import MODEL, SMALL, TARGET, PretendPool, PretendToolchain

BROKEN = ConvolutionOptions("winograd", False, 0, 1, 1)
A, B, C, D = (
    Plan.uniform([layer.node_id for layer in SMALL], options)
    for options in (
        ConvolutionOptions("simple"),
        ConvolutionOptions("unrolled"),
        ConvolutionOptions("simple", True),
        BROKEN,
    )
)


@dataclass
class Built:
    """Bundles that are built here and now."""

    toolchain: PretendToolchain

    def __post_init__(self) -> None:
        site = MeasureSite(MODEL, self.toolchain, PretendPool(), TARGET, Path("unused"))
        self._executor = InlineExecutor(site)
        self._bundles = Bundles(MODEL, self.toolchain, TARGET, BuildSettings(parallel_build=1))

    def holding(self, plans: list[Plan]) -> dict[Plan, Bundle | BuildError]:
        return start(self._bundles.holding(plans), self._executor).result()


def test_plans_that_fit_into_one_bundle_share_it() -> None:
    toolchain = PretendToolchain(plans_per_bundle=2)
    built = Built(toolchain)
    built.holding([A])
    built.holding([B])
    found = built.holding([A, B])  # measured in turns, though both were built before
    assert toolchain.builds == [(A,), (B,), (A, B)]
    assert len({value.digest for value in found.values() if isinstance(value, Bundle)}) == 1
    built.holding([B, A])
    assert len(toolchain.builds) == 3


def test_more_plans_than_fit_are_built_in_parts_and_kept() -> None:
    toolchain = PretendToolchain(plans_per_bundle=2)
    built = Built(toolchain)
    built.holding([A, B, C])
    assert toolchain.builds == [(A, B), (C,)]
    built.holding([A, B, C])
    assert toolchain.builds == [(A, B), (C,)]


def test_what_does_not_build_is_not_tried_again() -> None:
    toolchain = PretendToolchain(plans_per_bundle=4, broken=frozenset({BROKEN}))
    built = Built(toolchain)
    found = built.holding([A, D])
    assert isinstance(found[D], BuildError)
    builds = len(toolchain.builds)
    again = built.holding([A, D])
    assert isinstance(again[D], BuildError)
    assert isinstance(again[A], Bundle)
    assert len(toolchain.builds) == builds
