"""A tuning that keeps runs, studies and measurements on one PostgreSQL server, as a lab has it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from mlflow import MlflowClient
from sqlalchemy import make_url

from ellopt.app.config import ModelSettings, TuningConfig
from ellopt.app.shared import SharedParts
from ellopt.app.tune_model import tune_model
from ellopt.cli.main import main
from ellopt.frontends.discover import discover
from ellopt.frontends.ell.read import read_model
from ellopt.measure.settings import MeasureSettings
from ellopt.search.observer import Silent
from ellopt.search.settings import SearchSettings
from ellopt.space.space import SearchSpace
from ellopt.toolchains.native.toolchain import NativeToolchain
from ellopt.tracking import TrackingSettings, open_tracking
from tests.support.postgresql import needs_postgresql, postgresql, postgresql_programs
from tests.support.pretend import TARGET, PretendPool, PretendToolchain
from tests.support.tracking_servers import free_port, running_server
from tests.support.tuning import METHODS, TINY, device_for

pytestmark = needs_postgresql


@pytest.fixture(scope="module")
def databases() -> Iterator[tuple[str, str]]:
    """Two databases of one server: ellopt's and Optuna's, and MLflow's."""
    with postgresql() as url:
        programs, parts = postgresql_programs(), make_url(url)
        assert programs is not None
        command = [str(programs / "createdb"), "-h", "127.0.0.1", "-p", str(parts.port), "-U", "tester", "mlflow"]
        subprocess.run(command, check=True, timeout=60)
        yield url, parts.set(database="mlflow").render_as_string(hide_password=False)


def test_runs_studies_and_measurements_share_a_server(
    databases: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, mlflows = databases
    with running_server(tmp_path, free_port(), mlflows) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        config = TuningConfig(
            ModelSettings(TINY, tmp_path / "out"),
            search=SearchSettings(sampler="tpe", trials=6, store=ours, storage=ours),
            measure=MeasureSettings(visit_spacing=0.0),
            tracking=TrackingSettings(experiment="lab", patience=120.0),
        )
        [file] = discover(TINY)
        toolchain = PretendToolchain(NativeToolchain().layers(read_model(TINY)))
        with open_tracking(config.tracking) as tracker:
            space = SearchSpace("pretend.json", METHODS, (True, False), (1, 4))
            pool = PretendPool(device_for(TINY, 0))
            shared = SharedParts(config, space, TARGET, toolchain, pool, tracker)
            report = tune_model(file, tmp_path / "out", shared, Silent())
        assert tracker.summary.waiting == 0, tracker.summary.trouble

        client = MlflowClient(address)
        experiment = client.get_experiment_by_name("lab")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        trials = [run for run in runs if run.data.tags.get("kind") == "trial"]
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert len(trials) == len(report.trials) == 6

    study = optuna.load_study(study_name=file.tag, storage=ours)
    numbers = {trial.number for trial in study.get_trials(states=[optuna.trial.TrialState.COMPLETE])}
    assert numbers == {trial.number for trial in report.trials}
    assert main(["store", "list", "--store", ours]) == 0
    assert TARGET.name in capsys.readouterr().out

    warm = shared.warm_start(report.environment["board"])
    shapes = [layer.shape for layer in toolchain.layers(read_model(TINY))]
    assert warm.store.lookup(warm.context, shapes), "what was measured warms the next client"
