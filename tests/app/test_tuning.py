"""Tuning a model: what the report vouches for."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from ellopt.app.loaded import load
from ellopt.report.document import TuningReport
from tests.support.onnx_models import make_model, save
from tests.support.tuning import TINY, device_for, tuned


@pytest.mark.parametrize("suffix", [".ell", ".ell.zip"])
def test_the_report_vouches_for_the_bytes_that_were_tuned_whatever_becomes_of_the_file(
    tmp_path: Path, suffix: str
) -> None:
    """The file is replaced while its layers are measured, as an export that runs again would do."""
    path = tmp_path / f"net{suffix}"
    if suffix == ".ell":
        shutil.copy(TINY, path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(TINY, "net.ell")
    read = hashlib.sha256(path.read_bytes()).hexdigest()
    device = replace(device_for(TINY, seed=1), before_run=lambda job: path.write_bytes(b"another model"))
    report = tuned(path, tmp_path / "out", device)
    assert device.jobs, "the file was replaced"
    assert report.model_sha256 == read
    assert TuningReport.load(tmp_path / "out" / "tuning_report.json").model_sha256 == read


def test_what_ell_would_be_told_is_said_of_its_own_models_only(tmp_path: Path) -> None:
    """A depthwise layer whose winner is winograd, which ELL computes wrongly."""
    weights = np.random.default_rng(0).normal(size=(8, 1, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], group=8)
    path = save(make_model([node], {"x": (1, 8, 16, 16)}, ["y"], {"w": weights}), tmp_path / "net.onnx")
    ell = tmp_path / "net.ell"
    load(path).convert(ell)
    for model, told in ((path, False), (ell, True)):
        device = replace(device_for(model, seed=1), latency=lambda node_id, o: 1.0 if o.method == "winograd" else 9.0)
        [layer] = tuned(model, tmp_path / f"out{model.suffix}", device).layers
        assert layer.winner.method == "winograd"
        assert (layer.ell_options is not None) == told
