"""Tuning runs on pretended devices: the whole way from a model file to its report, without a compiler."""

from __future__ import annotations

from pathlib import Path

from ellopt.app.config import ModelSettings, TuningConfig
from ellopt.app.shared import SharedParts
from ellopt.app.tune_model import tune_model
from ellopt.frontends.base import read_model
from ellopt.frontends.discover import discover
from ellopt.measure.settings import MeasureSettings
from ellopt.report.document import TuningReport
from ellopt.search.observer import SearchObserver, Silent
from ellopt.search.settings import SearchSettings
from ellopt.space.space import SearchSpace
from ellopt.toolchains.native.toolchain import NativeToolchain
from ellopt.tracking import TrackingSettings, open_tracking
from tests.support.paths import TINY as TINY
from tests.support.pretend import TARGET, Latency, PretendDevice, PretendPool, PretendToolchain, smooth_latency

METHODS = ("simple", "unrolled", "winograd")


def tuned(
    path: Path,
    output: Path,
    device: PretendDevice,
    sampler: str = "auto",
    *,
    toolchain: PretendToolchain | None = None,
    trials: int | None = None,
    observer: SearchObserver | None = None,
) -> TuningReport:
    """The report of tuning the model at ``path`` on ``device``; its files are in ``output``."""
    config = TuningConfig(
        ModelSettings(path, output),
        search=SearchSettings(sampler=sampler, trials=trials, warm_start=False),
        measure=MeasureSettings(visit_spacing=0.0),
        tracking=TrackingSettings(mlflow=False),
    )
    with open_tracking(config.tracking) as tracker:
        shared = SharedParts(
            config, SearchSpace("pretend.json", METHODS, (True, False), (1, 4)), TARGET,
            toolchain or PretendToolchain(NativeToolchain().layers(read_model(path))), PretendPool(device), tracker,
        )  # fmt: skip
        [file] = discover(path)
        return tune_model(file, output, shared, observer or Silent())


def device_for(path: Path, seed: int, noise: float = 0.02, spoiled: float = 0.0) -> PretendDevice:
    """A device on which the layers of the model at ``path`` take times with a structure."""
    latency: Latency = smooth_latency(seed, NativeToolchain().layers(read_model(path)))
    return PretendDevice(latency, noise=noise, spoiled=spoiled, seed=seed)
