"""Tuning a model: what the report vouches for."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ellopt.report.document import TuningReport
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
