"""The page on fleets: its commands run on this machine, and its units are what systemd understands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ellopt.frontends.base import read_model
from tests.docs.test_commands import commands
from tests.support.fleet import ProcessFleet
from tests.support.paths import REPOSITORY, TINY, module_environment
from tests.support.patience import eventually

PAGE = REPOSITORY / "docs" / "fleet.md"
MANY, SAMPLES = ("first", "second"), 3
PROGRAMS = Path(sys.executable).parent


def test_one_site_works_as_written(tmp_path: Path) -> None:
    """A scheduler, a builder, this machine in the place of boards, a tuning, and what the fleet and the store list."""
    (tmp_path / "model.ell").write_bytes(TINY.read_bytes())
    lines = [command.text for command in commands(PAGE) if "tls" not in command.text]
    [scheduler] = [line for line in lines if line.startswith("dask scheduler")]
    workers = [line for line in lines if line.startswith("ellopt worker")]
    [tuning, *_] = [line for line in lines if line.startswith("ellopt optimize")]
    [devices] = [line for line in lines if line.startswith("ellopt devices")]
    fleet = ProcessFleet(tmp_path / "fleet")
    store = f"sqlite:///{tmp_path / 'store.sqlite'}"
    environment = {**module_environment(), "ELLOPT_STORE": store}

    def here(line: str) -> list[str]:
        """The line as it is run: on a free port, with this machine in the place of boards."""
        line = re.sub(r"--target pi3( --ipaddress( [\d.]+)+)?", "--target host", line.replace("8786", str(fleet.port)))
        program, *arguments = shlex.split(line)
        return [str(PROGRAMS / program), *arguments]

    def run(line: str) -> str:
        done = subprocess.run(
            here(line), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    try:
        fleet.start("scheduler", here(scheduler))
        for number, line in enumerate(workers):
            fleet.start(f"worker{number}", here(f"{line} --verbosity INFO"), ELLOPT_STORE=store)
        for number in range(len(workers)):
            assert eventually(lambda number=number: fleet.is_there(f"worker{number}")), fleet.log(f"worker{number}")
        run(f"{tuning} --trials 2 --visit_spacing 0 --no_mlflow")
        listed = run(devices)
        assert "gateway: local" in listed
        assert "builder: builds 4 at once" in listed
        assert "host" in run("ellopt store list")
        [tuner] = [f"worker{number}" for number, line in enumerate(workers) if "--name tuner" in line]
        assert "were measured by earlier runs" not in fleet.log(tuner), "one model is tuned by its client"
        many(tmp_path / "models", tmp_path / "inputs.npy")
        run(f"{tuning.replace('model.ell', 'models').replace('-o out', '-o many')} --samples inputs.npy --trials 2 "
            "--visit_spacing 0 --no_mlflow")  # fmt: skip
        warmed = [line for line in fleet.log(tuner).splitlines() if "were measured by earlier runs" in line]
        assert len(warmed) == len(MANY), "what the client measured of the same layers, and kept in the same store"
        for number in range(len(workers)):
            assert fleet.kill(f"worker{number}", signal.SIGTERM) == 128 + signal.SIGTERM
    finally:
        fleet.__exit__()
    report = (tmp_path / "out" / "model" / "tuning_report.json").read_text()
    assert "gateway: local" in report
    for name in MANY:
        found = json.loads((tmp_path / "many" / name / "tuning_report.json").read_text())
        assert found["accuracy"]["samples"] == SAMPLES
        assert {path.name for path in (tmp_path / "many" / name).iterdir()} >= set(found["files"])


def many(folder: Path, inputs: Path) -> None:
    """The same model twice, and inputs for it."""
    folder.mkdir()
    for name in MANY:
        (folder / f"{name}.ell").write_bytes(TINY.read_bytes())
    shape = read_model(TINY).input_ports[0].shape
    np.save(inputs, np.random.default_rng(0).random((SAMPLES, *shape), np.float32))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze (Debian package systemd)")
def test_the_units_are_units(tmp_path: Path) -> None:
    units = re.findall(r"`/etc/systemd/system/([a-z-]+\.service)`.*?```ini\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(units) == 2
    for name, text in units:
        path = tmp_path / name
        path.write_text(
            text.replace("/opt/ellopt/bin/dask", "/bin/true").replace("/opt/ellopt/bin/ellopt", "/bin/true")
        )
        done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60)
        complaints = [line for line in done.stderr.splitlines() if name in line]
        assert (done.returncode, complaints) == (0, []), done.stderr
        path.write_text(text.replace("Restart=always", "Restart=perhaps"))
        wrong = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60)
        assert "perhaps" in wrong.stderr
