"""The whole way, as a user goes it: the command line on a real model, for this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ellopt.frontends.ell.archive import read_archive
from ellopt.frontends.ell.metadata import read_options
from ellopt.frontends.ell.read import read_model
from ellopt.report.document import TuningReport
from ellopt.space.options_file import read_compile_options
from tests.support.paths import DATA, TINY


def ellopt(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ellopt", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """tiny16, tuned exhaustively for this machine."""
    place = tmp_path_factory.mktemp("tuned")
    done = ellopt(
        "optimize", "--model_path", TINY, "--target", "host", "--sampler", "grid", "--options", "default",
        "--no_mlflow", "--no_warm_start", "-o", "out", cwd=place,
    )  # fmt: skip
    return done, place / "out" / "tiny16"


def test_it_ends_with_a_table_of_winners_and_says_where_the_files_are(
    tuned: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, _ = tuned
    assert done.returncode == 0, done.stderr
    for text in ("1034", "1038", "1041", "before", "after", "confirmed", str(Path("out", "tiny16"))):
        assert text in done.stdout


def test_every_convolution_carries_options_that_ell_understands(
    tuned: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    _, directory = tuned
    model = read_model(TINY)
    convolutions = [node.node_id for node in model.convolutions]
    archive = read_archive(directory / "tiny16_options.ell")
    assert list(read_options(archive)) == convolutions
    for node in archive.nodes:
        if node["id"] in convolutions:
            bag = next(entry for entry in node["metadata"]["data"] if entry["k"] == "compileOptions")
            keys = {entry["k"] for entry in bag["v"]["value"]["data"]}
            assert {"preferredConvolutionMethod", "parallelize"} <= keys
    assert list(read_compile_options(directory / "compile_options.json", convolutions)) == convolutions
    switches = (directory / "compile_switches.txt").read_text()
    assert switches.startswith(f"-imap {TINY} --outputDirectory ")
    assert all(f"--nodeOption {node_id},preferredConvolutionMethod," in switches for node_id in convolutions)


def test_the_report_says_what_was_tried_and_why_each_winner_won(
    tuned: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    _, directory = tuned
    report = TuningReport.load(directory / "tuning_report.json")
    assert [layer.node_id for layer in report.layers] == ["1034", "1038", "1041"]
    assert all(layer.why for layer in report.layers)
    for layer in report.layers:
        assert {variant.state for variant in layer.variants} <= {"measured", "pruned"}
        assert all(variant.samples_ms for variant in layer.variants)
    assert report.space.original_combinations == 436
    assert len(report.confirmation.candidates) >= 2
    assert "<html" in (directory / "tuning_report.html").read_text()


@pytest.mark.parametrize("options", [False, True])
def test_the_tuned_model_still_computes_what_ell_computed(
    tuned: tuple[subprocess.CompletedProcess[str], Path], tmp_path: Path, options: bool
) -> None:
    _, directory = tuned
    chosen = ["--options", directory / "compile_options.json"] if options else []
    model = TINY if options else directory / "tiny16_options.ell"
    done = ellopt(
        "predict", model, "--input", DATA / "tiny16.input.npy", "--output", "y.npy", *chosen, cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = np.load(DATA / "tiny16.expected.npy")
    assert np.abs(np.load(tmp_path / "y.npy").ravel() - expected.ravel()).max() < 1e-4


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_continues_where_it_was(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "ellopt", "optimize", "--model_path", str(TINY), "--target", "host", "--sampler",
        "random", "--trials", "60", "--no_mlflow", "--no_warm_start", "-o", "out",
    ]  # fmt: skip
    log = tmp_path / "out" / "tiny16" / ".ellopt" / "search" / "observations.jsonl"
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while first.poll() is None and time.monotonic() < deadline and not _observations(log):
        time.sleep(0.005)
    first.kill()
    first.wait()
    kept = _observations(log)
    assert kept, "the first run was not killed in its midst"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    everything = _observations(log)
    assert everything[: len(kept)] == kept
    keys = [observation["key"] for observation in everything]
    assert len(set(keys)) == len(keys)


def _observations(log: Path) -> list[dict[str, object]]:
    if not log.exists():
        return []
    lines = log.read_text().splitlines()
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "observation" in entry:
            found.append(entry["observation"])
    return found


def test_one_bad_model_does_not_keep_the_others_from_being_tuned(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "good.ell").write_bytes(TINY.read_bytes())
    (models / "torn.ell").write_bytes(TINY.read_bytes()[:2000])
    done = ellopt(
        "optimize", "--model_path", models, "--target", "host", "--trials", "2", "--no_mlflow", "-o", "out",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert (tmp_path / "out" / "good" / "good_options.ell").is_file()
    assert "torn.ell" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model_path", "missing.ell"], "missing.ell does not exist"),
        (["--model_path", TINY, "--models", "tiny15"], "did you mean tiny16"),
        (["--model_path", TINY, "--options", "qick"], "did you mean quick"),
        (["--model_path", TINY, "--target", "pi33"], "did you mean pi3"),
        (["--model_path", TINY, "--sampler", "best"], "--sampler"),
        (["--model_path", TINY, "--trials", "0"], "--trials"),
        (["--model_path", TINY, "--toolchain", "gcc"], "--toolchain"),
        (["--model_path", TINY, "--target", "orangepi0"], "--emulate"),
        (["--model_path", TINY, "--register", "a/b"], "--register"),
    ],
)
def test_a_mistake_is_named_and_exits_with_2(tmp_path: Path, arguments: list[str | Path], said: str) -> None:
    target = [] if "--target" in arguments else ["--target", "host"]
    done = ellopt("optimize", *arguments, *target, "-o", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_tuned_for_one_thread_tries_nothing_parallel(tmp_path: Path) -> None:
    done = ellopt(
        "optimize", "--model_path", TINY, "--target", "host", "--threads", "1", "--sampler", "grid",
        "--options", "default", "--no_mlflow", "-o", "out", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = TuningReport.load(tmp_path / "out" / "tiny16" / "tuning_report.json")
    tried = [variant.options for layer in report.layers for variant in layer.variants]
    assert tried
    assert not any(options.parallelize for options in tried)
    assert report.environment["threads"] == "1"
