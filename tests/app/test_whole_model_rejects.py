"""Options that pass their own check and make the whole model wrong: another is taken, and the report says so."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ellopt.core.deadline import Deadline
from ellopt.core.job import Job, JobResult
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.frontends import base as frontends
from ellopt.frontends.ell.read import read_model
from ellopt.model import reference
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.pretend import PretendDevice, PretendToolchain
from tests.support.tuning import TINY, device_for, tuned

MODEL = read_model(TINY)
LAYER = MODEL.convolutions[1].node_id


@dataclass
class WholeToolchain(PretendToolchain):
    gives_outputs: bool = True


class WrongAsWhole(PretendDevice):
    """A device on which parallel code of one layer is right by itself, and wrong in a whole model."""

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        job: Job = pickle.loads(invocation.inputs["job"])
        if job.kind != "outputs" or job.inputs is None:
            return super().run(bundle, invocation, deadline)
        right = np.stack([reference.predict(MODEL, values).reshape(-1) for values in job.inputs])
        outputs = np.stack([right + float(plan[LAYER].parallelize) for plan in job.plans]).astype(np.float32)
        return Execution(0, "", "", {"result": pickle.dumps(JobResult(outputs=outputs))}, 0.01)


def test_another_is_taken_and_the_report_says_why(tmp_path: Path) -> None:
    layers = NativeToolchain().layers(MODEL)
    plain = device_for(TINY, 1)
    before = tuned(TINY, tmp_path / "before", plain, "grid")
    first = next(layer for layer in before.layers if layer.node_id == LAYER)
    assert first.winner.parallelize, "else nothing is rejected below"

    device = WrongAsWhole(plain.latency, noise=plain.noise, seed=plain.seed)
    report = tuned(TINY, tmp_path / "out", device, "grid", toolchain=WholeToolchain(layers))
    layer = next(layer for layer in report.layers if layer.node_id == LAYER)
    assert not layer.winner.parallelize
    failed = {v.options: v.reason for v in layer.variants if v.state == "failed"}
    assert first.winner in failed
    assert "whole model's output is wrong" in failed[first.winner]
    assert str(first.winner) in layer.why
    written = {whole.name: whole.plan for whole in report.confirmation.candidates}
    assert not any(plan[LAYER].parallelize for plan in written.values())


class RightAsWhole(WrongAsWhole):
    """A device whose whole models are those of the model that was tuned."""

    def run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        job: Job = pickle.loads(invocation.inputs["job"])
        if job.kind == "outputs" and job.inputs is not None:
            right = np.stack([reference.predict(MODEL, values).reshape(-1) for values in job.inputs])
            outputs = np.stack([right for _ in job.plans]).astype(np.float32)
            return Execution(0, "", "", {"result": pickle.dumps(JobResult(outputs=outputs))}, 0.01)
        return super().run(bundle, invocation, deadline)


def test_what_was_written_is_built_again_only_if_it_is_another_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers, plain = NativeToolchain().layers(MODEL), device_for(TINY, 1)
    toolchain = WholeToolchain(layers)
    tuned(TINY, tmp_path / "whole", RightAsWhole(plain.latency), toolchain=toolchain)
    assert len(toolchain.builds) == 1

    honest = frontends.write_model

    def damage(*arguments: Any) -> None:
        """Write the model with one weight changed."""
        honest(*arguments)
        path: Path = arguments[1]
        data = json.loads(path.read_text())
        longest = max(_lists(data), key=len)
        longest[0] += 1.0
        path.write_text(json.dumps(data))

    monkeypatch.setattr(frontends, "write_model", damage)
    again = WholeToolchain(layers)
    tuned(TINY, tmp_path / "damaged", RightAsWhole(plain.latency), toolchain=again)
    assert len(again.builds) == 2


def _lists(data: Any) -> list[list[float]]:
    """All lists of numbers in the JSON value."""
    if isinstance(data, dict):
        data = list(data.values())
    elif data and isinstance(data, list) and all(isinstance(value, float) for value in data):
        return [data]
    return [found for value in data for found in _lists(value)] if isinstance(data, list) else []
