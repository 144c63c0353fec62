"""What the reference makes of a model is computed while it is built: once, and nobody who interrupts waits for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.model.graph import Model
from ellopt.model.wanted import Wanted
from ellopt.targets import Target
from ellopt.toolchains.base import Ahead, kept_back
from tests.support.pretend import PretendToolchain, small_space
from tests.support.pretend_measurer import pretend_measurer, steady


@dataclass
class WholeToolchain(PretendToolchain):
    gives_outputs: bool = True
    begun: threading.Event | None = None  # what a build waits for before it is interrupted

    def build(
        self,
        model: Model,
        plans: Sequence[Plan],
        target: Target,
        directory: Path,
        deadline: Deadline,
        ahead: Ahead = kept_back,
    ) -> Bundle:
        if self.begun is not None:
            assert self.begun.wait(60)
            raise KeyboardInterrupt
        return super().build(model, plans, target, directory, deadline)


def reference(monkeypatch: pytest.MonkeyPatch, go_on: threading.Event) -> tuple[threading.Event, list[int]]:
    """A reference that computes until ``go_on``: whether it has begun, and an entry for each time that it ended."""
    begun, ended = threading.Event(), list[int]()

    def wanted(model: Model, count: int, more: Sequence[object] = ()) -> None:
        begun.set()
        assert go_on.wait(60)
        ended.append(count)

    monkeypatch.setattr(Wanted, "of", wanted)
    return begun, ended


def test_it_has_ended_when_measuring_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    go_on.set()
    _, ended = reference(monkeypatch, go_on)
    toolchain = WholeToolchain()
    pretend_measurer(steady(), toolchain=toolchain).prepare(small_space(toolchain))
    assert len(ended) == 1
    plain = PretendToolchain()
    pretend_measurer(steady(), toolchain=plain).prepare(small_space(plain))
    assert len(ended) == 1, "where outputs are not compared it is not needed"


def test_an_interruption_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    begun, ended = reference(monkeypatch, go_on)
    toolchain = WholeToolchain(begun=begun)
    try:
        with pytest.raises(KeyboardInterrupt):
            pretend_measurer(steady(), toolchain=toolchain).prepare(small_space(toolchain))
        assert not ended
    finally:
        go_on.set()
