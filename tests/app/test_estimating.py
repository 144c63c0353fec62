"""Tuning without a board, from end to end, and what it says of itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ellopt.frontends.ell.read import read_model
from ellopt.report.document import TuningReport
from ellopt.space.options_file import plan_for
from tests.support.paths import TINY
from tests.support.simulated import needs_qemu


def optimize(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "ellopt", "optimize", "--model_path", str(TINY), "-o", "out", "--no_mlflow")
    return subprocess.run(
        [*command, "--options", "quick", "--no_warm_start", *arguments],
        cwd=place,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def estimated(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """tiny16 tuned for a Pi 3 that is not there; nothing is said of the target, or of where to measure."""
    place = tmp_path_factory.mktemp("estimated")
    return optimize(place), place / "out" / "tiny16"


@needs_qemu
class TestWithoutABoard:
    def test_it_says_so_and_tunes(self, estimated: tuple[subprocess.CompletedProcess[str], Path]) -> None:
        done, directory = estimated
        assert done.returncode == 0, done.stderr
        assert "no board was given: tuned by estimate; with --ipaddress it is measured" in " ".join(done.stderr.split())
        model = read_model(directory / "tiny16_options.ell")
        report = TuningReport.load(directory / "tuning_report.json")
        written = next(c for c in report.confirmation.candidates if c.name == report.confirmation.chosen)
        assert plan_for(model) == written.plan

    def test_table_page_and_report_say_that_it_is_estimated(
        self, estimated: tuple[subprocess.CompletedProcess[str], Path]
    ) -> None:
        done, directory = estimated
        report = TuningReport.load(directory / "tuning_report.json")
        assert report.estimate is not None
        assert (report.estimate.processor, report.estimate.mhz) == ("Cortex-A53, 32-bit code", 1400)
        assert not report.emulated
        said = " ".join(done.stdout.split())
        assert "tiny16 on pi3 (estimated)" in said
        assert "k cycles" in said
        archive = (directory / "tiny16_options.ell").read_text()
        assert archive.count("Cortex-A53, 32-bit code at 1400 MHz") == len(report.layers)
        assert "Estimated, not measured: cycles of a simulated Cortex-A53, 32-bit code at 1400 MHz" in said
        assert "95 %" not in said
        assert "Estimated, not measured" in (directory / "tuning_report.html").read_text()

    def test_every_variant_was_estimated_once_and_no_test_claims_anything(
        self, estimated: tuple[subprocess.CompletedProcess[str], Path]
    ) -> None:
        _, directory = estimated
        report = TuningReport.load(directory / "tuning_report.json")
        assert report.estimate is not None
        for layer in report.layers:
            assert all(v.state == "measured" and len(v.samples_ms) == 1 and not v.unstable for v in layer.variants)
            for comparison in (layer.against_default, layer.against_runner_up):
                if comparison is not None:
                    assert comparison.p_value == 1
                    assert comparison.significant == (abs(comparison.gain) > report.estimate.error)
            lowest = min(v.median_ms for v in layer.variants if v.median_ms is not None)
            assert layer.winner_ms <= lowest * (1 + report.estimate.error) * 1.0001
        assert all(trial.state == "complete" for trial in report.trials)

    def test_the_same_again_gives_the_same_figures(
        self, estimated: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path
    ) -> None:
        _, directory = estimated
        assert optimize(tmp_path, "--target", "pi3", "--estimate").returncode == 0
        first, second = (
            json.loads((place / "tuning_report.json").read_text()) for place in (directory, tmp_path / "out" / "tiny16")
        )
        assert first["layers"] == second["layers"]
        assert first["confirmation"] == second["confirmation"]


def test_where_nothing_can_be_estimated_it_says_what_to_do(tmp_path: Path) -> None:
    done = optimize(tmp_path, "--target", "orangepi0")
    assert done.returncode == 2
    for text in ("no board was given", "--target orangepi0", "not modelled", "pi3", "--ipaddress"):
        assert text in done.stderr


def test_without_qemu_it_says_what_to_install(tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("sh", "env"):
        (bare / name).symlink_to(shutil.which(name) or "")
    done = optimize(tmp_path, "--target", "pi4_64", PATH=str(bare))
    assert done.returncode == 2
    assert "no board was given" in done.stderr
    assert "apt-get install qemu-user" in done.stderr
    assert "--emulate" not in done.stderr, "which needs it, too"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("--target", "pi4_64", "--ipaddress", "10.0.0.1"), "--estimate and --ipaddress contradict each other"),
        (("--target", "pi4_64", "--emulate"), "--estimate and --emulate contradict each other"),
        (("--target", "host"), "--estimate: host is this machine"),
        (("--target", "orangepi0"), "--target orangepi0 cannot be estimated: its processor is not modelled"),
        (("--target", "pi4_64", "--toolchain", "ell"), "--estimate simulates the native toolchain's programs only"),
    ],
)
def test_what_contradicts_an_estimate_is_refused(given: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    done = optimize(tmp_path, "--estimate", *given)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
