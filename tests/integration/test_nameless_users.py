"""In containers a user is often a number: no name, no home directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support.paths import TINY

NUMBER = 12345
#: the user may read all, as the tests' own files and Python may be in a private folder, and writes nothing but what is
#: its own. The secure bit lets access(2), by which libraries look for their files, say what open(2) does.
AS_NUMBER = (
    *("setpriv", f"--reuid={NUMBER}", f"--regid={NUMBER}", "--clear-groups", "--securebits=+no_setuid_fixup"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)
pytestmark = pytest.mark.skipif(
    os.name == "nt" or os.getuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root and setpriv",
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder of the nameless user's, reachable for it."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NUMBER, NUMBER)
        yield Path(name)


@pytest.fixture(scope="module")
def temporary() -> Iterator[Path]:
    """The folder for temporary files; what zig keeps below it serves all tests."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NUMBER, NUMBER)
        yield Path(name)


def ellopt(place: Path, temporary: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AS_NUMBER, sys.executable, "-m", "ellopt", *arguments],
        cwd=place,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_model_is_tuned_and_logged(place: Path, temporary: Path) -> None:
    uri = f"sqlite:///{place / 'mlflow.db'}"
    done = ellopt(
        place,
        temporary,
        *("optimize", "--model_path", str(TINY), "--target", "host", "-o", "out"),
        *("--options", "quick", "--trials", "2"),
        MLFLOW_TRACKING_URI=uri,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (place / "out" / "tiny16" / "tuning_report.json").is_file()
    client = MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name LIKE 'ellopt/%'")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["mlflow.user"] for run in runs} == {f"uid{NUMBER}"}
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_an_unreachable_board_is_blamed_on_the_board(place: Path, temporary: Path) -> None:
    done = ellopt(place, temporary, "devices", "--target", "pi3", "--ipaddress", "127.0.0.1", "--ssh_port", "1")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "127.0.0.1" in done.stdout + done.stderr
    assert "getpwuid" not in done.stdout + done.stderr


def test_a_directory_of_somebody_else_is_not_used_as_home(place: Path) -> None:
    (place / f"ellopt-home-{NUMBER}").mkdir()
    done = ellopt(place, place, "show", str(TINY))
    assert done.returncode == 2
    assert "set HOME" in done.stderr
